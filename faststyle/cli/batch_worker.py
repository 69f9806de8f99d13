"""One process of ``python infer.py --devices N``."""

import os
import signal
import sys

from faststyle.console import error_line
from faststyle.errors import InputError, RankLostError
from faststyle.inference.batch.launcher import INCOMPLETE, LOST, STOPPED, end_self


def main() -> None:
    """One rank of ours: what it has to say it prints for its parent, who says it once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it too: its parent decides
    parent, argv = os.getppid(), sys.argv[1:]
    from faststyle.cli.options import parse
    from faststyle.cli.stylize_batch import stylize_collection

    arguments = parse(argv)
    from faststyle.inference.batch.shards import end_with

    end_with(parent, end_self)
    try:
        failures = stylize_collection(arguments, argv)
    except KeyboardInterrupt:
        sys.exit(STOPPED)
    except (InputError, OSError) as error:
        print(error_line(error))
        sys.exit(LOST if isinstance(error, RankLostError) else 2)
    sys.exit(INCOMPLETE if failures else 0)
