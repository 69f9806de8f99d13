"""The control that picks a style: its choices, and those that a session adds."""

import gradio as gr

from faststyle.web import styles
from faststyle.web.components import PRIVATE


def create_style_buttons(own: styles.Styles) -> gr.Radio:
    """Create the radio buttons of the styles, which page.css shows as the sample images.

    Args:
        own: Styles to offer beside the built-in ones.
    """
    return gr.Radio(
        styles.list_choices(styles.list_styles(own)),
        value=styles.DEFAULT_STYLE,
        label="Style",
        elem_classes="styles",
    )


def create_blend_controls(own: gr.State) -> tuple[gr.Dropdown, gr.Slider]:
    """Create the choice of a second style, and the slider of its share, which appears with it."""

    def choices(own: styles.Styles) -> list[tuple[str, str]]:
        return [("No other style", ""), *styles.list_choices(styles.list_styles(own))]

    other = gr.Dropdown(choices(own.value), value="", label="Blend with", filterable=False)
    share = gr.Slider(0, 1, styles.DEFAULT_SHARE, step=0.1, label="Share of the other style", visible=False)
    other.change(lambda name: gr.Slider(visible=bool(name)), other, share, **PRIVATE)
    own.change(lambda own: gr.Dropdown(choices=choices(own)), own, other, **PRIVATE)
    return other, share


def offer_own_styles(own: gr.State, control: gr.Radio | gr.Dropdown) -> None:
    """Offer and select a style in a control when the session adds it."""
    own.change(
        lambda own: gr.update(choices=styles.list_choices(styles.list_styles(own)), value=list(own)[-1]),
        own,
        control,
        **PRIVATE,
    )
