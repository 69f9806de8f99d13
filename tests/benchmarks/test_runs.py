"""Smoke tests: --help of each benchmark, and a small run of those that need no other project."""

import importlib
import sys

import pytest
import torch
from PIL import Image

from benchmarks import ceiling, inference, inference_gpu, ship
from benchmarks.lite_peer import Lite
from faststyle.models.checkpoint import load_grams, load_model, save_model
from faststyle.models.pretrained import built_in_styles
from tests.support import ROOT
from tests.support.images import draw_image
from tests.support.videos import make_clip

NAMES = [path.stem for path in sorted((ROOT / "benchmarks").glob("*.py")) if "def main(" in path.read_text()]
CPU = torch.device("cpu")


def run(name: str, *arguments: object) -> object:
    return importlib.import_module(f"benchmarks.{name}").main([*map(str, arguments)])


@pytest.fixture
def table(capsys):
    """The cells of the Markdown tables that were printed, row by row."""
    return lambda: [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("|")
    ]


@pytest.fixture
def small_matrices(monkeypatch):
    monkeypatch.setattr(ceiling, "MATRIX_SIDES", (16,))
    monkeypatch.setattr(ceiling, "COPIED_BYTES", 1000)


@pytest.mark.parametrize("name", NAMES)
def test_help_is_printed(name, capsys):
    if name == "web_page":
        pytest.importorskip("playwright")
    with pytest.raises(SystemExit, match=r"^0$"):
        run(name, "--help")
    assert f"python -m benchmarks.{name}" in capsys.readouterr().out


def test_shipped_model_has_8_bits_its_painting_and_a_sample(tmp_path, network):
    _, card = load_model(built_in_styles()["great_wave"])
    given = {"relu1_1": load_grams(built_in_styles()["great_wave"])["relu1_1"]}
    trained = [tmp_path / f"{name}.safetensors" for name in ("great_wave", "great_wave-steady")]
    for path in trained:
        save_model(path, network, card, given)
    main, video = (ship.ship(path, tmp_path / "package") for path in trained)
    assert main.with_suffix(".webp").exists() and video.parent.name == "steady"
    assert load_grams(main).keys() == given.keys() and not load_grams(video)
    for path in (main, video):
        assert path.stat().st_size < trained[0].stat().st_size / 3
        assert load_model(path)[1].painting.artist == "Katsushika Hokusai"


@pytest.mark.slow
def test_inference_of_two_contestants(photos, model, tmp_path, monkeypatch, table, small_matrices):
    monkeypatch.setattr(inference, "PAUSE_SECONDS", 0)
    arguments = ["--sizes", "64", "48x32", "--rounds", 1, "--photos", photos, "--model", model]
    run("inference", "--output", tmp_path, "--only", "torch", "--device", "cpu", *arguments)
    rows = table()[2:]
    assert [row[:2] for row in rows] == [
        [size, name] for size in ("64×64", "48×32") for name in ("faststyle, torch", "pytorch/examples")
    ]
    assert [row[5] for row in rows[1::2]] == ["1.00", "1.00"]
    assert len((tmp_path / "inference.csv").read_text().splitlines()) == 5
    assert (tmp_path / "inference.png").stat().st_size > 10_000


@pytest.mark.slow
def test_table_of_the_gpu(model, table, monkeypatch, small_matrices):
    # Without the clock and the profiler, which need the device.
    monkeypatch.setattr("benchmarks.common.available_engines", lambda *_: ["torch"])
    monkeypatch.setattr(inference_gpu, "clock", lambda call, images: (call(images).shape[0] / 100, 2**20))
    monkeypatch.setattr(inference_gpu, "print_kernels", lambda *_: None)
    inference_gpu.report(str(model), [(48, 32)], CPU, None)
    rows = table()[2:]
    assert rows[0][:6] == ["48×32", "1", "faststyle, torch", "10.00", "100.0", "1"]
    assert [row[1] for row in rows] == ["1", "1", "8", "8"]


def test_child_process_of_the_lite_peer_answers_and_ends(tmp_path, monkeypatch):
    (tmp_path / "styletransfer_lite.py").write_text(
        "class StyleTransfer:\n    def stylize(self, image, style, max_size):\n        return image\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    draw_image(64, 48).save(tmp_path / "an image.png")
    lite = Lite(sys.executable)
    assert all(0 <= lite.seconds(tmp_path / "an image.png") < 60 for _ in range(2))
    lite.close()
    assert lite.child.returncode == 0


@pytest.mark.slow
def test_images_in_two_ways_and_of_a_peer(tmp_path, photos, painting, table, monkeypatch):
    monkeypatch.setattr("benchmarks.images.SIZE", 96)
    for path in ("paintings/great_wave.png", "peers/jj_wave.png", "peers/town.png"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        draw_image(96, 64).save(tmp_path / path)
    folders = ["--paintings", tmp_path / "paintings", "--peers", tmp_path / "peers"]
    sheet = tmp_path / "sheet.png"
    photo = ["--photos", photos / "beach.jpg", "--sheet", sheet]
    run("images", *photo, *folders, "--styles", "great_wave", "--evaluations", 2)
    assert [row[1].partition(",")[0] for row in table()] == ["who", "---", "pass", "refined", "jj"]
    with Image.open(sheet) as image:
        assert image.width > 5 * 96


@pytest.mark.slow
def test_video_benchmarks(tmp_path, model, photos, painting, monkeypatch, capsys):
    pytest.importorskip("cv2")
    video = make_clip(tmp_path / "video.mp4", 6)
    monkeypatch.setattr("benchmarks.flicker.SIZE", 64)
    words = ["--style", painting, "--photos", photos, "--count", 1, "--clips", video, "--frames", 4]
    run("flicker", model, *words)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[:2] for row in rows] == [["photos", "small"], *[["video", "small"]] * 4]

    run("stills", video, model, model, "--at", 0, "--crop", 8, 8, 32, 24, "--output", tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.width > 4 * 32

    monkeypatch.setattr("benchmarks.video.ROUNDS", 1)
    monkeypatch.setattr("benchmarks.video.SECONDS", (1,))
    capsys.readouterr()
    run("video", video, "--checkpoint", model, "--frames", 4, "--memory")
    printed = capsys.readouterr().out
    for line in ("64x48, 4 frames", "network alone", "encoder alone", "end to end is ", "1 seconds: peak"):
        assert line in printed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "rows"),
    [
        ("engines_accuracy", "--photos photos --count 2 --size 64 --model MODEL --engines torch", 1),
        ("flat_regions", "MODEL --photo photos/beach.jpg --sky 0 0 64 64 --out out", 2),
        ("starts", "photos/beach.jpg --style painting.png --checkpoint MODEL --size 48 --style-size 48", 4),
        ("statistics", "photos/cat.png --style painting.png --size 48 --steps 3 --only gram moments", 2),
        ("vgg_speed", "--size 32 --rounds 1", 4),
        ("baseline", "--photo photos/dune.jpg --style painting.png --size 96 --steps 2", 4),
    ],
)
def test_table_has_a_row_for_each(
    name, arguments, rows, tmp_path, model, photos, painting, table, monkeypatch
):
    monkeypatch.setattr("benchmarks.starts.AFTER_STEPS", (0, 2))
    monkeypatch.setattr("benchmarks.vgg_speed.MATRIX_SIDE", 64)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    run(name, *arguments.replace("MODEL", str(model)).split())
    assert len(table()) == 2 + rows


@pytest.mark.slow
def test_cold_start(photos, model, tmp_path, table):
    lite = tmp_path / "styletransfer-lite"  # which copies the photo
    lite.write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho > "$2"\n')
    lite.chmod(0o755)
    python = tmp_path / "python"
    run(
        "cold_start", photos / "beach.jpg", "--checkpoint", model, "--size", 64, "--runs", 1, "--lite", python
    )
    assert len(table()) == 4


@pytest.mark.slow
def test_interrupted_collection_loses_no_image(model, capsys):
    run("collection", "--pictures", 6, "--sizes", 64, "--ranks", 2, "--kills", 1, "--checkpoint", model)
    assert "6 images, lost or different 0, in the manifest 6" in capsys.readouterr().out
