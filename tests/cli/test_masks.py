"""Tests of ``faststyle stylize --mask``."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faststyle.cli.main import infer as run
from tests.support.commands import expect_error_line
from tests.support.images import draw_image
from tests.support.videos import frames_of


@pytest.fixture
def files(infer):
    """Write a photo, and masks of its left and of its right half."""
    draw_image(64, 48).save("photo.png")
    for name, box in (("left.png", (0, 0, 32, 48)), ("right.png", (32, 0, 64, 48))):
        mask = Image.new("L", (64, 48))
        mask.paste(255, box)
        mask.save(name)
    return infer


def pixels(name: str) -> np.ndarray:
    return np.asarray(Image.open(name).convert("RGB"), int)


def test_style_is_only_where_the_mask_is_white(files):
    files("photo.png", "-o", "whole.png")
    files("photo.png", "--mask", "left.png", "-o", "part.png")
    photo, whole, part = map(pixels, ("photo.png", "whole.png", "part.png"))
    assert np.array_equal(part[:, :32], whole[:, :32])
    assert np.array_equal(part[:, 32:], photo[:, 32:])


def test_each_of_two_models_has_its_mask(files, model):
    same = "--device=cpu", "--precision=fp32", "--engine=torch"
    run(["photo.png", "--checkpoint", "great_wave", "-o", "wave.png", *same])
    files("photo.png", "-o", "own.png")
    masks = "--mask", "left.png", "right.png"
    run(["photo.png", "--checkpoint", "great_wave", str(model), *masks, *same])
    both = pixels(f"photo_great_wave_{model.stem}_left-right.png")
    assert np.array_equal(both[:, :32], pixels("wave.png")[:, :32])
    assert np.array_equal(both[:, 32:], pixels("own.png")[:, 32:])


def test_folder_of_masks_is_read_by_the_names_of_the_photos(files, capsys):
    Path("photos").mkdir(), Path("masks").mkdir()
    for name in "abc":
        draw_image(64, 48).save(f"photos/{name}.png")
    Image.open("left.png").save("masks/a.webp", lossless=True)
    Image.open("right.png").save("masks/b.png")
    with pytest.raises(SystemExit) as ended:
        files("photos", "--mask", "masks", "-o", "out")
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert "c.png" in captured.err and "there is no mask for photos/c.png: add masks/c.png" in captured.err
    photo = pixels("photos/a.png")
    assert np.array_equal(pixels("out/a.png")[:, 32:], photo[:, 32:])
    assert np.array_equal(pixels("out/b.png")[:, :32], photo[:, :32])


def test_models_before_the_inputs_are_told_apart(files, model):
    run(["--checkpoint", str(model), "photo.png", "--mask", "left.png", "-o", "out.png"])
    assert Path("out.png").exists()


def test_folder_of_masks_mirrors_subfolders_and_other_files_are_passed_over(files):
    for place in ("photos/sub", "masks/sub"):
        Path(place).mkdir(parents=True)
    for name in ("a.png", "sub/a.png"):
        draw_image(64, 48).save(f"photos/{name}")
    Image.open("right.png").save("masks/a.jpg", quality=100)
    Image.open("left.png").save("masks/a.png")
    Image.open("right.png").save("masks/sub/a.webp", lossless=True)
    Path("masks/a.json").write_text("{}"), Path("masks/sub/a.json").write_text("{}")
    files("photos", "--mask", "masks", "-o", "out")
    photo = pixels("photos/a.png")
    assert np.array_equal(pixels("out/a.png")[:, 32:], photo[:, 32:])
    assert np.array_equal(pixels("out/sub/a.png")[:, :32], photo[:, :32])


def test_masks_within_the_folder_of_photos_are_no_photos(files):
    Path("photos/masks").mkdir(parents=True)
    draw_image(64, 48).save("photos/a.png")
    Image.open("left.png").save("photos/masks/a.png")
    files("photos", "--mask", "photos/masks", "-o", "out")
    assert [path.name for path in Path("out").rglob("*.png")] == ["a.png"]
    assert not Path("out/masks").exists()


def test_inputs_after_the_masks_are_told_apart(files):
    files("--mask", "left.png", "photo.png", "-o", "out.png")
    assert Path("out.png").exists()


def test_black_mask_keeps_the_photo_and_is_reported(files, capsys):
    Image.new("L", (64, 48)).save("black.png")
    files("photo.png", "--mask", "black.png", "-o", "out.png")
    assert "black.png: is black everywhere" in capsys.readouterr().err
    assert np.array_equal(pixels("out.png"), pixels("photo.png"))


def test_mask_of_another_proportion_is_reported(files, capsys):
    Image.new("L", (10, 10), 255).save("square.png")
    files("photo.png", "--mask", "square.png", "-o", "out.png")
    assert "square.png: 10x10 pixels are stretched to 64x48" in capsys.readouterr().err


def test_video_takes_one_mask_or_a_mask_for_each_frame(infer_video):
    frames = frames_of("a.mp4")
    height, width = frames[0].shape[:2]
    mask = Image.new("L", (width, height))
    mask.paste(255, (0, 0, width // 2, height))
    mask.save("half.png")
    infer_video("a.mp4", "--mask", "half.png", "-o", "frames/%02d.png")
    results = sorted(Path("frames").iterdir())
    assert len(results) == len(frames)
    last = pixels(str(results[-1]))
    assert np.array_equal(last[:, width // 2 :], frames[-1][:, width // 2 :])
    assert np.abs(last[:, : width // 2] - frames[-1][:, : width // 2]).mean() > 5
    Path("masks").mkdir()
    for number in range(1, 4):  # the last one is kept
        Image.new("L", (width, height), 255 if number < 3 else 0).save(f"masks/{number:02d}.png")
    mask.save("masks/03.png")
    infer_video("a.mp4", "--mask", "masks/%02d.png", "-o", "again/%02d.png")
    assert np.array_equal(pixels("again/08.png"), last)
    assert not np.array_equal(pixels("again/01.png")[:, width // 2 :], frames[0][:, width // 2 :])


def test_mask_video_starts_and_runs_as_the_video(infer_video):
    frames = frames_of("a.mp4")
    height, width = frames[0].shape[:2]
    Path("masks").mkdir()
    for number in range(len(frames)):
        mask = Image.new("L", (width, height))
        mask.paste(255, (0, 0, 4 * number, height))
        mask.save(f"masks/{number + 1:02d}.png")
    infer_video("a.mp4", "--mask", "masks/%02d.png", "--start", "0.12", "-o", "out/%02d.png")
    first = pixels("out/01.png")
    white = np.abs(first - frames[3]).mean((0, 2)) > 0
    assert white[:12].all() and not white[12:].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--mask", "none.png"], "there is no mask none.png"),
        (
            ["--mask", "left.png", "right.png"],
            "1 --checkpoint and 2 --mask were given: give one mask",
        ),
        (["--mask", "-"], "there is no mask -"),
        (["--mask", "left.png", "-o", "left.png"], "left.png would overwrite an input"),
        (["--mask", "masks", "-o", "masks/photo.png"], "photo.png would overwrite an input"),
        (["--mask", "left.png", "--mask", "right.png"], "1 --checkpoint and 2 --mask"),
        (["--mask", "text.png"], "text.png"),
        (["--mask", "left.png", "--devices", "2", "-o", "out"], "--mask cannot be used with --devices"),
    ],
)
def test_masks_that_cannot_be_used_give_one_line(files, capsys, options, message):
    Path("text.png").write_text("no image")
    Path("masks").mkdir()
    Image.open("left.png").save("masks/photo.png")
    assert message in expect_error_line(capsys, files, "photo.png", *options)
    assert not list(Path().glob("photo_*"))
