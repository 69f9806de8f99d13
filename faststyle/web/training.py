"""Training of a style in a child process, one at a time for the whole server."""

import contextlib
import json
import re
import secrets
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from faststyle.errors import InputError
from faststyle.models.pretrained import read_cards

MAX_STOP_SECONDS = 30  # a process that takes longer to stop is killed
# Name of the model during training. A painting could be named null, which YAML reads as None.
RUN_NAME = "style"
MAX_LOG_LINES = 40  # of a failed run's log, copied to the server's log
MAX_NAME_LENGTH = 40


class Progress(NamedTuple):
    """Progress of a training.

    Attributes:
        step: Number of steps done.
        seconds_left: Time to the end of the training.
        preview: File of the newest preview; None before the first.
    """

    step: int
    seconds_left: float
    preview: Path | None


class Result(NamedTuple):
    """The model of an ended training.

    Attributes:
        model: Path of the model.
        steps: Number of steps done.
        error: Why the training failed after it had saved the model; None if it did not fail.
    """

    model: Path
    steps: int
    error: str | None


class Job(NamedTuple):
    """A model to train, and the folder of its files.

    Attributes:
        folder: Folder of the run, the painting, the photo and the log.
        name: Name of the model.
        seconds: Length of the training.
    """

    folder: Path
    name: str
    seconds: int

    @property
    def run(self) -> Path:
        """The folder of ``train.py``."""
        return self.folder / "run"

    @property
    def painting(self) -> Path:
        """The painting to train on."""
        return self.folder / f"{self.name}.png"

    @property
    def photo(self) -> Path:
        """The photo of the previews."""
        return self.folder / "photo.png"

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
        self.starting: dict[str, bool] = {}  # sessions whose training has no process yet; True: stop it

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
        """Stop the training that ``owner`` started or is starting. Return False if there is none."""
        is_starting = owner in self.starting
        if is_starting:
            self.starting[owner] = True
        training = self.current  # read after the entry is set, because the process may have started meanwhile
        if training is None or training.owner != owner:
            return is_starting
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
    photo: Image.Image,
    name: str,
    init: str,
    seconds: int,
    owner: str,
    folder: str,
) -> "Training":
    """Start a training on a painting.

    Args:
        slot: The server's training slot.
        painting: RGB image to train on.
        photo: RGB image to stylize in the previews.
        name: Name of the model.
        init: Model to start from, as for ``train.py``.
        seconds: Length of the training.
        owner: Session that can stop the training.
        folder: Folder in which a new folder for the job is created.

    Raises:
        InputError: Another training is running.
        OSError: The folder cannot be written to.
    """
    slot.reserve()
    job = Job(Path(folder) / f"training_{secrets.token_hex(8)}", name, seconds)
    try:
        job.folder.mkdir()
        painting.save(job.painting)
        photo.save(job.photo)
        return Training(slot, job, owner, init)
    except BaseException:
        shutil.rmtree(job.folder, ignore_errors=True)
        slot.release()
        raise


class Training:
    """A running ``train.py`` process. Leaving the ``with`` block stops it.

    Args:
        slot: The server's training slot, which is reserved.
        job: What to train.
        owner: Session that can stop the training.
        init: Model to start from.

    Attributes:
        stopped: Whether the process was asked to stop.
        has_result: Whether the job's folder is kept, because it belongs to a style.
    """

    def __init__(self, slot: TrainingSlot, job: Job, owner: str, init: str):
        self.slot, self.job, self.owner = slot, job, owner
        self.stopped = self.has_result = False
        command = [sys.executable, "-m", "faststyle.cli.train_child", str(job.progress_file)]
        command += ["--style", str(job.painting), "--init", init, "--seconds", str(job.seconds)]
        command += ["--name", RUN_NAME, "--output", str(job.run), "--previews.photo", str(job.photo)]
        with job.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
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
            return Progress(0, self.job.seconds, None)
        previews = sorted((self.job.run / "previews").glob("step_*.png"))
        left = found["seconds_left"] if found["step"] else self.job.seconds
        return Progress(found["step"], left, previews[-1] if previews else None)

    def take_result(self) -> Result:
        """Keep the model of the ended process, and the job's folder.

        Raises:
            InputError: The process has saved no model. The message gives the reason.
        """
        saved = self.job.run / f"{RUN_NAME}.safetensors"
        error = None if self.stopped or self.process.returncode == 0 else self.read_error()
        if not saved.exists():
            raise InputError(error or "Stopped before the first step, so there is no model.")
        model = saved.replace(self.job.folder / f"{self.job.name}.safetensors")
        self.has_result = True
        shutil.rmtree(self.job.run)
        (card,) = read_cards({self.job.name: model}).values()
        return Result(model, card.steps or 0, error)

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
