"""Save images as an animated GIF or an MP4."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from faststyle.errors import InputError
from faststyle.files import atomic_write
from faststyle.image.convert import limit_size
from faststyle.video.clips import Clip, Frame
from faststyle.video.gif import MAX_SIDE
from faststyle.video.recorder import Recorder, check_recording

FORMATS = (".gif", ".mp4")
RATE = 10  # frames a second


def check_animation(path: Path) -> None:
    """Check before the work that ``save_animation`` can write a file.

    Raises:
        InputError: Another suffix, or PyAV is missing for MP4.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"cannot write {path}: an animation's name must end in .gif or .mp4")
    if path.suffix.lower() == ".mp4":
        check_recording(path)


def save_animation(frames: Sequence[Image.Image], path: Path) -> tuple[int, int]:
    """Write images of one size as an animation, whose last frame stays for a second.

    Args:
        frames: RGB images.
        path: .gif, which repeats endlessly and is made smaller, or .mp4 (H.264), whose odd sides are padded.

    Returns:
        Width and height in pixels.
    """
    frames = [*frames, *[frames[-1]] * RATE]
    if path.suffix.lower() == ".mp4":
        save_mp4(frames, path)
        return frames[0].size
    frames = [limit_size(frame, MAX_SIDE) for frame in frames]
    with atomic_write(path) as temporary:
        frames[0].save(
            temporary, "GIF", save_all=True, append_images=frames[1:], duration=1000 // RATE, loop=0
        )
    return frames[0].size


def save_mp4(frames: Sequence[Image.Image], path: Path) -> None:
    clip = Clip(str(path), *frames[0].size, Fraction(1, RATE))
    clip.rate = Fraction(RATE)
    with Recorder(path, clip) as recorder:
        for number, frame in enumerate(frames):
            recorder.write(Frame(np.asarray(frame.convert("RGB")), number, 1))
