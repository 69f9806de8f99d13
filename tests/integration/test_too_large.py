"""Tests of results that are larger than their format can hold."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faststyle.cli.main import infer as main
from faststyle.errors import InputError
from faststyle.image.files import MAX_SIDES, check_size, open_image, save_image
from faststyle.image.vips import mapped_images
from faststyle.inference.batch.shards import Images, Item
from faststyle.inference.contact_sheet import contact_sheet, lay_out
from faststyle.inference.stylizer import Stylizer
from tests.support.commands import expect_error_line
from tests.support.images import draw_image

LONG = {"webp": (17_000, 2), "jpg": (2, 66_000)}


@pytest.fixture
def no_work(monkeypatch):
    """Fail a test that stylizes."""
    monkeypatch.setattr(Stylizer, "__call__", lambda *_, **__: pytest.fail("stylized"))
    monkeypatch.setattr(Stylizer, "stylize_pixels", lambda *_: pytest.fail("stylized"))


@pytest.fixture(params=LONG)
def suffix(request) -> str:
    return request.param


@pytest.fixture
def long(tmp_path, suffix) -> Path:
    """Return an image that is too long for a format."""
    (tmp_path / "photos").mkdir()
    draw_image(40, 30).resize(LONG[suffix]).save(tmp_path / "photos" / "long.png")
    return tmp_path / "photos" / "long.png"


def test_command_refuses_before_the_work(long, suffix, infer, no_work, capsys):
    line = expect_error_line(capsys, infer, long, "-o", f"out.{suffix}")
    assert line.startswith(f"error: {long}: out.{suffix} cannot hold") or f"out.{suffix} cannot hold" in line
    assert "give a name that ends in .png or .tif" in line
    assert not Path(f"out.{suffix}").exists()


def test_largest_size_is_accepted(tmp_path):
    for format, side in MAX_SIDES.items():
        path = tmp_path / f"a.{format.lower()}"
        check_size(path, side, 2)
        Image.new("RGB", (side, 2)).save(path, format)
        with pytest.raises(InputError, match=f"{format} has at most {side:,} on a side"):
            check_size(path, 2, side + 1)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_format_that_the_message_recommends_holds_the_image(long, tmp_path, name):
    save_image(open_image(long), tmp_path / name)
    assert open_image(tmp_path / name).size == open_image(long).size


def test_saving_refuses_with_one_line_and_leaves_nothing(long, suffix, tmp_path):
    with pytest.raises(InputError, match="cannot hold"):
        save_image(open_image(long), tmp_path / "out" / f"a.{suffix}")
    assert not (tmp_path / "out").exists()


def test_image_from_file_to_file_is_refused_before_the_work(long, suffix, tmp_path):
    pytest.importorskip("pyvips")
    with pytest.raises(InputError, match="cannot hold"), mapped_images(long, tmp_path / f"a.{suffix}"):
        pytest.fail("yielded")
    assert [path.name for path in tmp_path.iterdir() if "strips" in path.name] == []


def test_collection_fails_the_image_before_the_work(long, suffix, tmp_path):
    read = Images(tmp_path / "out", open_image)[Item(str(long), f"a.{suffix}")]
    assert read.image is None and read.error is not None and "cannot hold" in read.error


def test_baseline_refuses_before_the_first_step(tmp_path, monkeypatch, painting, random_vgg, capsys):
    from faststyle.optimization.optimization import Optimization

    monkeypatch.setattr(Optimization, "__iter__", lambda self: pytest.fail("stepped"))
    monkeypatch.setattr("faststyle.image.files.MAX_SIDES", {"JPEG": 60})
    monkeypatch.chdir(tmp_path)
    draw_image(96, 72).save("photo.png")
    options = ["photo.png", f"--style={painting}", f"--vgg={random_vgg}", "--size=64", "--device=cpu"]
    assert "JPEG has at most 60" in expect_error_line(capsys, main, [*options, "-o", "a.jpg"])


def test_figure_refuses_before_the_first_step(tmp_path, monkeypatch, painting, random_vgg, capsys):
    monkeypatch.setattr("faststyle.image.files.MAX_SIDES", {"JPEG": 400})
    monkeypatch.chdir(tmp_path)
    draw_image(96, 72).save("photo.png")
    options = ["photo.png", f"--style={painting}", "--reconstruct=a.jpg", "--size=64", "--steps=100000"]
    assert "cannot hold 440x138 pixels" in expect_error_line(capsys, main, [*options, f"--vgg={random_vgg}"])


def test_sheet_of_styles_has_the_size_that_is_checked():
    for count, size in ((6, (64, 48)), (5, (640, 20)), (1, (300, 400))):
        sheet = contact_sheet({str(number): Image.new("RGB", size) for number in range(count)})
        assert sheet.size == lay_out(count, *size).size


@pytest.mark.parametrize("error", [ValueError("encoding error 5"), OSError("error -2"), RuntimeError()])
def test_errors_of_encoders_are_one_line(tmp_path, monkeypatch, error):
    def fail(self, target, **options):
        Path(target).write_bytes(b"half")
        raise error

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(InputError, match=r"a\.webp cannot be written \(.*\.png"):
        save_image(Image.fromarray(np.zeros((4, 4, 3), np.uint8)), tmp_path / "a.webp")
    assert list(tmp_path.iterdir()) == []
