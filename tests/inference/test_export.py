import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from faststyle.cli.main import infer as main
from faststyle.inference import export
from faststyle.inference.engines import onnx_model
from faststyle.inference.export import load_inference
from faststyle.inference.stylizer import Stylizer
from faststyle.models.card import ModelCard
from faststyle.models.checkpoint import save_model
from faststyle.models.network import TransformerNetwork
from tests.support import ROOT
from tests.support.commands import expect_error_line, read_folder
from tests.support.export_page import PAGE, run_documented_exports
from tests.support.images import draw_image

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


# Sizes that the export itself does not test: the smallest, odd sizes, and each remainder modulo 4.
OTHERS = ((1, 32, 32), (3, 37, 50), (1, 64, 35), (2, 67, 34), (1, 130, 48))


@pytest.fixture
def small_sizes(monkeypatch):
    monkeypatch.setattr(export, "SIZES", ((1, 32, 32), (1, 33, 50), (2, 40, 34)))


def max_difference_from_torch(run, checkpoint) -> float:
    """Return the maximum difference between ``run`` and torch over several sizes."""
    module, _ = load_inference(checkpoint)
    generator = torch.Generator().manual_seed(1)
    photos = [torch.rand(b, 3, height, width, generator=generator) for b, height, width in OTHERS]
    return max(float((run(photo) - module(photo)).abs().max()) for photo in photos)


def run_onnx(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda photos: torch.from_numpy(session.run(None, {"photo": photos.numpy()})[0])


def run_archive(path):
    return torch.export.load(path).module()


RUN = {".onnx": run_onnx, ".pt2": run_archive}


@pytest.mark.slow
def test_onnx_is_one_file_with_dynamic_sizes_names_and_metadata(work, model, capsys):
    main(["--export", "new folder/model.onnx", "--checkpoint", str(model)])
    message = capsys.readouterr().out
    assert re.fullmatch(
        r"new folder/model\.onnx: opset 18, batch, height and width open; "
        r"within 0\.0000\d of torch at 256x256, 257x333, 2x480x640\n",
        message,
    )
    assert set(read_folder(work)) == {"new folder/model.onnx"}
    stored = onnx.load("new folder/model.onnx")
    onnx.checker.check_model(stored, full_check=True)
    assert [entry.version for entry in stored.opset_import if not entry.domain] == [18]
    for value, name in ((stored.graph.input, "photo"), (stored.graph.output, "picture")):
        (value,) = value
        assert value.name == name
        sides = [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        assert sides == ["batch", 3, "height", "width"]
    card = json.loads({entry.key: entry.value for entry in stored.metadata_props}["faststyle"])
    assert card["name"] == "small" and card["network"]["size"] == "half"
    assert max_difference_from_torch(run_onnx("new folder/model.onnx"), model) < 1e-4


@pytest.mark.slow
def test_archive_loads_with_torch_alone_and_has_the_metadata(work, model, capsys):
    main(["--export", "model.pt2", "--checkpoint", str(model)])
    message = capsys.readouterr().out
    assert message.startswith("model.pt2: batch, height and width open; within 0.0000")
    assert set(read_folder(work)) == {"model.pt2"}
    extra = {"faststyle.json": ""}
    torch.export.load("model.pt2", extra_files=extra)
    assert json.loads(extra["faststyle.json"])["name"] == "small"
    assert max_difference_from_torch(run_archive("model.pt2"), model) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize(
    ("network", "card"),
    [
        (
            {"size": "full", "blocks": 1, "tanh": False},
            ModelCard(source="pytorch/examples"),
        ),  # Without a margin.
        ({"size": "fast", "blocks": 1}, ModelCard()),
    ],
    ids=["peer", "fast"],
)
def test_every_network_is_exported_with_dynamic_sizes(work, small_sizes, network, card, suffix):
    torch.manual_seed(0)
    save_model(Path("m.safetensors"), TransformerNetwork(**network).eval(), card)
    path = Path(f"m{suffix}")
    export.export("m.safetensors", path)
    assert max_difference_from_torch(RUN[suffix](path), "m.safetensors") < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_exported_file_has_no_paths_of_the_machine(work, small_sizes, model, suffix):
    export.export(model, f"m{suffix}")
    content = Path(f"m{suffix}").read_bytes()
    for place in (ROOT, Path(torch.__file__).parent, Path.cwd()):
        assert os.fsencode(place) not in content


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize("difference", [0.01, float("nan")])
def test_export_that_differs_from_torch_is_deleted(work, small_sizes, model, monkeypatch, suffix, difference):
    path = Path(f"m{suffix}")
    path.write_bytes(b"the old one")
    monkeypatch.setattr(export, "max_difference", lambda *_: difference)
    with pytest.raises(RuntimeError, match=f"m{suffix} was not written: its images differ by"):
        export.export(model, path)
    assert read_folder(work) == {path.name: b"the old one"}


def test_max_difference_is_the_maximum_and_propagates_nan(small_sizes, network):
    module = torch.nn.Identity()
    assert export.max_difference(module, lambda photos: photos, export.SIZES) == 0
    off = export.max_difference(module, lambda photos: photos + 0.5 * (photos.shape[0] == 2), export.SIZES)
    assert off == pytest.approx(0.5)
    broken = export.max_difference(module, lambda photos: photos / (photos.shape[0] - 2), export.SIZES)
    assert not broken <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--export", "model.tflite"], "its name must end in one of .onnx, .pt2"),
        (["--export", "model"], "its name must end in one of"),
        (["--export", "taken.onnx"], "is a folder"),
        (["--export", "file/model.onnx"], "file"),
        (["--export", "model.onnx", "photo.jpg"], "belongs to no option"),
        (["--export", "model.onnx", "-o", "out.jpg"], "--output cannot be used with --export"),
        (["--export", "model.onnx", "--style", "painting.jpg"], "--style cannot be used here"),
        (["--export", "model.onnx", "--strength", "0.5"], "--strength cannot be used here"),
        (["--export", "model.onnx", "--push-to-hub", "me/it"], "--export cannot be used with --push-to-hub"),
        (["--export", "model.onnx", "--checkpoint", "damaged.safetensors"], "damaged.safetensors is damaged"),
        (["--export", "model.onnx", "--checkpoint", "stary_night"], "did you mean 'starry_night'"),
        (
            ["--export", "model.onnx", "--checkpoint", "all"],
            "no built-in style, model in runs/ or file is named 'all'",
        ),
    ],
)
def test_invalid_export_gives_one_error_line(work, model, capsys, arguments, message):
    Path("taken.onnx").mkdir()
    Path("file").write_text("no folder")
    Path("damaged.safetensors").write_bytes(model.read_bytes()[:2000])
    before = read_folder(work)
    assert message in expect_error_line(capsys, main, ["--checkpoint", str(model), *arguments])
    assert read_folder(work) == before


def test_export_needs_a_checkpoint(capsys):
    assert "give --checkpoint MODEL" in expect_error_line(capsys, main, ["--export", "model.onnx"])


def test_missing_packages_are_named_with_the_install_command(work, model, capsys, monkeypatch):
    monkeypatch.setattr(onnx_model, "find_spec", lambda name: None if name == "onnxscript" else name)
    message = expect_error_line(capsys, main, ["--export", "model.onnx", "--checkpoint", str(model)])
    assert message == "error: exporting to ONNX needs onnxscript: pip install -e '.[onnx]'"


@pytest.mark.slow
def test_stylizing_and_archive_export_do_not_import_onnx(work, model):
    draw_image(40, 30).save("photo.jpg")
    code = (
        "import sys; from faststyle.inference import export; from faststyle.cli.main import infer as main\n"
        f"main(['photo.jpg', '--checkpoint', {str(model)!r}, '-o', 'out.jpg'])\n"
        "export.SIZES = ((1, 32, 32),)\n"
        f"main(['--export', 'm.pt2', '--checkpoint', {str(model)!r}])\n"
        "assert not {'onnx', 'onnxscript', 'onnxruntime'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# docs/export.md


OPEN_SIZE = re.findall(r"```python\n(.*?)```", PAGE.partition("## A fixed size")[0], re.DOTALL)


@pytest.fixture(scope="module")
def exports_folder(tmp_path_factory) -> Path:
    """Create a folder with a photo and both exports, made with the commands of docs/export.md."""
    folder = tmp_path_factory.mktemp("page")
    draw_image(101, 75).save(folder / "photo.jpg", quality=95)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "SIZES", export.SIZES[:1])
        run_documented_exports(folder, "(?!.*--export-size).*(onnx|pt2)")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("block", OPEN_SIZE)
def test_each_snippet_of_the_export_docs_stylizes_the_photo(exports_folder, monkeypatch, block):
    if "openvino" in block:
        pytest.importorskip("openvino")
    monkeypatch.chdir(exports_folder)
    Path("painted.png").unlink(missing_ok=True)
    found: dict = {}
    exec(block, found)
    assert found.get("metadata", {"name": "starry_night"})["name"] == "starry_night"
    with Image.open("photo.jpg") as photo:
        expected = np.asarray(Stylizer.load("starry_night", "cpu", "fp32", engine="torch")(photo), int)
    with Image.open("painted.png") as painted:
        # OpenVINO computes in bfloat16 if the processor supports it natively.
        assert np.abs(np.asarray(painted, int) - expected).max() <= (8 if "openvino" in block else 1)


# Files from other sources


def graph(operation: str, card: str, shape: list, outside: str | None = None) -> bytes:
    """Build an ONNX file of one operation on the photo and a weight, which may be in another file."""
    weight = onnx.TensorProto(name="weight", dims=[1], data_type=onnx.TensorProto.FLOAT)
    if outside is None:
        weight.raw_data = b"\0\0\0\0"
    else:
        weight.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", outside), ("offset", "0"), ("length", "4")):
            weight.external_data.add(key=key, value=value)
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node(operation, ["photo", "weight"], ["picture"])],
            "hostile",
            [onnx.helper.make_tensor_value_info("photo", onnx.TensorProto.FLOAT, shape)],
            [onnx.helper.make_tensor_value_info("picture", onnx.TensorProto.FLOAT, None)],
            [weight],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 18)],
        ir_version=9,
    )
    model.metadata_props.add(key="faststyle", value=card)
    return model.SerializeToString()


PHOTO = ["batch", 3, "height", "width"]
HOSTILE = {
    "a weight in another file": graph("Add", "{}", PHOTO, "secret.bin"),
    "a weight in a folder above": graph("Add", "{}", PHOTO, "../secret.bin"),
    "a weight at a path": graph("Add", "{}", PHOTO, "/etc/hostname"),
    "a card that is a list": graph("Add", "[]", PHOTO),
    "a card of odd types": graph("Add", '{"network": {"size": ["half"], "blocks": 1000000000}}', PHOTO),
    "an endless card": graph("Add", "[" * 100_000, PHOTO),
    "another photo": graph("Add", "{}", [1]),
    "another picture": graph("Gather", "{}", PHOTO),
    "words": b"no model",
    "nothing": b"",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_foreign_onnx_file_gives_one_error_line(work, tmp_path, capfd, kind):
    draw_image(40, 40).save("photo.png")
    Path("secret.bin").write_bytes(b"\0\0\x80?")
    (tmp_path / "secret.bin").write_bytes(b"\0\0\x80?")
    Path("theirs.onnx").write_bytes(HOSTILE[kind])
    with pytest.raises(SystemExit) as caught:
        main(["photo.png", "--checkpoint", "theirs.onnx", "-o", "out.png"])
    assert caught.value.code == 2
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "theirs.onnx" in errors[0]
    assert not Path("out.png").exists()
