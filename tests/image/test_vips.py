import io

import numpy as np
import pytest
from PIL import Image

from faststyle.errors import InputError
from faststyle.image.files import open_image, save_image
from faststyle.image.vips import pixels_of, read_strips, write_strips
from tests.support.images import display_p3_profile, draw_picture

pytest.importorskip("pyvips")


def picture_file(folder, kind):
    """A picture of a kind, as a file."""
    picture = draw_picture(70, 50)
    path, options = folder / "photo.png", {}
    if kind == "RGBA":
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    elif kind == "P":
        picture = picture.quantize(64)
    elif kind == "I;16":
        picture = Image.fromarray(np.linspace(0, 65535, 70 * 50).astype(np.uint16).reshape(50, 70))
    elif kind in ("L", "LA"):
        picture = picture.convert(kind)
    elif kind.startswith("turned"):
        path = folder / "photo.tif"
        options["exif"] = picture.getexif()
        options["exif"][0x0112] = int(kind[-1])
    elif kind == "profile":
        options["icc_profile"] = display_p3_profile()
    elif kind == "webp":
        path, options = folder / "photo.webp", {"lossless": True}
    picture.save(path, **options)
    return path


KINDS = ["RGB", "RGBA", "P", "L", "LA", "I;16", "turned3", "turned6", "turned8", "profile", "webp"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_is_what_open_image_reads(tmp_path, kind):
    path = picture_file(tmp_path, kind)
    expected = np.asarray(open_image(path), int)
    assert pixels_of(path) == 70 * 50
    pixels = read_strips(path, tmp_path / "raw")
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() <= 1


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_what_is_written_is_what_save_image_writes(tmp_path, name, alpha):
    pixels = read_strips(picture_file(tmp_path, "RGBA" if alpha else "RGB"), tmp_path / "raw")
    write_strips(pixels, tmp_path / "new" / name, quality=95)
    save_image(Image.fromarray(np.array(pixels)), tmp_path / name, quality=95)
    ours, expected = (open_image(folder / name) for folder in (tmp_path / "new", tmp_path))
    assert ours.mode == expected.mode and ours.size == expected.size
    assert np.abs(np.asarray(ours, int) - np.asarray(expected, int)).mean() < 2


def test_what_cannot_be_read_or_written_is_one_line(tmp_path):
    damaged = tmp_path / "photo.png"
    draw_picture(70, 50).save(stream := io.BytesIO(), "PNG")
    damaged.write_bytes(stream.getvalue()[:400])
    with pytest.raises(InputError, match=r"photo\.png"):
        read_strips(damaged, tmp_path / "raw")
    long = np.memmap(tmp_path / "long", np.uint8, "w+", shape=(1, 70_000, 3))
    with pytest.raises(InputError, match="65535") as caught:
        write_strips(long, tmp_path / "long.jpg")
    assert len(str(caught.value).splitlines()) == 1
    assert [path.name for path in tmp_path.glob("*.jpg")] == []
    assert pixels_of(tmp_path / "missing.jpg") == 0
