"""The web page's server, for the tests that need one."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(folder: Path, *flags: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """Start a server whose temporary files go to ``folder``; its address, and its process."""
    folder.mkdir(exist_ok=True)
    log = folder.parent / f"{folder.name}.log"
    environment = os.environ | {"TMPDIR": str(folder), "HF_HUB_OFFLINE": "1"}
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "faststyle.web", *flags],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    try:
        for _ in range(600):
            found = re.search(r"http://\S+", log.read_text())
            if found or process.poll() is not None:
                break
            time.sleep(0.1)
        assert found, log.read_text()
        yield found[0], process
    finally:
        process.terminate()
        process.wait(60)
