"""Settings that are kept over a reload of the page, and undone."""

from typing import Any

import gradio as gr

from faststyle.web.components import PRIVATE
from faststyle.web.styles import DEFAULT_STYLE, list_built_in_styles

Values = tuple[Any, ...]
MAX_HISTORY = 50


def connect_settings(page: gr.Blocks, controls: list[Any], undo: gr.Button) -> None:
    """Keep the values of controls in the browser, and connect the button that undoes a change.

    Args:
        page: The page.
        controls: The controls; the first one is a style's.
        undo: The button.
    """
    stored = gr.BrowserState(None, storage_key="faststyle", secret="faststyle")
    history = gr.State([])
    page.load(restore, [stored, *controls], [history, *controls], **PRIVATE)
    gr.on(
        [control.change for control in controls],
        record,
        [history, *controls],
        [history, stored],
        queue=False,
        **PRIVATE,
    )
    undo.click(step_back, history, [history, *controls], **PRIVATE)


def restore(stored: list[Any] | None, *current: Any) -> list[Any]:
    """Return a history of one entry, and its values: those that the browser keeps, or the current ones."""
    values = stored if isinstance(stored, list) and len(stored) == len(current) else list(current)
    if values[0] not in list_built_in_styles():  # a session's own style, which is gone
        values[0] = DEFAULT_STYLE
    return [[tuple(values)], *values]


def record(history: list[Values], *values: Any) -> tuple[list[Values], list[Any]]:
    """Add the controls' values to the history, and return it with the values for the browser.

    While a slider moves, only its last position is kept.
    """
    kept = history
    if not kept or kept[-1] != values:
        if len(kept) > 1 and moved_slider(kept[-2], kept[-1]) == moved_slider(kept[-1], values) is not None:
            kept = kept[:-1]
        kept = [*kept, values][-MAX_HISTORY:]
    return kept, list(values)


def moved_slider(before: Values, after: Values) -> int | None:
    """Return the place of the value that differs if it is the only one and a fraction, else None."""
    places = [place for place, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]
    return places[0] if len(places) == 1 and isinstance(after[places[0]], float) else None


def step_back(history: list[Values]) -> list[Any]:
    """Return the history without its newest values, and the values before them."""
    kept = history[:-1] or history
    return [kept, *(kept[-1] if kept else [])]
