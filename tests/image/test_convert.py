"""Tests of conversion between files, PIL images and tensors: orientation, profile, alpha, bit depth."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from faststyle.image.convert import limit_size, scale_to, to_image, to_rgb, to_tensor
from faststyle.image.files import open_image
from tests.support.images import display_p3_profile, draw_image, gray_profile, max_difference

ORIENTATION = 0x0112  # the EXIF tag


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


def with_alpha(image: Image.Image, mode: str) -> Image.Image:
    """Convert an image to a mode with transparency, a ramp."""
    image = image.convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image.convert("LA").convert(mode) if mode in ("LA", "La") else image.convert(mode)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("transparency", [None, 3, bytes(range(0, 256, 4))])
def test_profile_is_applied_to_palettes(tmp_path, suffix, transparency):
    palette = draw_image(64, 48).quantize(64)
    options = {} if transparency is None or suffix == "tif" else {"transparency": transparency}
    palette.save(tmp_path / f"a.{suffix}", icc_profile=display_p3_profile(), **options)
    palette.convert("RGB").save(tmp_path / "b.png", icc_profile=display_p3_profile())
    opened, expected = open_image(tmp_path / f"a.{suffix}"), open_image(tmp_path / "b.png")
    assert opened.mode == ("RGBA" if options else "RGB")
    assert max_difference(opened.convert("RGB"), expected) == 0
    assert max_difference(expected, palette.convert("RGB")) > 4


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_profile_is_applied_to_grey(tmp_path, suffix, mode):
    image = with_alpha(draw_image(64, 48), "LA") if mode == "LA" else draw_image(64, 48).convert(mode)
    image.save(tmp_path / f"a.{suffix}", icc_profile=gray_profile(1.0))
    values = np.asarray(image.convert("L"), float) / 255
    encoded = np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)
    opened = open_image(tmp_path / f"a.{suffix}")
    assert opened.mode == ("RGBA" if mode == "LA" else "RGB")
    assert np.abs(np.asarray(opened, float)[..., 0] - 255 * encoded).max() < 2
    if mode == "LA":
        assert max_difference(opened.getchannel("A"), image.getchannel("A")) == 0


@pytest.mark.parametrize("mode", ["RGBA", "RGBa", "PA", "LA", "La"])
def test_profile_is_applied_in_every_mode_with_transparency(mode):
    image = with_alpha(draw_image(64, 48), mode)
    grey = mode.startswith("L")
    straight = image.convert("LA" if grey else "RGBA")
    image.info["icc_profile"] = gray_profile(1.0) if grey else display_p3_profile()
    opaque = straight.convert("L" if grey else "RGB")
    opaque.info["icc_profile"] = image.info["icc_profile"]
    assert max_difference(to_rgb(image).convert("RGB"), to_rgb(opaque)) <= 1
    assert to_rgb(image).mode == "RGBA"


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


@pytest.mark.parametrize("mode", ["LA", "La", "PA", "RGBA", "RGBa"])
def test_modes_with_alpha_become_rgba(mode):
    image = draw_image(20, 10).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((20, 10)))
    image = image.convert("LA").convert("La") if mode == "La" else image.convert(mode)
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
