import itertools
import logging
from pathlib import Path
from types import SimpleNamespace

import datasets
import pytest
import torch
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader

from faststyle.errors import InputError
from faststyle.training.datamodule import Batch, ContentPhotos, collate
from faststyle.training.photo_sources import HELD_OUT_PHOTOS, load_content
from faststyle.training.sampling import Photos
from tests.support.photo_sets import write_parquet


def test_collate_stacks_photos_and_joins_the_skipped():
    batch = collate([(torch.zeros(3, 4, 4), []), (torch.ones(3, 4, 4), ["a", "b"])])
    assert batch.photos.shape == (2, 3, 4, 4)
    assert batch.skipped == ["a", "b"]


# Unusable images


def test_skipped_images_are_named_once(damaged_photos, caplog):
    data = ContentPhotos(str(damaged_photos), size=64)
    data.setup("fit")
    photos = Photos(data.rows, 64, 0.3, seed=0)
    items = [photos[(i % len(photos), i, 1.0)] for i in range(3 * len(photos))]
    with caplog.at_level(logging.WARNING, "faststyle.training.datamodule"):
        result = data.on_after_batch_transfer(collate(items), 0)
    assert result.dtype == torch.float32 and result.min() >= 0 and result.max() <= 1
    for name in ("corrupt.jpg", "tiny.png"):
        assert sum(name in record.getMessage() for record in caplog.records) == 1
    assert len(data.skipped) == 2


def test_skipped_images_are_counted_over_starts_and_ranks(photos, monkeypatch):
    def first_process() -> ContentPhotos:
        data = ContentPhotos(str(photos), size=64)
        data.setup("fit")
        data.trainer = fake_trainer(3, ranks=2)
        return data

    def gather(every: list, own: set) -> None:
        every[:] = [own, {"a.jpg", "b.jpg"}]

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    data = first_process()
    data.report_skipped(["b.jpg", "c.jpg"])
    state = data.state_dict()
    assert len(data.skipped) == 3
    resumed = first_process()
    resumed.report_skipped(["held out.jpg"])
    resumed.load_state_dict(state)
    assert len(resumed.skipped) == 4


def test_folder_of_unusable_images_is_an_error_before_training(tmp_path):
    for i in range(5):
        (tmp_path / f"{i}.jpg").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"\.jpg"):
        ContentPhotos(str(tmp_path), size=64).setup("fit")


# Streams


def write_set(folder: Path, files: int, each: int) -> str:
    folder.mkdir()
    for i in range(files):
        write_parquet(folder / f"{i}.parquet", each, first=each * i)
    return str(folder)


def streamed(content: str, steps: int, done: int = 0, rank: int = 0, ranks: int = 1, **options) -> list:
    """Return the batches of one rank from a stream, starting at step ``done``."""
    data = ContentPhotos(content, size=32, streaming=True, **options)
    data.setup("fit")
    data.trainer = fake_trainer(steps, done, rank, ranks)
    batches = itertools.islice(data.train_dataloader(), steps - done)
    return [batch if isinstance(batch, InputError) else batch.photos for batch in batches]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_stream_resumes_with_the_same_batches(tmp_path, workers):
    content = write_set(tmp_path / "set", files=3, each=12)  # 20 of them for training
    options = {"batch_size": 2, "workers": workers}
    whole = streamed(content, 14, **options)
    for done in (1, 2, 7, 11):
        resumed = streamed(content, 14, done, **options)
        assert all(torch.equal(a, b) for a, b in zip(whole[done:], resumed, strict=True))


def rows_read(content: str, rank: int, ranks: int, workers: int) -> list[bytes]:
    """Return the images that one rank reads in a pass over a stream."""
    train, _ = load_content(content, streaming=True)
    share = split_dataset_by_node(train, rank, ranks)
    return [row["image"]["bytes"] for row in DataLoader(share, batch_size=None, num_workers=workers)]


@pytest.mark.slow
@pytest.mark.parametrize("files", [4, 3])  # each rank gets some of the files, or some of the rows
def test_ranks_and_workers_read_each_training_photo_once(tmp_path, files):
    content = write_set(tmp_path / "set", files, each=12)
    _, held_out = load_content(content, streaming=True)
    read = [row for rank in range(2) for row in rows_read(content, rank, 2, workers=2)]
    assert len(read) == len(set(read)) == 12 * files - len(held_out)
    assert not {row["image"]["bytes"] for row in held_out} & set(read)


def test_stream_with_too_few_photos_for_the_processes_is_refused(tmp_path):
    content = write_set(tmp_path / "set", files=1, each=4)  # two for training
    assert len(streamed(content, 3, rank=1, ranks=2, workers=0)) == 3
    (error,) = streamed(content, 1, rank=2, ranks=3, workers=0)
    assert isinstance(error, InputError) and error.parameters == ["workers", "devices", "streaming"]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("workers", [0, 1])
def test_error_of_a_worker_is_raised_with_its_own_message(tmp_path, streaming, workers):
    bad = [{"bytes": b"damaged", "path": f"{i}.png"} for i in range(20)]
    rows = datasets.Dataset.from_dict({"image": bad}).cast_column("image", datasets.Image(decode=False))
    data = ContentPhotos(size=32, streaming=streaming, batch_size=3, workers=workers)
    data.rows = rows.to_iterable_dataset() if streaming else rows
    data.trainer = fake_trainer(2)
    batch = next(iter(data.train_dataloader()))
    with pytest.raises(InputError, match=r"^none of 100 images .*\.png"):
        data.on_after_batch_transfer(batch, 0)


def test_stream_divided_in_another_way_is_logged(tmp_path, caplog):
    data = ContentPhotos(write_set(tmp_path / "set", 2, 12), size=32, streaming=True, workers=0)
    data.setup("fit")
    data.load_state_dict({"dealt": {"ranks": 2, "workers": 0, "batch_size": 1}, "skipped": []})
    data.trainer = fake_trainer(3, 1)
    data.train_dataloader()
    assert "another order" in caplog.text
    caplog.clear()
    data.train_dataloader()
    assert not caplog.text and data.state_dict()["dealt"] == {"ranks": 1, "workers": 0, "batch_size": 1}


# Batches


def fake_trainer(steps: int, done: int = 0, rank: int = 0, ranks: int = 1) -> SimpleNamespace:
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    return SimpleNamespace(
        global_step=done,
        max_steps=steps,
        accumulate_grad_batches=1,
        strategy=strategy,
        global_rank=rank,
        world_size=ranks,
        lightning_module=SimpleNamespace(done=lambda step: step / steps),
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_of_a_run_are_the_same_with_workers_and_when_resumed(photos, workers):
    def batches(done):
        data = ContentPhotos(str(photos), size=64, batch_size=2, workers=workers)
        data.setup("fit")
        data.trainer = fake_trainer(steps=6, done=done)
        return [batch.photos for batch in data.train_dataloader()]

    whole, resumed = batches(0), batches(4)
    assert len(whole) == 6 and len(resumed) == 2
    assert all(
        batch.shape == (2, 3, 64, 64) and batch.dtype == torch.uint8 for batch in whole
    )  # crops start at 64 pixels
    assert all(torch.equal(a, b) for a, b in zip(whole[4:], resumed, strict=True))


def test_streamed_batches_have_no_end(tmp_path):
    write_parquet(tmp_path / "a.parquet", HELD_OUT_PHOTOS + 3)
    data = ContentPhotos(str(tmp_path / "a.parquet"), size=32, batch_size=2, workers=0, streaming=True)
    data.setup("fit")
    data.trainer = fake_trainer(steps=6)
    batches = [batch for batch, _ in zip(data.train_dataloader(), range(6), strict=False)]
    assert len(batches) == 6  # 12 photos of 3
    assert all(isinstance(batch, Batch) and batch.photos.shape == (2, 3, 32, 32) for batch in batches)


def test_validation_has_every_held_out_photo(photos):
    data = ContentPhotos(str(photos), size=64, batch_size=3)
    data.setup("fit")
    assert sum(len(batch.photos) for batch in data.val_dataloader()) == len(data.held_out) == 1
