import pytest
import torch

from faststyle.inference import engine_cache
from faststyle.inference.engine_cache import cached
from faststyle.inference.engines import ENGINES
from faststyle.models.network import Inference, TransformerNetwork

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "faststyle"


def fail_if_called() -> bytes:
    raise AssertionError


def test_cached_model_is_found_again(module, folder):
    assert cached("kind", module, lambda: b"made", bytes) == b"made"
    assert cached("kind", module, fail_if_called, bytes) == b"made"
    assert [file.read_bytes()[-4:] for file in folder.iterdir()] == [b"made"]


def test_other_weights_margins_and_kinds_are_cached_separately(module, folder):
    other = TransformerNetwork("fast", blocks=1)
    linear = TransformerNetwork("fast", blocks=1, tanh=False)  # Same layers and weights.
    linear.load_state_dict(module.network.state_dict())
    others = [Inference(module.network, 0), Inference(other, 8), Inference(linear, 8)]
    for number, (kind, which) in enumerate([("a", module), ("b", module), *(("a", one) for one in others)]):
        made = str(number).encode()
        assert cached(kind, which, lambda made=made: made, bytes) == made


def test_model_cached_by_older_code_is_rebuilt(module, folder, tmp_path, monkeypatch):
    cached("kind", module, lambda: b"old", bytes)
    (tmp_path / "network.py").write_text("other code")
    monkeypatch.setattr(engine_cache.network, "__file__", str(tmp_path / "network.py"))
    assert cached("kind", module, lambda: b"new", bytes) == b"new"


def test_oldest_cached_models_are_deleted(module, folder, monkeypatch):
    monkeypatch.setattr(engine_cache, "MAX_FILES", 3)
    for number in range(5):
        cached(str(number), module, lambda: b"made", bytes)
    assert len(list(folder.iterdir())) == 3
    cached("4", module, fail_if_called, bytes)


def test_unwritable_cache_folder_is_ignored(module, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert cached("kind", module, lambda: b"made", bytes) == b"made"


@pytest.mark.slow
def test_damaged_cached_model_is_rebuilt(module, folder):
    images = torch.rand(1, 3, 32, 32)
    expected = ENGINES["openvino"].build(module, CPU, torch.float32)(images)
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:1000])
    assert torch.equal(ENGINES["openvino"].build(module, CPU, torch.float32)(images), expected)


@pytest.mark.parametrize("place", [0, 40, -1])
def test_cached_model_with_a_changed_byte_never_reaches_the_runtime(module, folder, place):
    cached("kind", module, lambda: b"made of many bytes", bytes)
    (file,) = folder.iterdir()
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    given = []
    assert cached("kind", module, lambda: b"anew", lambda made: given.append(made) or made) == b"anew"
    assert given == [b"anew"]


def test_world_writable_cache_is_not_read(module, folder):
    cached("kind", module, lambda: b"made", bytes)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    assert cached("kind", module, lambda: b"anew", bytes) == b"anew"
    folder.chmod(0o755)
    assert cached("kind", module, fail_if_called, bytes) == b"anew"
