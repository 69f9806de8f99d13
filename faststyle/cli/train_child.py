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
    """Ctrl-C for this process when the one that started it closes the pipe, or dies."""
    # Not sys.stdin, whose lock would be held in every process that is forked for the data.
    while os.read(0, 1):
        pass
    _thread.interrupt_main()


if __name__ == "__main__":
    # A server that a shell started in the background ignores Ctrl-C, and so would this process.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt_at_end_of_input, daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(10)  # a photo that somebody waits for comes first
    from faststyle.cli.train import main
    from faststyle.training.callbacks import ProgressFile

    main(sys.argv[2:], [ProgressFile(Path(sys.argv[1]))])
