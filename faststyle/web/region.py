"""The field in which a region of the photo is painted. Its value is the mask, as a data URI."""

import base64
import io
from typing import Any

import gradio as gr
from PIL import Image

from faststyle.errors import InputError
from faststyle.image.files import open_image
from faststyle.image.validation import open_header
from faststyle.web import uploads
from faststyle.web.components import render_error, render_message

MAX_FIELD_SIDE = 800  # pixels of the longer side
PREFIX = "data:image/png;base64,"
TEMPLATE = (
    '${photo ? `<figure><img src="${photo}" alt="Paint on this photo"><canvas></canvas></figure>` : ""}'
)
PAINT = """
let last = null;
const canvas = () => element.querySelector("canvas");
const position = (event) => {
  const scale = canvas().width / canvas().clientWidth;
  return [event.offsetX * scale, event.offsetY * scale];
};
const paint = (event) => {
  const context = canvas().getContext("2d"), next = position(event);
  context.strokeStyle = "white";
  context.lineWidth = Math.max(canvas().width, canvas().height) / 12;
  context.lineCap = "round";
  context.beginPath();
  context.moveTo(...(last ?? next));
  context.lineTo(...next);
  context.stroke();
  last = next;
};
element.addEventListener("load", (event) => {
  Object.assign(canvas(), { width: event.target.naturalWidth, height: event.target.naturalHeight });
}, true);
element.addEventListener("pointerdown", (event) => {
  if (event.target !== canvas()) return;
  canvas().setPointerCapture(event.pointerId);
  paint(event);
});
element.addEventListener("pointermove", (event) => { if (last) paint(event); });
const finish = () => {
  if (!last) return;
  last = null;
  props.value = canvas().toDataURL("image/png");
};
element.addEventListener("pointerup", finish);
element.addEventListener("pointercancel", finish);
watch("value", () => {
  if (!props.value) canvas()?.getContext("2d").clearRect(0, 0, canvas().width, canvas().height);
});
"""


def create_region_field() -> gr.HTML:
    """Create the field, which is empty until it gets a photo."""
    return gr.HTML("", html_template=TEMPLATE, js_on_load=PAINT, photo="", elem_id="region")


def open_region(photo: str | None) -> tuple[Any, str]:
    """Return an update of the field that shows the photo without a region, and the status line."""
    try:
        image = uploads.open_upload(photo, "photo", MAX_FIELD_SIDE)
    except InputError as error:
        return gr.skip(), render_error(error)
    return gr.HTML("", photo=uploads.encode_data_uri(image)), render_message(
        "Paint where the style is wanted."
    )


def close_region() -> gr.HTML:
    """Return an update of the field that empties it."""
    return gr.HTML("", photo="")


def read_region(value: str) -> Image.Image | None:
    """Return the mask that is painted, or None if there is none.

    Raises:
        InputError: The value is no image, as in a forged request.
    """
    if not value:
        return None
    try:
        stream = io.BytesIO(base64.b64decode(value.removeprefix(PREFIX)))
    except ValueError:
        raise InputError("The region is not an image: paint it again.") from None
    with open_header(stream, "the region") as header:
        if max(header.size) > MAX_FIELD_SIDE:
            raise InputError("The region is too large: paint it again.")
    mask = open_image(stream, "the region")
    return mask.getchannel("A") if mask.mode == "RGBA" else mask
