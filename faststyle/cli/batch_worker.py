"""One rank of ``faststyle stylize photos/ --devices N``."""

import os
import pickle
import signal
import sys

from faststyle.console import accept_any_text, error_line
from faststyle.errors import InputError, RankLostError
from faststyle.inference.batch.launcher import INCOMPLETE, LOST, STOPPED, end_self


def main() -> None:
    """Stylize this rank's images; print what the parent process is to report.

    The options come pickled on standard input.
    """
    accept_any_text("utf-8")  # as the launcher reads it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it too: its parent decides
    parent = os.getppid()
    from faststyle.cli.stylize_batch import stylize_collection
    from faststyle.image.validation import silence_decoders
    from faststyle.inference.batch.shards import call_when_orphaned

    options = pickle.load(sys.stdin.buffer)
    call_when_orphaned(parent, end_self)
    silence_decoders()
    try:
        failures = stylize_collection(options)
    except KeyboardInterrupt:
        sys.exit(STOPPED)
    except (InputError, OSError) as error:
        print(error_line(error))
        sys.exit(LOST if isinstance(error, RankLostError) else 2)
    sys.exit(INCOMPLETE if failures else 0)
