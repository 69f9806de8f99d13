"""Content photos for training, as a LightningDataModule on Hugging Face datasets."""

import io
import itertools
import logging
import random
from collections.abc import Iterator, Sized
from pathlib import Path
from typing import Any, NamedTuple, cast

import datasets
import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Sampler, get_worker_info
from torch.utils.data import Dataset as TorchDataset

from faststyle.content import HELD_OUT, load_content
from faststyle.errors import InputError
from faststyle.images import open_image

log = logging.getLogger(__name__)

ATTEMPTS = 100  # bad pictures in a row before the folder is given up


class Batch(NamedTuple):
    """Photos, and what had to be skipped on the way to them."""

    photos: Tensor  # (B,3,size,size) uint8
    skipped: list[str]


Row = dict[str, Any]  # a datasets row whose one picture is {"bytes": …, "path": …}, not decoded


def read_photo(row: Row, size: int) -> Image.Image:
    """Decode a row's picture; a JPEG much larger than needed at a fraction of its size.

    Raises:
        InputError: damaged, or its shorter side has less than half of ``size`` pixels.
    """
    stored = row["image"]
    name = stored.get("path") or "a picture of the data set"
    source = io.BytesIO(stored["bytes"]) if stored.get("bytes") else stored["path"]
    photo = open_image(source, name, draft=2 * size).convert("RGB")
    if min(photo.size) * 2 < size:
        raise InputError(f"{name} is too small ({photo.width}x{photo.height})")
    return photo


def crop(photo: Image.Image, left: int, top: int, side: int, size: int) -> Image.Image:
    """A square of ``side`` pixels, resized to ``size``."""
    box = (left, top, left + side, top + side)
    return photo.resize((size, size), Image.Resampling.BICUBIC, box, reducing_gap=2.0)


def random_crop(photo: Image.Image, size: int, least: float, chance: random.Random) -> Image.Image:
    """A random square, resized, perhaps mirrored.

    It has a share of ``least`` of the shorter side to all of it, whatever the photo's own size: so
    with three tenths a network trained at 192 pixels sees things as large as in pictures of 192 to 640.
    """
    shorter = min(photo.size)
    side = chance.randint(max(1, int(shorter * least)), shorter)
    left, top = chance.randint(0, photo.width - side), chance.randint(0, photo.height - side)
    photo = crop(photo, left, top, side, size)
    return photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if chance.random() < 0.5 else photo


def center_crop(photo: Image.Image, size: int) -> Image.Image:
    """The largest square in the middle, resized."""
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    return crop(photo, left, top, side, size)


def to_bytes(photo: Image.Image) -> Tensor:
    """(3,H,W) uint8: a quarter of what floats would weigh on the way to the GPU."""
    return torch.from_numpy(np.array(photo)).permute(2, 0, 1)


def collate(items: list[tuple[Tensor, list[str]]]) -> Batch:
    return Batch(torch.stack([photo for photo, _ in items]), [name for _, names in items for name in names])


class Draws(Sampler[tuple[int, int]]):
    """Photos in random order, shuffled anew at each pass: (index, number of the draw).

    The whole order follows from the seed, so a run that resumes at draw ``first`` goes on with
    the very photos, crops and flips that it would have had.

    Args:
        photos: what to draw from.
        first: number of the first draw.
        last: number of draws of the whole run.
        seed: of the order.
    """

    def __init__(self, photos: Sized, first: int, last: int, seed: int):
        self.photos, self.first, self.last, self.seed = photos, first, last, seed

    def __len__(self) -> int:
        return self.last  # the whole run's, also when resumed: Lightning counts on from there

    def __iter__(self) -> Iterator[tuple[int, int]]:
        count, order = len(self.photos), None
        for number in range(self.first, self.last):
            turn, place = divmod(number, count)
            if order is None or place == 0:
                order = torch.randperm(count, generator=torch.Generator().manual_seed(self.seed + turn))
            yield int(order[place]), number


class Photos(TorchDataset):
    """Random crops of a set that is held whole; a bad picture is replaced by another."""

    def __init__(self, rows: Any, size: int, least: float, seed: int):
        self.rows, self.size, self.least, self.seed = rows, size, least, seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, draw: tuple[int, int]) -> tuple[Tensor, list[str]]:
        index, number = draw
        chance = random.Random(f"{self.seed} {number}")
        skipped: list[str] = []
        for _ in range(ATTEMPTS):
            try:
                photo = read_photo(self.rows[index], self.size)
            except InputError as error:
                skipped.append(str(error))
                index = chance.randrange(len(self.rows))
                continue
            return to_bytes(random_crop(photo, self.size, self.least, chance)), skipped
        raise InputError(f"{ATTEMPTS} pictures in a row could not be used; the last: {skipped[-1]}")


class StreamedPhotos(IterableDataset):
    """Random crops of a set that is read as it comes, shuffled within a buffer, without end."""

    def __init__(self, rows: Any, size: int, least: float, seed: int, buffer: int = 1000):
        self.rows, self.size, self.least, self.seed, self.buffer = rows, size, least, seed, buffer

    def __iter__(self) -> Iterator[tuple[Tensor, list[str]]]:
        worker = get_worker_info()
        chance = random.Random(f"{self.seed} {worker.id if worker else 0}")
        skipped: list[str] = []
        for turn in itertools.count():
            used = 0
            for row in self.rows.shuffle(seed=self.seed + turn, buffer_size=self.buffer):
                try:
                    photo = read_photo(row, self.size)
                except InputError as error:
                    skipped.append(str(error))
                    continue
                used += 1
                yield to_bytes(random_crop(photo, self.size, self.least, chance)), skipped
                skipped = []
            if used == 0 and skipped:
                raise InputError(f"no picture of the stream could be used; the last: {skipped[-1]}")
            if used == 0:
                return  # this worker has no share of the set


class HeldOutPhotos(TorchDataset):
    """The middle of the first validation photos that can be read, always the same."""

    def __init__(self, rows: Any, size: int):
        self.size = size
        self.photos: list[Image.Image] = []
        self.skipped: list[str] = []
        for row in rows:
            try:
                self.photos.append(read_photo(row, size))
            except InputError as error:
                self.skipped.append(str(error))
            if len(self.photos) == HELD_OUT or (not self.photos and len(self.skipped) == ATTEMPTS):
                break

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> tuple[Tensor, list[str]]:
        return to_bytes(center_crop(self.photos[index], self.size)), []


class ContentPhotos(pl.LightningDataModule):
    """Random crops of content photos for training, and held-out photos for validation.

    Args:
        content: samples (photos that come with scikit-image), a folder of pictures, parquet files,
            or a data set's name on the Hugging Face Hub (owner/name).
        size: width and height of the crops in pixels.
        least_crop: the smallest crop, as a share of its photo's shorter side.
        batch_size: crops in a batch.
        workers: processes that decode photos beside the training; one per core but one, and at
            most eight, without it.
        streaming: read a hub or parquet set as it is needed, without downloading it first.
        seed: of the order, the crops and the flips.
    """

    def __init__(
        self,
        content: str = "samples",
        size: int = 192,
        least_crop: float = 0.3,
        batch_size: int = 1,
        workers: int | None = None,
        streaming: bool = False,
        seed: int = 0,
    ):
        super().__init__()
        for name, value, least in (
            ("size", size, 32),
            ("batch_size", batch_size, 1),
            ("workers", workers, 0),
        ):
            if value is not None and value < least:
                raise InputError(f"--data.{name} must be at least {least}, not {value}")
        if not 0 < least_crop <= 1:
            raise InputError(f"--data.least_crop must be above 0 and at most 1, not {least_crop}")
        self.content, self.size, self.least_crop, self.batch_size = content, size, least_crop, batch_size
        self.workers, self.streaming, self.seed = workers, streaming, seed
        self.skipped: set[str] = set()

    def setup(self, stage: str) -> None:
        """Find the photos and read those held out, so that a bad folder ends before training starts."""
        if hasattr(self, "held_out"):
            return
        self.rows, validation = load_content(self.content, self.streaming)
        self.held_out = HeldOutPhotos(validation, self.size)
        self.report(self.held_out.skipped)
        if not self.held_out.photos:
            why = self.held_out.skipped[-1] if self.held_out.skipped else "there are none"
            raise InputError(f"none of the first pictures of {self.content} could be used: {why}")

    def report(self, skipped: list[str]) -> None:
        """Name each picture that cannot be used, once, and count it."""
        for line in skipped:
            if line not in self.skipped:
                self.skipped.add(line)
                log.warning("skipped: %s", line)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Tensor:
        """Batch of bytes to (B,3,size,size) float32 in [0,1], on the device."""
        self.report(batch.skipped)
        return batch.photos.float() / 255

    def train_dataloader(self) -> DataLoader:
        trainer = cast(pl.Trainer, self.trainer)
        workers = self.workers
        if workers is None:
            workers = min(8, max(1, torch.get_num_threads() - 1))
        options: dict[str, Any] = {
            "batch_size": self.batch_size,
            "num_workers": workers,
            "collate_fn": collate,
            "pin_memory": trainer.strategy.root_device.type == "cuda",
            "drop_last": True,
        }
        if isinstance(self.rows, datasets.IterableDataset):
            return DataLoader(StreamedPhotos(self.rows, self.size, self.least_crop, self.seed), **options)
        # One epoch is the whole run: its length in draws, less what a resumed run has had.
        step = self.batch_size * trainer.accumulate_grad_batches
        draws = Draws(self.rows, trainer.global_step * step, trainer.max_steps * step, self.seed)
        return DataLoader(Photos(self.rows, self.size, self.least_crop, self.seed), sampler=draws, **options)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.held_out, batch_size=self.batch_size, collate_fn=collate)

    def card(self) -> dict[str, Any]:
        """What of the photos goes into the header of a model's file; no paths of this machine."""
        streamed = isinstance(self.rows, datasets.IterableDataset)
        return {
            "content": Path(self.content).name,
            "photos": None if streamed else len(self.rows),
            "size": self.size,
            "least_crop": self.least_crop,
            "batch_size": self.batch_size,
        }
