"""Group the values of the controls of the tab Stylize."""

from typing import NamedTuple

from PIL import Image

from faststyle.web import styles, stylize, uploads
from faststyle.web.region import read_region


class Selection(NamedTuple):
    """The values of the controls, in the order in which events pass them on.

    Attributes:
        photo: Path of the uploaded photo.
        name: Name of the style.
        own: The session's own styles.
        strength: Blend from 0 (the photo) to 1 (the style).
        keep_color: Keep the photo's colours.
        size: Longer side of the preview in pixels.
        strokes: A key of ``stylize.STROKES``.
        other: Name of the style to blend with.
        share: Share of the other style, from 0 to 1.
        region: Value of the region field.
    """

    photo: str | None
    name: str | None
    own: styles.Styles
    strength: float = 1.0
    keep_color: bool = False
    size: int = 1024
    strokes: str = stylize.DEFAULT_STROKES
    other: str | None = None
    share: float = styles.DEFAULT_SHARE
    region: str = ""

    def open_photo(self) -> Image.Image:
        """Read the photo at the preview's size.

        Raises:
            InputError: There is no photo, or it cannot be read.
        """
        return uploads.open_upload(self.photo, "photo", self.size)

    def find_style(self) -> styles.Style:
        """Return the style, or its blend with the other one.

        Raises:
            InputError: No style is chosen, or the other style no longer exists.
        """
        return styles.find_style(self.name, self.own, self.other, self.share)

    def style_name(self) -> str:
        """Return the style's name for a file."""
        return styles.blend_name(str(self.name), self.other, self.share)

    def look(self) -> stylize.Look:
        """Return how the result looks.

        Raises:
            InputError: The region cannot be read.
        """
        return stylize.Look(self.strength, self.keep_color, self.strokes, read_region(self.region))
