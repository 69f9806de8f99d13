"""The tab Optimize: the per-image optimization of a photo towards a painting."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import gradio as gr

from faststyle.errors import InputError
from faststyle.image.convert import to_opaque
from faststyle.image.files import save_image
from faststyle.losses.presets import PRESETS
from faststyle.losses.settings import StatisticName
from faststyle.optimization.optimization import Optimization
from faststyle.optimization.settings import OptimizationSettings
from faststyle.web import uploads
from faststyle.web.components import (
    connect_run,
    create_image_field,
    create_status_line,
    render_error,
    render_message,
    render_progress,
)
from faststyle.web.stylize import join_names

SIZES = (256, 384, 512, 768)  # pixels of the longer side
MAX_STEPS = 500
STYLE_WEIGHT = PRESETS[OptimizationSettings.preset].style_weight
EMPTY = '<div class="empty"><p>The optimized image will be here.</p></div>'


def run(
    photo: str | None,
    painting: str | None,
    mask: str | None,
    statistic: StatisticName,
    style_weight: float,
    size: int,
    steps: int,
) -> Iterator[tuple[Any, str, str | None]]:
    """Optimize the photo; yield the best image so far, the status line and the path of the final file."""
    try:
        content = uploads.open_upload(photo, "photo", size)
        target = to_opaque(uploads.open_upload(painting, "painting", uploads.MAX_PAINTING_SIDE))
        yield EMPTY, render_progress("Measuring the painting …"), None
        settings = OptimizationSettings(
            statistic=statistic,
            style_weight=None if style_weight == STYLE_WEIGHT else style_weight,
            size=max(content.size),
            steps=steps,
        )
        masks = [uploads.open_upload(mask, "mask", size)] if mask else None
        optimization = Optimization(content, target, masks, **vars(settings))
        for step in optimization:
            image = optimization.result()
            line = render_progress(f"Step {step.number} of {steps}", step.number, steps)
            yield uploads.render_figure(image, "The optimized image so far", ""), line, None
        image = optimization.result()
        name = join_names(str(photo), Path(str(painting)).stem, settings, "photo")
        file = Path(tempfile.mkdtemp(dir=os.environ["GRADIO_TEMP_DIR"])) / f"{name}.png"
        save_image(image, file)
    except (InputError, OSError) as error:
        yield gr.skip(), render_error(error), None
        return
    line = f"{file.name}: {image.width} × {image.height} pixels"
    yield uploads.render_figure(image, "The optimized image", ""), render_message(line), str(file)


def build() -> None:
    """Build the tab's controls, and connect their events."""
    gr.HTML(
        "<p>The slow method (Gatys et al.) optimizes the pixels of one image. It takes a minute where a "
        "network takes a tenth of a second, needs no training, and can match other statistics than the Gram "
        "matrix.</p>"
    )
    defaults = OptimizationSettings()
    with gr.Row(elem_classes="fields"):
        photo = create_image_field("Photo", "Drop a photo here, paste one, or tap to choose", 210)
        painting = create_image_field("Painting", "Drop a painting here, paste it, or tap to choose", 210)
        mask = create_image_field("Mask", "White where the style is wanted (optional)", 210, optional=True)
    with gr.Row(elem_classes="controls"):
        statistic = gr.Dropdown(
            list(get_args(StatisticName)), value=defaults.statistic, label="Statistic", filterable=False
        )
        size = gr.Radio([(f"{size} pixels", size) for size in SIZES], value=384, label="Size")
    with gr.Row(elem_classes="controls"):
        weight = gr.Slider(0.5, 20, STYLE_WEIGHT, step=0.5, label="Style weight")
        steps = gr.Slider(10, MAX_STEPS, defaults.steps, step=10, label="Steps")
    with gr.Row():
        start = gr.Button("Optimize and download", variant="primary")
        end = gr.Button("Stop", variant="stop")
    status = create_status_line()
    result = gr.HTML(EMPTY, elem_classes="pictures")
    file = gr.DownloadButton(visible="hidden")
    inputs = [photo, painting, mask, statistic, weight, size, steps]
    outputs = [result, status, file]
    connect_run(start, status, end, file, fn=run, inputs=inputs, outputs=outputs, api_name="optimize")
