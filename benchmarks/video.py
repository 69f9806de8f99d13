"""Frames a second of a clip end to end, beside the network alone and the encoder alone, in one run.

    python -m benchmarks.video clip.mp4 --checkpoint starry_night
    python -m benchmarks.video --memory

End to end is what infer.py does: decode, stylize, encode with sound, each in a thread of its own. The
network alone gets the same frames, decoded before; the encoder alone gets what the network made of
them. All three in turn, in rounds. --memory runs infer.py on clips of ten seconds and of ten minutes,
made up, and prints the peak of each.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

import numpy as np

from faststyle import Stylizer
from faststyle.device import keep_freed_memory
from faststyle.video.clips import Frame
from faststyle.video.opening import open_clip
from faststyle.video.prefetch import ahead
from faststyle.video.recorder import Recorder

ROUNDS = 3
RATE = 25
SECONDS = (10, 600)
SIZE = (320, 180)


def record(path: Path, clip_path: Path, max_size: int | None, frames: Callable) -> int:
    """Write what ``frames`` makes of the clip, with its sound; how many they are."""
    count = 0
    with open_clip(clip_path, max_size=max_size) as clip, Recorder(path, clip) as recorder:
        for frame in frames(clip):
            recorder.write(frame)
            count += 1
    return count


def timed(call: Callable[[], int]) -> float:
    """Frames a second."""
    begin = time.perf_counter()
    count = call()
    return count / (time.perf_counter() - begin)


def exhaust(items: Iterable[Frame]) -> int:
    return sum(1 for _ in items)


def speed(path: Path, checkpoint: str, most: int, max_size: int | None) -> None:
    stylize = Stylizer.load(checkpoint)
    with open_clip(path, max_size=max_size) as clip:
        frames = [frame for frame, _ in zip(clip, range(most), strict=False)]
    height, width, _ = frames[0].pixels.shape
    stylized = list(stylize.video(frames))
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.mp4"
        ways = {
            "network alone": lambda: exhaust(stylize.video(frames)),
            "encoder alone": lambda: record(target, path, max_size, lambda clip: stylized),
            "end to end": lambda: record(
                target,
                path,
                max_size,
                lambda clip: ahead(
                    frame for frame, _ in zip(stylize.video(clip), range(len(frames)), strict=False)
                ),
            ),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                rates[name].append(timed(way))
    middle = {name: median(found) for name, found in rates.items()}
    print(f"{path.name}, {width}x{height}, {len(frames)} frames, {checkpoint}, {stylize}")
    for name, found in rates.items():
        print(f"{name:16}{middle[name]:8.1f} frames/s   ({', '.join(f'{rate:.1f}' for rate in found)})")
    slower = min(middle["network alone"], middle["encoder alone"])
    print(f"end to end is {middle['end to end'] / slower:.2f} of the slower")


def made_up(path: Path, seconds: int) -> None:
    """Write a clip of coloured waves with a tone."""
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


def memory(checkpoint: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for seconds in SECONDS:
            path = Path(folder) / f"{seconds}.mp4"
            made_up(path, seconds)
            words = [sys.executable, "infer.py", path, "--checkpoint", checkpoint, "-o", f"{path}.out.mp4"]
            process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
            _, status, used = os.wait4(process.pid, 0)
            if status:
                sys.exit(f"infer.py failed on a clip of {seconds} seconds")
            print(f"{seconds:4} seconds: {used.ru_maxrss / 1024:.0f} MiB at most", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=Path, nargs="*")
    parser.add_argument("--checkpoint", default="starry_night")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--max-size", type=int)
    parser.add_argument("--memory", action="store_true")
    arguments = parser.parse_args()
    keep_freed_memory()
    for clip in arguments.clips:
        speed(clip, arguments.checkpoint, arguments.frames, arguments.max_size)
    if arguments.memory:
        memory(arguments.checkpoint)


if __name__ == "__main__":
    main()
