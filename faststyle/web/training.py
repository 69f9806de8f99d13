"""Training of a style in a child process, one at a time for the whole server."""

import contextlib
import json
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

PREVIEW_STEPS = 10  # steps between two previews
MAX_STOP_SECONDS = 30  # a process that takes longer to stop is killed
# Model name during training. The painting's own name could be "null", which YAML reads as None.
RUN_NAME = "style"
MAX_LOG_LINES = 40  # of a failed run's log, copied to the server's log
MAX_NAME_LENGTH = 40


class Progress(NamedTuple):
    """How far a training is.

    Attributes:
        step: Number of steps done.
        seconds_left: Estimated time to the last step, in seconds.
        preview: File of the newest preview; None before the first.
    """

    step: int
    seconds_left: float
    preview: Path | None


class TrainingSlot:
    """The server's only training, or None if no training runs."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # held until the training's folder is deleted
        self.current: Training | None = None

    def stop(self, owner: str) -> bool:
        """Stop the training that ``owner`` started. Return False if there is none."""
        training = self.current
        if training is None or training.owner != owner:
            return False
        training.stop()
        return True

    def close(self) -> None:
        """Stop the training, if any, and wait for its end."""
        training = self.current
        if training is not None:
            training.stop()
            training.process.wait()


class Training:
    """A running ``train.py`` process. Leaving the ``with`` block stops it and deletes its folder.

    Args:
        slot: The server's training slot.
        painting: RGB image to train on.
        name: Name of the model.
        steps: Number of training steps.
        init: Path of the model to start from, or None to train from scratch.
        owner: Session that can stop the training.
        folder: Folder in which a new folder for the run is created.

    Raises:
        InputError: Another training is running.
        OSError: The folder cannot be written to.
    """

    def __init__(
        self,
        slot: TrainingSlot,
        painting: Image.Image,
        name: str,
        steps: int,
        init: Path | None,
        owner: str,
        folder: str,
    ):
        if not slot.lock.acquire(blocking=False):
            raise InputError(
                "Another style is being trained here already, and only one can be at a time: try again in "
                "some minutes."
            )
        self.slot, self.name, self.owner, self.stopped = slot, name, owner, False
        self.folder = Path(folder) / f"training_{secrets.token_hex(8)}"
        self.run = self.folder / "run"
        self.log = self.folder / "log.txt"
        self.progress_file = self.folder / "progress.json"
        self.painting = self.folder / f"{name}.png"
        options = ["--style", str(self.painting), "--name", RUN_NAME, "--output", str(self.run)]
        options += ["--trainer.max_steps", str(steps), "--previews.every_n_steps", str(PREVIEW_STEPS)]
        options += ["--init", str(init)] if init else []
        try:
            self.folder.mkdir()
            painting.save(self.painting)
            with self.log.open("wb") as log:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "faststyle.cli.train_child", str(self.progress_file), *options],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            slot.lock.release()
            raise
        slot.current = self

    def __enter__(self) -> "Training":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        # In a thread, because the process takes seconds to save, and Gradio would block all requests.
        threading.Thread(target=self.clean_up).start()

    def clean_up(self) -> None:
        """Wait for the end of the process, delete its folder, and allow the next training."""
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.slot.current = None
        self.slot.lock.release()

    def is_running(self) -> bool:
        """Return True until the process has ended."""
        return self.process.poll() is None

    def stop(self) -> None:
        """Ask the process to save the model and end; kill it after ``MAX_STOP_SECONDS``."""
        self.stopped = True
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # the process has already ended
            self.process.stdin.close()
        deadline = threading.Timer(MAX_STOP_SECONDS, self.process.kill)
        deadline.daemon = True
        deadline.start()

    def read_progress(self) -> Progress:
        """Read the progress of the process, and find the newest preview."""
        try:
            found = json.loads(self.progress_file.read_text())
        except FileNotFoundError:  # before the first step
            found = {"step": 0, "seconds_left": 0}
        previews = sorted((self.run / "previews").glob("step_*.png"))
        return Progress(found["step"], found["seconds_left"], previews[-1] if previews else None)

    def move_results(self, folder: str) -> tuple[Path, Path]:
        """Move the model and the painting of an ended process to a new folder that outlives the run.

        Returns:
            The new paths of the model and the painting.

        Raises:
            InputError: The process has saved no model. The message gives the reason.
        """
        model = self.run / f"{RUN_NAME}.safetensors"
        if model.exists():
            place = Path(tempfile.mkdtemp(prefix="style_", dir=folder))
            moved = shutil.move(model, place / f"{self.name}.safetensors")
            return Path(moved), Path(shutil.move(self.painting, place))
        log = self.log.read_text(errors="replace")
        errors = re.findall(r"^error: (.+)$", log, re.MULTILINE)
        if errors:
            raise InputError(errors[-1])
        if self.stopped:
            raise InputError("Stopped before the first step, so there is no model.")
        lines = log.strip().splitlines()[-MAX_LOG_LINES:] or ["no output"]
        print("\n".join(lines), file=sys.stderr, flush=True)
        raise InputError(
            f"The training failed with exit status {self.process.returncode} ({lines[-1]}): see the "
            "server's log for details."
        )


def make_model_name(path: str) -> str:
    """Return a model name of letters, digits and underscores for an upload."""
    return re.sub(r"\W+", "_", Path(path).stem.lower()).strip("_")[:MAX_NAME_LENGTH] or "style"
