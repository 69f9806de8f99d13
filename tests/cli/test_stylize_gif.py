"""Tests of ``python infer.py --checkpoint`` with GIFs as results."""

from fractions import Fraction
from pathlib import Path

from PIL import Image

from tests.support.videos import draw_moving_bar, inspect_video, make_clip, make_frames


def test_gif_of_a_video_is_made_smaller_and_slower_and_reported(infer, capsys):
    make_clip(Path("a.mp4"), 10, size=(640, 360))
    infer("a.mp4", "-o", "a.gif")
    line = "a.gif: 480x270 pixels at 12.5 frames per second, because GIFs are large files"
    assert f"{line} (change it by --max-size and --fps)" in capsys.readouterr().err
    content = inspect_video(Path("a.gif"))
    assert content.size == (480, 270)
    assert content.times == [Fraction(8 * number, 100) for number in range(5)]


def test_size_and_rate_that_are_given_count(infer, capsys):
    make_clip(Path("a.mp4"), 10, size=(640, 360))
    infer("a.mp4", "-o", "a.gif", "--max-size", 600, "--fps", 20)
    assert "GIFs" not in capsys.readouterr().err
    assert inspect_video(Path("a.gif")).size == (600, 338)
    assert len(inspect_video(Path("a.gif")).times) == 8
    infer("a.mp4", "-o", "b.gif", "--fps", 20)
    assert inspect_video(Path("b.gif")).size == (480, 270) and len(inspect_video(Path("b.gif")).times) == 8


def test_small_and_slow_video_and_frames_stay_as_they_are(infer):
    make_clip(Path("a.mp4"), 5, base=Fraction(1, 10), step=1, rate=10)
    infer("a.mp4", "-o", "a.gif")
    content = inspect_video(Path("a.gif"))
    assert content.size == (64, 48) and len(content.times) == 5
    make_frames("shot")
    infer("shot", "-o", "b.gif", "--fps", 8)
    assert len(inspect_video(Path("b.gif")).times) == 4


def test_animated_gif_keeps_its_size_and_times(infer, capsys):
    images = [Image.fromarray(draw_moving_bar(number, 500, 40)) for number in range(4)]
    images[0].save("moves.gif", save_all=True, append_images=images[1:], duration=40)
    infer("moves.gif")
    assert "GIFs" not in capsys.readouterr().err
    content = inspect_video(Path("moves_small.gif"))
    assert content.size == (500, 40) and content.times == [Fraction(4 * number, 100) for number in range(4)]
