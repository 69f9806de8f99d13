import numpy as np
import pytest

from faststyle.inference.engines import cache
from faststyle.inference.engines.cache import cached
from faststyle.inference.engines.openvino_engine import OpenVINOEngine
from faststyle.models.card import ModelCard
from faststyle.models.model import model_of
from faststyle.models.network import TransformerNetwork


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "faststyle"


def fail_if_called() -> bytes:
    raise AssertionError


def test_cached_model_is_found_again(folder):
    assert cached("kind", lambda: b"made", bytes) == b"made"
    assert cached("kind", fail_if_called, bytes) == b"made"
    assert [file.read_bytes()[-4:] for file in folder.iterdir()] == [b"made"]


def test_other_kinds_are_cached_separately(folder):
    for kind in ("a", "b"):
        assert cached(kind, lambda kind=kind: kind.encode(), bytes) == kind.encode()


def test_digest_tells_weights_and_configurations_apart(small):
    network = small.build_network()
    linear = TransformerNetwork("fast", blocks=1, tanh=False)  # Same layers and weights.
    linear.load_state_dict(network.state_dict())
    other = TransformerNetwork("fast", blocks=1)
    digests = {model_of(one, ModelCard()).digest() for one in (network, linear, other)}
    assert len(digests) == 3 and small.digest() in digests


def test_model_cached_by_older_code_is_rebuilt(folder, tmp_path, monkeypatch):
    cached("kind", lambda: b"old", bytes)
    (tmp_path / "network.py").write_text("other code")
    monkeypatch.setattr(cache, "CODE", [tmp_path / "network.py"])
    assert cached("kind", lambda: b"new", bytes) == b"new"


def test_oldest_cached_models_are_deleted(folder, monkeypatch):
    monkeypatch.setattr(cache, "MAX_FILES", 3)
    for number in range(5):
        cached(str(number), lambda: b"made", bytes)
    assert len(list(folder.iterdir())) == 3
    cached("4", fail_if_called, bytes)


def test_unwritable_cache_folder_is_ignored(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert cached("kind", lambda: b"made", bytes) == b"made"


@pytest.mark.slow
def test_damaged_cached_model_is_rebuilt(small, folder):
    images = np.random.default_rng(0).random((1, 3, 32, 32), np.float32)
    expected = OpenVINOEngine(small, 8, "cpu", "float32").stylize(images)
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:1000])
    assert np.array_equal(OpenVINOEngine(small, 8, "cpu", "float32").stylize(images), expected)


@pytest.mark.parametrize("place", [0, 40, -1])
def test_cached_model_with_a_changed_byte_never_reaches_the_runtime(folder, place):
    cached("kind", lambda: b"made of many bytes", bytes)
    (file,) = folder.iterdir()
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    given = []
    assert cached("kind", lambda: b"anew", lambda made: given.append(made) or made) == b"anew"
    assert given == [b"anew"]


def test_world_writable_cache_is_not_read(folder):
    cached("kind", lambda: b"made", bytes)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    assert cached("kind", lambda: b"anew", bytes) == b"anew"
    folder.chmod(0o755)
    assert cached("kind", fail_if_called, bytes) == b"anew"
