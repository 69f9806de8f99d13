"""How much a stylized clip flickers: the warp error, beside the input's own.

On photos the motion is made up, and so known exactly. On clips it is estimated between consecutive
frames; cuts are left out, and pixels that are hidden in one of them or whose motion is unsure. The
input's own error is the floor: what interpolation, noise and wrong motion leave. Errors are mean
squares of values in [0,1], times 1,000; "above" is what the model adds to the floor. Tone: how much
the mean colour changes from frame to frame, in levels. Style and content: the distances that the
model was trained by.

Clips are stylized in four ways: each frame alone; with running statistics in the norms, as infer.py
does; each alone and blended along the motion; and with both.

    python -m benchmarks.flicker starry_night starry_night-steady --style starry_night.jpg \\
        --photos validation/ --clips bigbuckbunny.mp4 bikes.mp4
"""

import argparse
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from faststyle.evaluation.judge import Judge
from faststyle.image.convert import to_image, to_tensor
from faststyle.image.files import find_images, open_image
from faststyle.image.warp import in_bounds_mask, warp
from faststyle.inference.optical_flow import Blend, Motion
from faststyle.inference.stylizer import Stylizer
from faststyle.inference.video import Shots
from faststyle.training.synthetic_motion import random_flow
from faststyle.video.opening import open_clip

SIZE = 512  # pixels of a photo's longer side
JUDGED = 10  # of so many frames one is judged by VGG
BLEND = 0.5
COLUMNS = ("floor", "model", "above", "tone", "style", "content")

Frames = list[np.ndarray]  # (H,W,3) bytes each


class Move(NamedTuple):
    """From one frame to the next."""

    flow: Tensor  # (1,2,H,W)
    valid: Tensor  # (1,1,H,W)


def moved_photo(path: Path, seed: int) -> tuple[Frames, Move]:
    """A photo twice, the second time moved; both are taken from the file's own pixels."""
    photo = to_tensor(open_image(path).convert("RGB"))[None]
    height, width = photo.shape[2:]
    scale = SIZE / max(height, width)
    rows, columns = round(height * scale), round(width * scale)
    flow = random_flow(1, rows, columns, torch.Generator().manual_seed(seed))
    y, x = torch.meshgrid(torch.arange(float(rows)), torch.arange(float(columns)), indexing="ij")
    places = torch.stack([x, y])[None]  # (1,2,H,W)
    # Each from where in the file it lies: pixels of the result to those of the file.
    ratio = torch.tensor([(width - 1) / (columns - 1), (height - 1) / (rows - 1)]).view(1, 2, 1, 1)
    both = [warp(photo, (places + move) * ratio - places, "bicubic") for move in (0, flow)]
    return [np.asarray(to_image(one[0])) for one in both], Move(flow, in_bounds_mask(flow))


def to_pixels(frame: np.ndarray) -> Tensor:
    """(H,W,3) bytes to (1,3,H,W) in [0,1]."""
    return to_tensor(Image.fromarray(frame))[None]


def error(frames: Frames, moves: Sequence[Move | None]) -> float:
    """Mean square difference of valid pixels from the frame before, moved, but at cuts; times 1,000."""
    found = []
    for (before, after), move in zip(pairwise(frames), moves, strict=True):
        if move is None:
            continue
        flow, valid = move
        difference = (to_pixels(after) - warp(to_pixels(before), flow)).square().mean(1, keepdim=True)
        found.append((valid * difference).sum().item() / valid.sum().clamp(min=1).item())
    return 1000 * float(np.mean(found))


def tone(frames: Frames, moves: Sequence[Move | None]) -> float:
    """How much the mean colour changes from frame to frame, but at cuts, in levels of 255."""
    means = [frame.mean((0, 1)) for frame in frames]
    pairs = zip(pairwise(means), moves, strict=True)
    return float(np.mean([np.abs(after - before).mean() for (before, after), move in pairs if move]))


def distances(judge: Judge, pictures: Frames, frames: Frames) -> dict[str, float]:
    """Mean distances of every tenth picture from the style, and from the frame."""
    rows, device = [], next(judge.vgg.buffers()).device
    for made, given in list(zip(pictures, frames, strict=True))[::JUDGED]:
        picture, photo = to_pixels(made).to(device), to_pixels(given).to(device)
        with torch.no_grad():
            content = judge.features(photo, judge.objective.content_layers)
            terms = judge.objective(
                picture, judge.features(picture, judge.objective.layers_at(*picture.shape[-2:])), content
            )
        rows.append({key: terms[key].item() for key in ("style", "content")})
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def alone(stylize: Stylizer, frames: Frames) -> Frames:
    """Each frame by itself."""
    return [np.asarray(stylize(Image.fromarray(frame), stroke_scale=1)) for frame in frames]


def blended(pictures: Frames, frames: Frames) -> Frames:
    shots, blend = Shots(), Blend(BLEND)
    cuts = [not shots.share(frame, 1 / 25) for frame in frames]
    return [blend(*three) for three in zip(pictures, frames, cuts, strict=True)]


def running(stylize: Stylizer, frames: Frames) -> Frames:
    return list(stylize.video(frames))


WAYS: dict[str, Callable[[Stylizer, Frames], Frames]] = {
    "alone": alone,
    "norms": running,
    "flow": lambda stylize, frames: blended(alone(stylize, frames), frames),
    "norms + flow": lambda stylize, frames: list(stylize.video(frames, motion_blend=BLEND)),
}


def show(source: str, name: str, way: str, rows: Iterable[dict[str, float]]) -> None:
    rows = list(rows)
    row = {key: float(np.mean([one[key] for one in rows])) for key in rows[0]}
    row["above"] = row["model"] - row["floor"]
    figures = "".join(f"{row[key]:8.3f}" for key in COLUMNS)
    print(f"{source:14}{name:26}{way:14}{figures}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+")
    parser.add_argument("--style", required=True, help="the painting that they were trained on")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--clips", type=Path, nargs="*", default=[])
    parser.add_argument("--count", type=int, default=20, help="photos")
    parser.add_argument("--frames", type=int, default=60, help="of each clip")
    parser.add_argument("--max-size", type=int, help="shrink the clips so")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    arguments = parser.parse_args()
    print(" " * 54 + "".join(f"{key:>8}" for key in COLUMNS))
    models = {name: Stylizer.load(name) for name in arguments.models}
    # The first model's objective judges all, so that their distances are of one kind.
    first = next(iter(models.values()))
    judge = Judge(first.card, arguments.style, first.device, first.dtype)
    if arguments.photos:
        paths = find_images(arguments.photos)[: arguments.count]
        pairs = [moved_photo(path, number) for number, path in enumerate(paths)]
        for name, stylize in models.items():
            rows = []
            for frames, move in pairs:
                pictures = alone(stylize, frames)
                rows.append(
                    {"floor": error(frames, [move]), "model": error(pictures, [move])}
                    | {"tone": tone(pictures, [move])}
                    | distances(judge, pictures, frames)
                )
            show("photos", Path(name).stem, "alone", rows)
    for path in arguments.clips:
        with open_clip(path, max_size=arguments.max_size) as clip:
            frames = [frame.pixels for frame, _ in zip(clip, range(arguments.frames), strict=False)]
        motion, shots = Motion(), Shots()
        cuts = [not shots.share(frame, 1 / 25) for frame in frames]
        moves = [
            Move(*motion.between(after, before)) if not cut else None
            for (before, after), cut in zip(pairwise(frames), cuts[1:], strict=True)
        ]
        floor = error(frames, moves)
        for name, stylize in models.items():
            for way in arguments.ways:
                pictures = WAYS[way](stylize, frames)
                row = {"floor": floor, "model": error(pictures, moves), "tone": tone(pictures, moves)}
                show(path.stem, Path(name).stem, way, [row | distances(judge, pictures, frames)])


if __name__ == "__main__":
    main()
