"""Tests of what is opened as a video, and of what is refused."""

import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from faststyle.errors import InputError
from faststyle.video.opening import is_clip, open_camera, open_clip
from tests.support.videos import SIZE, make_clip, read_frames


def test_start_after_the_end_of_the_video_is_rejected_with_its_length(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 20)
    with pytest.raises(InputError, match=r"a\.mp4 is 0\.80 s long") as caught:
        open_clip(path, start=3)
    assert caught.value.parameters == ["start"] and caught.value.file == str(path)
    with pytest.raises(InputError) as caught:
        open_clip(path, start=0.5, end=0.2)
    assert caught.value.parameters == ["start", "end", "end"]
    with pytest.raises(InputError, match="`start` must be 0 or more seconds, not -1"):
        open_clip(path, start=-1)


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
