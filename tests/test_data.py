import io
import itertools
import logging
import random
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from conftest import draw_picture, encoded, make_rows, names, write_parquet
from datasets.distributed import split_dataset_by_node
from PIL import Image
from torch.utils.data import DataLoader

from faststyle.content import HELD_OUT, load_content
from faststyle.data import Batch, ContentPhotos, collate
from faststyle.draws import (
    Draws,
    HeldOutPhotos,
    Photos,
    StreamedPhotos,
    center_crop,
    random_crop,
    read_photo,
    to_bytes,
)
from faststyle.errors import InputError

# Reading and cropping


@pytest.mark.parametrize("mode, kind", [("L", "JPEG"), ("CMYK", "JPEG"), ("RGBA", "PNG"), ("P", "PNG")])
def test_photos_of_every_mode_come_as_rgb(mode, kind):
    stream = io.BytesIO()
    draw_picture(64, 48).convert(mode).save(stream, kind)
    photo = read_photo({"image": {"bytes": stream.getvalue(), "path": None}}, 32)
    assert photo.mode == "RGB" and photo.size == (64, 48)


def test_photo_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    draw_picture(96, 64).save(tmp_path / "a.jpg", exif=exif)
    assert read_photo({"image": {"bytes": None, "path": str(tmp_path / "a.jpg")}}, 32).size == (64, 96)


def test_large_jpeg_is_decoded_at_a_fraction_of_its_size():
    row = {"image": {"bytes": encoded(800, 600, kind="JPEG"), "path": None}}
    photo = read_photo(row, 64)
    assert photo.width < 800
    # Yet with twice the crop's size to choose from.
    assert min(photo.size) >= 128
    assert read_photo(row, 512).size == (800, 600)


def test_damaged_photo_is_named():
    for stored in ({"bytes": encoded()[:100], "path": "half.png"}, {"bytes": None, "path": "nowhere.png"}):
        with pytest.raises(InputError, match=stored["path"]):
            read_photo({"image": stored}, 32)


def test_photo_much_smaller_than_the_crop_is_refused():
    row = {"image": {"bytes": encoded(100, 31), "path": "small.png"}}
    with pytest.raises(InputError, match=r"small\.png.*100x31"):
        read_photo(row, 64)
    assert read_photo(row, 62).size == (100, 31)  # half is enough


def test_same_draw_gives_the_same_crop():
    photo = draw_picture(120, 90)
    crops = [random_crop(photo, 32, 0.3, random.Random(f"0 {draw}")).tobytes() for draw in (5, 5, 6, 7)]
    assert crops[0] == crops[1]
    assert len(set(crops)) == 3


def test_random_crops_lie_within_the_photo_and_vary():
    # A photo whose red and green are its coordinates tells where a crop was.
    x, y = np.meshgrid(np.arange(200), np.arange(120))
    photo = Image.fromarray(np.stack([x, y, 0 * x], -1).astype(np.uint8))
    sides, flips = [], set()
    for draw in range(200):
        crop = np.asarray(random_crop(photo, 32, 0.3, random.Random(draw)), int)
        assert crop.shape == (32, 32, 3)
        flips.add(crop[16, 0, 0] > crop[16, 31, 0])
        sides.append((crop[31, 0, 1] - crop[0, 0, 1]) * 32 / 31)
    assert flips == {False, True}
    # From three tenths of the shorter side, 36, to all of it.
    assert 34 <= min(sides) < 50 and 100 < max(sides) <= 121


def test_crop_of_a_photo_smaller_than_the_crop_is_enlarged():
    assert random_crop(draw_picture(40, 50), 64, 0.3, random.Random(0)).size == (64, 64)


def test_center_crop_is_the_middle():
    photo = Image.new("RGB", (300, 100), "red")
    photo.paste((0, 0, 255), (100, 0, 200, 100))
    crop = np.asarray(center_crop(photo, 50))
    assert crop.shape == (50, 50, 3)
    assert (crop[:, 1:-1] == (0, 0, 255)).all()
    assert (crop[..., 2] > crop[..., 0]).all()  # at the borders, resizing looks beyond the square


def test_to_bytes_is_channels_first():
    photo = draw_picture(20, 30)
    assert torch.equal(to_bytes(photo), torch.from_numpy(np.array(photo)).permute(2, 0, 1))


# Drawing


def test_every_pass_has_each_photo_once_in_another_order():
    draws = [index for index, _ in Draws(range(7), 0, 21, seed=3)]
    passes = [draws[0:7], draws[7:14], draws[14:21]]
    assert all(sorted(one) == list(range(7)) for one in passes)
    assert len({tuple(one) for one in passes}) > 1


@pytest.mark.parametrize("first", [1, 6, 7, 8, 13, 20])
def test_draws_go_on_in_the_same_order_when_resumed(first):
    whole = list(Draws(range(7), 0, 21, seed=3))
    assert list(Draws(range(7), first, 21, seed=3)) == whole[first:]


@pytest.mark.parametrize("ranks, batch_size, accumulate", [(1, 2, 3), (2, 3, 1), (3, 1, 2), (6, 1, 1)])
def test_processes_share_out_the_draws_of_one(ranks, batch_size, accumulate):
    whole = list(Draws(range(7), 0, 24, seed=3))  # four steps of six
    shares = [list(Draws(range(7), 0, 4 * accumulate, 3, batch_size, rank, ranks)) for rank in range(ranks)]
    each = batch_size * accumulate
    for step in range(4):
        together = [draw for share in shares for draw in share[step * each : (step + 1) * each]]
        assert sorted(together, key=lambda draw: draw[1]) == whole[6 * step : 6 * step + 6]


def test_draws_follow_from_the_seed():
    assert list(Draws(range(50), 0, 50, seed=1)) == list(Draws(range(50), 0, 50, seed=1))
    assert list(Draws(range(50), 0, 50, seed=1)) != list(Draws(range(50), 0, 50, seed=2))


def test_photo_of_a_draw_does_not_depend_on_the_draws_before():
    rows = make_rows(4).cast_column("image", datasets.Image(decode=False))
    first, second = Photos(rows, 32, 0.3, seed=0), Photos(rows, 32, 0.3, seed=0)
    first[(0, 0)], first[(3, 1)]
    assert torch.equal(first[(2, 9)][0], second[(2, 9)][0])


def test_collate_stacks_photos_and_joins_the_skipped():
    batch = collate([(torch.zeros(3, 4, 4), []), (torch.ones(3, 4, 4), ["a", "b"])])
    assert batch.photos.shape == (2, 3, 4, 4)
    assert batch.skipped == ["a", "b"]


# Bad pictures


@pytest.fixture
def spoiled(photos) -> Path:
    """The folder of photos with a damaged one and a tiny one."""
    whole = (photos / "beach.jpg").read_bytes()
    (photos / "corrupt.jpg").write_bytes(whole[: len(whole) // 3])
    draw_picture(8, 8).save(photos / "tiny.png")
    return photos


def test_bad_picture_is_replaced_by_another(spoiled):
    train, _ = load_content(str(spoiled))
    photos = Photos(train, 64, 0.3, seed=0)
    bad = [i for i, name in enumerate(names(train)) if name in ("corrupt.jpg", "tiny.png")]
    assert len(bad) == 2
    for index in bad:
        photo, skipped = photos[(index, 0)]
        assert photo.shape == (3, 64, 64)
        assert names(train)[index] in skipped[0]


def test_skipped_pictures_are_named_once(spoiled, caplog):
    data = ContentPhotos(str(spoiled), size=64)
    data.setup("fit")
    photos = Photos(data.rows, 64, 0.3, seed=0)
    items = [photos[(i % len(photos), i)] for i in range(3 * len(photos))]
    with caplog.at_level(logging.WARNING, "faststyle.data"):
        result = data.on_after_batch_transfer(collate(items), 0)
    assert result.dtype == torch.float32 and result.min() >= 0 and result.max() <= 1
    for name in ("corrupt.jpg", "tiny.png"):
        assert sum(name in record.getMessage() for record in caplog.records) == 1
    assert len(data.skipped) == 2


def test_streamed_bad_pictures_are_skipped_and_named(tmp_path):
    stored = [encoded(64, 64, i) for i in range(4)]
    stored[1] = stored[1][:60]
    rows = datasets.Dataset.from_dict(
        {"image": [{"bytes": one, "path": f"{i}.png"} for i, one in enumerate(stored)]},
        features=datasets.Features({"image": datasets.Image()}),
    )
    rows.to_parquet(tmp_path / "a.parquet")
    stream = datasets.load_dataset("parquet", data_files=str(tmp_path / "a.parquet"), streaming=True)["train"]
    stream = stream.cast_column("image", datasets.Image(decode=False))

    def read(first: int) -> list:
        return list(itertools.islice(StreamedPhotos(stream, 32, 0.3, seed=0, first=first), 12 - first))

    whole = read(0)  # three passes
    assert all(photo.shape == (3, 32, 32) for photo, _ in whole)
    assert any("1.png" in name for _, skipped in whole for name in skipped)
    assert len({photo.numpy().tobytes() for photo, _ in whole}) == 12  # another crop each time
    # Wherever a run goes on: at a bad picture, behind one, in another pass.
    for first in range(1, 12):
        assert all(torch.equal(a[0], b[0]) for a, b in zip(whole[first:], read(first), strict=True))


def write_set(folder: Path, files: int, each: int) -> str:
    folder.mkdir()
    for i in range(files):
        write_parquet(folder / f"{i}.parquet", each, first=each * i)
    return str(folder)


def streamed(content: str, steps: int, done: int = 0, rank: int = 0, ranks: int = 1, **options) -> list:
    """The batches that one process has of a stream, from step ``done`` on."""
    data = ContentPhotos(content, size=32, streaming=True, **options)
    data.setup("fit")
    data.trainer = fake_trainer(steps, done, rank, ranks)
    return [batch.photos for batch in itertools.islice(data.train_dataloader(), steps - done)]


@pytest.mark.parametrize("workers", [0, 2])
def test_stream_goes_on_exactly_wherever_it_was_stopped(tmp_path, workers):
    content = write_set(tmp_path / "set", files=3, each=12)  # of which 20 are trained on
    options = {"batch_size": 2, "workers": workers}
    whole = streamed(content, 14, **options)
    for done in (1, 2, 7, 11):
        resumed = streamed(content, 14, done, **options)
        assert all(torch.equal(a, b) for a, b in zip(whole[done:], resumed, strict=True))


def rows_read(content: str, rank: int, ranks: int, workers: int) -> list[bytes]:
    """What one process reads in a pass over a stream."""
    train, _ = load_content(content, streaming=True)
    share = split_dataset_by_node(train, rank, ranks)
    return [row["image"]["bytes"] for row in DataLoader(share, batch_size=None, num_workers=workers)]


@pytest.mark.parametrize("files", [4, 3])  # a share of the files for each process, and of the rows
def test_processes_and_workers_read_each_streamed_photo_once_and_none_that_is_held_out(tmp_path, files):
    content = write_set(tmp_path / "set", files, each=12)
    _, held_out = load_content(content, streaming=True)
    read = [row for rank in range(2) for row in rows_read(content, rank, 2, workers=2)]
    assert len(read) == len(set(read)) == 12 * files - len(held_out)
    assert not {row["image"]["bytes"] for row in held_out} & set(read)


def test_stream_with_too_few_photos_for_the_processes_is_refused(tmp_path):
    content = write_set(tmp_path / "set", files=1, each=4)  # two to train on
    assert len(streamed(content, 3, rank=1, ranks=2, workers=0)) == 3
    with pytest.raises(InputError, match=r"--trainer\.devices"):
        streamed(content, 1, rank=2, ranks=3, workers=0)


def test_stream_that_is_dealt_otherwise_says_so(tmp_path, caplog):
    data = ContentPhotos(write_set(tmp_path / "set", 2, 12), size=32, streaming=True, workers=0)
    data.setup("fit")
    data.load_state_dict({"ranks": 2, "workers": 0, "batch_size": 1})
    data.trainer = fake_trainer(3, 1)
    data.train_dataloader()
    assert "another order" in caplog.text
    caplog.clear()
    data.train_dataloader()
    assert not caplog.text and data.state_dict() == {"ranks": 1, "workers": 0, "batch_size": 1}


def test_held_out_photos_are_the_first_that_can_be_read():
    rows = [{"image": {"bytes": encoded(64, 64, i), "path": f"{i}.png"}} for i in range(HELD_OUT + 4)]
    rows[0]["image"]["bytes"] = b"damaged"
    held_out = HeldOutPhotos(rows, 32)
    assert len(held_out) == HELD_OUT
    assert len(held_out.skipped) == 1 and "0.png" in held_out.skipped[0]
    assert torch.equal(held_out[0][0], held_out[0][0])
    assert torch.equal(held_out[0][0], to_bytes(center_crop(read_photo(rows[1], 32), 32)))


def test_folder_of_bad_pictures_alone_ends_before_training(tmp_path):
    for i in range(5):
        (tmp_path / f"{i}.jpg").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"\.jpg"):
        ContentPhotos(str(tmp_path), size=64).setup("fit")


def test_training_photos_that_are_all_bad_end_with_the_last_one_named():
    rows = [{"image": {"bytes": b"damaged", "path": f"{i}.png"}} for i in range(3)]
    with pytest.raises(InputError, match=r"\.png"):
        Photos(rows, 32, 0.3, seed=0)[(0, 0)]


@pytest.mark.parametrize("option", [{"size": 31}, {"least_crop": 0}, {"batch_size": 0}, {"workers": -1}])
def test_bad_option_is_named_as_its_flag(option):
    (name,) = option
    with pytest.raises(InputError, match=f"--data.{name}"):
        ContentPhotos("samples", **option)


# What training gets


def fake_trainer(steps: int, done: int = 0, rank: int = 0, ranks: int = 1) -> SimpleNamespace:
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    return SimpleNamespace(
        global_step=done,
        max_steps=steps,
        accumulate_grad_batches=1,
        strategy=strategy,
        global_rank=rank,
        world_size=ranks,
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
    assert all(batch.shape == (2, 3, 64, 64) and batch.dtype == torch.uint8 for batch in whole)
    assert all(torch.equal(a, b) for a, b in zip(whole[4:], resumed, strict=True))


def test_streamed_batches_have_no_end(tmp_path):
    write_parquet(tmp_path / "a.parquet", HELD_OUT + 3)
    data = ContentPhotos(str(tmp_path / "a.parquet"), size=32, batch_size=2, workers=0, streaming=True)
    data.setup("fit")
    data.trainer = fake_trainer(steps=6)
    batches = [batch for batch, _ in zip(data.train_dataloader(), range(6), strict=False)]
    assert len(batches) == 6  # 12 photos of 3
    assert all(isinstance(batch, Batch) and batch.photos.shape == (2, 3, 32, 32) for batch in batches)


def test_validation_has_every_photo_held_out(photos):
    data = ContentPhotos(str(photos), size=64, batch_size=3)
    data.setup("fit")
    assert sum(len(batch.photos) for batch in data.val_dataloader()) == len(data.held_out) == 1
