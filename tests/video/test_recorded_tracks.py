"""Tests of the sound, subtitles and chapters of recordings."""

from fractions import Fraction

import av

from faststyle.video.opening import open_clip
from faststyle.video.recorder import Recorder
from tests.support.recordings import VARIABLE, are_close, record
from tests.support.videos import (
    inspect_video,
    make_clip,
    read_frames,
)


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


def test_constant_rate_keeps_the_sound(tmp_path):
    source = make_clip(tmp_path / "a.mp4", VARIABLE, sound="aac")
    record(source, tmp_path / "b.mp4", fps=30)
    before, after = inspect_video(source), inspect_video(tmp_path / "b.mp4")
    assert after.packets == before.packets
    assert {b - a for a, b in zip(after.times, after.times[1:], strict=False)} == {Fraction(1, 30)}


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
