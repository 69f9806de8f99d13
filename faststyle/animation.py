"""Pictures in a row to a GIF or an MP4."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from faststyle.errors import InputError
from faststyle.images import replacing

FORMATS = (".gif", ".mp4")
RATE = 10  # frames a second


def check_animation(path: Path) -> None:
    """Refuse what ``save_animation`` could not write, before the work.

    Raises:
        InputError: another suffix, or PyAV is missing for MP4.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"cannot write {path}: an animation's name must end in .gif or .mp4")
    if path.suffix.lower() == ".mp4":
        try:
            import av  # noqa: F401
        except ImportError:
            raise InputError("MP4 needs PyAV: pip install 'faststyle[video]', or take .gif") from None


def save_animation(frames: Sequence[Image.Image], path: Path) -> None:
    """Write pictures of one size as an animation, whose last frame stays for a second.

    Args:
        frames: RGB.
        path: .gif, which repeats without end, or .mp4 (H.264).
    """
    frames = [*frames, *[frames[-1]] * RATE]
    with replacing(path) as temporary:
        if path.suffix.lower() == ".gif":
            frames[0].save(
                temporary, "GIF", save_all=True, append_images=frames[1:], duration=1000 // RATE, loop=0
            )
        else:
            save_mp4(frames, temporary)


def save_mp4(frames: Sequence[Image.Image], path: Path) -> None:
    import av

    # H.264 halves the colours' resolution, so that it wants even sides.
    width, height = (max(2, side // 2 * 2) for side in frames[0].size)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            pixels = np.asarray(frame.convert("RGB"))[:height, :width]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")))
        container.mux(stream.encode())
