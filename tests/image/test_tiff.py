"""Tests of TIFF files of every kind of sample, held against what was written and against a second reader."""

import io

import numpy as np
import pytest
from PIL import Image

from faststyle.errors import InputError
from faststyle.image import tiff
from faststyle.image.files import open_image
from faststyle.image.vips import count_pixels, decode_to_file
from tests.support.images import display_p3_profile, max_difference

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

WHITE = {
    "uint8": 255,
    "uint16": 65_535,
    "uint32": 2**32 - 1,
    "int8": 127,
    "int16": 32_767,
    "int32": 2**31 - 1,
}
WHITE |= {"float16": 1, "float32": 1, "float64": 1}
COMPRESSIONS = [None, "adobe_deflate", "lzw", "packbits", "lzma", "zstd"]
HEIGHT, WIDTH = 30, 41


def ramps(kind: str, channels: int) -> np.ndarray:
    """Return channels of different ramps over the whole range of a type, (H,W,C)."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    across, down = x / (WIDTH - 1), y / (HEIGHT - 1)
    all_ramps = np.stack([across, down, (x + y) % WIDTH / (WIDTH - 1), 1 - across, down], -1)
    values = all_ramps[..., :channels] * WHITE[kind]
    return (values if kind.startswith("float") else values.round()).astype(kind)


def write(values: np.ndarray, planar: str = "contig", **options) -> io.BytesIO:
    """Write a TIFF of channels: grey, grey and alpha, RGB, RGBA, or RGBA and another one."""
    channels = values.shape[-1]
    options.setdefault("photometric", "minisblack" if channels < 3 else "rgb")
    if channels in (2, 4, 5):
        options.setdefault("extrasamples", ["unassalpha", "unspecified"][: 2 if channels == 5 else 1])
    stream = io.BytesIO()
    if channels == 1:
        tifffile.imwrite(stream, values[..., 0], **options)
    else:
        stored = np.moveaxis(values, -1, 0) if planar == "separate" else values
        tifffile.imwrite(stream, stored, planarconfig=planar, **options)
    stream.seek(0)
    return stream


def expected_levels(values: np.ndarray, white: float) -> np.ndarray:
    """Return what ``open_image`` must give, as floats, in the channels of RGB or RGBA."""
    levels = values.astype(float) / white * 255
    if values.shape[-1] < 3:
        levels = np.concatenate([np.repeat(levels[..., :1], 3, -1), levels[..., 1:]], -1)
    return levels[..., :4]


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("kind", WHITE)
def test_every_kind_of_sample_is_read_right(tmp_path, kind, planar, channels):
    pyvips = pytest.importorskip("pyvips")
    values = ramps(kind, channels)
    expected = expected_levels(values, WHITE[kind])
    for compression in COMPRESSIONS:
        for predictor in (False, True) if compression in ("adobe_deflate", "lzw") else (False,):
            data = write(values, planar, compression=compression, predictor=predictor).getvalue()
            opened = np.asarray(open_image(io.BytesIO(data)), float)
            assert opened.shape == expected.shape
            assert np.abs(opened - expected).max() <= 1, (compression, predictor)
            # libvips knows no half and double floats, mixes grey with its alpha in planes, and lacks codecs.
            readable = kind not in ("float16", "float64") and (channels, planar) != (2, "separate")
            if readable and compression not in ("lzma", "zstd"):
                other = pyvips.Image.tiffload_buffer(data).numpy().reshape(values.shape)
                assert np.abs(expected_levels(other, WHITE[kind]) - expected).max() < 0.01


@pytest.mark.parametrize(
    "options",
    [
        {"byteorder": ">"},
        {"bigtiff": True},
        {"bigtiff": True, "byteorder": ">"},
        {"tile": (16, 16)},
        {"rowsperstrip": 7},
    ],
)
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_layouts_of_the_file(kind, planar, options):
    values = ramps(kind, 3)
    opened = np.asarray(open_image(write(values, planar, **options)), float)
    assert np.abs(opened - expected_levels(values, WHITE[kind])).max() <= 1


@pytest.mark.parametrize("kind", WHITE)
def test_grey_whose_white_is_zero(kind):
    values = ramps(kind, 1)
    opened = np.asarray(open_image(write(values, photometric="miniswhite")), float)
    assert np.abs(opened - (255 - expected_levels(values, WHITE[kind]))).max() <= 1.01


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_cmyk(kind, planar):
    values = ramps(kind, 4)
    opened = open_image(write(values, planar, photometric="separated", extrasamples=[]))
    inks = Image.fromarray((values / WHITE[kind] * 255).round().astype(np.uint8), "CMYK")
    assert max_difference(opened, inks.convert("RGB")) <= 2


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_unusual_numbers_of_bits(bits):
    values = (ramps("uint16", 1).astype(float) / 65_535 * (2**bits - 1)).round().astype(np.uint16)
    try:
        stream = write(values, bitspersample=bits)
    except (ValueError, NotImplementedError) as error:
        pytest.fail(str(error))
    opened = np.asarray(open_image(stream), float)
    assert np.abs(opened - expected_levels(values, 2**bits - 1)).max() <= 1


RANGES = {  # smallest and largest value, and the values that are black and white
    "0 to 255": (0, 255, 0, 255),
    "nearly 0 to 255": (3, 250, 0, 255),
    "0 to 65535": (0, 65_535, 0, 65_535),
    "a camera's 12 bits": (0, 4_095, 0, 4_095),
    "thousands": (0, 1_000, 0, 1_000),
    "negative": (-1_000, 3_000, -1_000, 3_000),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["int32", "uint32", "float32", "float64"])
@pytest.mark.parametrize("name", RANGES)
def test_range_that_the_type_does_not_say(kind, channels, name):
    low, high, black, white = RANGES[name]
    if low < 0 and kind == "uint32":
        low, black = 0, 0
    values = (low + ramps("float64", channels) * (high - low)).astype(kind)
    opened = np.asarray(open_image(write(values)), float)[..., :channels]
    assert np.abs(opened - (values.astype(float) - black) / (white - black) * 255).max() <= 1


def test_floats_with_bright_highlights_keep_their_range():
    values = ramps("float32", 3) * 0.9
    values[:2] = 40
    opened = np.asarray(open_image(write(values)), float)
    assert np.abs(opened - (values * 255).clip(0, 255)).max() <= 1


def test_values_that_are_no_numbers_are_black_and_white():
    values = ramps("float32", 3)
    values[0, :3, 0] = np.nan, np.inf, -np.inf
    assert np.asarray(open_image(write(values)))[0, :3, 0].tolist() == [0, 255, 0]
    assert not np.asarray(open_image(write(np.full_like(values, np.nan)))).any()


@pytest.mark.parametrize("value", [0, 7, 2**31])
def test_images_of_one_value(value):
    open_image(write(np.full((8, 9, 3), value, np.uint32)))


def test_orientation_and_profile_are_applied(tmp_path):
    values = ramps("uint16", 3)
    tags = [(274, "H", 1, 6, True)]
    stream = write(values, "separate", extratags=tags, iccprofile=display_p3_profile())
    opened = open_image(stream)
    levels = Image.fromarray((values / 257).round().astype(np.uint8)).transpose(Image.Transpose.ROTATE_270)
    levels.save(tmp_path / "a.png", icc_profile=display_p3_profile())
    assert opened.size == (HEIGHT, WIDTH)
    assert max_difference(opened, open_image(tmp_path / "a.png")) <= 1


def test_premultiplied_colours_are_divided():
    values = np.zeros((8, 8, 4), np.float32)
    values[..., 0], values[..., 3] = 0.25, 0.5
    opened = open_image(write(values, extrasamples=["assocalpha"]))
    assert opened.mode == "RGBA" and opened.getpixel((3, 3)) == pytest.approx((128, 0, 0, 128), abs=2)


@pytest.mark.parametrize("channels", [3, 5])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_channels_of_unknown_colours_are_refused(tmp_path, kind, channels):
    extra = ["unspecified"] * (channels - 1)
    stream = write(ramps(kind, channels), photometric="minisblack", extrasamples=extra)
    with pytest.raises(InputError, match=rf"a\.tif has {channels} channels of the kind MINISBLACK"):
        open_image(stream, "a.tif")


def test_missing_codec_is_named(monkeypatch):
    class Missing:
        def __getitem__(self, key):
            raise KeyError(f"{key!r} requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TIFF, "DECOMPRESSORS", Missing())
    with pytest.raises(
        InputError, match=r"a\.tif is a TIFF of a compression .*: pip install -e '\.\[tiff\]'"
    ):
        open_image(write(ramps("float16", 3), compression="lzw"), "a.tif")


def test_too_many_samples_are_refused(monkeypatch):
    from faststyle.image import validation

    monkeypatch.setattr(validation, "MAX_PILLOW_PIXELS", 1_000)
    with pytest.raises(InputError, match=r"a\.tif is too large"):
        open_image(write(ramps("float64", 3)), "a.tif")


@pytest.mark.parametrize("kind", ["uint32", "float32"])
def test_libvips_leaves_other_samples_to_us(tmp_path, kind, monkeypatch):
    pytest.importorskip("pyvips")
    monkeypatch.setattr("faststyle.image.vips.MIN_VIPS_PIXELS", 0)
    (tmp_path / "a.tif").write_bytes(write(ramps(kind, 3)).getvalue())
    assert count_pixels(tmp_path / "a.tif") == 0


def test_libvips_does_not_mix_grey_with_its_alpha(tmp_path, monkeypatch):
    pytest.importorskip("pyvips")
    monkeypatch.setattr("faststyle.image.vips.MIN_VIPS_PIXELS", 0)
    (tmp_path / "a.tif").write_bytes(write(ramps("uint8", 2), "separate").getvalue())
    assert count_pixels(tmp_path / "a.tif") == 0


def test_compression_that_libvips_lacks_is_no_black_image(tmp_path):
    pytest.importorskip("pyvips")
    (tmp_path / "a.tif").write_bytes(write(ramps("uint8", 3), compression="lzma").getvalue())
    try:
        pixels, _ = decode_to_file(tmp_path / "a.tif", tmp_path / "raw")
        assert np.abs(pixels - expected_levels(ramps("uint8", 3), 255)).max() <= 1
    except InputError as error:
        assert "a.tif is damaged or cannot be read" in str(error)


def test_damaged_files_are_left_to_pillow():
    data = write(ramps("uint16", 3), "separate").getvalue()
    for length in (9, 100, len(data) // 2):
        with pytest.raises(InputError, match=r"^a\.tif"):
            open_image(io.BytesIO(data[:length]), "a.tif")
    assert tiff.needs_tifffile(io.BytesIO(data), "a.tif")
