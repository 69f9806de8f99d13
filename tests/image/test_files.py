import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from faststyle.errors import InputError
from faststyle.image.convert import limit_size, scale_to, to_image, to_rgb, to_tensor
from faststyle.image.files import FORMATS, find_images, open_image, save_image
from tests.support.images import display_p3_profile, draw_image

ORIENTATION = 0x0112  # the EXIF tag


def max_difference(a: Image.Image, b: Image.Image) -> int:
    """Return the largest difference of two images, in 8-bit levels."""
    return int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max())


def xyz_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_and_removed(tmp_path, orientation):
    # The transposes that a viewer applies to the stored pixels, by the EXIF standard's table.
    undo = {
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_270],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_90],
    }[orientation]
    stored = draw_image(64, 48)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    expected = stored
    for step in undo:
        expected = expected.transpose(step)

    opened = open_image(tmp_path / "a.png")

    assert opened.size == expected.size
    assert max_difference(opened, expected) == 0
    assert ORIENTATION not in opened.getexif()
    opened.save(tmp_path / "b.png")
    assert max_difference(open_image(tmp_path / "b.png"), expected) == 0  # not applied a second time


def test_srgb_profile_changes_nothing(tmp_path):
    image = draw_image(64, 48)
    image.save(tmp_path / "a.png", icc_profile=srgb_profile())
    opened = open_image(tmp_path / "a.png")
    assert max_difference(opened, image) <= 1
    assert "icc_profile" not in opened.info


def test_wide_gamut_profile_is_converted_to_srgb(tmp_path):
    # Half-saturated colours, which are inside sRGB, compared with the formula in floating point.
    values = np.array([[200, 120, 110], [110, 190, 120], [120, 110, 200], [128, 128, 128]], np.uint8)
    Image.fromarray(values[None]).save(tmp_path / "a.png", icc_profile=display_p3_profile())
    linear = (values / 255) ** 2.2
    p3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
    # The primaries of sRGB in the same space, D50 (ICC's sRGB profile).
    srgb = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
    converted = linear @ p3.T @ np.linalg.inv(srgb).T
    encoded = np.where(
        converted <= 0.0031308, 12.92 * converted, 1.055 * np.abs(converted) ** (1 / 2.4) - 0.055
    )

    opened = np.asarray(open_image(tmp_path / "a.png"), float)[0]

    assert np.abs(opened - 255 * encoded).max() < 2.5
    assert np.abs(opened - values).max() > 8  # the profile changes the values


def test_profile_is_applied_to_rgba_and_alpha_is_kept(tmp_path):
    image = draw_image(32, 32)
    alpha = Image.linear_gradient("L").resize((32, 32))
    image.putalpha(alpha)
    image.save(tmp_path / "a.png", icc_profile=display_p3_profile())
    opened = open_image(tmp_path / "a.png")
    assert opened.mode == "RGBA"
    assert max_difference(opened.getchannel("A"), alpha) == 0
    assert max_difference(opened.convert("RGB"), image.convert("RGB")) > 4


@pytest.mark.parametrize("profile", [b"no profile at all", srgb_profile()[:200], bytes(500)])
def test_damaged_profile_is_ignored(tmp_path, profile):
    image = draw_image(64, 48)
    image.save(tmp_path / "a.png", icc_profile=profile)
    assert max_difference(open_image(tmp_path / "a.png"), image) == 0


def test_profile_of_another_colour_space_is_ignored(tmp_path):
    image = draw_image(64, 48)
    image.save(tmp_path / "a.png", icc_profile=xyz_profile())
    assert open_image(tmp_path / "a.png").size == (64, 48)


def test_alpha_is_kept(tmp_path):
    image = draw_image(40, 30)
    alpha = Image.linear_gradient("L").resize((40, 30))
    image.putalpha(alpha)
    image.save(tmp_path / "a.png")
    opened = open_image(tmp_path / "a.png")
    assert opened.mode == "RGBA"
    assert max_difference(opened, image) == 0


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV", "LAB"])
def test_opaque_modes_become_rgb(mode):
    if mode == "LAB":
        to_lab = ImageCms.buildTransform(
            ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
        )
        image = ImageCms.applyTransform(draw_image(20, 10), to_lab)
    else:
        image = draw_image(20, 10).convert(mode)
    before = image.copy()
    converted = to_rgb(image)
    assert converted.mode == "RGB"
    assert converted.size == (20, 10)
    assert image.mode == mode and image.tobytes() == before.tobytes()  # the input is unchanged


@pytest.mark.parametrize("mode", ["LA", "PA", "RGBA", "RGBa"])
def test_modes_with_alpha_become_rgba(mode):
    image = draw_image(20, 10).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((20, 10)))
    image = image.convert("P").convert("PA") if mode == "PA" else image.convert(mode)
    assert to_rgb(image).mode == "RGBA"


def test_palette_with_a_transparent_colour_becomes_rgba(tmp_path):
    image = Image.new("P", (20, 10), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.paste(1, (0, 0, 10, 10))
    image.save(tmp_path / "a.png", transparency=0)
    opened = open_image(tmp_path / "a.png")
    assert opened.getpixel((0, 0)) == (0, 255, 0, 255)
    assert opened.getpixel((19, 9))[3] == 0


def test_16_bit_grey_keeps_its_brightness(tmp_path):
    values = np.linspace(0, 65535, 64, dtype=np.uint16).repeat(16).reshape(64, 16)
    Image.fromarray(values).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as stored:
        assert stored.mode.startswith("I")
    opened = np.asarray(open_image(tmp_path / "a.png"), float)
    assert np.abs(opened - values[..., None] / 257).max() <= 0.5 + 1e-6  # 65535 = 255 · 257


def test_16_bit_grey_with_a_transparent_value_can_be_read(tmp_path):
    values = np.full((8, 8), 30000, np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png", transparency=1)
    assert open_image(tmp_path / "a.png").size == (8, 8)


def test_float_grey_is_scaled_from_0_to_1(tmp_path):
    values = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / "a.tif")
    opened = np.asarray(open_image(tmp_path / "a.tif"))
    assert (opened == np.arange(256).reshape(16, 16, 1)).all()


def test_cmyk_jpeg_keeps_its_colours(tmp_path):
    image = draw_image(64, 48)
    image.convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    difference = np.asarray(open_image(tmp_path / "a.jpg"), float) - np.asarray(image, float)
    assert np.abs(difference).mean() < 3


def test_binary_file_object_is_read():
    stream = io.BytesIO()
    image = draw_image(30, 20)
    image.save(stream, "PNG")
    stream.seek(0)
    assert max_difference(open_image(stream), image) == 0


def write_unreadable(folder):
    """Write files that cannot be read as images."""
    whole = io.BytesIO()
    draw_image(80, 80).save(whole, "JPEG")
    png = io.BytesIO()
    draw_image(80, 80).save(png, "PNG")
    (folder / "text.jpg").write_text("not an image at all")
    (folder / "empty.png").write_bytes(b"")
    (folder / "truncated.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    (folder / "truncated.png").write_bytes(png.getvalue()[: len(png.getvalue()) // 2])
    (folder / "folder.jpg").mkdir()


@pytest.mark.parametrize(
    "name", ["text.jpg", "empty.png", "truncated.jpg", "truncated.png", "folder.jpg", "missing.jpg"]
)
def test_unreadable_file_is_named(tmp_path, name):
    write_unreadable(tmp_path)
    with pytest.raises(InputError, match=name):
        open_image(tmp_path / name)


def test_error_for_another_format_lists_the_readable_ones(tmp_path):
    draw_image(8, 8).save(tmp_path / "a.tga")
    with pytest.raises(InputError, match=r"a\.tga is not an image .*JPEG, .*PNG"):
        open_image(tmp_path / "a.tga")


def test_image_of_too_many_pixels_is_refused(tmp_path, monkeypatch):
    draw_image(64, 64).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match=r"bomb\.png is too large") as caught:
        open_image(tmp_path / "bomb.png")
    assert caught.value.parameters == ["max_size"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_is_written_and_read_back(tmp_path, suffix):
    # An image of one colour, because lossy formats change it by a level or two.
    image = Image.new("RGB", (33, 21), (200, 90, 30))
    path = tmp_path / "new folder" / f"a{suffix}"
    save_image(image, path, quality=100)
    with Image.open(path) as stored:
        assert stored.format == FORMATS[suffix]
    assert max_difference(open_image(path), image) <= 3


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_alpha_is_written_if_the_format_has_it(tmp_path, suffix):
    image = Image.new("RGBA", (16, 16), (10, 200, 30, 128))
    save_image(image, tmp_path / f"a{suffix}")
    assert open_image(tmp_path / f"a{suffix}").getpixel((8, 8))[3] == 128


def test_uppercase_suffix_is_accepted(tmp_path):
    save_image(Image.new("RGB", (8, 8)), tmp_path / "A.JPG")
    assert open_image(tmp_path / "A.JPG").size == (8, 8)


def test_transparent_image_becomes_white_in_a_jpeg(tmp_path):
    image = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    image.paste((200, 0, 0, 255), (0, 0, 16, 32))
    save_image(image, tmp_path / "a.jpg")
    opened = open_image(tmp_path / "a.jpg")
    assert opened.mode == "RGB"
    assert min(opened.getpixel((28, 16))) >= 250
    assert opened.getpixel((4, 16))[0] > 190


def test_quality_changes_the_size_of_the_file(tmp_path):
    for suffix in (".jpg", ".webp"):
        sizes = []
        for quality in (20, 95):
            save_image(draw_image(96, 96), tmp_path / f"a{suffix}", quality)
            sizes.append((tmp_path / f"a{suffix}").stat().st_size)
        assert sizes[0] < sizes[1]


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.gif"])
def test_unknown_suffix_is_refused_and_nothing_written(tmp_path, name):
    with pytest.raises(InputError, match=r"\.png"):
        save_image(Image.new("RGB", (8, 8)), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_failing_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"the old file")

    def fill_the_disk(self, target, *args, **kwargs):
        target.write_bytes(b"half of")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fill_the_disk)
    with pytest.raises(OSError):
        save_image(draw_image(16, 16), path)
    assert path.read_bytes() == b"the old file"
    assert list(tmp_path.iterdir()) == [path]


def test_conversion_between_image_and_tensor_is_exact():
    # All 256 levels, in every channel.
    values = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    values[..., 1] = values[..., 1].T
    image = Image.fromarray(values)
    tensor = to_tensor(image)
    assert tensor.shape == (3, 16, 16) and tensor.dtype == torch.float32
    assert torch.equal(tensor, torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1) / 255)
    assert (np.asarray(to_image(tensor)) == values).all()


def test_tensor_with_four_channels_is_rgba():
    image = Image.new("RGBA", (4, 6), (1, 2, 3, 4))
    assert to_image(to_tensor(image)).mode == "RGBA"


def test_values_outside_0_and_1_are_clamped():
    tensor = torch.tensor([-0.5, 0.0, 1.0, 1.7]).view(1, 1, 4).expand(3, 1, 4)
    assert np.asarray(to_image(tensor))[0, :, 0].tolist() == [0, 0, 255, 255]


def test_scale_to_sets_the_longer_side():
    assert scale_to(Image.new("RGB", (200, 100)), 50).size == (50, 25)
    assert scale_to(Image.new("RGB", (30, 60)), 120).size == (60, 120)
    assert scale_to(Image.new("RGB", (1000, 1)), 10).size == (10, 1)  # no side becomes 0


def test_limit_size_shrinks_and_never_enlarges():
    image = draw_image(80, 60)
    assert limit_size(image, 40).size == (40, 30)
    assert limit_size(image, 80) is image
    assert limit_size(image, 500) is image
    assert limit_size(image, None) is image


def test_find_images_searches_subfolders_and_sorts(tmp_path):
    names = ["b.jpg", "a/z.PNG", "a/deep/er/c.webp", "c.jpeg"]
    others = [".hidden.jpg", ".thumbnails/d.jpg", "notes.txt", "a/._e.jpg"]
    for name in names + others:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    found = find_images(tmp_path)
    assert found == sorted(tmp_path / name for name in names)


def test_find_images_below_a_hidden_folder(tmp_path):
    # Only hidden folders inside the searched one are skipped.
    folder = tmp_path / ".cache" / "photos"
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"")
    assert find_images(folder) == [folder / "a.jpg"]


def test_only_commands_silence_pillow():
    code = """
import logging, warnings
before = list(warnings.filters)
from faststyle.image import validation
assert warnings.filters == before and not logging.getLogger("PIL").handlers
validation.silence_decoders()
warnings.warn_explicit("a warning of Pillow", UserWarning, "TiffImagePlugin.py", 1, "PIL.TiffImagePlugin")
logging.getLogger("PIL.TiffImagePlugin").warning("a message of Pillow")
"""
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert shown.stderr == ""
