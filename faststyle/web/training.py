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
from faststyle.models.card import ModelCard
from faststyle.models.pretrained import read_cards

PREVIEW_STEPS = 10  # steps between two previews
MAX_STOP_SECONDS = 30  # a process that takes longer to stop is killed
# Model name during training. The painting's own name could be "null", which YAML reads as None.
RUN_NAME = "style"
MAX_LOG_LINES = 40  # of a failed run's log, copied to the server's log
MAX_NAME_LENGTH = 40


class Progress(NamedTuple):
    """Progress of a training.

    Attributes:
        step: Number of steps done.
        seconds_left: Estimated time to the last step, in seconds.
        preview: File of the newest preview; None before the first.
        is_loaded: Whether the process has loaded its libraries, which takes seconds.
    """

    step: int
    seconds_left: float
    preview: Path | None
    is_loaded: bool


class Result(NamedTuple):
    """The model of an ended training.

    Attributes:
        model: Path of the model.
        card: Card of the model, with the number of steps done.
        error: Why the training failed after it had saved the model; None if it did not fail.
    """

    model: Path
    card: ModelCard
    error: str | None


class Job(NamedTuple):
    """A model to train, and the folder of its files.

    Attributes:
        folder: Folder of the run, the painting and the log.
        name: Name of the model.
        steps: Number of training steps in all.
    """

    folder: Path
    name: str
    steps: int

    @property
    def run(self) -> Path:
        """The folder of ``train.py``."""
        return self.folder / "run"

    @property
    def painting(self) -> Path:
        """The painting to train on."""
        return self.folder / f"{self.name}.png"

    @property
    def log(self) -> Path:
        """The file of what ``train.py`` printed."""
        return self.folder / "log.txt"

    @property
    def progress_file(self) -> Path:
        """The file in which ``train.py`` reports its progress."""
        return self.folder / "progress.json"


class TrainingSlot:
    """The place of the server's only training: one training at a time can hold it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # held until the training's process has ended
        self.current: Training | None = None

    def reserve(self) -> None:
        """Reserve the slot for a training, until ``release``.

        Raises:
            InputError: Another training is running.
        """
        if not self.lock.acquire(blocking=False):
            raise InputError(
                "Another style is being trained here already, and only one can be at a time: try again in "
                "some minutes."
            )

    def release(self) -> None:
        """Allow the next training."""
        self.current = None
        self.lock.release()

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


def start_training(
    slot: TrainingSlot,
    painting: Image.Image,
    name: str,
    steps: int,
    owner: str,
    folder: str,
) -> "Training":
    """Start a training, from the built-in style that is nearest to the painting.

    Args:
        slot: The server's training slot.
        painting: RGB image to train on.
        name: Name of the model.
        steps: Number of training steps.
        owner: Session that can stop the training.
        folder: Folder in which a new folder for the job is created.

    Raises:
        InputError: Another training is running.
        OSError: The folder cannot be written to.
    """
    slot.reserve()
    job = Job(Path(folder) / f"training_{secrets.token_hex(8)}", name, steps)
    options = ["--style", str(job.painting), "--name", RUN_NAME]
    options += ["--trainer.max_steps", str(steps), "--previews.every_n_steps", str(PREVIEW_STEPS)]
    try:
        job.folder.mkdir()
        painting.save(job.painting)
        return Training(slot, job, owner, options)
    except BaseException:
        shutil.rmtree(job.folder, ignore_errors=True)
        slot.release()
        raise


def resume_training(slot: TrainingSlot, job: Job, owner: str) -> "Training":
    """Continue a training that was stopped.

    Args:
        slot: The server's training slot.
        job: The stopped job.
        owner: Session that can stop the training.

    Raises:
        InputError: Another training is running.
        OSError: The job's folder is gone.
    """
    slot.reserve()
    try:
        return Training(slot, job, owner, ["--resume"])
    except BaseException:
        slot.release()
        raise


class Training:
    """A running ``train.py`` process. Leaving the ``with`` block stops it.

    Args:
        slot: The server's training slot, which is reserved.
        job: What to train.
        owner: Session that can stop the training.
        options: Options of ``train.py``, besides the folder of the run.

    Attributes:
        stopped: Whether the process was asked to stop.
        has_result: Whether the job's folder is kept, because it belongs to a style.
    """

    def __init__(self, slot: TrainingSlot, job: Job, owner: str, options: list[str]):
        self.slot, self.job, self.owner, self.stopped = slot, job, owner, False
        self.has_result = job.run.exists()
        job.progress_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "faststyle.cli.train_child", str(job.progress_file), *options]
        with job.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--output", str(job.run)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        slot.current = self

    def __enter__(self) -> "Training":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        # In a thread, because the process takes seconds to save, and Gradio would block all requests.
        threading.Thread(target=self.clean_up).start()

    def clean_up(self) -> None:
        """Wait for the end of the process, delete a folder without a result, and allow the next training."""
        self.process.wait()
        if not self.has_result:
            shutil.rmtree(self.job.folder, ignore_errors=True)
        self.slot.release()

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
            found = json.loads(self.job.progress_file.read_text())
        except FileNotFoundError:
            return Progress(0, 0, None, False)
        previews = sorted((self.job.run / "previews").glob("step_*.png"))
        return Progress(found["step"], found["seconds_left"], previews[-1] if previews else None, True)

    def take_result(self) -> Result:
        """Copy the model of the ended process into the job's folder, and keep the folder.

        The run's own files are kept only if the training was stopped, and can be resumed.

        Raises:
            InputError: The process has saved no model. The message gives the reason.
        """
        saved = self.job.run / f"{RUN_NAME}.safetensors"
        ended_well = self.process.returncode == 0
        error = None if self.stopped or ended_well else self.read_error()
        if not saved.exists():
            raise InputError(error or "Stopped before the first step, so there is no model.")
        place = Path(tempfile.mkdtemp(prefix="model_", dir=self.job.folder))
        model = Path(shutil.copy(saved, place / f"{self.job.name}.safetensors"))
        self.has_result = True
        if ended_well:
            shutil.rmtree(self.job.run)
        (card,) = read_cards({self.job.name: model}).values()
        return Result(model, card, error)

    def read_error(self) -> str:
        """Return why the process failed; copy the end of its log to the server's log if that is unknown."""
        log = self.job.log.read_text(errors="replace")
        errors = re.findall(r"^error: (.+)$", log, re.MULTILINE)
        if errors:
            return errors[-1]
        lines = log.strip().splitlines()[-MAX_LOG_LINES:] or ["no output"]
        print("\n".join(lines), file=sys.stderr, flush=True)
        return (
            f"The training failed with exit status {self.process.returncode} ({lines[-1]}): see the "
            "server's log for details."
        )


def make_model_name(path: str) -> str:
    """Return a model name of letters, digits and underscores for an upload."""
    return re.sub(r"\W+", "_", Path(path).stem.lower()).strip("_")[:MAX_NAME_LENGTH] or "style"
