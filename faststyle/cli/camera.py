"""``faststyle camera``: a camera, live in a window or recorded."""

from faststyle.cli.camera_options import Options


def run(options: Options) -> int:
    """Stylize the camera until the user ends it; return 1 where the camera broke down."""
    # torch is imported when there is work, so that --help answers at once.
    from faststyle.cli.stylize_camera import stylize_camera

    return stylize_camera(options)
