import io
import itertools
import random

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from faststyle.errors import InputError
from faststyle.training.crops import (
    CROP_GROWTH,
    center_crop,
    crop_size,
    random_crop,
    read_photo,
    reduce_contrast,
    to_uint8_tensor,
)
from faststyle.training.photo_sources import HELD_OUT_PHOTOS, load_content
from faststyle.training.sampling import HeldOutPhotos, Photos, ResumableSampler, StreamedPhotos
from tests.support.images import draw_image, encoded
from tests.support.photo_sets import make_rows, names

# Reading and cropping


@pytest.mark.parametrize("mode, kind", [("L", "JPEG"), ("CMYK", "JPEG"), ("RGBA", "PNG"), ("P", "PNG")])
def test_photos_of_every_mode_come_as_rgb(mode, kind):
    stream = io.BytesIO()
    draw_image(64, 48).convert(mode).save(stream, kind)
    photo = read_photo({"image": {"bytes": stream.getvalue(), "path": None}}, 32)
    assert photo.mode == "RGB" and photo.size == (64, 48)


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    draw_image(96, 64).save(tmp_path / "a.jpg", exif=exif)
    assert read_photo({"image": {"bytes": None, "path": str(tmp_path / "a.jpg")}}, 32).size == (64, 96)


def test_large_jpeg_is_decoded_at_a_fraction_of_its_size():
    row = {"image": {"bytes": encoded(800, 600, kind="JPEG"), "path": None}}
    photo = read_photo(row, 64)
    assert photo.width < 800
    # The decoded photo still has twice the crop's size.
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


def test_same_seed_gives_the_same_crop():
    photo = draw_image(120, 90)
    crops = [random_crop(photo, 32, 0.3, random.Random(f"0 {number}")).tobytes() for number in (5, 5, 6, 7)]
    assert crops[0] == crops[1]
    assert len(set(crops)) == 3


def test_random_crops_lie_within_the_photo_and_vary():
    # A photo whose red and green are its coordinates tells where a crop was.
    x, y = np.meshgrid(np.arange(200), np.arange(120))
    photo = Image.fromarray(np.stack([x, y, 0 * x], -1).astype(np.uint8))
    sides, flips = [], set()
    for number in range(200):
        crop = np.asarray(random_crop(photo, 32, 0.3, random.Random(number)), int)
        assert crop.shape == (32, 32, 3)
        flips.add(crop[16, 0, 0] > crop[16, 31, 0])
        sides.append((crop[31, 0, 1] - crop[0, 0, 1]) * 32 / 31)
    assert flips == {False, True}
    # From three tenths of the shorter side, 36, to all of it.
    assert 34 <= min(sides) < 50 and 100 < max(sides) <= 121


def test_crop_of_a_photo_smaller_than_the_crop_is_enlarged():
    assert random_crop(draw_image(40, 50), 64, 0.3, random.Random(0)).size == (64, 64)


def test_center_crop_is_the_middle():
    photo = Image.new("RGB", (300, 100), "red")
    photo.paste((0, 0, 255), (100, 0, 200, 100))
    crop = np.asarray(center_crop(photo, 50))
    assert crop.shape == (50, 50, 3)
    assert (crop[:, 1:-1] == (0, 0, 255)).all()
    assert (crop[..., 2] > crop[..., 0]).all()  # at the borders, resizing looks beyond the square


def test_to_bytes_is_channels_first():
    photo = draw_image(20, 30)
    assert torch.equal(to_uint8_tensor(photo), torch.from_numpy(np.array(photo)).permute(2, 0, 1))


def test_crops_grow_to_the_size_of_the_run():
    sizes = [crop_size(512, done / 100) for done in range(101)]
    assert sizes == sorted(sizes) and sizes[0] == 128 and sizes[-1] == 512
    assert len(set(sizes)) == len(CROP_GROWTH)
    assert all(size % 16 == 0 for size in sizes)
    assert {crop_size(200, done / 100) for done in range(101)} == {64, 80, 96, 144, 200}
    assert crop_size(48, 0) == 48  # below the smallest crop


def test_faint_photos_have_little_contrast_and_every_tone():
    photo = draw_image(64, 48)
    pixels = [np.asarray(reduce_contrast(photo, random.Random(number)), float) for number in range(60)]
    assert all(one.shape == (48, 64, 3) for one in pixels)
    whole = np.asarray(photo, float).std()
    spreads = [one.std((0, 1)).mean() / whole for one in pixels]
    assert np.median(spreads) < 0.5 and min(spreads) < 0.1
    tones = [one.mean() for one in pixels]
    assert min(tones) < 80 and max(tones) > 170
    assert np.array_equal(reduce_contrast(photo, random.Random(1)), reduce_contrast(photo, random.Random(1)))


# Order of the samples


def test_every_pass_has_each_photo_once_in_another_order():
    samples = [index for index, *_ in ResumableSampler(range(7), 0, 21, seed=3)]
    passes = [samples[0:7], samples[7:14], samples[14:21]]
    assert all(sorted(one) == list(range(7)) for one in passes)
    assert len({tuple(one) for one in passes}) > 1


@pytest.mark.parametrize("first", [1, 6, 7, 8, 13, 20])
def test_resumed_order_is_the_same(first):
    whole = list(ResumableSampler(range(7), 0, 21, seed=3))
    assert list(ResumableSampler(range(7), first, 21, seed=3)) == whole[first:]


@pytest.mark.parametrize("ranks, batch_size, accumulate", [(1, 2, 3), (2, 3, 1), (3, 1, 2), (6, 1, 1)])
def test_ranks_divide_the_samples_of_one_process(ranks, batch_size, accumulate):
    whole = list(ResumableSampler(range(7), 0, 4, 3, 6))  # four steps of six
    shares = [
        list(ResumableSampler(range(7), 0, 4 * accumulate, 3, batch_size, rank, ranks, accumulate))
        for rank in range(ranks)
    ]
    each = batch_size * accumulate
    for step in range(4):
        together = [number for share in shares for number in share[step * each : (step + 1) * each]]
        assert sorted(together, key=lambda number: number[1]) == whole[6 * step : 6 * step + 6]


def test_order_depends_on_the_seed_alone():
    assert list(ResumableSampler(range(50), 0, 50, seed=1)) == list(
        ResumableSampler(range(50), 0, 50, seed=1)
    )
    assert list(ResumableSampler(range(50), 0, 50, seed=1)) != list(
        ResumableSampler(range(50), 0, 50, seed=2)
    )


def test_sample_does_not_depend_on_the_samples_before():
    rows = make_rows(4).cast_column("image", datasets.Image(decode=False))
    first, second = Photos(rows, 32, 0.3, seed=0), Photos(rows, 32, 0.3, seed=0)
    first[(0, 0, 0.0)], first[(3, 1, 0.1)]
    assert torch.equal(first[(2, 9, 0.9)][0], second[(2, 9, 0.9)][0])


# Unusable images


def test_unusable_image_is_replaced_by_another(damaged_photos):
    train, _ = load_content(str(damaged_photos))
    photos = Photos(train, 64, 0.3, seed=0)
    bad = [i for i, name in enumerate(names(train)) if name in ("corrupt.jpg", "tiny.png")]
    assert len(bad) == 2
    for index in bad:
        photo, skipped = photos[(index, 0, 1.0)]
        assert photo.shape == (3, 64, 64)
        assert names(train)[index] in skipped[0]


def test_unusable_images_of_a_stream_are_skipped_and_named(tmp_path):
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
        return list(itertools.islice(StreamedPhotos(stream, 32, 0.3, 0, 12, first=first), 12 - first))

    whole = read(0)  # three passes
    assert all(photo.shape == (3, 32, 32) for photo, _ in whole)
    assert any("1.png" in name for _, skipped in whole for name in skipped)
    assert len({photo.numpy().tobytes() for photo, _ in whole}) == 12  # another crop each time
    # Resume at the unusable image, after it, and in a later pass.
    for first in range(1, 12):
        assert all(torch.equal(a[0], b[0]) for a, b in zip(whole[first:], read(first), strict=True))


def test_crops_of_a_batch_have_one_size_after_an_unusable_image(monkeypatch):
    rows = [{"image": {"bytes": encoded(130, 130, i), "path": f"{i}.png"}} for i in range(12)]
    photos = StreamedPhotos(rows, 256, 0.3, 0, 6, batch_size=2)
    for bad in range(11):  # an unusable row's sample comes with the next usable one, perhaps in another batch
        damaged_photos = [*rows]
        damaged_photos[bad] = {"image": {"bytes": b"damaged", "path": "bad.png"}}
        monkeypatch.setattr(
            photos, "iterate_rows", lambda damaged_photos=damaged_photos: iter(damaged_photos)
        )
        sizes = [photo.shape[-1] for photo, _ in photos]
        assert len(sizes) == 12 and sizes[0::2] == sizes[1::2] and len(set(sizes)) > 1


def test_held_out_photos_are_the_first_usable_ones():
    rows = [{"image": {"bytes": encoded(64, 64, i), "path": f"{i}.png"}} for i in range(HELD_OUT_PHOTOS + 4)]
    rows[0]["image"]["bytes"] = b"damaged"
    held_out = HeldOutPhotos(rows, 32)
    assert len(held_out) == HELD_OUT_PHOTOS
    assert len(held_out.skipped) == 1 and "0.png" in held_out.skipped[0]
    assert torch.equal(held_out[0][0], held_out[0][0])
    assert torch.equal(held_out[0][0], to_uint8_tensor(center_crop(read_photo(rows[1], 32), 32)))


def test_error_for_unusable_photos_names_the_last():
    rows = [{"image": {"bytes": b"damaged", "path": f"{i}.png"}} for i in range(3)]
    error = Photos(rows, 32, 0.3, seed=0)[(0, 0, 0.0)]
    assert isinstance(error, InputError) and ".png is not" in str(error)
