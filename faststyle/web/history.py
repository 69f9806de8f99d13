"""Settings that are kept over a reload of the page, and undone."""

from functools import partial
from typing import Any

import gradio as gr

from faststyle.web.components import PRIVATE

Values = tuple[Any, ...]
MAX_HISTORY = 50


def connect_settings(page: gr.Blocks, controls: list[Any], undo: gr.Button) -> None:
    """Keep the values of controls in the browser, and connect the button that undoes a change.

    Args:
        page: The page.
        controls: Sliders, checkboxes, radio buttons and dropdowns.
        undo: The button.
    """
    stored = gr.BrowserState(None, storage_key="faststyle", secret="faststyle")
    history = gr.State([tuple(control.value for control in controls)])
    page.load(partial(restore, controls), [stored, *controls], [history, *controls], **PRIVATE)
    gr.on(
        [control.change for control in controls],
        partial(record, controls),
        [history, *controls],
        [history, stored],
        queue=False,
        **PRIVATE,
    )
    undo.click(step_back, history, [history, *controls], **PRIVATE)


def restore(controls: list[Any], stored: list[Any] | None, *current: Any) -> list[Any]:
    """Return a history of one entry, and its values: those that the browser keeps, or the current ones.

    A value that its control does not offer is replaced by the current one, as is an earlier session's style.
    """
    if not isinstance(stored, list) or len(stored) != len(current):
        stored = list(current)
    values = [
        old if offers(control, old) else new
        for control, old, new in zip(controls, stored, current, strict=True)
    ]
    return [[tuple(values)], *values]


def offers(control: Any, value: Any) -> bool:
    """Return True if a control can have this value."""
    if isinstance(control, gr.Checkbox):
        return isinstance(value, bool)
    if isinstance(control, gr.Slider):
        return isinstance(value, int | float) and control.minimum <= value <= control.maximum
    return value in [choice for _, choice in control.choices]


def record(controls: list[Any], history: list[Values], *values: Any) -> tuple[list[Values], list[Any]]:
    """Add the controls' values to the history, and return it with the values for the browser.

    Of successive positions of one slider only the last is kept.
    """
    kept = history
    if kept[-1] != values:
        if len(kept) > 1:
            changed = find_change(kept[-2], kept[-1])
            if changed == find_change(kept[-1], values) and isinstance(controls[changed], gr.Slider):
                kept = kept[:-1]
        kept = [*kept, values][-MAX_HISTORY:]
    return kept, list(values)


def find_change(before: Values, after: Values) -> int:
    """Return the place of the first value that differs."""
    return next(place for place, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1])


def step_back(history: list[Values]) -> list[Any]:
    """Return the history without its newest values, and the values before them."""
    kept = history[:-1] or history
    return [kept, *kept[-1]]
