"""Tests of uploaded videos: the first frame, and what is refused."""

import re
import shutil

import pytest

pytest.importorskip("gradio")
pytest.importorskip("av")

from faststyle.errors import InputError
from faststyle.web import video, video_upload
from tests.support.web_videos import becomes_empty, start_run


def test_first_frame_and_length_are_shown(clip, monkeypatch):
    frame, line = video_upload.read_first_frame(str(clip))
    assert frame.size == (64, 48) and line == "walk.mp4: 64 × 48 pixels, 0.5 s"
    monkeypatch.setattr(video_upload, "MAX_SECONDS", -1)
    assert "only the first" in video_upload.read_first_frame(str(clip))[1]


def read_refusal(path, folder) -> str:
    with pytest.raises(InputError) as caught:
        list(start_run(path, folder))
    assert becomes_empty(folder)
    return str(caught.value)


def test_errors_for_missing_deleted_and_other_files_say_what_to_do(folder, tmp_path):
    assert read_refusal(None, folder) == "Add a video first."
    assert "add it again" in read_refusal(tmp_path / "gone.mp4", folder)
    for name in ("letter.mp4", "letter.gif", "letter.mkv"):
        (tmp_path / name).write_text("Dear Theo")
        assert re.fullmatch(rf"{name} is not a \w+ that can be read\.", read_refusal(tmp_path / name, folder))
    (tmp_path / "letter.txt").write_text("Dear Theo")
    assert "must end in one of .mp4" in read_refusal(tmp_path / "letter.txt", folder)


def test_file_with_sound_alone_is_refused(folder, tmp_path):
    import av

    from tests.support.videos import tone

    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        for packet in tone(container.add_stream("aac", rate=48000), 0.5):
            container.mux(packet)
    line = read_refusal(path, folder)
    assert "no video in it" in line and str(tmp_path) not in line


def test_playlist_that_names_files_of_the_server_is_refused(clip, folder, tmp_path):
    lists = {
        "hls.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{clip}\n#EXT-X-ENDLIST\n",
        "concat.mp4": f"ffconcat version 1.0\nfile {clip.name}\n",
    }
    for name, text in lists.items():
        shutil.copy(clip, tmp_path)
        (tmp_path / name).write_text(text)
        assert "not a video" in read_refusal(tmp_path / name, folder)


def test_too_large_frames_are_refused_before_they_are_decoded(clip, folder, monkeypatch):
    monkeypatch.setattr(video_upload, "MAX_FRAME_PIXELS", 1000)
    monkeypatch.setattr(video, "open_clip", lambda *_, **__: pytest.fail("decoded"))
    assert "walk.mp4 has frames of" in read_refusal(clip, folder)
