"""Tests of JPEG files without their last bytes."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faststyle.cli.main import infer as main
from faststyle.errors import InputError
from faststyle.image import vips
from faststyle.image.files import MISSING, open_image, read_image
from faststyle.inference.batch.shards import Images, Item
from faststyle.training.crops import read_photo
from faststyle.training.datamodule import ContentPhotos
from tests.support.commands import exit_status
from tests.support.images import sample

KINDS = [(mode, progressive) for mode in ("RGB", "L", "CMYK") for progressive in (False, True)]


def jpeg(mode: str = "RGB", progressive: bool = False, longer: int = 320) -> bytes:
    stream = io.BytesIO()
    photo = sample("coffee", longer).convert(mode)
    photo.save(stream, "JPEG", quality=88, progressive=progressive)
    return stream.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(read_image(io.BytesIO(data), "a.jpg"), int)


@pytest.fixture
def truncated(tmp_path) -> Path:
    """Return a photo that ends after two thirds of its bytes."""
    (tmp_path / "cuts").mkdir()
    data = jpeg()
    (tmp_path / "cuts" / "cut.jpg").write_bytes(data[: len(data) * 2 // 3])
    return tmp_path / "cuts" / "cut.jpg"


@pytest.mark.parametrize(("mode", "progressive"), KINDS)
@pytest.mark.parametrize("count", [1, 2])
def test_photo_without_the_marker_of_its_end_is_whole(tmp_path, mode, progressive, count):
    whole = jpeg(mode, progressive)
    opened = open_image(io.BytesIO(whole[:-count]), "a.jpg")
    assert MISSING not in opened.info
    assert (np.asarray(opened, int) == pixels(whole)).all()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kept", [0.999, 0.97, 0.8, 0.5, 0.2])
def test_missing_pixels_are_counted_and_the_others_kept(mode, kept):
    whole = jpeg(mode)
    image = read_image(io.BytesIO(whole[: int(kept * len(whole))]), "a.jpg")
    differs = (np.asarray(image, int) != pixels(whole)).any(-1)
    assert abs(image.info[MISSING] - differs.mean()) < 0.03
    first = np.flatnonzero(differs.any(1))[0]
    assert not differs[:first].any() and first > (kept - 0.1) * image.height


def test_truncated_file_that_is_too_large_to_be_read_again_is_refused(monkeypatch):
    monkeypatch.setattr("faststyle.image.files.MAX_TRUNCATED_BYTES", 1_000)
    with pytest.raises(InputError, match=r"a\.jpg is damaged or cannot be read \(image file is truncated"):
        read_image(io.BytesIO(jpeg()[:-2]), "a.jpg")


def test_end_of_zeros_is_missing():
    whole = jpeg()
    image = read_image(io.BytesIO(whole[: len(whole) // 2] + bytes(len(whole) // 2)), "a.jpg")
    differs = (np.asarray(image, int) != pixels(whole)).any(-1)
    assert abs(image.info[MISSING] - differs.mean()) < 0.03


@pytest.mark.parametrize("kept", [0.99, 0.5, 0.1])
def test_progressive_photo_is_read_with_the_details_that_are_there(kept):
    whole = jpeg(progressive=True)
    image = read_image(io.BytesIO(whole[: int(kept * len(whole))]), "a.jpg")
    assert 0 < image.info[MISSING] <= 1
    small = [
        np.asarray(one.resize((8, 6), Image.Resampling.BOX), int) for one in (image, sample("coffee", 320))
    ]
    assert np.abs(small[0] - small[1]).mean() < (40 if kept < 0.5 else 8)


def test_photo_that_lacks_more_than_a_twentieth_is_refused_for_training(tmp_path):
    whole, path = jpeg(), tmp_path / "a.jpg"
    for kept, usable in ((0.98, True), (0.9, False), (0.4, False)):
        path.write_bytes(whole[: int(kept * len(whole))])
        for stored in ({"path": str(path), "bytes": None}, {"path": str(path), "bytes": path.read_bytes()}):
            if usable:
                read_photo({"image": stored}, 64)
            else:
                with pytest.raises(InputError, match=r"a\.jpg is truncated: \d+ % of its pixels are missing"):
                    read_photo({"image": stored}, 64)


def test_training_names_the_truncated_photo(photos, truncated, caplog):
    photos.rename(photos.with_name("train"))
    truncated.parent.rename(photos.with_name("validation"))
    sample("coffee", 96).save(photos.with_name("validation") / "whole.png")
    data = ContentPhotos(str(photos.parent), size=64)
    data.setup("fit")
    assert "cut.jpg is truncated" in caplog.text and len(data.held_out) == 1


def check_result(target: Path) -> None:
    """Check that a result has the size of the photo."""
    assert open_image(target).size == sample("coffee", 320).size


def test_command_uses_what_is_there_with_one_warning(truncated, infer, capsys):
    assert exit_status(infer, truncated, "-o", "out.png") == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("done: ")]
    assert len(lines) == 1 and lines[0].startswith(f"warning: {truncated} is truncated, and ")
    assert lines[0].endswith(" % of its pixels are missing: out.png shows grey there")
    check_result(Path("out.png"))


def test_command_is_silent_where_no_pixel_is_missing(tmp_path, infer, capsys):
    (tmp_path / "a.jpg").write_bytes(jpeg()[:-2])
    infer(tmp_path / "a.jpg", "-o", "out.png")
    assert "warning" not in capsys.readouterr().err
    check_result(Path("out.png"))


def test_folder_counts_the_truncated_photo_as_written(truncated, infer, capsys):
    sample("coffee", 64).save(truncated.with_name("whole.png"))
    assert exit_status(infer, truncated.parent, "-o", "out") == 2
    printed = capsys.readouterr()
    assert "2 of 2 images" in printed.out and printed.err.count("warning: ") == 1


def test_collection_reads_it_with_a_warning(truncated, tmp_path):
    read = Images(tmp_path / "out", read_image)[Item(str(truncated), "cut.jpg")]
    assert read.error is None and read.image is not None
    assert read.warning is not None and read.warning.endswith(" % of its pixels are missing")


def test_baseline_uses_what_is_there(truncated, tmp_path, painting, random_vgg, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = [f"--style={painting}", f"--vgg={random_vgg}", "--size=64", "--steps=1", "--device=cpu"]
    assert exit_status(main, [str(truncated), *options, "-o", "a.png"]) == 2
    assert capsys.readouterr().err.count("warning: ") == 1 and Path("a.png").is_file()


@pytest.mark.parametrize("progressive", [False, True])
def test_libvips_reads_what_is_there(tmp_path, progressive):
    pytest.importorskip("pyvips")
    whole, path = jpeg(progressive=progressive), tmp_path / "a.jpg"
    path.write_bytes(whole[:-2])
    decoded, warning = vips.decode_to_file(path, tmp_path / "raw")
    assert np.abs(decoded - pixels(whole)).max() <= 1 and warning is None
    path.write_bytes(whole[: len(whole) * 2 // 3])
    decoded, warning = vips.decode_to_file(path, tmp_path / "raw")
    assert decoded.shape == pixels(whole).shape and warning == "pixels are missing at its end"


def test_large_photo_from_file_to_file(truncated, infer, capsys, monkeypatch):
    pytest.importorskip("pyvips")
    monkeypatch.setattr(vips, "MIN_VIPS_PIXELS", 1_000)
    assert exit_status(infer, truncated, "-o", "out.png", "--stroke-scale=1") == 2
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1 and "pixels are missing at its end: out.png shows grey there" in warnings[0]
    check_result(Path("out.png"))
