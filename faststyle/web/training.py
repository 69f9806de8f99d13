"""Training in a process of its own: one at a time for the whole server, watched, and ended with it."""

import contextlib
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from faststyle.errors import InputError

PREVIEW_STEPS = 10
BAR = re.compile(r"training: .*?(\d+)/\d+ \[[\d:]+<([\d:]+)")  # Lightning's: step, and time to go
SECONDS_TO_STOP = 30  # after that a process that was asked to end is killed
NAME = "style"  # of every run's model until it is kept: a painting may be called null, which is YAML
TAIL = 40  # lines of a failed run's log that go to the server's


class Progress(NamedTuple):
    """How far a training is: its step, the time to go as 12:34, and the last preview's file."""

    step: int
    left: str
    preview: Path | None


class Training:
    """One run of ``train.py``; leave its ``with`` block and it ends, and its folder goes.

    Args:
        painting: the picture to train on, RGB.
        name: of the model.
        steps: how many.
        init: a model to start from, or None.
        owner: who may stop it.
        folder: a folder of its own is made in it.

    Raises:
        InputError: another one runs.
        OSError: the folder cannot be written to.
    """

    slot = threading.Lock()
    current: "Training | None" = None

    def __init__(
        self,
        painting: Image.Image,
        name: str,
        steps: int,
        init: Path | None,
        owner: str,
        folder: str,
    ):
        if not Training.slot.acquire(blocking=False):
            raise InputError(
                "A style is being trained here already, one at a time: try again in some minutes."
            )
        self.name, self.steps, self.owner, self.stopped = name, steps, owner, False
        self.folder = Path(folder) / f"training_{secrets.token_hex(8)}"
        self.run = self.folder / "run"
        self.log = self.folder / "log.txt"
        self.painting = self.folder / f"{name}.png"
        flags = ["--style", str(self.painting), "--name", NAME, "--output", str(self.run)]
        flags += ["--trainer.max_steps", str(steps), "--previews.every_n_steps", str(PREVIEW_STEPS)]
        flags += ["--init", str(init)] if init else []
        try:
            self.folder.mkdir()
            painting.save(self.painting)
            with self.log.open("wb") as log:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "faststyle.cli.train_child", *flags],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            Training.slot.release()
            raise
        Training.current = self

    def __enter__(self) -> "Training":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        # Saving takes it some seconds, and Gradio would let everybody wait for them.
        threading.Thread(target=self.clear).start()

    def clear(self) -> None:
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        Training.current = None
        Training.slot.release()

    def running(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """Ask it to end, and see to it that it does; it keeps what it has learned."""
        self.stopped = True
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended by itself
            self.process.stdin.close()
        deadline = threading.Timer(SECONDS_TO_STOP, self.process.kill)
        deadline.daemon = True
        deadline.start()

    def progress(self) -> Progress:
        bars = BAR.findall(self.log.read_text(errors="replace"))
        step, left = bars[-1] if bars else (0, "")
        previews = sorted((self.run / "previews").glob("step_*.png"))
        return Progress(int(step), left, previews[-1] if previews else None)

    def keep(self, folder: str) -> tuple[Path, Path]:
        """Bring the model and the painting, once it has ended, to a folder that outlives the run.

        Raises:
            InputError: there is none; the message is the run's own.
        """
        model = self.run / f"{NAME}.safetensors"
        if model.exists():
            place = Path(tempfile.mkdtemp(prefix="style_", dir=folder))
            kept = shutil.move(model, place / f"{self.name}.safetensors")
            return Path(kept), Path(shutil.move(self.painting, place))
        log = self.log.read_text(errors="replace")
        errors = re.findall(r"^error: (.+)$", log, re.MULTILINE)
        if errors:
            raise InputError(errors[-1])
        if self.stopped:
            raise InputError("Stopped before the first step: there is nothing to keep.")
        lines = log.strip().splitlines()[-TAIL:] or ["it said nothing"]
        print("\n".join(lines), file=sys.stderr, flush=True)
        raise InputError(
            f"The training ended with status {self.process.returncode} ({lines[-1]}): "
            "the server's log says more."
        )


def stop(owner: str) -> bool:
    """Stop the training that ``owner`` began; whether one runs."""
    training = Training.current
    if training is None or training.owner != owner:
        return False
    training.stop()
    return True


def stop_any() -> None:
    """End whatever trains, and wait for it: the server ends."""
    training = Training.current
    if training is not None:
        training.stop()
        training.process.wait()


def slug(path: str) -> str:
    """A model's name from an upload's: letters, digits and underscores."""
    return re.sub(r"\W+", "_", Path(path).stem.lower()).strip("_")[:40] or "style"
