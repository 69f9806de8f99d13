"""LightningDataModule of content photos, on Hugging Face datasets."""

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
from faststyle.training.sampling import HeldOutPhotos, Photos, ResumableSampler, Sample, StreamedPhotos

log = logging.getLogger(__name__)

MAX_HELD_OUT_SIZE = 256  # pixels; larger held-out photos would make each validation take a minute


class Batch(NamedTuple):
    """Photos, and messages on the unusable images before them."""

    photos: Tensor  # (B,3,s,s) uint8
    skipped: list[str]


def collate(samples: list[Sample]) -> Batch | InputError:
    """Stack samples to a batch; return the first error among them instead, if there is one."""
    items = []
    for sample in samples:
        if isinstance(sample, InputError):
            return sample
        items.append(sample)
    return Batch(torch.stack([photo for photo, _ in items]), [name for _, names in items for name in names])


def start_worker(worker: int) -> None:
    """Silence decoder warnings in a DataLoader worker, and ignore signals sent to the whole process group.

    A terminal or SLURM sends these signals to all processes, but training needs the worker's photos until
    the step ends. SIGTERM is not ignored, because multiprocessing ends workers with it.
    """
    silence_decoders()
    for name in ("SIGINT", "SIGHUP", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


class ContentPhotos(pl.LightningDataModule):
    """Random crops of content photos for training, and held-out photos for validation.

    Args:
        content: Photos: a folder, parquet files, a data set on the Hugging Face Hub, or samples (photos in
            scikit-image).
        size: Side of the last crops in pixels. Crops start at a quarter of it and grow.
        least_crop: Side of the smallest crop, as a fraction of its photo's shorter side.
        batch_size: Number of crops in a batch.
        workers: Number of processes that decode photos; by default one less than the CPU cores, at least one
            and at most eight.
        streaming: Read a Hub or parquet set while training, without downloading it first.
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
        self.skipped: set[str] = set()  # messages of the whole run
        self.stream_layout: dict[str, int] = {}  # what the order of a stream depends on, besides the seed

    def setup(self, stage: str) -> None:
        """Find the photos and read the held-out ones, so that a bad folder fails before training."""
        if hasattr(self, "held_out"):
            return
        self.rows, validation = load_content(self.content, self.streaming)
        self.held_out = HeldOutPhotos(validation, min(self.size, MAX_HELD_OUT_SIZE))
        rank_zero_only(self.report_skipped)(self.held_out.skipped)  # the same in all ranks
        if not self.held_out.photos:
            reason = self.held_out.skipped[-1] if self.held_out.skipped else "there are none"
            raise InputError(f"none of the first images of `content` {self.content} can be used: {reason}")

    def report_skipped(self, skipped: list[str]) -> None:
        """Log and count each message on an unusable image, once in a run."""
        for message in skipped:
            if message not in self.skipped:
                self.skipped.add(message)
                log.warning("skipped: %s", one_line(message))

    def on_after_batch_transfer(self, batch: Batch | InputError, dataloader_idx: int) -> Tensor:
        """Convert a batch of bytes to (B,3,s,s) float32 in [0,1], on the device.

        Raises:
            InputError: A worker found no usable photo.
        """
        if isinstance(batch, InputError):
            raise batch
        self.report_skipped(batch.skipped)
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
        batches = trainer.global_step * trainer.accumulate_grad_batches  # that this rank has had
        if isinstance(self.rows, datasets.IterableDataset):
            return self.make_stream_loader(self.rows, batches, options)
        # One epoch is the whole run. A resumed run skips the batches that it has had.
        sampler = ResumableSampler(
            self.rows,
            batches,
            trainer.max_steps * trainer.accumulate_grad_batches,
            self.seed,
            self.batch_size,
            trainer.global_rank,
            trainer.world_size,
            trainer.accumulate_grad_batches,
            trainer.lightning_module.done,  # type: ignore[arg-type]
        )
        photos = Photos(self.rows, self.size, self.least_crop, self.seed)
        return DataLoader(photos, sampler=sampler, **options)

    def make_stream_loader(
        self, rows: datasets.IterableDataset, consumed: int, options: dict[str, Any]
    ) -> Iterable[Batch]:
        """Return the batches of this rank's shard of a stream.

        Args:
            rows: Rows of the whole stream.
            consumed: Number of batches that this rank has had, which are left out.
            options: Arguments of the DataLoader.
        """
        trainer = cast(pl.Trainer, self.trainer)
        rank, world_size = trainer.global_rank, trainer.world_size
        if rank == 0 and rows.num_shards % world_size:
            log.warning(
                "%s has %d files for %d processes: each process reads all files and keeps one photo in %d; "
                "with a multiple of %d files, each would read only its own",
                *(self.content, rows.num_shards, world_size, world_size, world_size),
            )
        rows = split_dataset_by_node(rows, rank, world_size)
        workers = min(options["num_workers"], rows.num_shards)  # datasets gives each worker whole files
        layout = {"ranks": world_size, "workers": workers, "batch_size": self.batch_size}
        if rank == 0 and self.stream_layout not in ({}, layout):
            log.warning(
                "the stream continues in another order, because it is divided among %s, and before among %s",
                *(layout, self.stream_layout),
            )
        self.stream_layout = layout
        # Workers yield batches round-robin. Restart each at the last full round, then skip the batches
        # already consumed.
        rounds, consumed_of_round = divmod(consumed, max(1, workers))
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
        return itertools.islice(loader, consumed_of_round, None)

    def state_dict(self) -> dict[str, Any]:
        """Return the state to save, with the skipped images of all ranks. All ranks must call it together."""
        world_size = cast(pl.Trainer, self.trainer).world_size
        if world_size > 1:
            skipped_by_rank: list[set[str]] = [set()] * world_size
            torch.distributed.all_gather_object(skipped_by_rank, self.skipped)
            self.skipped = set().union(*skipped_by_rank)
        return {"dealt": self.stream_layout, "skipped": sorted(self.skipped)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.stream_layout = state_dict["dealt"]
        self.skipped |= {*state_dict["skipped"]}  # setup has added those of the held-out photos

    def val_dataloader(self) -> DataLoader:
        """Return all held-out photos in every rank, so that results do not depend on the number of ranks."""
        return DataLoader(self.held_out, batch_size=self.batch_size, collate_fn=collate)

    def card(self) -> TrainingData:
        """Return the metadata on the photos for the model card, without paths of this machine."""
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
