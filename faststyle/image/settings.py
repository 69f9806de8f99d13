"""Options of writing image files."""

from dataclasses import dataclass

from faststyle.options import Settings, option, whole


@dataclass(frozen=True)
class FileSettings(Settings):
    """How image files are written."""

    quality: int = option(92, "of JPEG and WebP", whole(1, 100), "1…100", tag="q{}")
