"""Stylize collections in several processes: count images lost or repeated after kills, and measure the speed.

    python -m benchmarks.collection --pictures 300 --ranks 1 2 3 --kills 3
    python -m benchmarks.collection --photos photos/ --sizes 256 512 1024 --kills 0

The images are synthetic, or those of a folder resized as JPEG. The folder is stylized without interruption by
each number of processes, and then again with interruptions. An interruption, at a random moment, is SIGKILL
to one process or to the command, or SIGTERM or SIGINT to the command. Then the same command is started again
with another number of processes. At the end the benchmark counts the images that are missing, that differ
from the uninterrupted run's, and that were written twice. An image may be written twice only if it was not
yet in the manifest when its process was killed.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import numpy as np
from PIL import Image

from benchmarks.common import child_processes, find_photos, infer_command, make_parser, open_rgb
from faststyle import Stylizer
from faststyle.image.convert import to_image, to_tensor
from faststyle.image.files import find_images, open_image, save_image
from faststyle.inference.batch import manifest

SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}  # to the command
KILL_RANK = "SIGKILL of a rank"
INTERRUPTIONS = (KILL_RANK, *SIGNALS)
POLL_SECONDS = 0.005


class Interrupted(NamedTuple):
    """A run that was interrupted.

    Attributes:
        message: The interruption, and the lines that the command printed about it.
        status: Exit status of the command.
        seconds: From the interruption until all processes of the run had ended.
        written: Time of modification of each result, by name, in nanoseconds.
        listed: Names of the results in the manifest or its parts.
    """

    message: str
    status: int
    seconds: float
    written: dict[str, int]
    listed: set[str]


def make_photos(folder: Path, count: int, size: int, seed: int = 0) -> None:
    """Write images of coloured noise at several scales, which compress about as well as photos."""
    rng = np.random.default_rng(seed)
    width, height = size, size * 3 // 4
    for number in range(count):
        pixels = np.zeros((height, width, 3))
        for scale in (4, 16, 64):
            coarse = rng.integers(0, 256, (height // scale + 2, width // scale + 2, 3), np.uint8)
            pixels += np.asarray(Image.fromarray(coarse).resize((width, height))) / 3.0
        path = folder / f"{number % 7}" / f"image {number:05}.{'png' if number % 10 == 9 else 'jpg'}"
        save_image(Image.fromarray(pixels.astype(np.uint8)), path)


def find_results(out: Path) -> dict[str, int]:
    """Return the time of modification of each image below a folder, by name, in nanoseconds."""
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in find_images(out)}


def list_done(out: Path) -> list[str]:
    """Return the names that the manifest and its parts list as done."""
    paths = [*out.glob(manifest.NAME), *out.glob(manifest.PARTS)]
    return [
        entry["name"]
        for path in paths
        for _, entry in manifest.read_entries(path)
        if entry["status"] == "done"
    ]


def interrupt(command: list[str], out: Path, count: int, interruption: str, rank: int = 0) -> Interrupted:
    """Start a command, and interrupt it when it has written a number of images.

    Args:
        command: The command line.
        out: Folder of the results.
        count: Number of images to wait for, beyond those that are in the folder already.
        interruption: One of ``INTERRUPTIONS``.
        rank: Index of the process to kill, for ``KILL_RANK``.
    """
    enough = count + len(find_results(out))
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while len(find_results(out)) < enough and process.poll() is None:
        time.sleep(POLL_SECONDS)
    ranks = sorted(child_processes(process.pid))
    everyone = [process.pid, *ranks, *(child for rank in ranks for child in child_processes(rank))]
    if process.poll() is None and interruption == KILL_RANK:
        os.kill(ranks[rank % len(ranks)], signal.SIGKILL)
    elif process.poll() is None:
        process.send_signal(SIGNALS[interruption])
    begin = time.perf_counter()
    _, printed = process.communicate()
    while any(Path(f"/proc/{pid}").exists() for pid in everyone):
        time.sleep(POLL_SECONDS)
    seconds = time.perf_counter() - begin
    lines = [one for one in printed.replace("\r", "\n").splitlines() if one.startswith(("error", "stopped"))]
    lines = [line for line in lines if ".jpg" not in line] or ["no message"]
    message = f"{interruption}: {'; '.join(lines)}"
    return Interrupted(message, process.returncode, seconds, find_results(out), set(list_done(out)))


def find_rewritten(run: Interrupted, out: Path) -> set[str]:
    """Return the results of an interrupted run that were written again since."""
    now = find_results(out)
    return {name for name, time in run.written.items() if now.get(name) != time}


def find_differing(one: Path, other: Path) -> list[str]:
    """Return the images of a folder that are missing or different in another folder."""
    return [
        name
        for name in find_results(one)
        if not (other / name).is_file() or (one / name).read_bytes() != (other / name).read_bytes()
    ]


def measure_speed(command: list[str], out: Path) -> tuple[float, float]:
    """Return a run's images per second, over the whole run, and from the first result to the last."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - begin
    times = sorted(find_results(out).values())
    return len(times) / seconds, (len(times) - 1) / max(1e-9, (times[-1] - times[0]) / 1e9)


def print_stages(photos: Path, checkpoint: str, device: str) -> None:
    """Print the CPU time per image in each stage, summed over all threads, in milliseconds."""
    stylize = Stylizer.load(checkpoint, device)
    times: dict[str, list[float]] = {}

    def lap(name: str, begin: float) -> float:
        now = time.process_time()
        times.setdefault(name, []).append(1000 * (now - begin))
        return now

    with tempfile.TemporaryDirectory() as folder:
        for path in find_images(photos)[:40]:
            now = time.process_time()
            image = open_image(path)
            now = lap("decode", now)
            tensor = to_tensor(image)
            now = lap("to floats", now)
            result = stylize(tensor)
            now = lap("network", now)
            image = to_image(result)
            now = lap("to bytes", now)
            save_image(image, Path(folder) / path.name)
            lap("encode, write", now)
    stages = ", ".join(f"{name} {mean(found[5:]):.1f}" for name, found in times.items())
    print(f"  CPU ms per image: {stages} ({stylize})")


def survive(
    photos: Path, folder: Path, ranks: list[int], kills: int, arguments: list[str], seed: int
) -> bool:
    """Interrupt and restart runs, and print what was lost.

    Each process has one thread, because bfloat16 rounds differently with another number of threads.

    Args:
        photos: Folder of photos.
        folder: Folder for the runs.
        ranks: Numbers of processes; each begins one run.
        kills: Number of interruptions of each run.
        arguments: Options of infer.py.
        seed: Seed of the moments.

    Returns:
        True if no image was lost, and none that the manifest listed was written again.
    """
    rng, sound = random.Random(seed), True
    environment = dict(os.environ)
    os.environ["OMP_NUM_THREADS"] = "1"
    whole = folder / "uninterrupted"
    subprocess.run(infer_command(photos, "-o", whole, *arguments), check=True, capture_output=True)
    for start, first in enumerate(ranks):
        out = folder / f"interrupted_{first}"
        counts = [ranks[(start + number) % len(ranks)] for number in range(kills + 1)]
        commands = [infer_command(photos, "-o", out, *arguments, "--devices", count) for count in counts]
        runs = []
        for number, (count, command) in enumerate(zip(counts, commands[:-1], strict=False)):
            left = len(find_results(whole)) - len(find_results(out))
            more = rng.randint(1, max(1, 2 * left // 3))
            interruption = INTERRUPTIONS[(start * kills + number) % len(INTERRUPTIONS)]
            runs.append(run := interrupt(command, out, more, interruption, rng.randrange(count)))
            ending = f"status {run.status}, ended in {run.seconds:.1f} s"
            print(f"  {count} processes, {run.message} ({ending})", flush=True)
        last = subprocess.run(commands[-1], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        names, wrong = list_done(out), find_differing(whole, out)
        again = [find_rewritten(run, out) for run in runs]
        known = sum(len(found & run.listed) for found, run in zip(again, runs, strict=True))
        print(
            f"begun with {first} processes: {kills} kills, status {last.returncode}, "
            f"{len(find_results(out))} images, lost or different {len(wrong)}, in the manifest {len(names)}, "
            f"listed twice {len(names) - len(set(names))}; written again {sum(map(len, again))}, of these "
            f"in the manifest {known}",
            flush=True,
        )
        complete = len(names) == len(find_results(whole)) == len(set(names))
        sound &= not wrong and not known and last.returncode == 0 and complete
    os.environ.clear()
    os.environ.update(environment)
    return sound


def run_size(size: int, folder: Path, options: argparse.Namespace) -> None:
    """Print the speeds for photos of a size, and what interruptions lose."""
    arguments = ["--checkpoint", options.checkpoint, "--device", options.device]
    photos = folder / "photos"
    if options.photos:
        for path in find_photos(options.photos, options.pictures):
            save_image(open_rgb(path, size), photos / f"{path.stem}.jpg")
    else:
        make_photos(photos, options.pictures, size, options.seed)
    warm_up = infer_command(photos, "-o", folder / "warm-up", *arguments)
    subprocess.run(warm_up, check=True, capture_output=True)
    print(f"{len(find_images(photos))} images of {size} pixels, {options.checkpoint}")
    print_stages(photos, options.checkpoint, options.device)
    for count in (None, *options.ranks):
        out = folder / f"devices_{count}"
        devices = [] if count is None else ["--devices", count]
        whole, running = measure_speed(infer_command(photos, "-o", out, *arguments, *devices), out)
        name = " ".join(map(str, devices)) or "one process"
        print(f"  {name:12} {running:6.1f} images/s, {whole:6.1f} with the start", flush=True)
    if options.kills and not survive(photos, folder, options.ranks, options.kills, arguments, options.seed):
        sys.exit("images were lost")


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--photos", type=Path, help="folder of photos (default synthetic images)")
    parser.add_argument("--pictures", type=int, default=300, help="number of images")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256], help="longer side in pixels")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 3], help="numbers of processes")
    parser.add_argument("--kills", type=int, default=3, help="interruptions for each number of processes")
    parser.add_argument("--checkpoint", default="starry_night", help="model")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            run_size(size, Path(folder), options)


if __name__ == "__main__":
    main()
