"""Start the web page's server in a process."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(
    folder: Path, *flags: str, program: tuple[str, ...] = ("-m", "faststyle.web")
) -> Iterator[tuple[str, subprocess.Popen]]:
    """Start a server that keeps its temporary files in ``folder``. Yield its address and process."""
    folder.mkdir(exist_ok=True)
    log = folder.parent / f"{folder.name}.log"
    environment = os.environ | {"TMPDIR": str(folder), "HF_HUB_OFFLINE": "1"}
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, *program, *flags],
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
