"""Options of writing image files, with the defaults of the commands, the library and the page."""

from dataclasses import dataclass

from faststyle.options import Settings, option, whole

MIN_FULL_CHROMA_QUALITY = 90  # of a JPEG without chroma subsampling: brush strokes have sharp colour edges


@dataclass(frozen=True)
class FileSettings(Settings):
    """How image files are written."""

    quality: int = option(92, "of JPEG and WebP", whole(1, 100), "1…100", tag="q{}")
