"""Gradio theme of the page: system fonts and one accent colour. page.css and page.js add to it."""

from pathlib import Path

import gradio as gr

FOLDER = Path(__file__).parent
CSS = FOLDER / "page.css"
HEAD = f"<script>{(FOLDER / 'page.js').read_text(encoding='utf-8')}</script>"

# Names of system fonts, because the fonts of Gradio's own themes are downloaded.
SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
MONO = ("ui-monospace", "Consolas", "monospace")


def create_theme() -> gr.themes.Base:
    """Create the page's theme."""
    return gr.themes.Base(
        primary_hue="indigo", neutral_hue="stone", font=SANS, font_mono=MONO, radius_size="lg"
    ).set(
        body_background_fill="*neutral_50",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_border_width="0px",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_100",
        block_title_text_weight="600",
        block_padding="0px",
        input_background_fill="white",
        input_background_fill_dark="*neutral_800",
        input_border_width="1px",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_600",
        checkbox_border_color="*neutral_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_large_text_size="*text_md",
        button_small_text_weight="500",
    )
