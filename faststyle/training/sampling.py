"""Deterministic sampling of training crops: sample n is a function of the seed and n."""

import itertools
import random
from collections.abc import Callable, Iterator, Sized
from typing import Any

import datasets
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import IterableDataset, Sampler, get_worker_info

from faststyle.errors import InputError
from faststyle.training.crops import (
    Row,
    center_crop,
    crop_size,
    make_training_crop,
    read_photo,
    to_uint8_tensor,
)
from faststyle.training.photo_sources import HELD_OUT_PHOTOS

MAX_ATTEMPTS = 100  # unusable images in a row, after which training ends with an error

# A crop (3,s,s) uint8 and messages on the unusable images before it, or an error. Errors are returned because
# a DataLoader raises a worker's error with a traceback as its message.
Sample = tuple[Tensor, list[str]] | InputError


class ResumableSampler(Sampler[tuple[int, int, float]]):
    """Sampler of photos in random order, shuffled again for each pass over them.

    It yields (index of the photo, number of the sample, fraction of the run's steps done). The order is a
    function of the seed, so a run that resumes at batch ``first`` continues with the same photos, crops and
    flips. Ranks take batches in turn: in each step, all ranks together have the samples that one process with
    the whole batch would have.

    Args:
        photos: Collection of photos; only its length is used.
        first: Number of this rank's first batch.
        last: Number of this rank's batches in the whole run.
        seed: Seed of the order.
        batch_size: Number of samples in a batch.
        rank: Rank of this process.
        world_size: Number of processes.
        accumulate: Number of batches in a step.
        done: Returns the fraction of the run that is done before a step; by default, of its steps.
    """

    def __init__(
        self,
        photos: Sized,
        first: int,
        last: int,
        seed: int,
        batch_size: int = 1,
        rank: int = 0,
        world_size: int = 1,
        accumulate: int = 1,
        done: Callable[[int], float] | None = None,
    ):
        self.photos, self.first, self.last, self.seed = photos, first, last, seed
        self.done = done or (lambda step: step * accumulate / last)
        self.batch_size, self.rank, self.world_size, self.accumulate = (
            batch_size,
            rank,
            world_size,
            accumulate,
        )

    def __len__(self) -> int:
        # Count the whole run, also when resumed, because Lightning adds the batches already done.
        return self.last * self.batch_size

    def __iter__(self) -> Iterator[tuple[int, int, float]]:
        count, shuffled_pass = len(self.photos), None
        for batch in range(self.first, self.last):
            start = (batch * self.world_size + self.rank) * self.batch_size
            done = self.done(batch // self.accumulate)
            for number in range(start, start + self.batch_size):
                pass_number, position = divmod(number, count)
                if pass_number != shuffled_pass:
                    generator = torch.Generator().manual_seed(self.seed + pass_number)
                    order = torch.randperm(count, generator=generator)
                    shuffled_pass = pass_number
                yield int(order[position]), number, done


def no_usable_image(skipped: list[str]) -> InputError:
    return InputError(f"none of {MAX_ATTEMPTS} images in a row could be used; the last: {skipped[-1]}")


class Photos(TorchDataset):
    """Random crops of a set with random access. An unusable image is replaced by another one.

    Args:
        rows: Rows of the set.
        size: Side of the largest crops in pixels.
        least_crop: Side of the smallest crop, as a fraction of its photo's shorter side.
        seed: Seed of the crops and the flips.
    """

    def __init__(self, rows: Any, size: int, least_crop: float, seed: int):
        self.rows, self.size, self.least_crop, self.seed = rows, size, least_crop, seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: tuple[int, int, float]) -> Sample:
        index, number, done = key
        size = crop_size(self.size, done)
        rng = random.Random(f"{self.seed} {number}")
        skipped: list[str] = []
        for _ in range(MAX_ATTEMPTS):
            try:
                photo = read_photo(self.rows[index], size)
                return make_training_crop(photo, size, self.least_crop, rng), skipped
            except InputError as error:
                skipped.append(str(error))
                index = rng.randrange(len(self.rows))
        return no_usable_image(skipped)


class StreamedPhotos(IterableDataset):
    """Endless random crops of a streamed set, shuffled within a buffer.

    Each row is a sample. The sample of an unusable image gets another crop of the next usable one. A worker's
    n-th sample is therefore a function of the seed, the worker's shard and n. A resumed run reads the rows
    before its first sample without decoding them, and continues with the same samples.

    Args:
        rows: This rank's shard of the set, which ``datasets`` divides among the workers.
        size: Side of the largest crops in pixels.
        least_crop: Side of the smallest crop, as a fraction of its photo's shorter side.
        seed: Seed of the order, the crops and the flips.
        last: Number of this rank's batches in the whole run.
        batch_size: Number of photos in a batch.
        first: Number of each worker's first sample.
        rank: Rank of this process.
        buffer: Number of rows that are shuffled together.
    """

    def __init__(
        self,
        rows: datasets.IterableDataset,
        size: int,
        least_crop: float,
        seed: int,
        last: int,
        batch_size: int = 1,
        first: int = 0,
        rank: int = 0,
        buffer: int = 1000,
    ):
        self.rows, self.size, self.least_crop, self.seed = rows, size, least_crop, seed
        self.last, self.batch_size = last, batch_size
        self.first, self.rank, self.buffer = first, rank, buffer

    def iterate_rows(self) -> Iterator[Row]:
        """Yield the rows, pass after pass.

        Raises:
            InputError: This worker got no rows in ``MAX_ATTEMPTS`` passes in a row.
        """
        empty_passes = 0
        for pass_number in itertools.count():
            empty_passes += 1
            for row in self.rows.shuffle(seed=self.seed + pass_number, buffer_size=self.buffer):
                empty_passes = 0
                yield row
            # One empty pass is no error: all photos of the files that this worker got may be held out.
            if empty_passes == MAX_ATTEMPTS:
                raise InputError(
                    "the stream has too few photos to give every process and worker one: lower "
                    "`workers` or `devices`, or set `streaming` to false"
                )

    def __iter__(self) -> Iterator[Sample]:
        try:
            yield from self.iterate_samples()
        except InputError as error:  # fill a batch with it, because the DataLoader drops an incomplete one
            yield from itertools.repeat(error, self.batch_size)

    def iterate_samples(self) -> Iterator[tuple[Tensor, list[str]]]:
        """Yield samples.

        Raises:
            InputError: There are too few photos, or ``MAX_ATTEMPTS`` in a row cannot be used.
        """
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)

        def size_of(number: int) -> int:
            batch = number // self.batch_size * workers + worker
            return crop_size(self.size, batch / self.last)

        waiting: list[int] = []  # samples since the last usable image
        skipped: list[str] = []
        for number, row in enumerate(self.iterate_rows()):
            if number < self.first:
                continue
            waiting.append(number)
            try:
                photo = read_photo(row, size_of(number))
            except InputError as error:
                skipped.append(str(error))
                if len(waiting) == MAX_ATTEMPTS:
                    raise no_usable_image(skipped) from None
                continue
            for waiting_number in waiting:  # all photos of a batch must have the same size
                rng = random.Random(f"{self.seed} {self.rank} {worker} {waiting_number}")
                size = size_of(waiting_number)
                yield make_training_crop(photo, size, self.least_crop, rng), skipped
                skipped = []
            waiting = []


class HeldOutPhotos(TorchDataset):
    """Center crops of the first validation photos that can be used.

    Args:
        rows: Rows of the validation set.
        size: Side of the crops in pixels.
    """

    def __init__(self, rows: Any, size: int):
        self.size = size
        self.photos: list[Image.Image] = []
        self.skipped: list[str] = []
        for row in rows:
            try:
                self.photos.append(read_photo(row, size))
            except InputError as error:
                self.skipped.append(str(error))
            if len(self.photos) == HELD_OUT_PHOTOS or (not self.photos and len(self.skipped) == MAX_ATTEMPTS):
                break

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> tuple[Tensor, list[str]]:
        return to_uint8_tensor(center_crop(self.photos[index], self.size)), []
