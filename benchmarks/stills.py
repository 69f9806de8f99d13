"""Draw consecutive frames of a video stylized by each model, and what changed between them beyond the motion.

    python -m benchmarks.stills clip.mp4 starry_night starry_night-steady --at 2 --crop 400 200 400 300 \\
        --output stills.webp
"""

from itertools import islice, pairwise
from pathlib import Path

from PIL import Image

from benchmarks.common import make_parser
from benchmarks.flicker import Frames, flow_to_tensors, frame_to_tensor
from faststyle.image.convert import to_image
from faststyle.image.files import save_image
from faststyle.image.warp import warp
from faststyle.inference.contact_sheet import contact_sheet
from faststyle.inference.optical_flow import Motion
from faststyle.inference.stylizer import Stylizer
from faststyle.video.opening import open_clip

FRAMES = 3
GAIN = 4  # factor by which changes are brightened


def draw_change(frames: Frames, stylized: Frames) -> Image.Image:
    """Draw the mean difference of each stylized frame from the one before, moved along the frames' motion."""
    motion, found = Motion(), []
    for (before, frame), (earlier, later) in zip(pairwise(frames), pairwise(stylized), strict=True):
        flow, sure = flow_to_tensors(*motion.between(frame, before))
        moved = warp(frame_to_tensor(earlier), flow)
        found.append(sure * (frame_to_tensor(later) - moved).abs().mean(1, keepdim=True))
    grey = (GAIN * sum(found) / len(found)).clamp(0, 1)[0]  # type: ignore[union-attr]  # (1,H,W)
    return to_image(grey.expand(3, -1, -1))


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("clip", type=Path, help="video file")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--at", type=float, default=1.0, help="time of the first frame in seconds")
    parser.add_argument("--crop", type=int, nargs=4, metavar=("X", "Y", "WIDTH", "HEIGHT"))
    parser.add_argument("--output", type=Path, required=True, help="image file")
    options = parser.parse_args(argv)
    with open_clip(options.clip, start=options.at) as video:
        frames = [frame.pixels for frame in islice(video, FRAMES)]
    height, width, _ = frames[0].shape
    x, y, w, h = options.crop or (0, 0, width, height)
    cells = {}
    for name in options.models:
        stylized = list(Stylizer.load(name).video(frames))
        images = {f"frame {number}": Image.fromarray(frame) for number, frame in enumerate(stylized, 1)}
        images[f"change, × {GAIN}"] = draw_change(frames, stylized)
        model = Path(name).stem
        cells |= {f"{model}, {text}": image.crop((x, y, x + w, y + h)) for text, image in images.items()}
    save_image(contact_sheet(cells, FRAMES + 1), options.output, quality=80)
    print(options.output)


if __name__ == "__main__":
    main()
