"""Open video files with FFmpeg, in formats on a list."""

from pathlib import Path
from typing import Any

from faststyle.errors import InputError, first_line

# FFmpeg's demuxers for files. Playlists are left out: they make FFmpeg open other files.
OPTIONS = {
    "format_whitelist": "mov,matroska,avi,mpeg,mpegvideo,mpegts,asf,flv,ogg,mxf,dv,yuv4mpegpipe,gif,ivf,nut,"
    "h264,hevc,m4v,obu",
    "protocol_whitelist": "file",
}


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
    return import_av().open(str(Path(path).absolute()), options=OPTIONS)


def choose_video(container: Any) -> Any:
    """Return a container's video stream, which is no cover image, and discard the others; None if none."""
    discard = import_av().stream.Discard.all
    cover = import_av().stream.Disposition.attached_pic
    videos = [s for s in container.streams.video if s.codec_context and not s.disposition & cover]
    best = container.streams.best("video")
    chosen = next((s for s in videos if best is not None and s.index == best.index), next(iter(videos), None))
    for other in container.streams:
        if other is not chosen:
            other.discard = discard
    return chosen
