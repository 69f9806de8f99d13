"""Fixtures of the tests of hostile files, of collections and of interrupted runs."""

from pathlib import Path

import pytest

from faststyle.cli import train as train_command
from faststyle.cli.main import infer as main
from faststyle.image.files import save_image
from tests.support.images import draw_image

PROC_STATUS = Path("/proc/self/status")
ODD_NAME = "with\nnewline é.png"


@pytest.fixture
def infer(work, model):
    """Return ``python infer.py`` with the small model, or the one given, run in an empty folder."""

    def run(*arguments):
        model_options = [] if "--checkpoint" in arguments else ["--checkpoint", str(model)]
        return main([*model_options, "--device=cpu", "--precision=fp32", *map(str, arguments)])

    return run


def memory(kind: str) -> int:
    """Return the memory of this process in bytes: VmRSS is the current value, VmHWM the peak."""
    lines = PROC_STATUS.read_text().splitlines() if PROC_STATUS.exists() else [f"{kind}: 0 kB"]
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(kind))


@pytest.fixture
def memory_limit():
    """Fail a test that allocates 1.5 GiB or more, which leaves 0.5 GiB of a 2 GiB limit for PyTorch."""
    if PROC_STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = memory("VmRSS")
    yield
    assert memory("VmHWM") - before < 1.5 * 2**30


@pytest.fixture
def many(tmp_path) -> Path:
    """Return a folder of 90 images in subfolders, with odd names, a broken image and an animation."""
    folder = tmp_path / "many"
    for number in range(90):
        place = folder / str(number % 3) / f"p{number}.{'jpg' if number % 2 else 'png'}"
        save_image(draw_image(64, 40 + number % 9, seed=number), place)
    draw_image(40, 30).save(folder / ODD_NAME)
    draw_image(40, 30).save(folder / "drawn.bmp")
    frames = [draw_image(32, 32, seed=seed) for seed in range(2)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    (folder / "broken.jpg").write_bytes(b"not an image")
    (folder / ".hidden.jpg").write_bytes(b"hidden")
    return folder


@pytest.fixture
def frequent_checkpoints(monkeypatch):
    """Save a checkpoint every two steps."""
    monkeypatch.setattr(train_command, "STEPS_BETWEEN_SAVES", 2)
