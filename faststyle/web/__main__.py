"""The command ``python -m faststyle.web``."""

import errno
import os
import re
import signal
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from faststyle.console import accept_any_text, fail
from faststyle.options import Kind, Settings, option, text, whole
from faststyle.parser import Parser

FIRST_PORT = 7860
MAX_PORTS_TRIED = 20


def root_path() -> Kind:
    """Return the kind of an option for the path or the URL at which a proxy serves the page."""
    what = "a path that starts with /, such as /style, or a URL, such as https://example.com/style"
    pattern = re.compile(r"/[^\s?#\\]*|https?://[^\s?#\\]+")
    return Kind(what, str, lambda value: bool(pattern.fullmatch(value)) and not value.startswith("//"))


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
    root_path: str = option(
        "/",
        "path that a proxy serves the page at, such as /style, or the whole URL",
        root_path(),
        "PATH",
    )


def can_listen(host: str, port: int) -> bool:
    """Return True if the port of this address is free.

    Any other reason that prevents listening ends the command with an error line.
    """
    try:
        (family, *_, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        with socket.socket(family) as listener:
            if os.name == "posix":  # as the server does; on Windows it would let two servers share a port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        fail(f"cannot listen on {host}, port {port} ({error.strerror}): give another --host or --port")
    return True


def choose_port(host: str, requested: int | None) -> int:
    """Return the requested port, or the first free one; end with an error line if there is none."""
    ports = range(FIRST_PORT, FIRST_PORT + MAX_PORTS_TRIED) if requested is None else [requested]
    for port in ports:
        if can_listen(host, port) and can_listen("127.0.0.1", port):  # Gradio needs both
            return port
    taken = f"port {requested} is taken" if requested else f"ports {ports[0]} to {ports[-1]} are taken"
    fail(f"{taken}: give another --port")


def main(argv: Sequence[str] | None = None) -> None:
    accept_any_text()
    options = Parser(Options, "python -m faststyle.web").read(argv)
    if find_spec("gradio") is None:
        fail("the web page needs Gradio: pip install -e '.[web]'")
    port = choose_port(options.host, options.port)
    # Handle SIGTERM like Ctrl-C, so that a service manager's stop also deletes the folder below.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="faststyle_", ignore_cleanup_errors=True) as folder:
            # Gradio reads both variables when it is imported. The folder holds all uploads and results.
            os.environ["GRADIO_TEMP_DIR"] = folder
            os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
            from faststyle.image.validation import silence_decoders
            from faststyle.web.app import serve

            silence_decoders()
            serve(options.host, port, options.root_path.rstrip("/"))
    except KeyboardInterrupt:
        print("stopped", flush=True)
    os._exit(0)  # do not wait for an image that is still being stylized


if __name__ == "__main__":
    main()
