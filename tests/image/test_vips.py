import io

import numpy as np
import pytest
from PIL import Image

from faststyle.errors import InputError
from faststyle.image.files import open_image, save_image
from faststyle.image.vips import count_pixels, decode_to_file, encode_from_file
from tests.support.images import display_p3_profile, draw_image

pytest.importorskip("pyvips")


def write_image(folder, kind):
    """Write an image of a kind, and return its path."""
    image = draw_image(70, 50)
    path, options = folder / "photo.png", {}
    if kind == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    elif kind == "P":
        image = image.quantize(64)
    elif kind == "I;16":
        image = Image.fromarray(np.linspace(0, 65535, 70 * 50).astype(np.uint16).reshape(50, 70))
    elif kind in ("L", "LA"):
        image = image.convert(kind)
    elif kind.startswith("rotated"):
        path = folder / "photo.tif"
        options["exif"] = image.getexif()
        options["exif"][0x0112] = int(kind[-1])
    elif kind == "profile":
        options["icc_profile"] = display_p3_profile()
    elif kind == "webp":
        path, options = folder / "photo.webp", {"lossless": True}
    image.save(path, **options)
    return path


@pytest.fixture(autouse=True)
def small_images_count(monkeypatch):
    """Let libvips read small images too."""
    monkeypatch.setattr("faststyle.image.vips.MIN_VIPS_PIXELS", 0)


KINDS = ["RGB", "RGBA", "P", "L", "LA", "I;16", "rotated3", "rotated6", "rotated8", "profile", "webp"]


@pytest.mark.parametrize("kind", KINDS)
def test_decoded_pixels_equal_open_image(tmp_path, kind):
    path = write_image(tmp_path, kind)
    expected = np.asarray(open_image(path), int)
    assert count_pixels(path) == 70 * 50
    pixels, warning = decode_to_file(path, tmp_path / "raw")
    assert warning is None
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() <= 1


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_encoded_file_equals_save_image(tmp_path, name, alpha):
    pixels, _ = decode_to_file(write_image(tmp_path, "RGBA" if alpha else "RGB"), tmp_path / "raw")
    encode_from_file(pixels, tmp_path / "new" / name, quality=95)
    save_image(Image.fromarray(np.array(pixels)), tmp_path / name, quality=95)
    written, expected = (open_image(folder / name) for folder in (tmp_path / "new", tmp_path))
    assert written.mode == expected.mode and written.size == expected.size
    assert np.abs(np.asarray(written, int) - np.asarray(expected, int)).mean() < 2


def test_error_for_a_damaged_or_too_large_image_is_one_line(tmp_path):
    damaged = tmp_path / "photo.png"
    draw_image(70, 50).save(stream := io.BytesIO(), "PNG")
    damaged.write_bytes(stream.getvalue()[:400])
    with pytest.raises(InputError, match=r"photo\.png"):
        decode_to_file(damaged, tmp_path / "raw")
    long = np.memmap(tmp_path / "long", np.uint8, "w+", shape=(1, 70_000, 3))
    with pytest.raises(InputError, match="JPEG has at most 65,500 on a side") as caught:
        encode_from_file(long, tmp_path / "long.jpg")
    assert len(str(caught.value).splitlines()) == 1
    assert [path.name for path in tmp_path.glob("*.jpg")] == []
    assert count_pixels(tmp_path / "missing.jpg") == 0
