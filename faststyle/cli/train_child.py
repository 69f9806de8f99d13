"""``train.py`` as a child process that reports its progress, and stops when its standard input closes.

Started as ``python -m faststyle.cli.train_child PROGRESS_FILE …``, with the options of train.py.
"""

import _thread
import os
import signal
import sys
import threading
from pathlib import Path


def interrupt_at_end_of_input() -> None:
    """Interrupt the main thread when the parent process closes standard input or exits."""
    # Read the descriptor, because every forked data worker would inherit the lock of sys.stdin as held.
    while os.read(0, 1):
        pass
    _thread.interrupt_main()


if __name__ == "__main__":
    # A server started in the background of a shell ignores SIGINT, and this process inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt_at_end_of_input, daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(10)  # so that stylizing a user's photo takes precedence
    from faststyle.cli.train import main
    from faststyle.training.callbacks import ProgressFile

    main(sys.argv[2:], [ProgressFile(Path(sys.argv[1]))])
