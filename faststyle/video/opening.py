"""Open video files, animated images, numbered images and cameras."""

import sys
from fractions import Fraction
from math import inf
from pathlib import Path

from faststyle.errors import InputError
from faststyle.files import check_not_special
from faststyle.image.formats import MAGIC_BYTES, READABLE_SUFFIXES, recognize
from faststyle.image.pages import holds_several
from faststyle.image.validation import open_header
from faststyle.video.clips import RATE, Clip, exact_rate
from faststyle.video.containers import has_video, import_av, is_motion_jpeg
from faststyle.video.decoding import VideoClip
from faststyle.video.stills import NUMBER, Animation, Numbered, numbered_files

VIDEOS = "mp4 m4v mov qt mkv webm avi mpg mpeg m2v vob ts mts m2ts wmv asf flv f4v 3gp 3g2 ogv ogm mxf dv y4m"
STREAMS = "h264 264 avc hevc h265 265 vvc h266 266 mjpeg mjpg m1v obu ivf nut vc1"
SUFFIXES = {f".{name}" for name in f"{VIDEOS} {STREAMS}".split()}
ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")  # Pillow's formats that hold one image or several frames
ANIMATED_SUFFIXES = (".gif", ".webp", ".png", ".apng", ".avif")


def image_format(path: Path) -> str | None:
    """Return the format of an image file by its first bytes; None for a camera's stream of JPEG images."""
    try:
        with path.open("rb") as file:
            format = recognize(file.read(MAGIC_BYTES))
        return None if format == "JPEG" and is_motion_jpeg(path) else format
    except OSError:
        return None


def is_animated(path: Path) -> bool:
    """Return True for an image file of several frames."""
    return image_format(path) in ANIMATED and holds_several(path)


def is_pattern(path: Path) -> bool:
    """Return True for a pattern such as ``frames/%04d.png``, unless a file has this name."""
    return bool(NUMBER.search(path.name)) and path.suffix.lower() in READABLE_SUFFIXES and not path.exists()


def numbered(pattern: Path, number: int) -> Path:
    """Return the file of the frame with a number."""
    return pattern.with_name(NUMBER.sub(lambda field: field.group() % number, pattern.name))


def is_clip(path: Path) -> bool:
    """Return True for a video: by its content, or by the suffix of a file that is missing or damaged."""
    if is_pattern(path):
        return True
    if not path.is_file():
        return path.suffix.lower() in SUFFIXES | {".gif"}
    if image_format(path) is not None:
        return is_animated(path)
    return path.suffix.lower() in SUFFIXES or has_video(path)


def open_clip(
    source: str | Path,
    start: float = 0,
    end: float | None = None,
    max_size: int | None = None,
    fps: float | None = None,
) -> Clip:
    """Open a video.

    Args:
        source: A video file, an animated GIF, WebP, PNG or AVIF, a folder of numbered frames, or a pattern of
            their names, such as ``frames/%04d.png``.
        start: Seconds to skip.
        end: Seconds at which to end. By default the video's own end.
        max_size: Shrink frames whose longer side has more pixels.
        fps: Constant frames per second. By default the video's own times, and 25 for frames in a folder and
            for raw streams, which have no times.

    Raises:
        InputError: No such file, no video in it, damaged from its beginning, or the times are out of range.
    """
    path, end = Path(source), inf if end is None else end
    if start < 0:
        raise InputError(f"`start` must be 0 or more seconds, not {start:g}")
    if end <= start:
        raise InputError(f"`start` {start:g} s is not before `end` {end:g} s: give a later `end`")
    rate = None if fps is None else exact_rate(fps)
    if path.is_dir() or is_pattern(path):
        return Numbered(str(path), *numbered_files(path), rate or Fraction(RATE), start, end, max_size)
    if not path.exists():
        raise InputError(f"there is no file {path}", file=path)
    check_not_special(path, str(path))
    if is_animated(path):
        clip: Clip = Animation(path, start, end, max_size)
    else:
        if image_format(path) or (path.suffix.lower() in ANIMATED_SUFFIXES and not has_video(path)):
            open_header(path).close()  # reports what is wrong with the file
        clip = VideoClip(str(path), start, end, max_size, raw_rate=rate)
    if rate is not None and not (isinstance(clip, VideoClip) and clip.raw):
        clip.resample(rate)
    return clip


def open_camera(source: str, max_size: int | None = None) -> Clip:
    """Open a camera.

    Args:
        source: "0" for the first camera; or an address, device or file that FFmpeg opens.
        max_size: As in ``open_clip``.

    Raises:
        InputError: There is no such camera.
    """
    name, form, options = camera_input(source)
    return VideoClip(name, 0, inf, max_size, form=form, options=options, camera=True)


DEVICES = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}


def camera_input(source: str) -> tuple[str, str | None, dict[str, str]]:
    """Return name, format and options of a camera for FFmpeg."""
    av = import_av()
    form = DEVICES.get(sys.platform, "v4l2")
    if source.startswith("/dev/"):
        return source, form, {}
    if not source.isdigit():
        return source, None, {"rtsp_transport": "tcp"} if source.startswith("rtsp") else {}
    if form == "v4l2":
        return f"/dev/video{source}", form, {}
    if form == "avfoundation":
        return f"{source}:none", form, {"framerate": "30"}
    found = av.enumerate_input_devices(form)
    names = [d.name for d in found if "video" in getattr(d, "media_types", ("video",))]
    if int(source) >= len(names):
        raise InputError(f"there is no camera {source}: {len(names)} were found")
    return f"video={names[int(source)]}", form, {}
