"""Content photos for training, as a LightningDataModule on Hugging Face datasets."""

import itertools
import logging
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, cast

import datasets
import pytorch_lightning as pl
import torch
import torch.distributed
from datasets.distributed import split_dataset_by_node
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor
from torch.utils.data import DataLoader

from faststyle.errors import InputError, one_line
from faststyle.image.validation import silence_decoders
from faststyle.models.card import TrainingData
from faststyle.training.options import BatchSize, Content, CropSize, Seed, Share, Workers
from faststyle.training.photo_sources import load_content
from faststyle.training.sampling import Draws, HeldOutPhotos, Photos, Sample, StreamedPhotos

log = logging.getLogger(__name__)

HELD_OUT_SIZE = 256  # pixels at most: held-out photos are looked at often, and larger ones take a minute


class Batch(NamedTuple):
    """Photos, and what had to be skipped on the way to them."""

    photos: Tensor  # (B,3,s,s) uint8
    skipped: list[str]


def collate(samples: list[Sample]) -> Batch | InputError:
    """Stack samples to a batch; an error among them takes its place."""
    items = []
    for sample in samples:
        if isinstance(sample, InputError):
            return sample
        items.append(sample)
    return Batch(torch.stack([photo for photo, _ in items]), [name for _, names in items for name in names])


def start_worker(worker: int) -> None:
    """Prepare a process that decodes: no warnings of decoders, and no end by signals to the whole group.

    A terminal or SLURM sends these signals to all processes, but the photos of this one are needed until the
    step has ended. SIGTERM is not ignored, because multiprocessing ends workers with it.
    """
    silence_decoders()
    for name in ("SIGINT", "SIGHUP", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


class ContentPhotos(pl.LightningDataModule):
    """Random crops of content photos for training, and held-out photos for validation.

    Args:
        content: Photos: a folder, parquet files, a data set on the Hugging Face Hub, or samples, which come
            with scikit-image.
        size: Width and height in pixels of the last crops; they grow from a quarter of it.
        least_crop: Smallest crop, as a share of its photo's shorter side.
        batch_size: Number of crops in a batch.
        workers: Number of processes that decode photos beside the training; by default one for each core but
            one, at most eight.
        streaming: Read a Hub or parquet set as it is needed, without downloading it first.
        seed: Seed of the order, the crops and the flips.
    """

    def __init__(
        self,
        content: Content = "samples",
        size: CropSize = 512,
        least_crop: Share = 0.6,
        batch_size: BatchSize = 1,
        workers: Workers | None = None,
        streaming: bool = False,
        seed: Seed = 0,
    ):
        super().__init__()
        self.content, self.size, self.least_crop, self.batch_size = content, size, least_crop, batch_size
        self.workers, self.streaming, self.seed = workers, streaming, seed
        self.skipped: set[str] = set()  # in the whole run
        self.dealt: dict[str, int] = {}  # what a stream's order depends on, beside the seed

    def setup(self, stage: str) -> None:
        """Find the photos and read those held out, so that a bad folder ends before training starts."""
        if hasattr(self, "held_out"):
            return
        self.rows, validation = load_content(self.content, self.streaming)
        self.held_out = HeldOutPhotos(validation, min(self.size, HELD_OUT_SIZE))
        rank_zero_only(self.report)(self.held_out.skipped)  # every process reads the same ones
        if not self.held_out.photos:
            why = self.held_out.skipped[-1] if self.held_out.skipped else "there are none"
            raise InputError(f"none of the first pictures of {self.content} could be used: {why}")

    def report(self, skipped: list[str]) -> None:
        """Name each picture that cannot be used, once, and count it."""
        for line in skipped:
            if line not in self.skipped:
                self.skipped.add(line)
                log.warning("skipped: %s", one_line(line))

    def on_after_batch_transfer(self, batch: Batch | InputError, dataloader_idx: int) -> Tensor:
        """Batch of bytes to (B,3,s,s) float32 in [0,1], on the device.

        Raises:
            InputError: A worker has found no photo to use.
        """
        if isinstance(batch, InputError):
            raise batch
        self.report(batch.skipped)
        return batch.photos.float() / 255

    def train_dataloader(self) -> Iterable[Batch]:
        trainer = cast(pl.Trainer, self.trainer)
        workers = self.workers
        if workers is None:
            workers = min(8, max(1, torch.get_num_threads() - 1))
        options: dict[str, Any] = {
            "batch_size": self.batch_size,
            "num_workers": workers,
            "collate_fn": collate,
            "worker_init_fn": start_worker,
            "pin_memory": trainer.strategy.root_device.type == "cuda",
            "drop_last": True,
        }
        batches = trainer.global_step * trainer.accumulate_grad_batches  # that this process has had
        if isinstance(self.rows, datasets.IterableDataset):
            return self.stream(self.rows, batches, options)
        # One epoch is the whole run: its length, less what a resumed run has had.
        draws = Draws(
            self.rows,
            batches,
            trainer.max_steps * trainer.accumulate_grad_batches,
            self.seed,
            self.batch_size,
            trainer.global_rank,
            trainer.world_size,
            trainer.accumulate_grad_batches,
        )
        return DataLoader(Photos(self.rows, self.size, self.least_crop, self.seed), sampler=draws, **options)

    def stream(self, rows: datasets.IterableDataset, had: int, options: dict[str, Any]) -> Iterable[Batch]:
        """This process's share of a stream, from the batch on that a resumed run comes to."""
        trainer = cast(pl.Trainer, self.trainer)
        rank, ranks = trainer.global_rank, trainer.world_size
        if rank == 0 and rows.num_shards % ranks:
            log.warning(
                "%s has %d files for %d processes: each reads them all and keeps a photo in %d; of a "
                "multiple of %d files each would read its own",
                *(self.content, rows.num_shards, ranks, ranks, ranks),
            )
        rows = split_dataset_by_node(rows, rank, ranks)
        workers = min(options["num_workers"], rows.num_shards)  # datasets deals whole files to workers
        dealt = {"ranks": ranks, "workers": workers, "batch_size": self.batch_size}
        if rank == 0 and self.dealt not in ({}, dealt):
            log.warning(
                "the stream goes on in another order: dealt to %s, and before to %s", dealt, self.dealt
            )
        self.dealt = dealt
        # Workers give a batch each in turn: all go on from the last full round, of which some was had.
        rounds, begun = divmod(had, max(1, workers))
        last = trainer.max_steps * trainer.accumulate_grad_batches
        photos = StreamedPhotos(
            rows,
            self.size,
            self.least_crop,
            self.seed,
            last,
            self.batch_size,
            first=rounds * self.batch_size,
            rank=rank,
        )
        loader = DataLoader(photos, **{**options, "num_workers": workers})
        return itertools.islice(loader, begun, None)

    def state_dict(self) -> dict[str, Any]:
        """What goes into a run's state, which all processes save at once: so they join what they skipped."""
        ranks = cast(pl.Trainer, self.trainer).world_size
        if ranks > 1:
            every: list[set[str]] = [set()] * ranks
            torch.distributed.all_gather_object(every, self.skipped)
            self.skipped = set().union(*every)
        return {"dealt": self.dealt, "skipped": sorted(self.skipped)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.dealt = state_dict["dealt"]
        self.skipped |= {*state_dict["skipped"]}  # to those of the photos held out

    def val_dataloader(self) -> DataLoader:
        """All of the few photos for every process: so the figures are the same whatever their number."""
        return DataLoader(self.held_out, batch_size=self.batch_size, collate_fn=collate)

    def card(self) -> TrainingData:
        """Return what a model's card says about the photos, without paths of this machine."""
        streamed = isinstance(self.rows, datasets.IterableDataset)
        trainer = cast(pl.Trainer, self.trainer)
        return TrainingData(
            content=Path(self.content).name,
            photos=None if streamed else len(self.rows),
            size=self.size,
            least_crop=self.least_crop,
            batch_size=self.batch_size,
            accumulate=trainer.accumulate_grad_batches,
            devices=trainer.world_size,
            nodes=trainer.num_nodes,
            global_batch=self.batch_size * trainer.accumulate_grad_batches * trainer.world_size,
        )
