"""Fixtures of all tests: small images, networks and models; everything is made here, nothing downloaded."""

import shutil
import signal
from pathlib import Path

import datasets
import pytest
import torch
from tqdm import tqdm

from faststyle.inference import engines
from faststyle.losses import vgg
from faststyle.losses.vgg import VGG19_BLOCKS, Network
from faststyle.models.card import ModelCard
from faststyle.models.checkpoint import save_model
from faststyle.models.network import TransformerNetwork
from tests.support.images import draw_picture, sample
from tests.support.networks import random_weights
from tests.support.train_options import train_parser

# What datasets sleeps whenever a parquet stream ends, 5 seconds.
datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0


def pytest_collection_modifyitems(items):
    """Mark the tests that drive a browser."""
    for item in items:
        if "browser" in item.fixturenames:
            item.add_marker("browser")


@pytest.fixture(autouse=True)
def signals_of_a_terminal():
    """Handle signals as a process that a terminal started: nohup would ignore SIGHUP, a shell's & SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def no_bars_of_earlier_tests():
    """Forget the progress bars of runs that ended by an error: tqdm draws them again below every line."""
    getattr(tqdm, "_instances", set()).clear()


@pytest.fixture(autouse=True)
def torch_alone(request, monkeypatch, tmp_path_factory):
    """Each test's network would be converted anew: the engine auto is torch, but where engines are tested."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    if request.path.name != "test_engines.py":
        alone = engines.ENGINES["openvino"]._replace(missing=lambda device, dtype: "not in this test")
        monkeypatch.setitem(engines.ENGINES, "openvino", alone)


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium, driven by Playwright."""
    playwright, chromium = pytest.importorskip("playwright.sync_api"), shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def random_vgg(monkeypatch) -> str:
    """Give torchvision's VGG-19 random weights, for tests where nobody looks at the image; its name."""
    network = Network(VGG19_BLOCKS, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), random_weights)
    monkeypatch.setitem(vgg.NETWORKS, "vgg19", network)
    return "vgg19"


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder of pictures in several sizes and formats."""
    folder = tmp_path / "photos"
    folder.mkdir()
    draw_picture(96, 72, seed=1).save(folder / "beach.jpg", quality=95)
    draw_picture(70, 110, seed=2).save(folder / "cat.png")
    draw_picture(81, 81, seed=3).save(folder / "dune.jpg", quality=95)
    draw_picture(100, 75, seed=4).save(folder / "elm.png")
    return folder


@pytest.fixture
def spoiled(photos) -> Path:
    """The folder of photos with a damaged one and a tiny one."""
    whole = (photos / "beach.jpg").read_bytes()
    (photos / "corrupt.jpg").write_bytes(whole[: len(whole) // 3])
    draw_picture(8, 8).save(photos / "tiny.png")
    return photos


@pytest.fixture
def painting(tmp_path) -> Path:
    """A style picture."""
    path = tmp_path / "painting.png"
    draw_picture(96, 80, seed=9).save(path)
    return path


@pytest.fixture(autouse=True)
def quiet_datasets_in_a_folder_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets_cache")
    datasets.disable_progress_bars()


@pytest.fixture
def network() -> TransformerNetwork:
    torch.manual_seed(0)
    return TransformerNetwork("half", blocks=1).eval().requires_grad_(False)


@pytest.fixture
def model(tmp_path, network) -> Path:
    """The file of a small network that was never trained."""
    path = tmp_path / "small.safetensors"
    save_model(path, network, ModelCard(name="small"))
    return path


@pytest.fixture
def train_flags(tmp_path, monkeypatch, random_vgg, photos, painting) -> list[str]:
    """Flags of a run at the smallest size, in an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    flags = ["--style", str(painting), "--content", str(photos), "--model.vgg", random_vgg]
    flags += ["--model.blocks=1", "--model.style_size=64", "--data.size=64", "--data.batch_size=2"]
    flags += ["--data.workers=0", "--trainer.max_steps=3", "--trainer.precision=32"]
    return [*flags, "--trainer.accelerator=cpu"]


@pytest.fixture
def train(train_flags):
    """``python train.py`` with these flags; what is given overrides them."""
    from faststyle.cli.train import main

    return lambda *more: main([*train_flags, *more])


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    """The web page's folder for uploads and results."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


@pytest.fixture
def photo(tmp_path) -> str:
    """A photo that was uploaded to the web page."""
    path = tmp_path / "beach.jpg"
    sample("coffee", 120).save(path, quality=95)
    return str(path)


@pytest.fixture(scope="session")
def parser():
    """train.py's own."""
    return train_parser()
