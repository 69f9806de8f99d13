"""Export models for the page in this folder (extra ``onnx``).

    python docs/browser/make.py starry_night

Each model is exported and checked. Its weights are stored in half precision, and it is written to
models/NAME.js, compressed and in base64, because a page that is opened as a file may load scripts, but fetch
no models. models/list.js lists the models in the order of the command line. Other models are removed from
the folder.
"""

import base64
import gzip
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from faststyle.console import one_line_errors
from faststyle.inference.export import export
from faststyle.models.card import METADATA_KEY, ModelCard
from faststyle.models.find import label

MIN_HALVED_ELEMENTS = 1000  # elements; smaller arrays keep their precision
MODELS = Path(__file__).resolve().parent / "models"


def pack(checkpoint: str, folder: Path) -> dict[str, str]:
    """Write a model's NAME.js, and return its entry for list.js."""
    name = label(checkpoint)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / f"{name}.onnx"
        print(export(checkpoint, path))
        model = onnx.load(path)
    metadata = {one.key: one.value for one in model.metadata_props}
    painting = ModelCard.from_metadata(json.loads(metadata[METADATA_KEY]), path).painting
    title = painting.title if painting else name
    halve(model)
    packed = base64.b64encode(gzip.compress(model.SerializeToString(), mtime=0)).decode()
    (folder / f"{name}.js").write_text(f"window.MODELS[{json.dumps(name)}] = {json.dumps(packed)};\n")
    return {"name": name, "title": title}


def halve(model: onnx.ModelProto) -> None:
    """Store a model's weights in half precision, which halves the file; they are cast when it is loaded."""
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= MIN_HALVED_ELEMENTS:
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
            casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def main(checkpoints: list[str], folder: Path = MODELS) -> None:
    """Write the models and their list, and remove other models."""
    folder.mkdir(exist_ok=True)
    with one_line_errors():
        entries = [pack(checkpoint, folder) for checkpoint in checkpoints]
    kept = {f"{entry['name']}.js" for entry in entries}
    for old in folder.glob("*.js"):
        if old.name not in kept:
            old.unlink()
    (folder / "list.js").write_text(f"window.STYLES = {json.dumps(entries, ensure_ascii=False)};\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:] or ["starry_night", "great_wave"])
