"""Collections by several processes: pictures lost or done twice when they are killed, and pictures a second.

    python -m benchmarks.collection --pictures 300 --ranks 1 2 3 --kills 3
    python -m benchmarks.collection --photos photos/ --sizes 256 512 1024 --kills 0

Pictures are made up, or a folder's, brought to each size as JPEG. For each number of processes the
folder is stylized once, without and with so many kills: at moments drawn at random one of the processes
or the command itself is killed (kill -9), or it gets SIGTERM or Ctrl-C, and the same command is started
again, with another number of processes each time. Counted are the pictures that are missing at the end,
that differ from the plain command's, and that were written twice: of the latter those are in order that
were written but not in the manifest yet when they were killed.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import numpy as np
from PIL import Image

from faststyle import Stylizer
from faststyle.image.convert import scale_to, to_image, to_tensor
from faststyle.image.files import find_images, open_image, save_image
from faststyle.inference.batch import manifest

HOWS = ("kill -9 of a process", "kill -9 of the command", "SIGTERM", "Ctrl-C")
PAUSE = 0.005


class Broken(NamedTuple):
    """A run that was broken off."""

    how: str
    status: int
    seconds: float  # until all of its processes were gone
    written: dict[str, int]  # results, and when they were written
    listed: set[str]  # results of which the manifest or its parts know


def made_up(folder: Path, count: int, size: int, seed: int = 0) -> None:
    """Write coloured noise of several scales: it compresses as photos do."""
    draw = np.random.default_rng(seed)
    for number in range(count):
        pixels = np.zeros((size * 3 // 4, size, 3))
        for scale in (4, 16, 64):
            coarse = draw.integers(0, 256, (3 * size // 4 // scale + 2, size // scale + 2, 3), np.uint8)
            pixels += np.asarray(Image.fromarray(coarse).resize((size, 3 * size // 4))) / 3.0
        place = folder / f"{number % 7}" / f"picture {number:05}.{'png' if number % 10 == 9 else 'jpg'}"
        save_image(Image.fromarray(pixels.astype(np.uint8)), place)


def infer(photos: Path, out: Path, *flags: str) -> list[str]:
    return [sys.executable, "infer.py", str(photos), "-o", str(out), *flags]


def children(pid: int) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                yield int(path.parent.name)
        except (OSError, IndexError):  # it has ended
            continue


def results(out: Path) -> dict[str, int]:
    """Each picture below a folder, and when it was written."""
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in find_images(out)}


def listed(out: Path) -> list[str]:
    """The names that the manifest and its parts have as done."""
    paths = [*out.glob(manifest.NAME), *out.glob(manifest.PARTS)]
    return [
        entry["name"] for path in paths for _, entry in manifest.entries(path) if entry["status"] == "done"
    ]


def break_off(command: list[str], out: Path, more: int, how: str, which: int = 0) -> Broken:
    """Start a command, and break it off when it has written so many more pictures.

    Args:
        command: what to start.
        out: where its results come.
        more: results, beside those that are there now.
        how: one of ``HOWS``.
        which: of the processes, for the first.
    """
    enough = more + len(results(out))
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while len(results(out)) < enough and process.poll() is None:
        time.sleep(PAUSE)
    ranks = sorted(children(process.pid))
    everyone = [process.pid, *ranks, *(one for rank in ranks for one in children(rank))]
    if process.poll() is None and how == HOWS[0]:
        os.kill(ranks[which % len(ranks)], signal.SIGKILL)
    elif process.poll() is None:
        process.send_signal(
            dict(zip(HOWS[1:], (signal.SIGKILL, signal.SIGTERM, signal.SIGINT), strict=True))[how]
        )
    begin = time.perf_counter()
    _, printed = process.communicate()
    while any(Path(f"/proc/{pid}").exists() for pid in everyone):
        time.sleep(PAUSE)
    lines = [
        line for line in printed.replace("\r", "\n").splitlines() if line.startswith(("error", "stopped"))
    ]
    said = "; ".join(line for line in lines if ".jpg" not in line) or "nothing"
    return Broken(
        f"{how}: {said}", process.returncode, time.perf_counter() - begin, results(out), set(listed(out))
    )


def written_twice(broken: Broken, out: Path) -> set[str]:
    """Those results of a run broken off that are no longer the files that they were."""
    now = results(out)
    return {name for name, when in broken.written.items() if now.get(name) != when}


def differing(one: Path, other: Path) -> list[str]:
    """The pictures of one folder that are missing in another, or are not the same there."""
    return [
        name
        for name in results(one)
        if not (other / name).is_file() or (one / name).read_bytes() != (other / name).read_bytes()
    ]


def timed(command: list[str], out: Path) -> tuple[float, float]:
    """Pictures a second of a run: with its start, and from the first result to the last."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - begin
    when = sorted(results(out).values())
    return len(when) / seconds, (len(when) - 1) / max(1e-9, (when[-1] - when[0]) / 1e9)


def stages(photos: Path, checkpoint: str, flags: list[str]) -> None:
    """Print the milliseconds of a processor that a picture takes in each stage, all threads together."""
    stylize = Stylizer.load(checkpoint, "cpu" if "cpu" in flags else "auto")
    sums: dict[str, list[float]] = {}

    def lap(name: str, begin: float) -> float:
        now = time.process_time()
        sums.setdefault(name, []).append(1000 * (now - begin))
        return now

    with tempfile.TemporaryDirectory() as folder:
        for path in find_images(photos)[:40]:
            now = time.process_time()
            picture = open_image(path)
            now = lap("decode", now)
            tensor = to_tensor(picture)
            now = lap("to floats", now)
            result = stylize(tensor)
            now = lap("network", now)
            picture = to_image(result)
            now = lap("to bytes", now)
            save_image(picture, Path(folder) / path.name)
            lap("encode, write", now)
    parts = ", ".join(f"{name} {mean(found[5:]):.1f}" for name, found in sums.items())
    print(f"  CPU ms a picture: {parts} ({stylize})")


def prove(photos: Path, folder: Path, ranks: list[int], kills: int, flags: list[str], seed: int) -> bool:
    """Break runs off, start them again, and count; True where nothing was lost.

    Each process has one thread: with others bfloat16 rounds otherwise.
    """
    draw, whole, kind = random.Random(seed), True, 0
    usual = dict(os.environ)
    os.environ["OMP_NUM_THREADS"] = "1"
    plain = folder / "plain_1"
    subprocess.run(infer(photos, plain, *flags), check=True, capture_output=True)
    for start, devices in enumerate(ranks):
        out = folder / f"killed_{devices}"
        broken = []
        for number in range(kills):
            here = ranks[(start + number) % len(ranks)]
            left = len(results(plain)) - len(results(out))
            more = draw.randint(1, max(1, 2 * left // 3))
            command = infer(photos, out, *flags, "--devices", str(here))
            broken.append(break_off(command, out, more, HOWS[kind % len(HOWS)], draw.randrange(here)))
            kind += 1
            how, status, seconds, *_ = broken[-1]
            print(f"  {here} processes, {how} (status {status}, gone in {seconds:.1f} s)", flush=True)
        last = infer(photos, out, *flags, "--devices", str(ranks[(start + kills) % len(ranks)]))
        status = subprocess.run(last, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode
        names, wrong = listed(out), differing(plain, out)
        again = [written_twice(one, out) for one in broken]
        known = sum(len(twice & one.listed) for twice, one in zip(again, broken, strict=True))
        print(
            f"first with {devices} processes: {kills} kills, status {status}, {len(results(out))} pictures, "
            f"lost or different {len(wrong)}, in the manifest {len(names)}, twice there "
            f"{len(names) - len(set(names))}; written again {sum(map(len, again))}, of which in the manifest "
            f"{known}",
            flush=True,
        )
        whole &= (
            not wrong and not known and status == 0 and len(names) == len(results(plain)) == len(set(names))
        )
    os.environ.clear()
    os.environ.update(usual)
    return whole


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, help="real ones; without it they are made up")
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256], help="longer side in pixels")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--kills", type=int, default=3, help="for each number of processes")
    parser.add_argument("--checkpoint", default="starry_night")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)

    flags = ["--checkpoint", arguments.checkpoint, "--device", arguments.device]
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            photos, plain = Path(folder) / "photos", Path(folder) / "plain"
            if arguments.photos:
                for path in find_images(arguments.photos)[: arguments.pictures]:
                    picture = scale_to(open_image(path).convert("RGB"), size)
                    save_image(picture, photos / f"{path.stem}.jpg")
            else:
                made_up(photos, arguments.pictures, size, arguments.seed)
            subprocess.run(infer(photos, Path(folder) / "warm", *flags), check=True, capture_output=True)
            print(f"{len(find_images(photos))} pictures of {size} pixels, {arguments.checkpoint}")
            stages(photos, arguments.checkpoint, flags)
            rows = {"plain": timed(infer(photos, plain, *flags), plain)}
            for devices in arguments.ranks:
                out = plain.with_name(f"devices_{devices}")
                rows[f"--devices {devices}"] = timed(
                    infer(photos, out, *flags, "--devices", str(devices)), out
                )
            for name, (all_in, running) in rows.items():
                print(f"  {name:12} {running:6.1f} pictures/s, {all_in:6.1f} with its start", flush=True)
            if arguments.kills and not prove(
                photos, Path(folder), arguments.ranks, arguments.kills, flags, arguments.seed
            ):
                sys.exit("pictures were lost")


if __name__ == "__main__":
    main()
