"""Measure how much a stylized video flickers, by the warp error, beside the input's own.

On photos the motion is synthetic, and so known exactly. On videos it is estimated between consecutive frames;
cuts are left out, and pixels that are hidden in one of the frames or whose motion is uncertain. The input's
own error is the floor: what interpolation, noise and wrong motion leave. Errors are mean squares of values in
[0,1], times 1,000; "above" is what the model adds to the floor. Tone is how much the mean colour changes from
frame to frame, in levels of 255. Style and content are the distances that the model was trained with.

Videos are stylized in four ways: each frame alone; with running statistics in the norms, as infer.py does;
each frame alone and blended along the motion; and with both.

    python -m benchmarks.flicker starry_night starry_night-steady --style starry_night.jpg \\
        --photos validation/ --clips bigbuckbunny.mp4 bikes.mp4
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.common import find_photos, make_parser, open_rgb
from faststyle.evaluation.judge import Judge
from faststyle.image.convert import to_image, to_tensor
from faststyle.image.warp import in_bounds_mask, warp
from faststyle.inference.optical_flow import Blend, Motion
from faststyle.inference.stylizer import Stylizer
from faststyle.inference.video import Shots
from faststyle.training.synthetic_motion import random_flow
from faststyle.video.opening import open_clip

SIZE = 512  # pixels of a photo's longer side
JUDGE_EVERY = 10  # frames: style and content are measured on one of so many
BLEND = 0.5
FRAME_SECONDS = 1 / 25
COLUMNS = ("floor", "model", "above", "tone", "style", "content")

Frames = list[np.ndarray]  # (H,W,3) bytes each
Row = dict[str, float]  # by column


class Move(NamedTuple):
    """The motion from a frame to the next: flow (1,2,H,W), and a mask (1,1,H,W) of the valid pixels."""

    flow: Tensor
    valid: Tensor


def move_photo(path: Path, seed: int) -> tuple[Frames, Move]:
    """Return a photo and the same photo moved, both interpolated from the file's own pixels."""
    photo = to_tensor(open_rgb(path))[None]
    height, width = photo.shape[2:]
    scale = SIZE / max(height, width)
    rows, columns = round(height * scale), round(width * scale)
    flow = random_flow(1, rows, columns, torch.Generator().manual_seed(seed))
    y, x = torch.meshgrid(torch.arange(float(rows)), torch.arange(float(columns)), indexing="ij")
    places = torch.stack([x, y])[None]  # (1,2,H,W)
    # Pixels of the file per pixel of the result: both frames are sampled where they lie in the file.
    ratio = torch.tensor([(width - 1) / (columns - 1), (height - 1) / (rows - 1)]).view(1, 2, 1, 1)
    both = [warp(photo, (places + move) * ratio - places, "bicubic") for move in (0, flow)]
    return [np.asarray(to_image(one[0])) for one in both], Move(flow, in_bounds_mask(flow))


def frame_to_tensor(frame: np.ndarray) -> Tensor:
    """Convert (H,W,3) bytes to (1,3,H,W) in [0,1]."""
    return to_tensor(Image.fromarray(frame))[None]


def warp_error(frames: Frames, moves: Sequence[Move | None]) -> float:
    """Return the mean square difference of valid pixels from the frame before, moved, times 1,000.

    A move of None is a cut, and is left out.
    """
    found = []
    for (before, after), move in zip(pairwise(frames), moves, strict=True):
        if move is None:
            continue
        moved = warp(frame_to_tensor(before), move.flow)
        difference = (frame_to_tensor(after) - moved).square().mean(1, keepdim=True)
        found.append((move.valid * difference).sum().item() / move.valid.sum().clamp(min=1).item())
    return 1000 * float(np.mean(found))


def tone_change(frames: Frames, moves: Sequence[Move | None]) -> float:
    """Return how much the mean colour changes from frame to frame, except at cuts, in levels of 255."""
    means = [frame.mean((0, 1)) for frame in frames]
    pairs = zip(pairwise(means), moves, strict=True)
    return float(np.mean([np.abs(after - before).mean() for (before, after), move in pairs if move]))


def distances(judge: Judge, stylized: Frames, frames: Frames) -> Row:
    """Return the mean style and content distances of every tenth frame."""
    rows, device = [], next(judge.vgg.buffers()).device
    for made, given in list(zip(stylized, frames, strict=True))[::JUDGE_EVERY]:
        image, photo = frame_to_tensor(made).to(device), frame_to_tensor(given).to(device)
        with torch.no_grad():
            content = judge.features(photo, judge.objective.content_layers)
            features = judge.features(image, judge.objective.layers_at(*image.shape[-2:]))
            terms = judge.objective(image, features, content)
        rows.append({key: terms[key].item() for key in ("style", "content")})
    return average(rows)


def average(rows: Iterable[Row]) -> Row:
    rows = list(rows)
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def find_cuts(frames: Frames) -> list[bool]:
    """Return True for each frame that begins a shot."""
    shots = Shots()
    return [not shots.share(frame, FRAME_SECONDS) for frame in frames]


def stylize_each(stylize: Stylizer, frames: Frames) -> Frames:
    """Stylize each frame alone."""
    return [np.asarray(stylize(Image.fromarray(frame), stroke_scale=1)) for frame in frames]


def stylize_blended(stylize: Stylizer, frames: Frames) -> Frames:
    """Stylize each frame alone, and blend it with the one before along the motion."""
    blend, stylized = Blend(BLEND), stylize_each(stylize, frames)
    return [blend(*three) for three in zip(stylized, frames, find_cuts(frames), strict=True)]


WAYS: dict[str, Callable[[Stylizer, Frames], Frames]] = {
    "alone": stylize_each,
    "norms": lambda stylize, frames: list(stylize.video(frames)),
    "flow": stylize_blended,
    "norms + flow": lambda stylize, frames: list(stylize.video(frames, motion_blend=BLEND)),
}


def print_figures(source: str, model: str, way: str, row: Row) -> None:
    row = row | {"above": row["model"] - row["floor"]}
    figures = "".join(f"{row[key]:8.3f}" for key in COLUMNS)
    print(f"{source:14}{Path(model).stem:26}{way:14}{figures}", flush=True)


def measure_photos(models: dict[str, Stylizer], judge: Judge, paths: list[Path]) -> None:
    """Print a line for each model: means over photos with a synthetic motion."""
    pairs = [move_photo(path, number) for number, path in enumerate(paths)]
    for name, stylize in models.items():
        rows = []
        for frames, move in pairs:
            stylized = stylize_each(stylize, frames)
            row = {"floor": warp_error(frames, [move]), "model": warp_error(stylized, [move])}
            row["tone"] = tone_change(stylized, [move])
            rows.append(row | distances(judge, stylized, frames))
        print_figures("photos", name, "alone", average(rows))


def flow_to_tensors(flow: np.ndarray, sure: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return a flow (H,W,2) and where it is reliable, (H,W), as (1,2,H,W) and (1,1,H,W)."""
    return torch.from_numpy(flow).permute(2, 0, 1)[None], torch.from_numpy(sure)[None, None]


def measure_video(
    models: dict[str, Stylizer], judge: Judge, frames: Frames, name: str, ways: list[str]
) -> None:
    """Print a line for each model and way."""
    motion = Motion()
    moves = [
        None if cut else Move(*flow_to_tensors(*motion.between(after, before)))
        for (before, after), cut in zip(pairwise(frames), find_cuts(frames)[1:], strict=True)
    ]
    floor = warp_error(frames, moves)
    for model, stylize in models.items():
        for way in ways:
            stylized = WAYS[way](stylize, frames)
            row = {"floor": floor, "model": warp_error(stylized, moves), "tone": tone_change(stylized, moves)}
            print_figures(name, model, way, row | distances(judge, stylized, frames))


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--style", required=True, help="painting that the models were trained on")
    parser.add_argument("--photos", type=Path, help="folder of photos")
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="video files")
    parser.add_argument("--count", type=int, default=20, help="number of photos")
    parser.add_argument("--frames", type=int, default=60, help="number of frames of each video")
    parser.add_argument("--max-size", type=int, help="shrink videos to this longer side in pixels")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    options = parser.parse_args(argv)
    print(" " * 54 + "".join(f"{key:>8}" for key in COLUMNS))
    models = {name: Stylizer.load(name) for name in options.models}
    # All are judged by the first model's objective, so that their distances can be compared.
    first = next(iter(models.values()))
    judge = Judge(first.card, options.style, *first.on_torch())
    if options.photos:
        measure_photos(models, judge, find_photos(options.photos, options.count))
    for path in options.clips:
        with open_clip(path, max_size=options.max_size) as video:
            frames = [frame.pixels for frame in islice(video, options.frames)]
        measure_video(models, judge, frames, path.stem, options.ways)


if __name__ == "__main__":
    main()
