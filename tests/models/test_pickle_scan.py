"""Pickles that would run code, or take all memory or time, and those that are ordinary."""

import io
import pickle
import re
import tarfile
import time
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from faststyle.cli.main import infer
from faststyle.cli.train import main as train
from faststyle.errors import InputError, UnsupportedModelError
from faststyle.models import hub
from faststyle.models.checkpoint import check_config, load_model
from faststyle.models.pytorch_examples import bare
from tests.support.commands import refused
from tests.support.images import draw_picture
from tests.support.networks import same_weights


class Hostile:
    """Unpickled, it writes a file."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return Path.write_text, (self.target, "ran")


def hostile_files(folder: Path, target: Path) -> dict[str, bytes]:
    """The same trap in each kind of file that torch has read."""
    trap = Hostile(target)
    zipped, legacy, archive, tarred = (io.BytesIO() for _ in range(4))
    torch.save({"state_dict": trap, "hyper_parameters": {}}, zipped)
    torch.save({"state_dict": trap}, legacy, _use_new_zipfile_serialization=False)
    plain = pickle.dumps(trap, protocol=2)
    with zipfile.ZipFile(archive, "w") as file:  # as TorchScript's
        for name in ("data.pkl", "constants.pkl"):
            file.writestr(f"archive/{name}", plain)
        file.writestr("archive/code/__torch__.py", "")
        file.writestr("archive/version", "3")
    with tarfile.open(fileobj=tarred, mode="w") as file:
        for name in ("pickle", "storages", "tensors"):
            info = tarfile.TarInfo(name)
            info.size = len(plain)
            file.addfile(info, io.BytesIO(plain))
    kinds = {"zip": zipped, "legacy": legacy, "torchscript": archive, "tar": tarred}
    found = {name: stream.getvalue() for name, stream in kinds.items()}
    found |= {f"protocol {number}": pickle.dumps(trap, protocol=number) for number in (0, 2, 4, 5)}
    return found


@pytest.mark.parametrize("suffix", [".pth", ".ckpt", ".safetensors", ".model", ""])
def test_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path, suffix):
    target = tmp_path / "ran.txt"
    files = hostile_files(tmp_path, target)
    for kind, content in files.items():
        path = tmp_path / f"{kind}{suffix}"
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            load_model(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        if kind != "tar":
            assert re.search("which no model needs|would run code", str(caught.value)), kind
        assert not target.exists(), kind
    # The trap itself works: a careless reader springs it.
    pickle.loads(files["protocol 2"])
    assert target.read_text() == "ran"


PLACES = {
    "--checkpoint": lambda name, photo: infer([photo, "--checkpoint", name, "-o", "out.png"]),
    "blend": lambda name, photo: infer([photo, "--checkpoint", f"starry_night:1,{name}:1", "-o", "out.png"]),
    "clip": lambda name, photo: infer(["a.gif", "--checkpoint", name, "-o", "out.gif"]),
    "--init-checkpoint": lambda name, photo: infer(
        [photo, "--style", photo, "--init-checkpoint", name, "-o", "out.png", "--size=16", "--vgg", "vgg19"]
    ),
    "--compare": lambda name, photo: infer(
        [photo, "--checkpoint", name, "--style", photo, "--compare", "report"]
    ),
    "--export": lambda name, photo: infer(["--checkpoint", name, "--export", "out.onnx"]),
    "--push-to-hub": lambda name, photo: infer(["--checkpoint", name, "--push-to-hub", "user/repo"]),
    "hub": lambda name, photo: infer([photo, "--checkpoint", "hf://user/repo", "-o", "out.png"]),
    "--init": lambda name, photo: train(["--style", photo, "--init", name, "--model.vgg", "vgg19"]),
    "--resume": lambda name, photo: train(["--resume", "--output", "run"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_hostile_model_runs_nothing_wherever_it_is_given(
    tmp_path, monkeypatch, capsys, random_vgg, photos, place
):
    folder = tmp_path / "work"
    (folder / "run").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(hub, "download", lambda repo: Path("a.pth"))
    draw_picture(20, 20).save("a.gif", save_all=True, append_images=[draw_picture(20, 20, seed=1)])
    target = tmp_path / "ran.txt"
    for content in hostile_files(tmp_path, target).values():
        for name in ("a.pth", "run/last.ckpt"):
            Path(name).write_bytes(content)
        Path("run/config.yaml").write_text("{}")
        line = refused(capsys, PLACES[place], "a.pth", str(photos / "cat.png"))
        assert ("run/last.ckpt" if place == "--resume" else "a.pth") in line
        assert not target.exists()
    left = {path.name for path in folder.rglob("*") if path.is_file()}
    assert left == {"a.gif", "a.pth", "last.ckpt", "config.yaml"}


def pickled(*operations: bytes) -> bytes:
    return b"\x80\x02" + b"".join(operations) + b"."


def bomb_of_tuples(between: bytes = b"") -> bytes:
    levels = [
        b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86" + between + b"q" + bytes([i + 1]) for i in range(60)
    ]
    return pickled(b"X\x01\0\0\0a\x85q\0", *levels, b"}h\x3cK\x01s")


def nested(levels: int) -> list:
    value: list = []
    for _ in range(levels):
        value = [value, value]
    return value


def bomb_of_lists() -> bytes:
    """The lists are empty when others get them, and filled afterwards."""
    empty = [b"]q" + bytes([i]) for i in range(41)]
    filled = [b"h" + bytes([i, ord("("), ord("h"), i + 1, ord("h"), i + 1, ord("e")]) for i in range(40)]
    return pickled(*empty, *filled, b"h\0")


BOMBS = {
    "bytes": pickled(b"cbuiltins\nbytearray\n\x8a\x06" + (10**13).to_bytes(6, "little") + b"\x85R"),
    "tensor": pickled(b"ctorch\nTensor\n\x8a\x06" + (10**13).to_bytes(6, "little") + b"\x85R"),
    "tuples": bomb_of_tuples(),
    "hidden tuples": bomb_of_tuples(b"N0"),
    "lists": pickle.dumps({"state_dict": {}, "hyper_parameters": {"size": nested(40), "blocks": 1}}, 2),
    "lists that are filled later": bomb_of_lists(),
    "letters": pickled(b"X\0\0\1\0", b"a" * 65_536, b"q\0](", b"h\0" * 100_000, b"e"),
}


@pytest.mark.parametrize("kind", [*BOMBS, "deflated"])
def test_pickles_that_would_take_all_memory_or_time_are_refused_at_once(tmp_path, kind):
    path = tmp_path / "bomb.pth"
    if kind == "deflated":
        torch.save({"down.0.0.weight": torch.zeros(10_000_000)}, path)
        with zipfile.ZipFile(path) as whole:
            members = {info.filename: whole.read(info) for info in whole.infolist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in members.items():
                packed.writestr(name, content)
        assert path.stat().st_size < 1_000_000
    else:
        path.write_bytes(BOMBS[kind])
    begun = time.monotonic()
    with pytest.raises(UnsupportedModelError, match=r"bomb\.pth is not opened, since it"):
        load_model(path)
    assert time.monotonic() - begun < 2


def test_what_a_file_says_is_told_in_short():
    for config in ({"size": nested(40), "blocks": 1}, {"size": "half", "blocks": OrderedDict(a=nested(40))}):
        begun = time.monotonic()
        with pytest.raises(InputError, match=r"a\.ckpt says that it is a network .{,80}: expected"):
            check_config(Path("a.ckpt"), config)
        assert time.monotonic() - begun < 2
    assert bare(("a", 1)) == "tuple" and bare("module.a") == "a"


def test_archive_whose_pickle_has_a_name_in_capitals_is_looked_at(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as whole:
        members = {info.filename: whole.read(info) for info in whole.infolist()}
    with zipfile.ZipFile(tmp_path / "b.pth", "w") as other:
        for name, content in members.items():
            bomb = name.endswith("/data.pkl")
            other.writestr(name.replace(".pkl", ".PKL"), BOMBS["tuples"] if bomb else content)
    with pytest.raises(UnsupportedModelError, match=r"b\.pth is not opened, since it"):
        load_model(tmp_path / "b.pth")


def test_checkpoint_of_many_groups_and_a_schedule_is_read(tmp_path, network):
    groups = [{"params": [weight]} for weight in network.parameters()]
    groups += [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(40)]
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [10, 20, 20])
    stored = {"state_dict": {f"network.{name}": weight for name, weight in network.state_dict().items()}}
    stored |= {
        "hyper_parameters": {"size": "half", "blocks": 1},
        "optimizer_states": [optimizer.state_dict()],
    }
    torch.save(stored | {"lr_schedulers": [schedule.state_dict()]}, tmp_path / "a.ckpt")
    assert same_weights(load_model(tmp_path / "a.ckpt")[0], network)
