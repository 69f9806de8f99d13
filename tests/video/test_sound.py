"""Tests of sound that a container cannot hold, which is encoded again."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from faststyle.video import sound
from faststyle.video.opening import open_clip
from faststyle.video.recorder import Recorder
from tests.support.recordings import record
from tests.support.videos import inspect_video, make_clip

MILLISECONDS = {"base": Fraction(1, 1000), "step": 40}
ONSET = 0.5  # seconds


def onset_of(path: Path) -> float:
    """Return the seconds at which the sound of a video begins to be heard."""
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = np.abs(frame.to_ndarray().astype(float))
            samples /= 1 if "flt" in frame.format.name else 32768
            channels = 1 if frame.format.is_planar else frame.layout.nb_channels
            loud = np.flatnonzero(samples[0, ::channels] > 0.05)
            if loud.size:
                return float(frame.pts * frame.time_base + Fraction(int(loud[0]), frame.sample_rate))
    raise AssertionError("silence")


def sound_of(path: Path) -> tuple[str, int, str]:
    """Return codec, sample rate and layout."""
    with av.open(str(path)) as container:
        context = container.streams.audio[0].codec_context
        return context.codec.canonical_name, context.sample_rate, context.layout.name


@pytest.mark.parametrize(
    ("source", "codec", "target", "expected"),
    [
        ("a.mp4", "aac", "b.webm", "opus"),
        ("a.mov", "pcm_s16le", "b.webm", "opus"),
        ("a.mkv", "ac3", "b.webm", "opus"),
        ("a.webm", "libopus", "b.mov", "aac"),
        ("a.webm", "libopus", "b.avi", "ac3"),
        ("a.wmv", "wmav2", "b.mp4", "aac"),
        ("a.avi", "adpcm_ima_wav", "b.mp4", "aac"),
        ("a.mov", "pcm_mulaw", "b.mp4", "aac"),
        ("a.avi", "mp2", "b.webm", "opus"),
        ("a.mkv", "flac", "b.mov", "aac"),
    ],
)
def test_sound_is_encoded_again_in_time(tmp_path, source, codec, target, expected):
    video = {".webm": "libvpx", ".wmv": "wmv2"}.get(Path(source).suffix, "libx264")
    times = {} if source[1:] in (".mp4", ".mov") else MILLISECONDS
    made = make_clip(tmp_path / source, 50, codec=video, sound=codec, onset=ONSET, **times)
    before = onset_of(made)
    notes = record(made, tmp_path / target)
    title = {"opus": "Opus", "ac3": "AC-3", "aac": "AAC"}[expected]
    assert len(notes) == 1 and notes[0].endswith(
        f"cannot be stored in {Path(target).suffix}: encoded again as {title}"
    )
    assert sound_of(tmp_path / target)[0] == expected
    assert abs(onset_of(tmp_path / target) - before) < 0.03
    after = inspect_video(tmp_path / target)
    assert after.languages["audio"] in ("fra", "fre") or ".avi" in source + target  # ASF says fre
    assert abs(after.packets["audio"][-1][0] - 2) < 0.1 and len(after.times) == 50


def test_part_of_a_video_has_its_part_of_the_sound(tmp_path):
    made = make_clip(tmp_path / "a.mp4", 75, sound="aac", onset=1.5)
    record(made, tmp_path / "b.webm", start=1, end=2)
    assert abs(onset_of(tmp_path / "b.webm") - 0.5) < 0.03
    last = inspect_video(tmp_path / "b.webm").packets["audio"][-1][0]
    assert 0.9 < last < 1.05


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 96000])
@pytest.mark.parametrize("target", ["mp4", "webm", "avi"])
def test_every_sample_rate_is_stored(tmp_path, rate, target):
    made = make_with_sound(tmp_path / "a.mkv", "wavpack", rate, "mono")
    record(made, tmp_path / f"b.{target}")
    _, stored, layout = sound_of(tmp_path / f"b.{target}")
    assert stored >= min(rate, 48000) and layout == "mono"
    assert abs(onset_of(tmp_path / f"b.{target}") - 0.25) < 0.03


@pytest.mark.parametrize("layout", ["mono", "stereo", "2.1", "quad", "5.1", "7.1"])
@pytest.mark.parametrize("target", ["mp4", "webm"])
def test_every_layout_is_stored_or_mixed(tmp_path, layout, target):
    made = make_with_sound(tmp_path / "a.mkv", "wavpack", 48000, layout)
    record(made, tmp_path / f"b.{target}")
    assert sound_of(tmp_path / f"b.{target}")[2] == (layout if layout in ("mono", "5.1") else "stereo")


def make_with_sound(path: Path, codec: str, rate: int, layout: str) -> Path:
    """Write a second of video with sound after a quarter of a second."""
    video = make_clip(path.with_name("video.mkv"), 25, **MILLISECONDS)
    with av.open(str(video)) as source, av.open(str(path), "w") as container:
        copy = container.add_stream_from_template(source.streams.video[0])
        stream = container.add_stream(codec, rate=rate, layout=layout)
        channels = stream.codec_context.layout.nb_channels
        samples = (np.sin(np.arange(rate) * 300 * 2 * np.pi / rate) * 9000).astype(np.int16)
        samples[: rate // 4] = 0
        frame = av.AudioFrame.from_ndarray(samples.repeat(channels)[None], "s16", layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        packets = [packet for packet in source.demux() if packet.size]
        for packet in packets:
            packet.stream = copy
        for packet in [*packets, *stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


def test_damaged_packet_of_sound_is_reported_once(tmp_path, monkeypatch):
    convert, calls = sound.SoundEncoder.convert, []

    def broken(self, packet):
        calls.append(packet)
        if 10 <= len(calls) < 20:
            raise av.error.InvalidDataError(1094995529, "Invalid data found when processing input")
        return convert(self, packet)

    monkeypatch.setattr(sound.SoundEncoder, "convert", broken)
    notes = record(make_clip(tmp_path / "a.mp4", 50, sound="aac"), tmp_path / "b.webm")
    assert len(notes) == 2 and "the sound of" in notes[1] and "is damaged" in notes[1]
    assert inspect_video(tmp_path / "b.webm").packets["audio"][-1][0] > 1.8


def test_sound_is_left_out_where_no_encoder_is_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sound.ENCODERS, "webm", "libnone")
    notes = record(make_clip(tmp_path / "a.mp4", 5, sound="aac"), tmp_path / "b.webm")
    assert notes == ["sound in aac cannot be stored in .webm: left out"]


def test_interrupted_recording_has_the_sound_so_far(tmp_path):
    source = make_clip(tmp_path / "a.mp4", 50, sound="aac")
    with (
        pytest.raises(KeyboardInterrupt),
        open_clip(source) as clip,
        Recorder(tmp_path / "b.webm", clip) as recorder,
    ):
        for number, frame in enumerate(clip):
            if number == 25:
                raise KeyboardInterrupt
            recorder.write(frame)
    last = inspect_video(recorder.partial).packets["audio"][-1][0]
    assert 0.8 < last < 1.2


def test_copied_sound_is_not_encoded_again(tmp_path):
    source = make_clip(tmp_path / "a.mp4", 10, sound="aac")
    for suffix in ("mp4", "mov", "mkv"):
        assert record(source, tmp_path / f"b.{suffix}") == []
        data = [data for _, data in inspect_video(tmp_path / f"b.{suffix}").packets["audio"]]
        assert data == [data for _, data in inspect_video(source).packets["audio"]]
