"""Stylize collections of images on several devices by Lightning's ``Trainer.predict``.

Each rank has a device, and stylizes its shard of the images. DataLoader workers decode images and threads
encode them, while the device stylizes others.
"""

import logging
import os
import signal
import sys
import warnings
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.callbacks import BasePredictionWriter
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch.utils.data import DataLoader
from tqdm import tqdm

from faststyle import __version__
from faststyle.device import process_errors
from faststyle.errors import InputError, RankLostError, WorkerDiedError, first_line
from faststyle.image.files import truncation_warning
from faststyle.inference.batch import manifest
from faststyle.inference.batch.shards import (
    Images,
    Item,
    Read,
    ShardSampler,
    explain,
    rank_of,
    start_loader_worker,
)
from faststyle.inference.stylizer import Stylizer

MAX_WAITING = 2  # images that wait for each thread that encodes
TIMEOUT = timedelta(days=30)  # of a rank that is done and waits for the others
ACCELERATORS = ("auto", "cpu", "cuda", "mps")


class Steps(NamedTuple):
    """The functions that process one image.

    Attributes:
        read: Opens an image; returns None for one that is to go from file to file.
        stylize: Stylizes an image.
        save: Writes an image.
        convert: Reads, stylizes and writes a large image, from file to file; returns a warning if pixels of
            it are missing.
    """

    read: Callable[[Path], Image.Image | None]
    stylize: Callable[[Stylizer, Image.Image], Image.Image]
    save: Callable[[Image.Image, Path], None]
    convert: Callable[[Stylizer, Path, Path], str | None]


class Totals(NamedTuple):
    """Numbers of images over all ranks.

    Attributes:
        done: Stylized now.
        kept: Stylized by an earlier run.
        failed: Not readable or not writable.
        videos: Animations, which are left out.
        truncated: Stylized now, with pixels missing.
    """

    done: int
    kept: int
    failed: int
    videos: int
    truncated: int


class Collection(pl.LightningModule):
    """One rank's shard of a collection.

    Args:
        find: Returns the images of a rank, given its number and the number of ranks.
        out: Folder of the results.
        load: Returns the model on a device, given the device's name.
        steps: The functions that process one image.
        options: Options that the results depend on, for the manifest.
    """

    def __init__(
        self,
        find: Callable[[int, int], list[Item]],
        out: Path,
        load: Callable[[str], Stylizer],
        steps: Steps,
        options: dict[str, Any],
    ):
        super().__init__()
        self.find, self.out, self.load, self.steps, self.options = find, out, load, steps, options

    def setup(self, stage: str) -> None:
        rank, ranks = self.trainer.global_rank, self.trainer.world_size
        self.stylizer = self.load(str(self.trainer.strategy.root_device))
        if rank == 0:
            manifest.lock(self.out)
            head = {"version": __version__, "model": self.stylizer.model.digest(), "flags": self.options}
            manifest.begin(self.out, head)
        self.trainer.strategy.barrier()
        self.items = self.find(rank, ranks)
        # Half of the rank's processors decode, the others encode.
        self.helpers = min(8, max(1, torch.get_num_threads() // 2))

    def predict_dataloader(self) -> DataLoader:
        rank, ranks = self.trainer.global_rank, self.trainer.world_size
        sampler = ShardSampler(
            self.items, manifest.done_names(self.out, lambda name: rank_of(name, ranks) == rank)
        )
        images = Images(self.out, self.steps.read)
        return DataLoader(
            images,
            batch_size=None,
            sampler=sampler,
            num_workers=self.helpers,
            worker_init_fn=partial(start_loader_worker, os.getpid()),
        )

    def predict_step(self, read: Read, *_: Any) -> Read:
        """Stylize an image that was read; one that goes from file to file is written too."""
        if read.kept or read.is_video or read.error:
            return read
        try:
            if read.image is not None:
                return read._replace(image=self.steps.stylize(self.stylizer, read.image))
            target = self.out / read.item.name
            return read._replace(warning=self.steps.convert(self.stylizer, Path(read.item.source), target))
        except (InputError, OSError) as error:
            return read._replace(error=explain(error))


class Writer(BasePredictionWriter):
    """Encodes and writes stylized images in threads, and keeps the manifest and the counts."""

    def __init__(self) -> None:
        super().__init__("batch")
        self.totals = Totals(0, 0, 0, 0, 0)
        self.pending: deque[Future[Read]] = deque()
        self.pool: ThreadPoolExecutor | None = None

    def on_predict_start(self, trainer: pl.Trainer, module: Any) -> None:
        # Replaces Lightning's handler, which only notes SIGTERM and goes on.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        self.out, self.save = module.out, module.steps.save
        self.part = manifest.Part(self.out, trainer.global_rank)
        self.max_pending = MAX_WAITING * module.helpers
        self.pool = ThreadPoolExecutor(module.helpers)
        ranks = trainer.world_size
        self.bar = tqdm(
            total=len(module.items),
            unit="image",
            desc=f"process 1 of {ranks}" if ranks > 1 else None,
            disable=trainer.global_rank > 0,
        )

    def write_on_batch_end(self, trainer: Any, module: Any, prediction: Read, *_: Any) -> None:
        if len(self.pending) == self.max_pending:
            self.count(self.pending.popleft().result())
        if prediction.is_video or prediction.kept:
            kept, videos = self.totals.kept + prediction.kept, self.totals.videos + prediction.is_video
            self.totals = self.totals._replace(kept=kept, videos=videos)
            self.bar.total -= 1  # so that the bar shows the speed of stylizing
        else:
            assert self.pool is not None
            self.pending.append(self.pool.submit(self.write, prediction))
            self.bar.update()

    def write(self, result: Read) -> Read:
        """Write an image, then its line in the manifest; return the result with the error, if it failed."""
        error = result.error
        if result.image is not None and not error:
            try:
                self.save(result.image, self.out / result.item.name)
            except (InputError, OSError) as failure:
                error = explain(failure)
        self.part.add(result.item.name, error)
        return result._replace(error=error)

    def count(self, result: Read) -> None:
        """Count an image as done or failed, and print its error or warning."""
        totals, failed, line = self.totals, bool(result.error), None
        truncated = bool(result.warning) and not failed
        if failed:
            line = f"error: {result.error}"
        elif result.warning:
            line = truncation_warning(result.item.source, self.out / result.item.name, result.warning)
        totals = totals._replace(done=totals.done + (not failed), failed=totals.failed + failed)
        self.totals = totals._replace(truncated=totals.truncated + truncated)
        if line:
            self.bar.write("\n" * bool(self.bar.disable) + line, file=sys.stderr)  # below another rank's bar

    def on_predict_end(self, trainer: pl.Trainer, module: Any) -> None:
        while self.pending:
            self.count(self.pending.popleft().result())
        self.close()
        found = torch.tensor(self.totals, device=trainer.strategy.root_device)
        self.totals = Totals(*trainer.strategy.reduce(found, reduce_op="sum").tolist())
        if trainer.is_global_zero:  # each rank closes its part before it gives its sums
            manifest.join(self.out)

    def on_exception(self, trainer: pl.Trainer, module: Any, exception: BaseException) -> None:
        if self.pool is not None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self.close()

    def close(self) -> None:
        """Wait until all stylized images are written."""
        assert self.pool is not None
        self.pool.shutdown()
        self.part.close()
        self.bar.close()


def silence_lightning() -> None:
    """Silence Lightning: none of its messages concern batch inference."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module=name)


def predict_shard(collection: Collection, device: str, devices: int, nodes: int) -> Totals:
    """Stylize this rank's shard of a collection.

    Args:
        collection: The shard.
        device: One of ``ACCELERATORS``.
        devices: Number of ranks on each machine.
        nodes: Number of machines.

    Returns:
        The counts over all ranks.

    Raises:
        InputError: There are no such devices, or out holds images of another model or of other options.
        RankLostError: Another rank of the run ended.
        WorkerDiedError: A process that reads images died.
        OSError: The disk is full or read-only.
        KeyboardInterrupt: The rank was asked to end; stylized images are written.
    """
    silence_lightning()
    if device not in ACCELERATORS:
        raise InputError(f"`device` {device} with `devices`: give one of {', '.join(ACCELERATORS)}")
    writer = Writer()
    try:
        trainer = pl.Trainer(
            accelerator=device,
            devices=devices,
            num_nodes=nodes,
            strategy=DDPStrategy(timeout=TIMEOUT) if devices * nodes > 1 else "auto",
            callbacks=[writer],
            use_distributed_sampler=False,
            inference_mode=False,  # as elsewhere: the engines switch gradients off
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise InputError(f"`devices` {devices}: {first_line(error)}") from None
    try:
        with process_errors():
            trainer.predict(collection, return_predictions=False)
    except SystemExit:  # Lightning's answer to KeyboardInterrupt
        raise KeyboardInterrupt from None
    except WorkerDiedError as error:
        raise WorkerDiedError(
            f"a process that reads images ended ({error}): the same command goes on"
        ) from None
    except RankLostError as error:
        raise RankLostError(f"{error}: the same command goes on") from None
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return writer.totals
