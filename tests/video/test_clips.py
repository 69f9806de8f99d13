import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image

from faststyle.errors import InputError
from faststyle.video import hdr
from faststyle.video.clips import exact_rate
from faststyle.video.opening import is_clip, open_camera, open_clip
from tests.support.videos import (
    BT2020,
    PATCHES,
    SIZE,
    draw_moving_bar,
    draw_test_card,
    frame_number,
    inspect_video,
    make_clip,
    patch_means,
    read_frames,
    set_display_matrix,
)


def test_frames_have_the_times_of_the_file(long_video):
    with open_clip(long_video.path, max_size=160) as clip:
        times = [frame.pts * clip.time_base for frame in clip]
    assert times == inspect_video(long_video.path).times
    assert len(times) == clip.count == long_video.frames
    assert clip.damage is None and clip.rate == 25 and clip.path == long_video.path


def test_clip_reports_its_properties(tmp_path):
    frames, clip = read_frames(make_clip(tmp_path / "a.mp4", 20))
    assert (clip.width, clip.height, clip.rate, clip.count) == (64, 48, 25, 20)
    assert [frame.pts * clip.time_base * 25 for frame in frames] == list(range(20))
    assert all(f.pixels.shape == (48, 64, 3) and f.pixels.flags.c_contiguous for f in frames)
    assert [frame_number(f.pixels) for f in frames] == list(range(20))  # None was overwritten.
    assert {frame.duration * clip.time_base for frame in frames} == {Fraction(1, 25)}


def test_variable_times_and_a_late_first_frame_are_kept(tmp_path):
    times = [640, 740, 2340, 2440, 5640, 6152, 20640, 21040]
    frames, clip = read_frames(make_clip(tmp_path / "a.mp4", times))
    assert [frame.pts * clip.time_base for frame in frames] == [Fraction(t, 12800) for t in times]


@pytest.mark.parametrize("base", [Fraction(1, 25), Fraction(1, 12800)])
def test_frames_without_pts_come_in_order_without_loss(tmp_path, base):
    step = round(1 / (25 * base))
    frames, clip = read_frames(make_clip(tmp_path / "a.avi", 20, base=base, step=step))  # Contains B-frames.
    assert [frame_number(frame.pixels) for frame in frames] == list(range(20))
    times = [frame.pts * clip.time_base for frame in frames]
    assert [time - times[0] for time in times] == [Fraction(n, 25) for n in range(20)]
    assert times[0] <= Fraction(2, 25)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([0, 40, 40, 80, 120], [0, 40, 41, 80, 120]),  # Two equal times: the other frames keep theirs.
        ([(0, -80), (40, -40), (40, 0), (80, 40)], [0, 40, 41, 80]),
        ([(0, 0), (120, 40), (40, 160), (200, 200)], [0, 120, 160, 200]),
        ([0, 40, 80, 0, 40, 80], [0, 40, 80, 120, 160, 200]),  # The clock jumps back.
        ([None, None, None], [0, 40, 80]),
        ([0, 100, None, 160], [0, 100, 200, 201]),
    ],
)
def test_times_increase_strictly(tmp_path, given, expected):
    with open_clip(make_clip(tmp_path / "a.mkv", 2, base=Fraction(1, 1000), step=40)) as clip:
        both = [one if isinstance(one, tuple) else (one, None) for one in given]
        frames = [SimpleNamespace(pts=pts, dts=dts) for pts, dts in both]
        assert [frame.pts for frame in clip.with_times(frames)] == expected


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_part_has_exactly_the_frames_between_start_and_end(tmp_path, suffix):
    base = {"base": Fraction(1, 90000), "step": 3600}
    path = make_clip(tmp_path / f"a.{suffix}", 28, options={"g": "10"}, **base)
    frames = read_frames(path, start=0.5, end=0.8)[0]
    first = 13 if suffix != "ts" else frame_number(frames[0].pixels)  # The times of a TS do not start at 0.
    assert [frame_number(frame.pixels) for frame in frames] == list(range(first, first + len(frames)))
    assert abs(len(frames) - 7.5) <= 1 and first in (11, 12, 13)
    assert frames[0].pts == 0


def test_start_after_the_end_of_the_video_is_rejected_with_its_length(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 20)
    with pytest.raises(InputError, match=r"a\.mp4 is 0\.80 s long") as caught:
        open_clip(path, start=3)
    assert caught.value.parameters == ["start"] and caught.value.file == str(path)
    with pytest.raises(InputError) as caught:
        open_clip(path, start=0.5, end=0.2)
    assert caught.value.parameters == ["start", "end", "end"]


def test_constant_rate_drops_and_repeats_frames(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 20)
    frames, clip = read_frames(path, fps=5)
    assert clip.time_base == Fraction(1, 5) and clip.count == 4
    assert [f.pts for f in frames] == [0, 1, 2, 3]
    frames, clip = read_frames(path, fps=50)
    assert [f.pts for f in frames] == list(range(40)) and clip.count == 40
    assert len(read_frames(path, fps=0.5)[0]) == 1
    assert exact_rate(29.97) == Fraction(30000, 1001) and exact_rate(12.5) == Fraction(25, 2)
    for fps in (0, 0.0003, 0.09, 1001):
        with pytest.raises(InputError) as caught:
            open_clip(path, fps=fps)
        assert caught.value.parameters == ["fps"]


def test_frames_shrink_to_even_sides_and_are_not_enlarged(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 2)
    assert read_frames(path, max_size=33)[0][0].pixels.shape == (24, 32, 3)
    assert read_frames(path, max_size=100)[0][0].pixels.shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((0, 1, -1, 0), lambda a: np.rot90(a, -1)),
        ((-1, 0, 0, -1), lambda a: np.rot90(a, 2)),
        ((0, -1, 1, 0), lambda a: np.rot90(a)),
        ((-1, 0, 0, 1), lambda a: a[:, ::-1]),
    ],
)
def test_rotated_frames_are_turned_upright(tmp_path, matrix, expected):
    path = make_clip(tmp_path / "a.mp4", 2, draw=lambda n, w, h: draw_test_card(w, h))
    stored = read_frames(path)[0][0].pixels
    set_display_matrix(path, *matrix)
    frames, clip = read_frames(path)
    assert np.array_equal(frames[0].pixels, expected(stored))
    assert frames[0].pixels.shape == (clip.height, clip.width, 3)
    small = read_frames(path, max_size=32)[1]
    assert max(small.width, small.height) == 32


def test_non_square_pixels_are_reported(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 2, aspect=Fraction(4, 3))
    assert read_frames(path)[1].aspect == Fraction(4, 3)
    assert read_frames(set_display_matrix(path, 0, 1, -1, 0))[1].aspect == Fraction(3, 4)


@pytest.mark.parametrize(
    ("suffix", "codec", "pixels", "colors", "matrix"),
    [
        ("mp4", "libx264", "yuv420p", (6, 1, 6, 6), None),
        ("mp4", "libx264", "yuv420p", (1, 1, 1, 1), None),
        ("mp4", "libx264", "yuv420p", (2, 0, 2, 2), 6),
        ("mp4", "libx264", "yuvj420p", (1, 2, 1, 1), None),
        ("mp4", "libx264", "yuvj420p", (6, 2, 6, 6), None),
        ("mp4", "libx264", "yuv444p", (6, 1, 6, 6), None),
        pytest.param("mkv", "libx264", "yuv420p10le", (9, 1, 9, 14), None, marks=BT2020),
        ("mkv", "ffv1", "yuv422p10le", (5, 1, 2, 2), None),
        ("mkv", "ffv1", "bgr0", (0, 0, 2, 2), 0),
        ("mov", "png", "rgb24", (0, 0, 2, 2), 0),
        ("mov", "prores_ks", "yuva444p10le", (1, 1, 1, 1), None),
    ],
)
def test_colour_matrix_range_and_depth_are_respected(tmp_path, suffix, codec, pixels, colors, matrix):
    options = {"crf": "4"} if codec == "libx264" else {}
    draw = lambda n, w, h: draw_test_card(w, h)  # noqa: E731
    path = tmp_path / f"a.{suffix}"
    make_clip(path, 2, codec=codec, pixels=pixels, colors=colors, matrix=matrix, draw=draw, options=options)
    frames, clip = read_frames(path)
    assert np.abs(patch_means(frames[0].pixels) - PATCHES).max() <= 2
    assert clip.colors.matrix == (colors[0] if colors[0] in (1, 5, 6, 9) else 1 if matrix == 0 else 6)


def test_untagged_large_frames_are_read_as_bt_709(tmp_path):
    draw = lambda n, w, h: draw_test_card(w, h)  # noqa: E731
    path = make_clip(tmp_path / "a.mp4", 1, size=(1280, 720), matrix=1, draw=draw)
    frames, clip = read_frames(path)
    assert np.abs(patch_means(frames[0].pixels) - PATCHES).max() <= 2 and clip.colors == (1, 1, 1)


@pytest.mark.parametrize("transfer", [hdr.PQ, hdr.HLG])
def test_high_dynamic_range_is_tone_mapped(tmp_path, transfer):
    # Code values in [0, 1] of black, mid-grey, white (203 nits) and a highlight of 1000 nits.
    codes = {hdr.PQ: (0, 0.38, 0.581, 0.752), hdr.HLG: (0, 0.38, 0.75, 1)}[transfer]
    bars = np.repeat(np.array(codes) * 255, 16).round().astype(np.uint8)
    draw = lambda n, w, h: np.repeat(np.repeat(bars[None, :, None], h, 0), 3, 2)  # noqa: E731
    path = tmp_path / "a.mkv"
    make_clip(path, 1, pixels="yuv420p10le", colors=(9, 1, 9, transfer), draw=draw, options={"crf": "4"})
    frames, clip = read_frames(path)
    levels = frames[0].pixels[:, 6::16][:, :4].astype(int)  # (H,4,3)
    assert np.ptp(levels, axis=2).max() <= 2  # Greys stay grey.
    black, grey, white, light = levels.mean((0, 2))
    assert black <= 3 and 80 <= grey <= 130 and 200 <= white <= 240 and light >= 250
    assert clip.colors == (1, 1, 1)


def test_truncated_video_yields_its_intact_frames(tmp_path):
    path = make_clip(tmp_path / "a.mkv", 100, base=Fraction(1, 1000), step=40, options={"g": "10"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames, clip = read_frames(path)
    assert 20 < len(frames) < 80
    assert clip.damage is not None and f"{path} is damaged after" in clip.damage and "\n" not in clip.damage


def test_gap_in_a_video_ends_it_with_a_damage_report(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 100, codec="libx264", options={"g": "10"})
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat")
    length = int.from_bytes(data[start - 4 : start], "big")
    data[start + length // 2 : start + length * 2 // 3] = bytes(length * 2 // 3 - length // 2)
    path.write_bytes(data)
    frames, clip = read_frames(path)
    assert 10 < len(frames) < 100 and clip.damage is not None


def test_file_that_is_not_a_video_is_rejected_with_one_line(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        open_clip(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("no film" * 100)
    with pytest.raises(InputError, match="is not a video that can be read") as error:
        open_clip(tmp_path / "text.mp4")
    assert "\n" not in str(error.value)
    with av.open(str(tmp_path / "sound.m4v"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        frame.sample_rate = 48000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(InputError, match="has no video in it"):
        open_clip(tmp_path / "sound.m4v")


def test_missing_pyav_error_names_the_install_command(tmp_path, monkeypatch):
    path = make_clip(tmp_path / "a.mp4", 2)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match="video needs PyAV: pip install"):
        open_clip(path)


def test_frames_of_changing_size_are_scaled_to_the_first(tmp_path):
    parts = [
        make_clip(tmp_path / "a.ts", 10),
        make_clip(tmp_path / "b.ts", list(range(5120, 10240, 512)), size=(96, 72)),
    ]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames, _ = read_frames(path)
    assert {frame.pixels.shape for frame in frames} == {(48, 64, 3)} and len(frames) > 10


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_animated_images_keep_their_times_on_white_background(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    images = [Image.fromarray(draw_moving_bar(n)).convert("RGBA") for n in range(5)]
    for image in images:
        image.putpixel((0, 0), (0, 0, 0, 0))
    durations = [40, 100, 60, 200, 80]
    kind = {"webp": {"lossless": True}, "gif": {"disposal": 2}}.get(suffix, {})
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=0, **kind)
    assert is_clip(path)
    frames, clip = read_frames(path)
    assert [f.pts * clip.time_base * 1000 for f in frames] == [0, 40, 140, 200, 400]
    assert [f.duration for f in frames] == durations
    assert clip.count == 5 and clip.path is None
    assert [frame_number(f.pixels) for f in frames] == list(range(5))
    assert all(f.pixels[0, 0].min() >= 250 for f in frames)
    part, clip = read_frames(path, start=0.14, end=0.4)
    assert [f.pts for f in part] == [0, 60] and clip.count == 2


def test_numbered_frames_are_read_in_numerical_order(tmp_path):
    for n in (1, 2, 10, 9):
        Image.fromarray(draw_moving_bar(n)).save(tmp_path / f"f{n}.png")
    frames, clip = read_frames(tmp_path)
    assert [frame_number(f.pixels) for f in frames] == clip.numbers == [1, 2, 9, 10]
    assert clip.rate == 25 and [f.pts for f in frames] == [0, 1, 2, 3] and clip.count == 4
    frames, clip = read_frames(tmp_path / "f%d.png", fps=12, start=0.1, max_size=32)
    assert clip.numbers == [9, 10] and clip.time_base == Fraction(1, 12)
    assert frames[0].pixels.shape == (24, 32, 3)
    with pytest.raises(InputError, match="there are no numbered images"):
        open_clip(tmp_path / "g%04d.png")
    Image.fromarray(draw_moving_bar(3, 32, 32)).save(tmp_path / "f11.png")
    with pytest.raises(InputError, match=r"f11\.png has 32x32"):
        read_frames(tmp_path)


def test_frame_number_is_read_at_the_patterns_field(tmp_path):
    for n in (1, 2, 10):
        Image.fromarray(draw_moving_bar(n)).save(tmp_path / f"{n}_v2.png")
    frames, clip = read_frames(tmp_path / "%d_v2.png")
    assert [frame_number(f.pixels) for f in frames] == clip.numbers == [1, 2, 10]
    frames, clip = read_frames(tmp_path / "%d_v2.png", start=0.04)
    assert clip.numbers == [2, 10]


def test_frame_folder_of_several_shots_has_no_numbers(tmp_path):
    for n, name in enumerate(("a1", "a2", "b1")):
        Image.fromarray(draw_moving_bar(n)).save(tmp_path / f"{name}.png")
    frames, clip = read_frames(tmp_path)
    assert [frame_number(f.pixels) for f in frames] == [0, 1, 2] and clip.numbers is None


def test_videos_are_distinguished_from_images(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "still.gif")
    Image.new("RGB", (8, 8)).save(tmp_path / "still.webp")
    assert not is_clip(tmp_path / "still.gif") and not is_clip(tmp_path / "still.webp")
    assert is_clip(Path("none.MP4")) and is_clip(Path("a.webm")) and is_clip(Path("frames/%04d.png"))
    assert not is_clip(Path("a.jpg")) and not is_clip(Path("none.png"))


def test_file_can_be_opened_as_a_camera(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 5)
    with open_camera(str(path)) as clip:
        assert len(list(clip)) == 5 and clip.path is None
    with pytest.raises(InputError, match=r"there is no camera /dev/video97"):
        open_camera("97")
    with pytest.raises(InputError, match="there is no camera"):
        open_camera("udp://999.1.1.1:1")


def test_cover_images_are_not_read_as_the_video(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 5)
    covered = tmp_path / "covered.mp4"
    Image.new("RGB", (200, 200), "red").save(tmp_path / "cover.png")
    with av.open(str(path)) as source, av.open(str(covered), "w") as target:
        with av.open(str(tmp_path / "cover.png")) as cover:
            still = target.add_stream_from_template(cover.streams.video[0], opaque=True)
            still.disposition = av.stream.Disposition.attached_pic
            copy = target.add_stream_from_template(source.streams.video[0], opaque=True)
            for packet in cover.demux():
                if packet.size:
                    packet.stream = still
                    target.mux(packet)
        for packet in source.demux():
            if packet.size:
                packet.stream = copy
                target.mux(packet)
    frames, clip = read_frames(covered)
    assert (clip.width, clip.height) == SIZE and len(frames) == 5


def test_matroska_with_a_late_start_is_read_completely(tmp_path):
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuvj420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(draw_moving_bar(number), "rgb24")
            frame.pts, frame.time_base = 25 * 1000 + number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    frames, clip = read_frames(path)
    assert len(frames) == 10 and clip.damage is None and clip.count in (None, 10)
