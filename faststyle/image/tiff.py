"""TIFF files whose samples Pillow cannot read, or reads wrongly without an error."""

from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile

from faststyle.errors import InputError
from faststyle.image.exif import ORIENTATION_TAG
from faststyle.image.levels import to_levels

PROFILE_TAG = 34675
UNSIGNED, FLOAT = 1, 3  # values of the tag SampleFormat
MIN_IS_WHITE, MIN_IS_BLACK, RGB, CMYK = 0, 1, 2, 5  # values of the tag PhotometricInterpretation
COLORS = {MIN_IS_WHITE: 1, MIN_IS_BLACK: 1, RGB: 3, CMYK: 4}  # samples before the extra ones
MODES = {1: "L", 3: "RGB", 4: "CMYK"}  # of Pillow, by the number of colours
ALPHAS = {1: "RGBa", 2: "RGBA"}  # modes by the tag ExtraSamples; 1 is premultiplied


def needs_tifffile(file: IO[bytes], name: str) -> bool:
    """Return True for a TIFF that Pillow cannot read or reads wrongly, and ``SampledTiff`` can read.

    Raises:
        InputError: Neither can read it.
    """
    import tifffile

    try:
        with tifffile.TiffFile(file) as tiff:
            page: Any = tiff.pages[0]
            # Pillow takes a BigTIFF of the other byte order for no TIFF.
            if is_read_by_pillow(page) and not (tiff.is_bigtiff and tiff.byteorder == ">"):
                return False
            check_layout(page, name)
            return True
    except InputError:
        raise
    except Exception:  # Pillow reports damage
        return False


def is_read_by_pillow(page: Any) -> bool:
    """Return True if Pillow reads the samples of a page correctly."""
    bits, samples = page.bitspersample, page.samplesperpixel
    grey = COLORS.get(page.photometric) == 1
    if bits not in (1, 2, 4, 8, 16, 32) or (bits > 8 and page.photometric == MIN_IS_WHITE):
        return False
    if grey and samples > 2:
        return False
    if page.sampleformat != UNSIGNED or bits > 16:
        return bool(page.sampleformat == FLOAT and bits == 32 and samples == 1)
    if page.planarconfig == 2 and samples > 1:  # each channel apart
        return bool(bits == 8 and samples in (3, 4))
    return bool(samples == 1 or bits == 8 or samples in (3, 4))


def check_layout(page: Any, name: str) -> None:
    """Check that ``SampledTiff`` knows the meaning of a page's channels, and their compression.

    Raises:
        InputError: It does not.
    """
    import tifffile

    colors = COLORS.get(page.photometric, 0)
    samples, kind = page.samplesperpixel, getattr(page.photometric, "name", page.photometric)
    too_many = colors == 1 and samples > 2
    if not 1 <= colors <= samples or too_many or page.imagedepth != 1:
        raise InputError(
            f"{name} has {samples} channels of the kind {kind}: expected grey, RGB or CMYK, with or without "
            "transparency; save it as RGB of 8 or 16 bits",
            file=name,
        )
    try:  # tifffile looks for the package of a codec when the codec is asked for
        tifffile.TIFF.DECOMPRESSORS[page.compression], tifffile.TIFF.UNPREDICTORS[page.predictor]
    except (KeyError, ValueError):
        raise InputError(
            f"{name} is a TIFF of a compression that needs a package: pip install -e '.[tiff]', or save "
            "it without compression",
            file=name,
        ) from None


class SampledTiff(ImageFile.ImageFile):
    """An image of Pillow whose samples tifffile reads: integers or floats, contiguous or in planes."""

    format, format_description = "TIFF", "TIFF of unusual samples"

    def _open(self) -> None:
        import tifffile

        assert self.fp is not None
        self.fp.seek(0)  # tifffile reads from the current place on
        with tifffile.TiffFile(self.fp) as tiff:
            page: Any = tiff.pages[0]
            self._size = page.imagewidth, page.imagelength
            alpha = ALPHAS.get(int(page.extrasamples[0])) if page.extrasamples else None
            colors = COLORS[page.photometric]
            self._mode = alpha if alpha and colors < 4 else MODES[colors]
            self.bytes_per_pixel = -(-page.bitspersample // 8) * page.samplesperpixel
            if PROFILE_TAG in page.tags:
                self.info["icc_profile"] = bytes(page.tags[PROFILE_TAG].value)
            if ORIENTATION_TAG in page.tags:
                exif = Image.Exif()
                exif[ORIENTATION_TAG] = int(page.tags[ORIENTATION_TAG].value)
                self.info["exif"] = exif.tobytes()
        self.tile = []

    def load(self) -> Any:
        if self._im is None:
            self.im = self.decode().im
            if self._exclusive_fp and self.fp is not None:
                self.fp.close()
            self.fp = None
        return super().load()

    def decode(self) -> Image.Image:
        """Read the samples, and scale them to 8 bits."""
        import tifffile

        assert self.fp is not None
        self.fp.seek(0)  # tifffile reads from the current place on
        with tifffile.TiffFile(self.fp) as tiff:
            page: Any = tiff.pages[0]
            values = page.asarray()
            if page.planarconfig == 2 and page.samplesperpixel > 1:
                values = np.moveaxis(values, 0, -1)
            values = values.reshape(self.height, self.width, page.samplesperpixel)
            bits = page.bitspersample
            count, inverted = COLORS[page.photometric], page.photometric == MIN_IS_WHITE
        colors = to_levels(values[..., :count], bits)
        colors = 255 - colors if inverted else colors
        if self.mode in MODES.values():
            return Image.fromarray(colors[..., 0] if count == 1 else colors, self.mode)
        alpha = to_levels(values[..., count : count + 1], bits, is_alpha=True)
        colors = colors if count == 3 else np.repeat(colors, 3, axis=-1)
        return Image.fromarray(np.concatenate([colors, alpha], axis=-1), self.mode)
