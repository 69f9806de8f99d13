import os
import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from faststyle.errors import InputError
from faststyle.video.clips import Frame
from faststyle.video.opening import open_camera, open_clip
from faststyle.video.recorder import Recorder, check_recording
from tests.support import ROOT
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

VARIABLE = [640, 740, 2340, 2440, 5640, 6152, 9640, 10152, 20640, 21040, 26640]


def record(source: Path, target: Path, codec: str | None = None, crf: float | None = None, **options):
    """Copy the frames of a video to ``target`` and return the recorder's notes."""
    with open_clip(source, **options) as clip, Recorder(target, clip, codec, crf) as recorder:
        for frame in clip:
            recorder.write(frame)
    assert target.exists() and not recorder.partial.exists()
    return recorder.notes


def are_close(times: list[Fraction], others: list[Fraction], within: Fraction) -> bool:
    return len(times) == len(others) and all(abs(a - b) <= within for a, b in zip(times, others, strict=True))


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


def test_matroska_is_recorded_as_matroska_and_webm(tmp_path):
    times = [50, 58, 183, 191, 441, 800]
    source = make_clip(
        tmp_path / "a.mkv", times, base=Fraction(1, 1000), step=40, sound="libopus", subtitles="subrip"
    )
    assert record(source, tmp_path / "b.mkv") == []
    before, after = inspect_video(source), inspect_video(tmp_path / "b.mkv")
    assert (after.times, after.packets, after.languages) == (before.times, before.packets, before.languages)
    notes = record(source, tmp_path / "b.webm")
    assert notes == ["subtitles in subrip cannot be stored in .webm: left out"]
    after = inspect_video(tmp_path / "b.webm")
    assert after.times == before.times and after.packets["audio"] == before.packets["audio"]


def test_subtitles_names_and_chapters_are_copied(tmp_path):
    base = Fraction(1, 1000)
    chapters = [
        {"id": 0, "start": 0, "end": 400, "time_base": base, "metadata": {"title": "one"}},
        {"id": 1, "start": 400, "end": 2400, "time_base": base, "metadata": {"title": "two"}},
    ]
    source = make_clip(tmp_path / "a.mp4", 60, sound="aac", subtitles="mov_text", chapters=chapters)
    record(source, tmp_path / "b.mp4", start=0.2)
    record(source, tmp_path / "c.mp4")
    before, after = inspect_video(source), inspect_video(tmp_path / "c.mp4")
    lines = [[p for p in seen.packets["subtitle"] if p[1] != b"\0\0"] for seen in (before, after)]
    assert lines[0] == lines[1] and after.languages == before.languages
    assert after.length == before.length
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.metadata["title"] == "Made"
        found = [(c["start"] * c["time_base"], c["metadata"]["title"]) for c in container.chapters()]
    assert found == [(0, "one"), (Fraction(1, 5), "two")]


def test_part_begins_at_0_with_synchronized_sound(tmp_path):
    source = make_clip(tmp_path / "a.mkv", 60, base=Fraction(1, 1000), step=40, sound="pcm_s16le")
    record(source, tmp_path / "b.mkv", start=0.8, end=1.6)
    before, after = inspect_video(source), inspect_video(tmp_path / "b.mkv")
    assert after.times[0] == 0 and len(after.times) == 20
    wanted = [
        (t - Fraction(4, 5), d) for t, d in before.packets["audio"] if Fraction(4, 5) <= t < Fraction(8, 5)
    ]
    assert after.packets["audio"] == wanted
    assert abs(after.length - Fraction(8, 10)) < 0.03


def test_transport_stream_starts_at_0_and_keeps_its_sound(tmp_path):
    source = make_clip(tmp_path / "a.ts", 20, sound="aac", base=Fraction(1, 90000), step=3600)
    assert record(source, tmp_path / "b.mp4") == []
    before, after = inspect_video(source), inspect_video(tmp_path / "b.mp4")
    shift = before.times[0] - after.times[0]
    assert are_close([t - shift for t in before.times], after.times, Fraction(1, 90000))
    sound = [t for t, _ in before.packets["audio"]]
    assert are_close([t - shift for t in sound], [t for t, _ in after.packets["audio"]], Fraction(1, 2000))


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


@pytest.mark.parametrize(("suffix", "rate", "dropped"), [("avi", 25, 5), ("gif", 120, 4)])
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


def test_encoder_error_gives_one_line(tmp_path):
    source = make_clip(tmp_path / "a.mp4", 3, base=Fraction(1, 90000), step=3600)
    with (
        pytest.raises(InputError, match=r"^mpeg4 cannot write \.mp4 of this video \(Invalid argument\)"),
        open_clip(source) as clip,
        Recorder(tmp_path / "b.mp4", clip, "mpeg4") as recorder,
    ):
        for frame in clip:
            recorder.write(frame)
    assert recorder.notes == [] and sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4"]


def record_images(source: Path, pattern: Path) -> None:
    with open_clip(source) as clip, Recorder(pattern, clip) as recorder:
        for frame in clip:
            recorder.write(frame)


def test_unwritable_formats_are_rejected_before_recording():
    for path, codec, message in (
        ("a.xyz", None, "a video's name must end in one of .mp4"),
        ("a", None, "a video's name must end in"),
        ("a.mp4", "h265x", "no codec is named 'h265x': choose from h264, hevc"),
        ("a.mp4", "aac", "no codec is named 'aac'"),
        ("a.webm", "h264", "h264 does not go into .webm"),
        ("a.mov", "vp9", "vp9 does not go into .mov"),
        ("a.mp4", "prores", "prores does not go into .mp4"),
        ("a.gif", "h264", "h264 does not go into .gif"),
        ("%05d.png", "h264", "are images, which have no codec"),
        ("%05d.bmp", None, "frames' names must end in one of"),
    ):
        with pytest.raises(InputError, match=message):
            check_recording(Path(path), codec)
    for path, codec in (
        ("a.mp4", None),
        ("a.webm", None),
        ("a.mkv", "av1"),
        ("%05d.jpg", None),
        ("a.gif", None),
    ):
        check_recording(Path(path), codec)
    for codec, most in ((None, 51), ("hevc", 51), ("av1", 63), ("vp9", 63)):
        check_recording(Path("a.mp4"), codec, most)
        with pytest.raises(InputError, match=f"{most + 1}: give a number from 0 to {most}") as caught:
            check_recording(Path("a.mp4"), codec, most + 1)
        assert caught.value.parameters == ["crf"]
    if "h264_nvenc" in av.codecs_available and not Path("/dev/nvidia0").exists():
        with pytest.raises(InputError, match="h264_nvenc does not work on this machine"):
            check_recording(Path("a.mp4"), "h264_nvenc")


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


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "gif"])
def test_recording_stays_playable_after_an_error(tmp_path, suffix, error):
    source = make_clip(tmp_path / "a.mp4", 20, sound="aac")
    target = tmp_path / f"b.{suffix}"
    target.write_text("the old one")
    with pytest.raises(error), open_clip(source) as clip, Recorder(target, clip) as recorder:
        for number, frame in enumerate(clip):
            if number == 10:
                raise error
            recorder.write(frame)
    assert target.read_text() == "the old one"
    assert recorder.partial == tmp_path / f"b.part.{suffix}"
    assert len(read_frames(recorder.partial)[0]) == 10


def test_recording_without_frames_leaves_no_file(tmp_path):
    source = make_clip(tmp_path / "a.mp4", 5)
    with pytest.raises(KeyboardInterrupt), open_clip(source) as clip, Recorder(tmp_path / "b.mp4", clip):
        raise KeyboardInterrupt
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of POSIX")
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_full_disk_raises_one_oserror_and_leaves_a_playable_part(tmp_path, suffix):
    source = make_clip(tmp_path / "a.mp4", 200, options={"g": "25"})
    target = tmp_path / f"b.{suffix}"
    program = f"""
        import resource, signal, sys
        import numpy as np
        from pathlib import Path
        from faststyle.video.clips import Frame
        from faststyle.video.opening import open_clip
        from faststyle.video.recorder import Recorder
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        noise = np.random.default_rng(0)
        try:
            with open_clip({str(source)!r}) as video, Recorder(Path({str(target)!r}), video) as r:
                for frame in video:
                    r.write(Frame(noise.integers(0, 256, frame.pixels.shape, dtype=np.uint8), frame.pts))
        except OSError as error:
            print("one error:", error)
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0 and "one error:" in done.stdout, done.stderr
    assert not target.exists()
    frames = read_frames(tmp_path / f"b.part.{suffix}")[0]
    assert len(frames) >= 20 and frames[0].pts == 0


def test_unwritable_path_raises_oserror(tmp_path):
    source = make_clip(tmp_path / "a.mp4", 3)
    (tmp_path / "b.part.mp4").mkdir()
    with pytest.raises(OSError), open_clip(source) as clip, Recorder(tmp_path / "b.mp4", clip) as recorder:
        for frame in clip:
            recorder.write(frame)


def test_damaged_sound_does_not_stop_the_video(tmp_path):
    source = make_clip(
        tmp_path / "a.mkv", 100, base=Fraction(1, 1000), step=40, sound="aac", options={"g": "10"}
    )
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    record(source, tmp_path / "b.mp4")
    assert len(inspect_video(tmp_path / "b.mp4").times) > 20


def test_covers_and_fonts_do_not_break_recording(tmp_path):
    source = make_clip(tmp_path / "a.mkv", 5, base=Fraction(1, 1000), step=40, font=b"a font" * 100)
    assert record(source, tmp_path / "b.mkv") == []
    with av.open(str(tmp_path / "b.mkv")) as container:
        fonts = [s for s in container.streams if s.type == "attachment"]
        assert [(s.name, s.data) for s in fonts] == [("a.ttf", b"a font" * 100)]
    assert record(source, tmp_path / "b.mp4") == []
    assert len(read_frames(tmp_path / "b.mp4")[0]) == 5


def test_file_name_with_a_colon_is_not_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "a.mp4", 3, sound="aac").rename("12:30 one.mp4")
    assert record(Path("12:30 one.mp4"), Path("http:two.mp4")) == []
    assert inspect_video(tmp_path / "http:two.mp4").packets["audio"]


def test_constant_rate_keeps_the_sound(tmp_path):
    source = make_clip(tmp_path / "a.mp4", VARIABLE, sound="aac")
    record(source, tmp_path / "b.mp4", fps=30)
    before, after = inspect_video(source), inspect_video(tmp_path / "b.mp4")
    assert after.packets == before.packets
    assert {b - a for a, b in zip(after.times, after.times[1:], strict=False)} == {Fraction(1, 30)}


def test_camera_frames_have_times_of_the_clock(tmp_path):
    source = make_clip(tmp_path / "a.mp4", 4)
    with open_camera(str(source)) as clip:
        clip.live, clip.time_base = True, Fraction(1, 1_000_000)  # As if the frames arrived now.
        with Recorder(tmp_path / "b.mp4", clip) as recorder:
            for frame in clip:
                recorder.write(frame)
    times = inspect_video(tmp_path / "b.mp4").times
    assert len(times) == 4 and times[0] == 0 and times == sorted(times) and times[-1] < 5


def test_sound_ends_where_a_damaged_video_ends(tmp_path):
    source = make_clip(tmp_path / "a.mp4", 100, sound="pcm_s16le", options={"g": "10"})
    with open_clip(source) as clip, Recorder(tmp_path / "b.mkv", clip) as recorder:
        for number, frame in enumerate(clip):
            recorder.write(frame)
            if number == 24:
                clip.damage = "it broke"
                break
    after = inspect_video(tmp_path / "b.mkv")
    assert len(after.times) == 25 and 0.9 < after.packets["audio"][-1][0] <= 1


def test_unrelated_frames_can_be_written_at_a_videos_times(tmp_path):
    source = make_clip(tmp_path / "a.mp4", 4)
    with open_clip(source) as clip, Recorder(tmp_path / "b.mp4", clip) as recorder:
        for frame in clip:
            big = np.ascontiguousarray(np.repeat(np.repeat(frame.pixels, 2, 0), 2, 1)[:, ::-1])
            recorder.write(Frame(big[:, ::-1], frame.pts))  # Not contiguous, and of another size.
    assert inspect_video(tmp_path / "b.mp4").size == (128, 96)
