"""Fixtures of all tests: small images, networks and models, generated without downloads."""

import shutil
import signal
from pathlib import Path

import datasets
import pytest
import torch
from tqdm import tqdm

from faststyle.inference.engines import kinds
from faststyle.losses import vgg
from faststyle.losses.vgg import VGG19_BLOCKS, Network
from faststyle.models.card import ModelCard
from faststyle.models.checkpoint import save_model
from faststyle.models.network import TransformerNetwork
from tests.support.images import draw_image, sample
from tests.support.networks import random_weights
from tests.support.train_options import train_parser

# Otherwise datasets sleeps for 5 seconds whenever a Parquet stream ends.
datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0


def pytest_collection_modifyitems(items):
    """Mark the tests that drive a browser."""
    for item in items:
        if "browser" in item.fixturenames:
            item.add_marker("browser")


@pytest.fixture(autouse=True)
def default_signal_handlers():
    """Reset the signal handlers, because nohup makes tests ignore SIGHUP and a shell's & SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def no_leftover_progress_bars():
    """Discard the progress bars of runs that failed, because tqdm redraws them below every line."""
    getattr(tqdm, "_instances", set()).clear()


@pytest.fixture(autouse=True)
def torch_engine_by_default(request, monkeypatch, tmp_path_factory):
    """Make the engine auto choose torch except in test_engines.py, because converting networks is slow."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    if request.path.name != "test_engines.py":
        alone = kinds.ENGINES["openvino"]._replace(missing=lambda device, precision: "not in this test")
        monkeypatch.setitem(kinds.ENGINES, "openvino", alone)


@pytest.fixture(scope="module")
def browser():
    """Start Debian's Chromium under Playwright."""
    playwright, chromium = pytest.importorskip("playwright.sync_api"), shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium")
    with playwright.sync_playwright() as play:
        options = ["--no-sandbox", "--use-fake-device-for-media-stream"]  # a camera with a test pattern
        browser = play.chromium.launch(executable_path=chromium, args=options)
        yield browser
        browser.close()


@pytest.fixture
def random_vgg(monkeypatch) -> str:
    """Replace torchvision's VGG-19 by one with random weights and return its name."""
    network = Network(VGG19_BLOCKS, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), random_weights)
    monkeypatch.setitem(vgg.NETWORKS, "vgg19", network)
    return "vgg19"


@pytest.fixture
def photos(tmp_path) -> Path:
    """Return a folder of images of several sizes and formats."""
    folder = tmp_path / "photos"
    folder.mkdir()
    draw_image(96, 72, seed=1).save(folder / "beach.jpg", quality=95)
    draw_image(70, 110, seed=2).save(folder / "cat.png")
    draw_image(81, 81, seed=3).save(folder / "dune.jpg", quality=95)
    draw_image(100, 75, seed=4).save(folder / "elm.png")
    return folder


@pytest.fixture
def damaged_photos(photos) -> Path:
    """Add a damaged image and a tiny one to the folder of photos."""
    whole = (photos / "beach.jpg").read_bytes()
    (photos / "corrupt.jpg").write_bytes(whole[: len(whole) // 3])
    draw_image(8, 8).save(photos / "tiny.png")
    return photos


@pytest.fixture
def painting(tmp_path) -> Path:
    """Return the path of a style image."""
    path = tmp_path / "painting.png"
    draw_image(96, 80, seed=9).save(path)
    return path


@pytest.fixture(autouse=True)
def quiet_datasets_with_temporary_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets_cache")
    datasets.disable_progress_bars()


@pytest.fixture
def network() -> TransformerNetwork:
    torch.manual_seed(0)
    return TransformerNetwork("half", blocks=1).eval().requires_grad_(False)


@pytest.fixture
def model(tmp_path, network) -> Path:
    """Return the model file of a small untrained network."""
    path = tmp_path / "small.safetensors"
    save_model(path, network, ModelCard(name="small"))
    return path


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    """Change to an empty folder, and return it."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def train_arguments(work, random_vgg, photos, painting) -> list[str]:
    """Return the options of a minimal training run, in an empty folder."""
    flags = ["--style", str(painting), "--content", str(photos), "--model.vgg", random_vgg]
    flags += ["--model.blocks=1", "--model.style_size=64", "--data.size=64", "--data.batch_size=2"]
    flags += ["--data.workers=0", "--trainer.max_steps=3", "--trainer.precision=32"]
    return [*flags, "--trainer.accelerator=cpu"]


@pytest.fixture
def train(train_arguments):
    """Return a function that runs ``train.py`` with ``train_arguments``; its arguments override them."""
    from faststyle.cli.train import main

    return lambda *more: main([*train_arguments, *more])


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    """Create the web page's folder for uploads and results."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


@pytest.fixture
def photo(tmp_path) -> str:
    """Return the path of a photo as the web page receives it."""
    path = tmp_path / "beach.jpg"
    sample("coffee", 120).save(path, quality=95)
    return str(path)


@pytest.fixture(scope="session")
def parser():
    """Return the option parser of train.py."""
    return train_parser()
