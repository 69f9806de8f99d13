"""Collections of pictures on several devices, by Lightning's ``Trainer.predict``.

Each process (rank) has a device, and stylizes its share of the pictures. They are decoded by a loader's
processes, and encoded by threads, while the device stylizes others.
"""

import hashlib
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
from faststyle.inference.batch import manifest
from faststyle.inference.batch.shards import Item, Pictures, Read, Share, explain, rank_of, start_loader
from faststyle.inference.onnx_model import Exported
from faststyle.inference.stylizer import Stylizer

WAITING = 2  # pictures that wait for each thread that encodes
PATIENCE = timedelta(days=30)  # of a process that is ready, with those that have more to do
ACCELERATORS = ("auto", "cpu", "cuda", "mps")


class Way(NamedTuple):
    """How a picture is read, stylized and written; or all at once, from file to file."""

    read: Callable[[Path], Image.Image | None]  # None for one that goes from file to file
    stylize: Callable[[Stylizer, Image.Image], Image.Image]
    save: Callable[[Image.Image, Path], None]
    convert: Callable[[Stylizer, Path, Path], None]


class Totals(NamedTuple):
    """Pictures of all processes; ``kept`` are those that were there before."""

    done: int
    kept: int
    failed: int
    clips: int  # left out


class Collection(pl.LightningModule):
    """One process's part of a collection.

    Args:
        find: given this process's number and how many there are, its pictures.
        out: the folder of the results.
        load: given a device's name, the model.
        way: how a picture is read, stylized and written.
        flags: what the results depend on beside the model, for the manifest.
    """

    def __init__(
        self,
        find: Callable[[int, int], list[Item]],
        out: Path,
        load: Callable[[str], Stylizer],
        way: Way,
        flags: dict[str, Any],
    ):
        super().__init__()
        self.find, self.out, self.load, self.way, self.flags = find, out, load, way, flags

    def setup(self, stage: str) -> None:
        rank, ranks = self.trainer.global_rank, self.trainer.world_size
        self.stylizer = self.load(str(self.trainer.strategy.root_device))
        if rank == 0:
            manifest.lock(self.out)
            head = {"version": __version__, "model": digest(self.stylizer), "flags": self.flags}
            manifest.begin(self.out, head)
        self.trainer.strategy.barrier()
        self.items = self.find(rank, ranks)
        # Half of its processors decode, the others encode.
        self.helpers = min(8, max(1, torch.get_num_threads() // 2))

    def predict_dataloader(self) -> DataLoader:
        rank, ranks = self.trainer.global_rank, self.trainer.world_size
        share = Share(self.items, manifest.made(self.out, lambda name: rank_of(name, ranks) == rank))
        pictures = Pictures(self.out, self.way.read)
        return DataLoader(
            pictures,
            batch_size=None,
            sampler=share,
            num_workers=self.helpers,
            worker_init_fn=partial(start_loader, os.getpid()),
        )

    def predict_step(self, read: Read, *_: Any) -> Read:
        """Stylize what was read, but for pictures that go from file to file: these are written too."""
        if read.kept or read.clip or read.error:
            return read
        try:
            if read.picture is not None:
                return read._replace(picture=self.way.stylize(self.stylizer, read.picture))
            self.way.convert(self.stylizer, Path(read.item.source), self.out / read.item.name)
            return read
        except (InputError, OSError) as error:
            return read._replace(error=explain(error))


class Writer(BasePredictionWriter):
    """Encodes and writes what was stylized, in a few threads, and keeps the manifest and the counts."""

    def __init__(self) -> None:
        super().__init__("batch")
        self.totals = Totals(0, 0, 0, 0)
        self.pending: deque[Future[str | None]] = deque()
        self.pool: ThreadPoolExecutor | None = None

    def on_predict_start(self, trainer: pl.Trainer, module: Any) -> None:
        # In place of Lightning's, which notes a request to end, and goes on.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        self.out, self.save = module.out, module.way.save
        self.part = manifest.Part(self.out, trainer.global_rank)
        self.most = WAITING * module.helpers
        self.pool = ThreadPoolExecutor(module.helpers)
        ranks = trainer.world_size
        self.bar = tqdm(
            total=len(module.items),
            unit="picture",
            desc=f"process 1 of {ranks}" if ranks > 1 else None,
            disable=trainer.global_rank > 0,
        )

    def write_on_batch_end(self, trainer: Any, module: Any, prediction: Read, *_: Any) -> None:
        if len(self.pending) == self.most:
            self.count(self.pending.popleft().result())
        if prediction.clip or prediction.kept:
            done, kept, failed, clips = self.totals
            self.totals = Totals(done, kept + prediction.kept, failed, clips + prediction.clip)
            self.bar.total -= 1  # so that its speed is that of the others
        else:
            assert self.pool is not None
            self.pending.append(self.pool.submit(self.write, prediction))
            self.bar.update()

    def write(self, result: Read) -> str | None:
        """Write a picture, and then its line; why it failed, or None."""
        error = result.error
        if result.picture is not None and not error:
            try:
                self.save(result.picture, self.out / result.item.name)
            except (InputError, OSError) as failure:
                error = explain(failure)
        self.part.add(result.item.name, error)
        return error

    def count(self, error: str | None) -> None:
        if error:
            start = "\n" if self.bar.disable else ""  # past the bar of another process
            self.bar.write(f"{start}error: {error}", file=sys.stderr)
        done, kept, failed, clips = self.totals
        self.totals = Totals(done + (not error), kept, failed + bool(error), clips)

    def on_predict_end(self, trainer: pl.Trainer, module: Any) -> None:
        while self.pending:
            self.count(self.pending.popleft().result())
        self.close()
        found = torch.tensor(self.totals, device=trainer.strategy.root_device)
        self.totals = Totals(*trainer.strategy.reduce(found, reduce_op="sum").tolist())
        if trainer.is_global_zero:  # all parts are closed: each process gave its sums after that
            manifest.join(self.out)

    def on_exception(self, trainer: pl.Trainer, module: Any, exception: BaseException) -> None:
        if self.pool is not None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self.close()

    def close(self) -> None:
        assert self.pool is not None
        self.pool.shutdown()  # what is stylized is written
        self.part.close()
        self.bar.close()


def digest(stylizer: Stylizer) -> str:
    """SHA-256 of a model's weights."""
    network = stylizer.network
    if isinstance(network, Exported):
        return network.digest
    sums = hashlib.sha256()
    for name, values in network.state_dict().items():
        sums.update(name.encode() + values.cpu().contiguous().numpy().tobytes())
    return sums.hexdigest()


def quiet() -> None:
    """Leave out Lightning's talk: of what it says nothing is for the person who stylizes."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module=name)


def stylize_share(collection: Collection, device: str, devices: int, nodes: int) -> Totals:
    """Stylize this process's pictures of a collection, beside the other processes.

    Args:
        collection: what is to be done.
        device: one of ``ACCELERATORS``.
        devices: how many processes there are on each machine.
        nodes: how many machines.

    Returns:
        The counts over all processes.

    Raises:
        InputError: no such devices here, or out holds pictures of another model or of other flags.
        RankLostError: Another process of the run ended.
        WorkerDiedError: A process that reads images died.
        OSError: the disk is full or read-only.
        KeyboardInterrupt: the process was asked to end; what was stylized is written.
    """
    quiet()
    if device not in ACCELERATORS:
        raise InputError(f"`device` {device} with `devices`: give one of {', '.join(ACCELERATORS)}")
    writer = Writer()
    try:
        trainer = pl.Trainer(
            accelerator=device,
            devices=devices,
            num_nodes=nodes,
            strategy=DDPStrategy(timeout=PATIENCE) if devices * nodes > 1 else "auto",
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
