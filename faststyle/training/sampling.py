"""Content photos as numbered draws: which photo and which crop of it follows from the seed and the number."""

import io
import itertools
import random
from collections.abc import Iterator, Sized
from typing import Any

import datasets
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import IterableDataset, Sampler, get_worker_info

from faststyle.errors import InputError
from faststyle.image.files import open_image
from faststyle.training.photo_sources import HELD_OUT

ATTEMPTS = 100  # bad pictures in a row before the folder is given up
# Crops grow: each size, as a share of the last one, until a share of the run's steps is done. Most of what a
# network learns it learns as well on small crops, in a tenth of the time; whole images settle it.
GROWTH = ((0.25, 0.45), (0.375, 0.7), (0.5, 0.9), (0.75, 0.97), (1.0, 1.0))
MIN_CROP = 64  # pixels
FAINT = 0.15  # share of the crops that lose most of their contrast

Row = dict[str, Any]  # a datasets row whose one picture is {"bytes": …, "path": …}, not decoded
# A crop (3,s,s) uint8 and the bad pictures before it, or an error: a DataLoader would raise that of a worker
# with a traceback as its message.
Sample = tuple[Tensor, list[str]] | InputError


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

    It has a share of ``least`` of the shorter side to all of it, whatever the photo's own size: a network
    stylizes well at the scales that it was trained at.
    """
    shorter = min(photo.size)
    side = chance.randint(max(1, int(shorter * least)), shorter)
    left, top = chance.randint(0, photo.width - side), chance.randint(0, photo.height - side)
    photo = crop(photo, left, top, side, size)
    return photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if chance.random() < 0.5 else photo


def crop_size(size: int, done: float) -> int:
    """Return the size of the crops in pixels: it grows to ``size`` while ``done`` goes from 0 to 1."""
    share = next((share for share, until in GROWTH if done < until), 1.0)
    return size if share == 1 else min(size, max(MIN_CROP, round(size * share / 16) * 16))


def faint(photo: Image.Image, chance: random.Random) -> Image.Image:
    """Take most of a photo's contrast, and lay it on a plain tone or a gradient.

    Networks normalize contrast, and stretch what little a studio's wall or a clear sky has, unless training
    shows them such.
    """
    pixels = np.asarray(photo, np.float32) / 255
    tone = np.array([chance.random() for _ in range(3)], np.float32)
    tone = 0.4 * tone + 0.6 * chance.random()
    photo_share = chance.choice((0, 1, 1)) * 10 ** chance.uniform(-1.6, -0.2)
    slope = 10 ** chance.uniform(-2, -0.7) * np.array([chance.random() for _ in range(3)], np.float32)
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    plane = chance.uniform(-1, 1) * x + chance.uniform(-1, 1) * y
    grain = np.random.default_rng(chance.getrandbits(32)).standard_normal(pixels.shape, np.float32)
    result = tone + photo_share * (pixels - pixels.mean((0, 1))) + slope * plane[..., None]
    result += chance.choice((0, 0.01)) * grain
    return Image.fromarray((255 * result.clip(0, 1)).round().astype(np.uint8))


def draw_crop(photo: Image.Image, size: int, least: float, chance: random.Random) -> Tensor:
    """Draw a crop to train with, (3,size,size) uint8."""
    photo = random_crop(photo, size, least, chance)
    return to_bytes(faint(photo, chance) if chance.random() < FAINT else photo)


def center_crop(photo: Image.Image, size: int) -> Image.Image:
    """The largest square in the middle, resized."""
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    return crop(photo, left, top, side, size)


def to_bytes(photo: Image.Image) -> Tensor:
    """(3,H,W) uint8: a quarter of what floats would weigh on the way to the GPU."""
    return torch.from_numpy(np.array(photo)).permute(2, 0, 1)


class Draws(Sampler[tuple[int, int, float]]):
    """Photos in random order, shuffled anew at each pass: (index, number of the draw, share of the run done).

    The whole order follows from the seed, so a run that resumes at batch ``first`` goes on with
    the very photos, crops and flips that it would have had. Processes that train together take the
    batches in turn: step for step they have the draws of one process with the whole batch.

    Args:
        photos: what to draw from.
        first: number of this process's first batch.
        last: number of its batches in the whole run.
        seed: of the order.
        batch_size: draws in a batch.
        rank: of this process, among
        ranks: so many.
        accumulate: batches in a step.
    """

    def __init__(
        self,
        photos: Sized,
        first: int,
        last: int,
        seed: int,
        batch_size: int = 1,
        rank: int = 0,
        ranks: int = 1,
        accumulate: int = 1,
    ):
        self.photos, self.first, self.last, self.seed = photos, first, last, seed
        self.batch_size, self.rank, self.ranks, self.accumulate = batch_size, rank, ranks, accumulate

    def __len__(self) -> int:
        # The whole run's, also when resumed: Lightning counts on from there.
        return self.last * self.batch_size

    def __iter__(self) -> Iterator[tuple[int, int, float]]:
        count, known = len(self.photos), None
        for batch in range(self.first, self.last):
            start = (batch * self.ranks + self.rank) * self.batch_size
            done = batch // self.accumulate * self.accumulate / self.last  # the same for all of a step
            for number in range(start, start + self.batch_size):
                turn, place = divmod(number, count)
                if turn != known:
                    order = torch.randperm(count, generator=torch.Generator().manual_seed(self.seed + turn))
                    known = turn
                yield int(order[place]), number, done


def all_bad(skipped: list[str]) -> InputError:
    return InputError(f"none of {ATTEMPTS} tries gave a usable picture; the last: {skipped[-1]}")


class Photos(TorchDataset):
    """Random crops of a set that is held whole; a bad picture is replaced by another, at last by an error.

    Args:
        rows: what to draw from.
        size: of the largest crops.
        least: of the smallest crop, a share of its photo's shorter side.
        seed: of the crops and the flips.
    """

    def __init__(self, rows: Any, size: int, least: float, seed: int):
        self.rows, self.size, self.least, self.seed = rows, size, least, seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, draw: tuple[int, int, float]) -> Sample:
        index, number, done = draw
        size = crop_size(self.size, done)
        chance = random.Random(f"{self.seed} {number}")
        skipped: list[str] = []
        for _ in range(ATTEMPTS):
            try:
                return draw_crop(read_photo(self.rows[index], size), size, self.least, chance), skipped
            except InputError as error:
                skipped.append(str(error))
                index = chance.randrange(len(self.rows))
        return all_bad(skipped)


class StreamedPhotos(IterableDataset):
    """Random crops of a set that is read as it comes, shuffled within a buffer, without end.

    Each row is a draw, and the draw of a bad row gets another crop of the next good one: so a
    worker's n-th photo follows from the seed, its share of the set and n, and a run that resumes reads
    the rows up to there, without decoding them, and goes on exactly.

    Args:
        rows: this process's share of the set, which datasets deals out to its workers.
        size: of the largest crops.
        least: of the smallest crop, a share of its photo's shorter side.
        seed: of the order, the crops and the flips.
        last: number of this process's batches in the whole run.
        batch_size: photos in a batch.
        first: number of each worker's first photo.
        rank: of this process.
        buffer: rows that are shuffled together.
    """

    def __init__(
        self,
        rows: datasets.IterableDataset,
        size: int,
        least: float,
        seed: int,
        last: int,
        batch_size: int = 1,
        first: int = 0,
        rank: int = 0,
        buffer: int = 1000,
    ):
        self.rows, self.size, self.least, self.seed = rows, size, least, seed
        self.last, self.batch_size = last, batch_size
        self.first, self.rank, self.buffer = first, rank, buffer

    def read(self) -> Iterator[Row]:
        """The rows of pass after pass."""
        empty = 0
        for turn in itertools.count():
            empty += 1
            for row in self.rows.shuffle(seed=self.seed + turn, buffer_size=self.buffer):
                empty = 0
                yield row
            # A pass may deal a worker nothing but files whose photos are all held out.
            if empty == ATTEMPTS:
                raise InputError(
                    "there are too few photos in the stream for each process and worker to have one: lower "
                    "`workers` or `devices`, or set `streaming` to false"
                )

    def __iter__(self) -> Iterator[Sample]:
        try:
            yield from self.crops()
        except InputError as error:  # for each of a batch, since the DataLoader drops one that is not full
            yield from itertools.repeat(error, self.batch_size)

    def crops(self) -> Iterator[tuple[Tensor, list[str]]]:
        """Yield samples; raise InputError if there are too few photos, or ``ATTEMPTS`` in a row are bad."""
        worker = get_worker_info()
        place, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        share = f"{self.seed} {self.rank} {place}"

        def size_of(number: int) -> int:
            batch = number // self.batch_size * workers + place
            return crop_size(self.size, batch / self.last)

        waiting: list[int] = []  # draws since the last good row
        skipped: list[str] = []
        for number, row in enumerate(self.read()):
            if number < self.first:
                continue
            waiting.append(number)
            try:
                photo = read_photo(row, size_of(number))
            except InputError as error:
                skipped.append(str(error))
                if len(waiting) == ATTEMPTS:
                    raise all_bad(skipped) from None
                continue
            for draw in waiting:  # each of its own batch's size, in which all photos must be alike
                chance = random.Random(f"{share} {draw}")
                yield draw_crop(photo, size_of(draw), self.least, chance), skipped
                skipped = []
            waiting = []


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
