"""Tests of the frames of recordings: times, size, colours and formats."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from faststyle.errors import InputError
from faststyle.video.clips import Frame
from faststyle.video.opening import open_camera, open_clip
from faststyle.video.recorder import Recorder
from tests.support.recordings import VARIABLE, are_close, record
from tests.support.videos import (
    BT2020,
    PATCHES,
    draw_moving_bar,
    draw_test_card,
    frame_number,
    inspect_video,
    make_clip,
    patch_means,
    read_frames,
    set_display_matrix,
)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_video_keeps_times_length_and_sound(tmp_path, long_video, suffix):
    source, target = long_video.path, tmp_path / f"a.{suffix}"
    assert record(source, target, max_size=128) == []
    before, after = inspect_video(source), inspect_video(target)
    # At 25 frames per second, times are whole milliseconds.
    assert after.times == before.times and after.length == before.length
    within = Fraction(1, 2000) if suffix == "mkv" else 0
    for kind, packets in before.packets.items():
        assert [data for _, data in packets] == [data for _, data in after.packets[kind]]
        assert are_close([time for time, _ in packets], [time for time, _ in after.packets[kind]], within)


@pytest.mark.parametrize("codec", ["h264", "hevc", "vp9", "mpeg4"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_frame_times_are_kept(tmp_path, suffix, codec):
    source, target = make_clip(tmp_path / "a.mp4", VARIABLE, sound="aac"), tmp_path / f"b.{suffix}"
    assert record(source, target, codec) == []
    before, after = inspect_video(source), inspect_video(target)
    assert are_close(after.times, before.times, Fraction(1, 2000) if suffix == "mkv" else 0)
    assert after.length == before.length
    assert [d for _, d in after.packets["audio"]] == [d for _, d in before.packets["audio"]]
    assert after.languages == {"audio": "fra"}


@pytest.mark.parametrize("codec", [None, "vp9", "ffv1", "prores"])
def test_odd_sides_are_encoded(tmp_path, codec):
    source = make_clip(
        tmp_path / "a.mkv", 2, size=(63, 47), codec="ffv1", pixels="bgr0", colors=(0, 0, 2, 2), matrix=0
    )
    notes = record(source, tmp_path / "b.mkv", codec)
    frames, clip = read_frames(tmp_path / "b.mkv")
    if codec in ("vp9", "ffv1"):
        assert notes == [] and (clip.width, clip.height) == (63, 47)
    else:
        assert "63x47 is odd" in notes[0] and notes[0].endswith("padded to 64x48")
        assert (clip.width, clip.height) == (64, 48)
    if codec == "ffv1":
        assert np.array_equal(frames[1].pixels, read_frames(source)[0][1].pixels)  # Lossless.


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "webm"])
def test_rotation_is_applied_and_pixel_aspect_is_kept(tmp_path, suffix):
    source = set_display_matrix(make_clip(tmp_path / "a.mp4", 3, aspect=Fraction(4, 3)), 0, 1, -1, 0)
    notes = record(source, tmp_path / f"b.{suffix}")
    clip = read_frames(tmp_path / f"b.{suffix}")[1]
    if suffix == "webm":
        assert (clip.width, clip.height, clip.aspect) == (36, 64, 1) and "scaled to 36x64" in notes[0]
    else:
        assert (clip.width, clip.height, clip.aspect) == (48, 64, Fraction(3, 4)) and notes == []
    assert inspect_video(tmp_path / f"b.{suffix}").rotation == 0


@pytest.mark.parametrize("codec", ["h264", "vp9", "ffv1", "prores", "mjpeg"])
@pytest.mark.parametrize("colors", [(1, 1, 1, 1), (6, 2, 6, 6), pytest.param((9, 1, 9, 14), marks=BT2020)])
def test_colours_stay_within_two_levels_and_are_tagged(tmp_path, colors, codec):
    pixels = {1: "yuv420p", 6: "yuvj420p", 9: "yuv420p10le"}[colors[0]]
    draw = lambda n, w, h: draw_test_card(w, h)  # noqa: E731
    source = make_clip(tmp_path / "a.mkv", 2, pixels=pixels, colors=colors, draw=draw, options={"crf": "4"})
    record(source, tmp_path / "b.mkv", codec)
    before, after = read_frames(source)[0][0], read_frames(tmp_path / "b.mkv")[0][0]
    assert np.abs(patch_means(after.pixels) - patch_means(before.pixels)).max() <= (
        2 if codec != "mjpeg" else 4
    )
    assert np.abs(patch_means(after.pixels) - PATCHES).max() <= (4 if codec != "mjpeg" else 6)
    if codec not in ("ffv1", "mjpeg"):
        with av.open(str(tmp_path / "b.mkv")) as container:
            context = container.streams.video[0].codec_context
            tags = context.colorspace, context.color_range, context.color_primaries, context.color_trc
        assert tags == (colors[0], 1, *colors[2:])


def test_gif_keeps_times_to_a_hundredth_and_loops(tmp_path):
    source = make_clip(tmp_path / "a.mp4", [0, 512, 1024, 2560, 5120])
    record(source, tmp_path / "b.gif")
    frames = read_frames(tmp_path / "b.gif")[0]
    assert [f.pts for f in frames] == [0, 40, 80, 200, 400]
    assert [frame_number(f.pixels) for f in frames] == list(range(5))
    with Image.open(tmp_path / "b.gif") as image:
        assert image.info["loop"] == 0
    assert np.abs(frames[2].pixels.astype(int) - draw_moving_bar(2)).mean() < 8


def test_numbered_images_keep_the_numbers_of_their_source(tmp_path):
    for n in (7, 8, 9):
        Image.fromarray(draw_moving_bar(n)).save(tmp_path / f"{n:03d}.png")
    record_images(tmp_path, tmp_path / "out" / "%05d.png")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["00007.png", "00008.png", "00009.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "00008.png")), draw_moving_bar(8))
    record_images(make_clip(tmp_path / "a.mp4", 3), tmp_path / "film" / "%d.jpg")
    assert sorted(p.name for p in (tmp_path / "film").iterdir()) == ["1.jpg", "2.jpg", "3.jpg"]


def test_images_of_several_shots_are_numbered_consecutively(tmp_path):
    for n, name in enumerate(("a1", "a2", "b1")):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(draw_moving_bar(n)).save(tmp_path / "in" / f"{name}.png")
    record_images(tmp_path / "in", tmp_path / "out" / "%d.png")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["1.png", "2.png", "3.png"]


@pytest.mark.parametrize(("suffix", "rate", "dropped"), [("avi", 25, 2), ("gif", 120, 4)])
def test_frames_dropped_by_coarse_time_bases_are_reported(tmp_path, suffix, rate, dropped):
    times = VARIABLE if rate == 25 else [n * 100 for n in range(24)]
    base = Fraction(1, 12800 if rate == 25 else 12000)
    source = make_clip(tmp_path / "a.mp4", times, base=base, step=100, rate=rate)
    target = tmp_path / f"b.{suffix}"
    with open_clip(source) as clip, Recorder(target, clip) as recorder:
        for frame in clip:
            recorder.write(frame)
    assert recorder.notes == [f"{dropped} frames had no time of their own in .{suffix}: left out"]
    assert len(inspect_video(target).times) == recorder.count == len(times) - dropped


def record_images(source: Path, pattern: Path) -> None:
    with open_clip(source) as clip, Recorder(pattern, clip) as recorder:
        for frame in clip:
            recorder.write(frame)


def test_hevc_is_tagged_for_apple_and_crf_has_an_effect(tmp_path):
    source = make_clip(tmp_path / "a.mp4", 10)
    record(source, tmp_path / "b.mp4", "hevc")
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"
    sizes = []
    for crf in (10, 40):
        record(source, tmp_path / "c.mp4", crf=crf)
        sizes.append((tmp_path / "c.mp4").stat().st_size)
    assert sizes[0] > sizes[1]
    with open_clip(source) as clip, pytest.raises(InputError, match="mpeg4 has no") as caught:
        Recorder(tmp_path / "d.mp4", clip, "mpeg4", 20)
    assert caught.value.parameters == ["crf"]


def test_file_name_with_a_colon_is_not_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "a.mp4", 3, sound="aac").rename("12:30 one.mp4")
    assert record(Path("12:30 one.mp4"), Path("http:two.mp4")) == []
    assert inspect_video(tmp_path / "http:two.mp4").packets["audio"]


def test_camera_frames_have_times_of_the_clock(tmp_path):
    source = make_clip(tmp_path / "a.mp4", 4)
    with open_camera(str(source)) as clip:
        clip.live, clip.time_base = True, Fraction(1, 1_000_000)  # As if the frames arrived now.
        with Recorder(tmp_path / "b.mp4", clip) as recorder:
            for frame in clip:
                recorder.write(frame)
    times = inspect_video(tmp_path / "b.mp4").times
    assert len(times) == 4 and times[0] == 0 and times == sorted(times) and times[-1] < 5


def test_unrelated_frames_can_be_written_at_a_videos_times(tmp_path):
    source = make_clip(tmp_path / "a.mp4", 4)
    with open_clip(source) as clip, Recorder(tmp_path / "b.mp4", clip) as recorder:
        for frame in clip:
            big = np.ascontiguousarray(np.repeat(np.repeat(frame.pixels, 2, 0), 2, 1)[:, ::-1])
            recorder.write(Frame(big[:, ::-1], frame.pts))  # Not contiguous, and of another size.
    assert inspect_video(tmp_path / "b.mp4").size == (128, 96)
