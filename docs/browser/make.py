"""Export models for the page in this folder (extra ``onnx``).

    python docs/browser/make.py starry_night

Each model is exported, checked, compressed and written to models/NAME.js in base64, because a page that is
opened as a file may load scripts, but fetch no models. models/list.js lists the models in the order of the
command line. Other models are removed from the folder.
"""

import base64
import gzip
import json
import sys
import tempfile
from pathlib import Path

import onnx

from faststyle.console import one_line_errors
from faststyle.inference.export import export
from faststyle.models.card import METADATA_KEY, ModelCard
from faststyle.models.find import label

MODELS = Path(__file__).resolve().parent / "models"


def pack(checkpoint: str, folder: Path) -> dict[str, str]:
    """Write a model's NAME.js, and return its entry for list.js."""
    name = label(checkpoint)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / f"{name}.onnx"
        print(export(checkpoint, path))
        content = path.read_bytes()
        properties = onnx.load(path, load_external_data=False).metadata_props
    metadata = {one.key: one.value for one in properties}
    painting = ModelCard.from_metadata(json.loads(metadata[METADATA_KEY]), path).painting
    title = painting.title if painting else name
    packed = base64.b64encode(gzip.compress(content, mtime=0)).decode()
    (folder / f"{name}.js").write_text(f"window.MODELS[{json.dumps(name)}] = {json.dumps(packed)};\n")
    return {"name": name, "title": title}


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
