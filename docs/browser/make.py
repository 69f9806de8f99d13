"""Put models beside the page (extra ``onnx``): ``python docs/browser/make.py starry_night``.

Each is exported, checked, and written to models/NAME.js, as base64 of gzip: a page that was opened as
a file may load scripts, but fetch no models. models/list.js names them in the order given, and models
that are not given are removed.
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
    """Write a model's NAME.js, and return its entry in the list."""
    name = label(checkpoint)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / f"{name}.onnx"
        print(export(checkpoint, path))
        content = path.read_bytes()
        cards = {entry.key: entry.value for entry in onnx.load(path, load_external_data=False).metadata_props}
    painting = ModelCard.from_metadata(json.loads(cards[METADATA_KEY]), path).painting
    title = painting.title if painting else name
    packed = base64.b64encode(gzip.compress(content, mtime=0)).decode()
    (folder / f"{name}.js").write_text(f"window.MODELS[{json.dumps(name)}] = {json.dumps(packed)};\n")
    return {"name": name, "title": title}


def main(checkpoints: list[str], folder: Path = MODELS) -> None:
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
