"""``python -m faststyle.web``: serve the page until Ctrl-C."""

import errno
import os
import signal
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from faststyle.console import fail
from faststyle.options import Settings, option, text, whole
from faststyle.parser import Parser

PORTS = 20  # to look through for a free one, where none was asked for
FIRST_PORT = 7860


@dataclass(frozen=True)
class Options(Settings):
    """Stylize photos, train styles and compare fast with slow, in a browser."""

    host: str = option(
        "127.0.0.1",
        "address to listen on: 127.0.0.1 for this computer alone; 0.0.0.0 lets the network in, without a "
        "password",
        text("an address, such as 127.0.0.1"),
        "ADDRESS",
    )
    port: int | None = option(
        None, f"by default {FIRST_PORT}, or the next one that is free", whole(1, 65535), "N"
    )


def can_listen(host: str, number: int) -> bool:
    """Whether the port is free there; what else stands against listening ends with a line."""
    try:
        (family, *_, address), *_ = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)
        with socket.socket(family) as listener:
            if os.name == "posix":  # as the server will; Windows would let two listen
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        fail(f"cannot listen on {host}, port {number} ({error.strerror}): give another --host or --port")
    return True


def choose_port(host: str, wanted: int | None) -> int:
    """The port asked for, or the first free one; where there is none, end with a line."""
    ports = range(FIRST_PORT, FIRST_PORT + PORTS) if wanted is None else [wanted]
    for number in ports:
        if can_listen(host, number) and can_listen("127.0.0.1", number):  # Gradio asks for both
            return number
    taken = f"port {wanted} is taken" if wanted else f"ports {ports[0]} to {ports[-1]} are taken"
    fail(f"{taken}: give another --port")


def main(argv: Sequence[str] | None = None) -> None:
    options = Parser(Options, "python -m faststyle.web").read(argv)
    if find_spec("gradio") is None:
        fail("the web page needs Gradio: pip install -e '.[web]'")
    number = choose_port(options.host, options.port)
    # As Ctrl-C, so that the folder below is cleared when a service manager ends us, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="faststyle_", ignore_cleanup_errors=True) as folder:
            os.environ["GRADIO_TEMP_DIR"] = folder  # every upload and result, read when Gradio is imported
            os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
            from faststyle.image.validation import silence_decoders
            from faststyle.web.app import serve

            silence_decoders()
            serve(options.host, number)
    except KeyboardInterrupt:
        print("stopped", flush=True)
    os._exit(0)  # a picture that is still being computed holds nobody up


if __name__ == "__main__":
    main()
