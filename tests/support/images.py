"""Small generated images and scikit-image's sample photos."""

import io
from pathlib import Path

import numpy as np
import skimage
import torch
from PIL import Image, ImageDraw

from faststyle.image.arrays import resize
from faststyle.image.convert import scale_to
from faststyle.inference import stroke_scale


def draw_image(width: int, height: int, seed: int = 0) -> Image.Image:
    """Draw ellipses on a colour gradient, so that the image has smooth areas and edges like a photo."""
    random = np.random.default_rng(seed)
    corners = random.integers(0, 256, (2, 2, 3), dtype=np.uint8)
    image = Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = random.integers(0, width), random.integers(0, height)
        r = random.integers(4, max(5, min(width, height) // 3))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=tuple(random.integers(0, 256, 3).tolist()))
    return image


def encoded(width=40, height=40, seed=0, kind="PNG") -> bytes:
    stream = io.BytesIO()
    draw_image(width, height, seed).save(stream, kind)
    return stream.getvalue()


def max_difference(a: Image.Image, b: Image.Image) -> int:
    """Return the largest difference of two images, in 8-bit levels."""
    return int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max())


def sample(name: str, longer: int) -> Image.Image:
    """Load one of scikit-image's photos and scale its longer side to ``longer`` pixels."""
    path = next((Path(skimage.__file__).parent / "data").glob(f"{name}.*"))
    with Image.open(path) as image:
        return scale_to(image.convert("RGB"), longer)


def chroma(images: torch.Tensor) -> torch.Tensor:
    """Return Cb and Cr of ITU-R BT.601, (3,H,W) to (2,H,W)."""
    r, g, b = images.double()
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return torch.stack([(b - y) / 1.772, (r - y) / 1.402])


def fixed(value: float) -> bytes:
    """Encode a number as an ICC s15Fixed16Number."""
    return round(value * 65536).to_bytes(4, "big", signed=True)


def curve(gamma: float) -> bytes:
    """Encode a gamma as an ICC curve."""
    return b"curv" + bytes(4) + (1).to_bytes(4, "big") + round(gamma * 256).to_bytes(2, "big") + bytes(2)


def display_p3_profile() -> bytes:
    """Build an ICC matrix profile with Display P3's primaries, adapted to D50, and a gamma of 2.2."""
    columns = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    tags = {name: b"XYZ " + bytes(4) + b"".join(map(fixed, xyz)) for name, xyz in columns.items()}
    return icc_profile(b"RGB ", tags | {name: curve(2.2) for name in (b"rTRC", b"gTRC", b"bTRC")})


def gray_profile(gamma: float) -> bytes:
    """Build an ICC profile of grey with a gamma."""
    return icc_profile(b"GRAY", {b"kTRC": curve(gamma)})


def icc_profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Build an ICC profile of a display from its colour space and its tags."""
    white = b"".join(map(fixed, (0.96420, 1.0, 0.82491)))
    text = b"test\0"
    tags = {**tags, b"wtpt": b"XYZ " + bytes(4) + white}
    tags[b"desc"] = b"desc" + bytes(4) + len(text).to_bytes(4, "big") + text + bytes(79) + bytes(2)
    tags[b"cprt"] = b"text" + bytes(4) + b"none\0" + bytes(3)

    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + (start + len(body)).to_bytes(4, "big") + len(data).to_bytes(4, "big")
        body += data
    content = len(tags).to_bytes(4, "big") + table + body
    header = (128 + len(content)).to_bytes(4, "big") + bytes(4) + bytes.fromhex("02400000")
    header += b"mntr" + space + b"XYZ " + bytes(12) + b"acsp" + bytes(28) + white
    return header + bytes(128 - len(header)) + content


def enlarge(stylized: torch.Tensor, photos: torch.Tensor) -> torch.Tensor:
    """Enlarge stylized small photos, (B,3,h,w), to the size of the original photos, (B,3,H,W)."""
    results = torch.empty_like(photos)
    for one, photo, out in zip(stylized, photos, results, strict=True):
        small = resize(photo[None], one.shape[-2:])[0].clamp(0, 1)
        stroke_scale.enlarge(small, one, photo, out)
    return results


def level_differences(a: Image.Image, b: Image.Image) -> np.ndarray:
    """Return the absolute differences of two images' grey levels."""
    return np.abs(np.asarray(a, int) - np.asarray(b, int))
