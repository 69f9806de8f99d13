"""Small pictures, networks and models that the tests share; everything is made here, nothing downloaded."""

import io
import shutil
from pathlib import Path

import datasets
import numpy as np
import pytest
import skimage
import torch
from PIL import Image, ImageDraw

from faststyle import engines, vgg
from faststyle.checkpoint import save_model
from faststyle.cli import slow_flags
from faststyle.images import scale_to
from faststyle.transformer import TransformerNetwork
from faststyle.vgg import VGG19_BLOCKS, Network, Weights

CHANNELS = (4, 6, 8, 8, 8)  # of the random VGG, per block

# What datasets sleeps whenever a parquet stream ends, 5 seconds.
datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0


@pytest.fixture(autouse=True)
def torch_alone(request, monkeypatch, tmp_path_factory):
    """Each test's network would be converted anew: the engine auto is torch, but where engines are tested."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    if request.module.__name__ != "test_engines":
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


def draw_picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """A colour gradient with some ellipses on it: smooth areas and edges, as photos have them."""
    random = np.random.default_rng(seed)
    corners = random.integers(0, 256, (2, 2, 3), dtype=np.uint8)
    picture = Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(picture)
    for _ in range(6):
        x, y = random.integers(0, width), random.integers(0, height)
        r = random.integers(4, max(5, min(width, height) // 3))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=tuple(random.integers(0, 256, 3).tolist()))
    return picture


def random_weights() -> Weights:
    """Weights of a VGG-19 with few channels, of a size that keeps the features' size."""
    generator = torch.Generator().manual_seed(0)
    weights, inputs = [], 3
    for outputs, convolutions in zip(CHANNELS, VGG19_BLOCKS, strict=True):
        for _ in range(convolutions):
            scale = (2 / (9 * inputs)) ** 0.5
            weight = scale * torch.randn(outputs, inputs, 3, 3, generator=generator)
            weights.append((weight, torch.zeros(outputs)))
            inputs = outputs
    return weights


def names(rows) -> list[str]:
    return [Path(row["image"]["path"]).name for row in rows]


def encoded(width=40, height=40, seed=0, kind="PNG") -> bytes:
    stream = io.BytesIO()
    draw_picture(width, height, seed).save(stream, kind)
    return stream.getvalue()


def make_rows(count: int, column: str = "image") -> datasets.Dataset:
    """A set as it is loaded: different pictures, held in bytes, beside a column that is none."""
    return datasets.Dataset.from_dict(
        {
            "label": list(range(count)),
            column: [{"bytes": encoded(seed=i), "path": f"{i}.png"} for i in range(count)],
        },
        features=datasets.Features({"label": datasets.Value("int64"), column: datasets.Image()}),
    )


def chroma(images: torch.Tensor) -> torch.Tensor:
    """Cb and Cr of ITU-R BT.601, (3,H,W) to (2,H,W)."""
    r, g, b = images.double()
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return torch.stack([(b - y) / 1.772, (r - y) / 1.402])


def sample(name: str, longer: int) -> Image.Image:
    """One of scikit-image's photos, its longer side of so many pixels."""
    path = next((Path(skimage.__file__).parent / "data").glob(f"{name}.*"))
    with Image.open(path) as image:
        return scale_to(image.convert("RGB"), longer)


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its place there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(capsys, run, *arguments) -> str:
    """Run what must end with status 2 and one line on stderr, and return that line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


def check_bad_one_among_good(infer, photos: Path, capsys) -> None:
    """Run a folder with a broken picture: it is named, the others are done, and the status is 2."""
    (photos / "broken.jpg").write_bytes(b"not a picture")
    with pytest.raises(SystemExit) as caught:
        infer(photos, "-o", "out")
    assert caught.value.code == 2
    printed = capsys.readouterr()
    errors = [line for line in printed.err.replace("\r", "\n").splitlines() if "error:" in line]
    assert len(errors) == 1 and "broken.jpg" in errors[0]
    assert "4 of 5" in printed.out
    assert set(contents(Path("out"))) == {"beach.jpg", "cat.png", "dune.jpg", "elm.png"}


@pytest.fixture
def random_vgg(monkeypatch) -> str:
    """The name of a VGG for tests of plumbing, where nobody looks at the picture."""
    network = Network(VGG19_BLOCKS, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), random_weights)
    monkeypatch.setitem(vgg.NETWORKS, "random", network)
    monkeypatch.setattr(slow_flags, "VGGS", [*slow_flags.VGGS, "random"])
    return "random"


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


def write_parquet(path: Path, count: int, column: str = "image", first: int = 0) -> None:
    """A set of small pictures, beside a column that is none."""
    stored = []
    for i in range(first, first + count):
        stream = io.BytesIO()
        draw_picture(40, 40, seed=i).save(stream, "PNG")
        stored.append({"bytes": stream.getvalue(), "path": f"{i}.png"})
    features = datasets.Features({"label": datasets.Value("int64"), column: datasets.Image()})
    rows = datasets.Dataset.from_dict({"label": list(range(count)), column: stored}, features=features)
    rows.to_parquet(path)


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
    save_model(path, network, {"name": "small"})
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
