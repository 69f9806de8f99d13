import sys

import numpy as np
import pytest
from PIL import Image

from faststyle.errors import InputError
from faststyle.video.animation import check_animation, save_animation
from tests.support.images import draw_image


def frames(count: int = 4, width: int = 40, height: int = 30) -> list[Image.Image]:
    return [draw_image(width, height, seed) for seed in range(count)]


def mean_level_difference(a: Image.Image, b: Image.Image) -> float:
    """Return the mean difference in 8-bit levels."""
    return float(np.abs(np.asarray(a.convert("RGB"), int) - np.asarray(b.convert("RGB"), int)).mean())


def read_gif(path) -> tuple[list[Image.Image], list[int], dict]:
    with Image.open(path) as image:
        images, durations = [], []
        for number in range(image.n_frames):
            image.seek(number)
            images.append(image.convert("RGB"))
            durations.append(image.info["duration"])
        return images, durations, image.info


def test_gif_shows_every_frame_and_the_last_one_for_an_extra_second(tmp_path):
    given = frames()
    save_animation(given, tmp_path / "way.gif")
    images, durations, info = read_gif(tmp_path / "way.gif")
    assert len(images) == len(durations) == 4  # Pillow merges the copies of the last frame.
    assert durations[:3] == [100] * 3 and durations[3] == 1100
    assert info["loop"] == 0
    for image, frame in zip(images, given, strict=True):
        assert image.size == (40, 30) and mean_level_difference(image, frame) < 8


@pytest.mark.parametrize("width, height", [(41, 33), (17, 48), (1, 1)])
def test_gif_has_the_size_of_its_frames(tmp_path, width, height):
    save_animation(frames(2, width, height), tmp_path / "way.GIF")
    assert [image.size for image in read_gif(tmp_path / "way.GIF")[0]] == [(width, height)] * 2


def test_large_gif_is_made_smaller_but_no_mp4(tmp_path):
    given = frames(2, 800, 600)
    assert save_animation(given, tmp_path / "way.gif") == (480, 360)
    assert read_gif(tmp_path / "way.gif")[0][0].size == (480, 360)
    pytest.importorskip("av")
    assert save_animation(given, tmp_path / "way.mp4") == (800, 600)


@pytest.mark.parametrize("width, height", [(40, 30), (41, 33), (17, 48)])
def test_mp4_decodes_to_the_frames(tmp_path, width, height):
    av = pytest.importorskip("av")
    given = frames(4, width, height)
    save_animation(given, tmp_path / "way.mp4")
    with av.open(str(tmp_path / "way.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == 10 and stream.codec_context.name == "h264"
        decoded = [frame.to_image() for frame in container.decode(stream)]
    assert len(decoded) == 4 + 10  # The last frame stays for a second longer.
    size = (width + width % 2, height + height % 2)
    for number, image in enumerate(decoded):
        shown = image.crop((0, 0, width, height))
        assert image.size == size and mean_level_difference(shown, given[min(number, 3)]) < 12


def test_animation_of_a_single_frame_is_written(tmp_path):
    save_animation(frames(1), tmp_path / "way.gif")
    images, durations, _ = read_gif(tmp_path / "way.gif")
    assert len(images) == 1 and durations == [1100]


def test_folder_is_created_and_an_old_file_replaced(tmp_path):
    path = tmp_path / "new" / "way.gif"
    save_animation(frames(2), path)
    save_animation(frames(3), path)
    assert len(read_gif(path)[0]) == 3
    assert [file.name for file in path.parent.iterdir()] == ["way.gif"]


@pytest.mark.parametrize("name", ["way.avi", "way.png", "way", "gif"])
def test_unsupported_suffix_is_rejected(tmp_path, name):
    with pytest.raises(InputError, match=r"\.gif or \.mp4"):
        check_animation(tmp_path / name)


@pytest.mark.parametrize("name", ["way.gif", "WAY.GIF"])
def test_gif_needs_no_further_package(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "av", None)
    check_animation(tmp_path / name)


def test_missing_mp4_package_error_names_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match="video needs PyAV: pip install"):
        check_animation(tmp_path / "way.mp4")
