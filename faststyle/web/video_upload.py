"""Uploaded videos: what is accepted, the first frame, and errors in the page's words."""

from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from faststyle.errors import InputError, OutOfMemoryError
from faststyle.image.convert import limit_size
from faststyle.video.clips import Clip
from faststyle.video.containers import ffmpeg_message
from faststyle.video.opening import open_clip
from faststyle.web.uploads import find_upload, remove_folder

MAX_SECONDS = 60  # longer videos are cut
LENGTH_TOLERANCE = 0.1  # seconds; a video that is longer by less is not reported as cut
MAX_FRAME_PIXELS = 36_000_000  # 8K
SUFFIXES = (".mp4", ".mov", ".webm", ".mkv", ".gif", ".avi")
# FFmpeg's demuxers of these formats. Others are refused, because a playlist could name files of the server.
FFMPEG_OPTIONS = {
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif",
    "protocol_whitelist": "file",
}
MAX_PREVIEW_SIDE = 640  # pixels
MISSING_PYAV = "Videos need PyAV: pip install -e '.[video]'"


def has_pyav() -> bool:
    """Return True if PyAV is installed."""
    return find_spec("av") is not None


def check_upload(path: str | None) -> str:
    """Check the type and the frame size of an uploaded video before any frame is decoded.

    Returns:
        The path.

    Raises:
        InputError: Nothing was uploaded, or the file is no video, has a suffix outside ``SUFFIXES`` or has
            frames of more than ``MAX_FRAME_PIXELS``.
    """
    path = find_upload(path, "video")
    name, suffix = Path(path).name, Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{name} is not a video: its name must end in one of {', '.join(SUFFIXES)}.")
    if suffix == ".gif":
        try:
            with Image.open(path, formats=["GIF"]) as image:
                pixels = image.width * image.height
        except (OSError, ValueError, SyntaxError):
            raise InputError(f"{name} is not a GIF that can be read.") from None
    else:
        import av

        try:
            with av.open(path, options=FFMPEG_OPTIONS) as container:
                pixels = max((video.width * video.height for video in container.streams.video), default=0)
        except (av.FFmpegError, OSError, ValueError):
            raise InputError(f"{name} is not a video that can be read.") from None
    if pixels > MAX_FRAME_PIXELS:
        raise InputError(
            f"{name} has frames of {pixels / 1e6:.0f} megapixels, and the page accepts at most "
            f"{MAX_FRAME_PIXELS / 1e6:.0f}: reduce its size first."
        )
    return path


def page_error(error: InputError, path: str) -> InputError:
    """Return the error to show on the page for a library's error about the upload at ``path``."""
    if isinstance(error, OutOfMemoryError):
        return OutOfMemoryError(
            "Frames of this size do not fit into this computer's memory: choose a smaller one."
        )
    # The page has no control for the codec that the library's message names.
    if "codec" in error.parameters and error.__cause__ is not None:
        return InputError(f"The video could not be written ({ffmpeg_message(error.__cause__)}).")
    return InputError(remove_folder(str(error), path))


def get_seconds(clip: Clip) -> float | None:
    """Return the length of a video that was opened without a limit, or None if it is unknown."""
    return float(clip.count / clip.rate) if clip.count and clip.rate else None


def read_first_frame(path: str | None) -> tuple[Image.Image, str]:
    """Return the first frame of a video, reduced for the screen, and a line that describes the video.

    Raises:
        InputError: ``check_upload`` refuses the video, or its first frame cannot be decoded.
    """
    path = check_upload(path)
    try:
        with open_clip(path) as clip:
            seconds = get_seconds(clip)
            frame = limit_size(Image.fromarray(next(clip).pixels), MAX_PREVIEW_SIDE)
    except InputError as error:
        raise page_error(error, path) from None
    line = f"{Path(path).name}: {clip.width} × {clip.height} pixels"
    if seconds:
        line += f", {seconds:.1f} s"
        if seconds > MAX_SECONDS + LENGTH_TOLERANCE:
            line += f"; only the first {MAX_SECONDS} s are stylized"
    return frame, line
