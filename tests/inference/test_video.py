from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from faststyle.errors import InputError
from faststyle.inference import video
from faststyle.inference.settings import VideoSettings
from faststyle.inference.stylizer import Stylizer
from faststyle.models.card import ModelCard
from faststyle.video.clips import Frame
from faststyle.video.opening import open_clip
from tests.support.images import draw_image

av = pytest.importorskip("av")
COUNT = 7


@pytest.fixture
def stylize(network) -> Stylizer:
    return Stylizer(network, ModelCard(name="small"), device="cpu", precision="fp32")


def video_stylizer(stylize: Stylizer, time_base: Fraction | None = None) -> video.VideoStylizer:
    stylizer = video.VideoStylizer(stylize.backend, stylize, stylize.tile_for, VideoSettings())
    stylizer.time_base = time_base
    return stylizer


def images(count: int = COUNT, size=(64, 48)) -> list[Image.Image]:
    """Draw frames of an image that moves sideways."""
    still = np.asarray(draw_image(*size, 3))
    return [Image.fromarray(np.roll(still, 2 * number, 1)) for number in range(count)]


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for image in images():
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())
    return path


def max_level_difference(a, b) -> int:
    return int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max())


def test_video_of_pil_images_yields_pil_images(stylize):
    results = list(stylize.video(images()))
    assert len(results) == COUNT and all(isinstance(one, Image.Image) for one in results)
    assert max_level_difference(results[0], stylize(images()[0])) <= 1


def test_video_of_arrays_or_frames_yields_the_same_type(stylize):
    arrays = [np.asarray(one) for one in images()]
    results = list(stylize.video(arrays))
    assert all(one.dtype == np.uint8 and one.shape == (48, 64, 3) for one in results)
    frames = list(stylize.video([Frame(one, 10 * number) for number, one in enumerate(arrays)]))
    assert [one.pts for one in frames] == [10 * number for number in range(COUNT)]
    assert all(np.array_equal(one.pixels, result) for one, result in zip(frames, results, strict=True))


def test_file_yields_arrays_and_clip_yields_frames(stylize, clip):
    results = list(stylize.video(clip))
    assert len(results) == COUNT and results[0].shape == (48, 64, 3)
    with open_clip(clip) as opened:
        frames = list(stylize.video(opened))
        assert [Fraction(one.pts) * opened.time_base for one in frames] == [
            Fraction(n, 25) for n in range(COUNT)
        ]
    assert all(np.array_equal(one.pixels, result) for one, result in zip(frames, results, strict=True))


def test_max_size_shrinks_a_file(stylize, clip):
    assert next(stylize.video(clip, max_size=32)).shape == (24, 32, 3)


def test_strength_and_preserved_colours_match_still_images(stylize):
    photos = images(1)
    for strength in (0.0, 0.5):
        expected = stylize(photos[0], strength=strength)
        assert max_level_difference(next(stylize.video(photos, strength=strength)), expected) <= 1
    assert (
        max_level_difference(
            next(stylize.video(photos, preserve_color=True)), stylize(photos[0], preserve_color=True)
        )
        <= 1
    )


def test_live_frames_are_yielded_immediately(stylize):
    # Cameras need this, and it bounds the memory.
    taken = []

    def source():
        for number, image in enumerate(images(50)):
            taken.append(number)
            yield image

    stream = stylize.video(source(), live=True)
    next(stream)
    assert len(taken) == 1
    next(stream)
    assert len(taken) == 2


def test_batches_give_the_same_frames(stylize):
    one_by_one = list(stylize.video(images()))
    items = list(video.batches(images(), 3))
    assert [len(batch) for batch in items] == [3, 3, 1]
    by_batches = video_stylizer(stylize)
    together = [result for batch in items for result in by_batches(batch)]
    assert max(map(max_level_difference, one_by_one, together)) <= 1


def test_batch_too_large_for_memory_is_stylized_frame_by_frame(stylize, monkeypatch):
    expected = video_stylizer(stylize)(images(3))
    monkeypatch.setattr(Stylizer, "tile_for", lambda self, width, height: 256 if height > 48 else None)
    whole, sizes = video.VideoStylizer.paint_together, []

    def noted(self, engine, frames, shares):
        sizes.append(len(frames))
        return whole(self, engine, frames, shares)

    monkeypatch.setattr(video.VideoStylizer, "paint_together", noted)
    assert max(map(max_level_difference, video_stylizer(stylize)(images(3)), expected)) <= 1
    assert sizes == [1, 1, 1]


def test_temporal_norm_decays_with_time_not_with_frame_count(stylize):
    # Videos with a variable frame rate and cameras need decay by time.
    slow, quick = video_stylizer(stylize, Fraction(1, 1)), video_stylizer(stylize, Fraction(1, 1000))
    first, second = images(2)
    for one in (slow, quick):
        one([Frame(np.asarray(first), 0)])
        one.shots.difference = 1.0  # No frame is a cut.
        one.remembered = one.memory.copy()
        one([Frame(np.asarray(255 - np.asarray(second)), 1)])
    change = [np.abs(one.memory - one.remembered).sum() for one in (slow, quick)]
    assert change[0] > 10 * change[1]


def test_frames_of_several_sizes_are_stylized(stylize):
    mixed = [*images(2), *images(2, (40, 32)), *images(1)]
    assert [one.size for one in stylize.video(mixed)] == [one.size for one in mixed]
    assert [len(batch) for batch in video.batches(mixed, 4)] == [2, 2, 1]


def test_frames_are_blended_along_the_motion(stylize):
    pytest.importorskip("cv2")
    plain, blended = (list(stylize.video(images(), motion_blend=share)) for share in (0.0, 0.6))
    assert (
        max_level_difference(plain[0], blended[0]) == 0 and max_level_difference(plain[-1], blended[-1]) > 0
    )


def test_frame_too_large_for_memory_is_tiled_without_temporal_norm(stylize, monkeypatch):
    monkeypatch.setattr(Stylizer, "tile_for", lambda self, width, height: 256)
    results = list(stylize.video(images(2)))
    assert [one.size for one in results] == [(64, 48)] * 2


@pytest.mark.parametrize(
    ("source", "options", "line"),
    [
        ([], {"strength": 1.5}, "`strength` must be"),
        ([], {"motion_blend": 1.0}, "`motion_blend` must be a number from 0 to below 1"),
        ([torch.rand(3, 8, 8)], {}, "expected frames as PIL images or arrays"),
        ([np.zeros((8, 8), np.uint8)], {}, r"not uint8\(8, 8\)"),
        ([], {"max_size": 16}, "`max_size` shrinks videos that are read here"),
        ("missing.mp4", {}, "there is no file"),
    ],
)
def test_invalid_source_or_option_is_rejected(stylize, source, options, line):
    with pytest.raises(InputError, match=line):
        list(stylize.video(source, **options))


def test_damaged_video_yields_the_frames_before_the_damage(stylize, clip):
    broken = clip.with_name("broken.mkv")
    with av.open(str(broken), "w") as container:  # Unlike an MP4, a truncated MKV is readable.
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for image in images(30):
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
    data = broken.read_bytes()
    broken.write_bytes(data[: len(data) // 2])
    results = []
    with pytest.raises(InputError, match=r"broken\.mkv"):
        for frame in stylize.video(broken):
            results.append(frame)
    assert 5 < len(results) < 30


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("engine", ["torch", "compile"])
def test_gpu_frames_equal_cpu_frames(network, stylize, engine):
    gpu = Stylizer(network, ModelCard(name="small"), device="cuda", precision="fp32", engine=engine)
    assert max(map(max_level_difference, gpu.video(images()), stylize.video(images()))) <= 2
