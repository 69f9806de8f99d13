"""What FFmpeg calls the cameras of each system."""

import sys

from faststyle.errors import InputError
from faststyle.video.decoding import import_av

DEVICES = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}


def camera(source: str) -> tuple[str, str | None, dict[str, str]]:
    """What FFmpeg opens for a camera: a name, a format, and options."""
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
