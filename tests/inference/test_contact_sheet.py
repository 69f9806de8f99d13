"""Tests of the contact sheet and of the list of built-in styles."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from PIL import Image

from faststyle.cli.main import infer as main
from faststyle.image.convert import limit_size, to_image, to_tensor
from faststyle.image.files import open_image
from faststyle.image.warp import in_bounds_mask, warp
from faststyle.inference.contact_sheet import GAP, contact_sheet
from faststyle.inference.stylizer import Stylizer
from faststyle.losses.painting import measure_grams
from faststyle.losses.statistics import bounded_relative
from faststyle.models import pretrained
from faststyle.models.checkpoint import load_grams, load_model
from faststyle.training.synthetic_motion import random_flow, temporal_loss
from tests.support.commands import expect_error_line
from tests.support.images import draw_image

PHOTO = Path(skimage.__file__).parent / "data" / "astronaut.png"


STYLES = [
    "cap_negre",
    "composition_vii",
    "edtaonisl",
    "engraving",
    "great_wave",
    "ink",
    "picasso",
    "shipwreck",
    "stained_glass",
    "starry_night",
    "the_scream",
    "yellow_cow",
]
# The styles that have a model for videos.
VIDEO_STYLES = ["composition_vii", "edtaonisl", "great_wave", "shipwreck", "starry_night", "the_scream"]


def test_package_contains_twelve_styles_under_30_mebibytes():
    assert list(pretrained.built_in_styles()) == STYLES
    files = [path for path in pretrained.FOLDER.rglob("*") if path.is_file() and path != pretrained.ENCODER]
    assert sum(path.stat().st_size for path in files) < 30 * 2**20
    for name in STYLES:
        with Image.open(pretrained.sample_path(name)) as image:
            assert max(image.size) == 256


@pytest.mark.parametrize("name", STYLES)
def test_built_in_style_has_complete_metadata(name):
    card = pretrained.read_cards()[name]
    assert card == load_model(pretrained.built_in_styles()[name])[1]
    assert all(vars(card.painting).values())
    assert card.licence == "MIT" and card.command.startswith("python train.py --style ")
    assert card.style[0].name == name and card.hardware and card.minutes > 0
    assert card.steps > 0 and card.data.photos > 1000


@pytest.mark.slow
def test_steady_networks_are_more_temporally_consistent_and_know_their_paintings():
    assert list(pretrained.steady_styles()) == [f"{name}-steady" for name in VIDEO_STYLES]
    cards = pretrained.read_cards(pretrained.steady_styles())
    photo = to_tensor(limit_size(open_image(PHOTO), 256).convert("RGB"))[None]
    flow = random_flow(1, *photo.shape[2:], torch.Generator().manual_seed(0))
    moved = warp(photo, flow)
    paintings = {name: load_grams(path) for name, path in pretrained.built_in_styles().items()}
    for name in VIDEO_STYLES:
        assert cards[f"{name}-steady"].training.others["temporal_weight"] > 0
        usual, steady = (Stylizer.load(model) for model in (name, pretrained.style_for_videos(name)))
        change, left = (
            temporal_loss(model(moved), warp(model(photo), flow), in_bounds_mask(flow))
            for model in (usual, steady)
        )
        assert left < 0.75 * change
        grams = measure_grams(to_image(steady(photo)[0]))
        distances = {
            other: sum(bounded_relative(grams[layer], one[layer]) for layer in one)
            for other, one in paintings.items()
        }
        assert min(distances, key=distances.get) == name


def test_listing_styles_does_not_import_torch():
    code = """
import sys
from faststyle.cli.main import infer as main
try:
    main(["--list-styles"])
finally:
    assert "torch" not in sys.modules
"""
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for name in STYLES:
        assert f"\n{name} " in listed
    assert "Vincent van Gogh" in listed


def test_contact_sheet_shows_every_style_once(tmp_path, capsys):
    draw_image(96, 64).save(tmp_path / "photo.png")
    main([str(tmp_path / "photo.png"), "--checkpoint", "all", "-o", str(tmp_path / "sheet.png")])
    assert capsys.readouterr().out.strip() == str(tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"), int)
    assert sheet.shape[1] == 4 * (96 + GAP) + GAP
    down = (sheet.shape[0] - GAP) // 3
    cells = [
        sheet[GAP + y * down : GAP + y * down + 64, GAP + x * (96 + GAP) : GAP + x * (96 + GAP) + 96]
        for y in range(3)
        for x in range(4)
    ]
    for i, one in enumerate(cells):
        assert all(abs(one - other).mean() > 3 for other in cells[:i])


def test_contact_sheet_is_written_beside_the_photo_by_default(tmp_path):
    draw_image(60, 80).save(tmp_path / "photo.jpg")
    main([str(tmp_path / "photo.jpg"), "--checkpoint", "all", "--max-size", "40"])
    with Image.open(tmp_path / "photo_all_max40.jpg") as sheet:
        assert sheet.width == 4 * (30 + GAP) + GAP


def test_captions_lose_accents_that_the_font_lacks():
    image = Image.new("RGB", (200, 100))
    assert (
        contact_sheet({"Doré, Cap Nègre": image}).tobytes()
        == contact_sheet({"Dore, Cap Negre": image}).tobytes()
    )


def test_long_captions_are_truncated_and_transparency_becomes_white():
    image = Image.new("RGBA", (80, 40), (255, 0, 0, 0))
    sheet = contact_sheet({"A very long title, by a painter of many names": image, "short": image})
    assert sheet.mode == "RGB"
    assert sheet.getpixel((GAP, GAP)) == (255, 255, 255)
    dark = np.asarray(sheet.convert("L")) < 128
    assert dark[:, GAP : GAP + 80].any()
    assert not dark[:, GAP + 80 : 2 * GAP + 80].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--checkpoint", "stary_night"], "did you mean 'starry_night'"),
        (["--checkpoint", "starry_night:0.5,wave"], "'wave' in the blend"),
        (["--checkpoint", "all", "--style", "x.jpg"], "--style needs --refine N"),
    ],
)
def test_invalid_output_names_are_rejected(tmp_path, capsys, options, message):
    draw_image(32, 32).save(tmp_path / "photo.png")
    assert message in expect_error_line(capsys, main, [str(tmp_path / "photo.png"), *options])
    assert [path.name for path in Path(tmp_path).iterdir()] == ["photo.png"]
