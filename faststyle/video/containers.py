"""Open video files with FFmpeg, in formats on a list, by their content and not by their suffix."""

import io
from pathlib import Path
from typing import Any

from PIL import Image

from faststyle.errors import InputError, first_line
from faststyle.image.formats import READABLE_SUFFIXES

# FFmpeg's demuxers for files. Playlists are left out: they make FFmpeg open other files.
OPTIONS = {
    "format_whitelist": "mov,matroska,avi,mpeg,mpegvideo,mpegts,asf,flv,ogg,mxf,dv,yuv4mpegpipe,gif,ivf,nut,"
    "h264,hevc,vvc,m4v,obu,mjpeg,vc1",
    "protocol_whitelist": "file",
}
JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
# Bytes in which a second JPEG is sought: fewer for names of photos, because folders have thousands.
MAX_PHOTO_BYTES, MAX_FRAME_BYTES = 1 << 18, 1 << 23


def import_av() -> Any:
    """Import PyAV.

    Raises:
        InputError: It is not installed.
    """
    try:
        import av
    except ImportError:
        raise InputError("video needs PyAV: pip install -e '.[video]'") from None
    return av


def ffmpeg_message(error: BaseException) -> str:
    """Return FFmpeg's message of an error, without number and file."""
    return getattr(error, "strerror", None) or first_line(error)


def open_file(path: str | Path) -> Any:
    """Open a file as PyAV's container.

    Raises:
        FFmpegError: FFmpeg cannot read it, or its format is not on the list.
    """
    # FFmpeg would take a relative name with a colon for an address.
    av, path = import_av(), Path(path).absolute()
    try:
        return av.open(str(path), format="mjpeg" if is_motion_jpeg(path) else None, options=OPTIONS)
    except (av.error.InvalidDataError, av.error.ArgumentError):
        form = format_by_content(path)
        if form is None:
            raise
        return av.open(str(path), format=form, options=OPTIONS)


def format_by_content(path: Path) -> str | None:
    """Return FFmpeg's name of a file's format by its content alone, because a suffix can mislead FFmpeg."""
    av = import_av()
    try:
        with path.open("rb") as file, av.open(file, options=OPTIONS) as container:
            return container.format.name.split(",")[0]
    except (av.FFmpegError, OSError, ValueError):
        return None


def is_motion_jpeg(path: Path) -> bool:
    """Return True for a file of JPEG images of one size, one after another: a stream of a camera.

    Photos of phones can hold several images, too. They have a list of these, which begins with "MPF".
    """
    with path.open("rb") as file:
        data = file.read(len(JPEG_START))
        if data != JPEG_START:
            return False
        data += file.read(MAX_PHOTO_BYTES if path.suffix.lower() in READABLE_SUFFIXES else MAX_FRAME_BYTES)
    at = data.find(JPEG_END)
    while at >= 0:
        rest = data[at + len(JPEG_END) :].lstrip(b"\0")
        if rest.startswith(JPEG_START):
            return b"MPF\0" not in data[:at] and jpeg_size(rest) == jpeg_size(data)
        at = data.find(JPEG_END, at + 1)
    return False


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return the size of a JPEG by its header; None if it is damaged."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            return image.size
    # Pillow raises many exception classes for damaged files.
    except Exception:
        return None


def has_video(path: Path) -> bool:
    """Return True for a file in which FFmpeg finds a video of a known codec and size."""
    try:
        av = import_av()
        with open_file(path) as container:
            video = choose_video(container)
            return video is not None and bool(video.codec_context.width and video.codec_context.pix_fmt)
    except InputError:  # without PyAV, the suffix decides
        return False
    except (av.FFmpegError, OSError, ValueError):
        return False


def choose_video(container: Any) -> Any:
    """Return a container's video, and discard its other streams; None if it holds none but cover images."""
    discard = import_av().stream.Discard.all
    cover = import_av().stream.Disposition.attached_pic
    videos = [s for s in container.streams.video if s.codec_context and not s.disposition & cover]
    best = container.streams.best("video")
    chosen = next((s for s in videos if best is not None and s.index == best.index), next(iter(videos), None))
    for other in container.streams:
        if other is not chosen:
            other.discard = discard
    return chosen


def decoder_for(stream: Any) -> Any:
    """Return a decoder of a video stream that decodes its transparency too.

    WebM holds the transparency of VP8 and VP9 beside the stream. FFmpeg's own decoders pass over it.
    """
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name)
    av = import_av()
    if tags.get("alpha_mode") != "1" or name not in av.codecs_available:
        return stream.codec_context
    decoder = av.CodecContext.create(name, "r")
    decoder.extradata = stream.codec_context.extradata
    return decoder
