"""Measure the frames per second of stylizing a video end to end, beside the network and the encoder alone.

    python -m benchmarks.video clip.mp4 --checkpoint starry_night
    python -m benchmarks.video --memory

End to end is what infer.py does: decode, stylize, and encode with sound, each in a thread of its own. The
network alone gets the same frames, already decoded; the encoder alone gets the network's frames. All three
run in turn, in rounds. --memory runs infer.py on synthetic videos of ten seconds and of ten minutes, and
prints its peak memory.
"""

import sys
import tempfile
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.common import infer_command, make_parser, run_measured, time_call
from faststyle import Stylizer
from faststyle.device import keep_freed_memory
from faststyle.video.clips import Clip, Frame
from faststyle.video.opening import open_clip
from faststyle.video.prefetch import ahead
from faststyle.video.recorder import Recorder

ROUNDS = 3
RATE = 25  # frames per second
SECONDS = (10, 600)
SIZE = (320, 180)


def record(
    path: Path, source: Path, max_size: int | None, stylize: Callable[[Clip], Iterable[Frame]]
) -> None:
    """Write the frames that a function makes of a video, with the video's sound."""
    with open_clip(source, max_size=max_size) as video, Recorder(path, video) as recorder:
        for frame in stylize(video):
            recorder.write(frame)


def measure_speed(path: Path, checkpoint: str, count: int, max_size: int | None) -> None:
    """Print the frames per second of a video's first ``count`` frames."""
    stylizer = Stylizer.load(checkpoint)
    with open_clip(path, max_size=max_size) as video:
        frames = list(islice(video, count))
    height, width, _ = frames[0].pixels.shape
    stylized = list(stylizer.video(frames))

    def stylize(video: Clip) -> Iterable[Frame]:
        return ahead(islice(stylizer.video(video), len(frames)))

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.mp4"
        calls = {
            "network alone": lambda: list(stylizer.video(frames)),
            "encoder alone": lambda: record(target, path, max_size, lambda video: stylized),
            "end to end": lambda: record(target, path, max_size, stylize),
        }
        rates: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(ROUNDS):
            for name, call in calls.items():
                rates[name].append(len(frames) / time_call(call))
    medians = {name: median(found) for name, found in rates.items()}
    print(f"{path.name}, {width}x{height}, {len(frames)} frames, {checkpoint}, {stylizer}")
    for name, found in rates.items():
        each = ", ".join(f"{rate:.1f}" for rate in found)
        print(f"{name:16}{medians[name]:8.1f} frames/s   ({each})")
    slower = min(medians["network alone"], medians["encoder alone"])
    print(f"end to end is {medians['end to end'] / slower:.2f} of the slower of the two")


def make_video(path: Path, seconds: int) -> None:
    """Write a video of coloured waves with a tone."""
    import av

    width, height = SIZE
    y, x = np.mgrid[:height, :width]
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        sound = container.add_stream("aac", rate=48_000)
        for number in range(seconds * RATE):
            waves = [np.sin(x / 20 + number / (9 + one)) + np.sin(y / (15 + 5 * one)) for one in range(3)]
            pixels = (127 + 63 * np.stack(waves, 2)).astype(np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
            tone = np.sin(np.arange(48_000 // RATE) / 20, dtype=np.float32)[None] / 4
            samples = av.AudioFrame.from_ndarray(tone, "fltp", "mono")
            samples.sample_rate, samples.pts = 48_000, number * 48_000 // RATE
            container.mux(sound.encode(samples))
        container.mux([*video.encode(), *sound.encode()])


def measure_memory(checkpoint: str) -> None:
    """Print infer.py's peak memory for synthetic videos of several lengths."""
    with tempfile.TemporaryDirectory() as folder:
        for seconds in SECONDS:
            path = Path(folder) / f"{seconds}.mp4"
            make_video(path, seconds)
            command = infer_command(path, "--checkpoint", checkpoint, "-o", f"{path}.out.mp4")
            finished = run_measured(command)
            if finished.status:
                sys.exit(f"{finished.printed}\nerror: infer.py failed on a video of {seconds} seconds")
            print(f"{seconds:4} seconds: peak {finished.peak_memory / 2**20:.0f} MiB", flush=True)


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("clips", type=Path, nargs="*", help="video files")
    parser.add_argument("--checkpoint", default="starry_night", help="model")
    parser.add_argument("--frames", type=int, default=100, help="number of frames of each video")
    parser.add_argument("--max-size", type=int, help="shrink videos to this longer side in pixels")
    parser.add_argument("--memory", action="store_true", help="measure the memory for two video lengths")
    options = parser.parse_args(argv)
    keep_freed_memory()
    for path in options.clips:
        measure_speed(path, options.checkpoint, options.frames, options.max_size)
    if options.memory:
        measure_memory(options.checkpoint)


if __name__ == "__main__":
    main()
