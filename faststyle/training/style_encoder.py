"""Train the style encoder, which gives any painting's style at once.

    python -m faststyle.training.style_encoder --paintings paintings/ --content photos/

First the encoder learns to describe images as VGG does. Then, with that description fixed, the network and
its norms learn to paint in the style of any painting. A run that was stopped continues.
"""

import math
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from faststyle.console import command_words, one_line_errors
from faststyle.device import has_fast_bfloat16
from faststyle.errors import InputError
from faststyle.files import atomic_write
from faststyle.image.convert import to_opaque
from faststyle.image.files import find_images, open_image
from faststyle.losses.objective import Objective
from faststyle.losses.statistics import bounded_relative
from faststyle.losses.vgg import VGG
from faststyle.models.find import find_model
from faststyle.models.layout import NOISE_PERIOD
from faststyle.options import Settings, number, option, path, text, whole
from faststyle.parser import Parser
from faststyle.training.inactive import INACTIVE_WEIGHT, InactiveFeatures, inactive_channels
from faststyle.training.light import LIGHT_WEIGHT, luminance_loss
from faststyle.training.mesh import MESH_WEIGHT, mesh_loss
from faststyle.training.muon import Muon
from faststyle.training.paintings import DESCRIBED_LAYERS, random_view, statistics
from faststyle.training.photo_sources import load_content
from faststyle.training.sampling import Photos
from faststyle.training.spikes import Spikes
from faststyle.training.style_network import StyleEncoder, save_encoder
from faststyle.training.synthetic_motion import SHIFT_PERIOD, shift_images

DESCRIBED_SIZE = 192  # pixels of the squares that the encoder learns to describe
STATISTICS_BATCHES = 32  # of four images, to standardize VGG's statistics
PAINTINGS_PER_STEP = 2
VIEWS = 64  # of paintings, in memory
REUSE = 6  # steps for which a view is kept, because its Gram matrices cost as much as a step
BLENDS = 0.25  # fraction of the photos that meet a blend of two views
INACTIVE_CHANNELS_WEIGHT = 0.05  # of the loss
DESCRIPTION_NOISE = 0.15  # added to standardized descriptions, so that similar paintings get similar norms
SAVE_SECONDS = 60


@dataclass(frozen=True)
class Options(Settings):
    """Train the style encoder, which gives any painting's style at once."""

    paintings: Path = option(Path("paintings"), "folder of paintings", path("a folder"), "DIR")
    content: str = option("samples", "photos, as for faststyle train", text("a folder or data set"), "SOURCE")
    init: str = option("starry_night", "model to start from", text("a model"), "MODEL")
    describe_steps: int = option(1500, "steps of the first part", whole(1), "N")
    steps: int = option(5000, "steps of the second part", whole(1), "N")
    size: int = option(384, "side of the last photo crops in pixels", whole(128, 1024), "N")
    style_weight: float = option(10.0, "weight of the style loss", number(0), "N")
    output: Path = option(Path("runs/style_encoder"), "folder of the run", path("a folder"), "DIR")


class BoundedObjective(Objective):
    """The objective with style distances from 0 to 1.

    The distance relative to the painting alone is 1 for grey images, and far more for a wrong style, so that
    an encoder that knows no painting yet would learn to paint grey.
    """

    def distance(self, mine: Tensor, number: int, layer: str, positions: int = 0) -> Tensor:
        """Return ‖G−A‖² / (‖G‖² + ‖A‖²) of the Gram matrices of images and painting: (B,)."""
        return bounded_relative(mine, self.get_buffer(f"style_{number}_{layer}"))


class View(NamedTuple):
    """A part or all of a painting, perhaps recoloured.

    Attributes:
        description: As the encoder gives it, (1,1920).
        grams: Gram matrices by layer, (1,C,C).
    """

    description: Tensor
    grams: dict[str, Tensor]

    def mix(self, other: "View", share: float) -> "View":
        """Return the blend of two views that have the same layers; otherwise this one."""
        if self.grams.keys() != other.grams.keys():
            return self
        grams = {layer: torch.lerp(gram, other.grams[layer], share) for layer, gram in self.grams.items()}
        return View(torch.lerp(self.description, other.description, share), grams)


class Training:
    """Both parts of the training, and its state on disk."""

    def __init__(self, options: Options):
        self.options = options
        self.paintings = [to_opaque(open_image(file)) for file in find_images(options.paintings)]
        if not self.paintings:
            raise InputError(f"`paintings` {options.paintings} holds no images: give a folder of paintings")
        self.rows, _ = load_content(options.content)
        network = find_model(options.init).build_network()
        self.encoder = StyleEncoder(network.config["size"])
        self.encoder.network.load_state_dict(network.state_dict())
        self.bfloat16 = has_fast_bfloat16(torch.device("cpu"))
        precision = torch.bfloat16 if self.bfloat16 else torch.float32
        self.objective = BoundedObjective(style_weight=options.style_weight, tv_weight=0.0)
        self.vgg = VGG(layers=[*self.objective.layers, *DESCRIBED_LAYERS], precision=precision)
        self.spikes = Spikes(self.encoder.network)
        self.inactive = InactiveFeatures(self.encoder.network)
        self.mean, self.std = torch.zeros(1), torch.ones(1)
        self.described, self.step = 0, 0
        head = list(self.encoder.predict.parameters())
        described = [*self.encoder.convs.parameters(), *self.encoder.describe.parameters()]
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "describe": torch.optim.Adam(described),
            "head": torch.optim.Adam(head),
            "network": Muon(self.encoder.network.parameters(), 0.0),
        }
        self.last = options.output / "last.ckpt"
        if self.last.exists():
            self.load()

    def autocast(self) -> Any:
        return torch.autocast("cpu", torch.bfloat16) if self.bfloat16 else nullcontext()

    def state(self) -> dict[str, Any]:
        optimizers = {name: one.state_dict() for name, one in self.optimizers.items()}
        counts = {"described": self.described, "step": self.step, "mean": self.mean, "std": self.std}
        return {**counts, "encoder": self.encoder.state_dict(), "optimizers": optimizers}

    def load(self) -> None:
        state = torch.load(self.last, weights_only=True)
        self.encoder.load_state_dict(state["encoder"])
        for name, one in self.optimizers.items():
            one.load_state_dict(state["optimizers"][name])
        self.described, self.step, self.mean, self.std = (
            state[name] for name in ("described", "step", "mean", "std")
        )

    def save(self) -> None:
        self.options.output.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.last) as temporary:
            torch.save(self.state(), temporary)

    def set_rates(self, rates: dict[str, float], done: float) -> None:
        """Set learning rates, which fall to 0 over the second half."""
        for name, rate in rates.items():
            for group in self.optimizers[name].param_groups:
                group["lr"] = rate * min(1.0, 2 - 2 * done)

    # The first part.

    def photo(self, rng: random.Random) -> Image.Image:
        """Return any painting or photo."""
        if rng.random() < 0.5:
            return rng.choice(self.paintings)
        stored = self.rows[rng.randrange(len(self.rows))]["image"]
        try:
            return open_image(stored["path"]).convert("RGB")
        except InputError:
            return rng.choice(self.paintings)

    def squares(self, rng: random.Random, count: int) -> Tensor:
        return torch.stack([random_view(self.photo(rng), rng, DESCRIBED_SIZE) for _ in range(count)])

    @torch.no_grad()
    def measure_statistics(self) -> None:
        """Measure mean and standard deviation of VGG's statistics, to standardize them."""
        rng = random.Random(-1)
        found = torch.cat(
            [statistics(self.vgg(self.squares(rng, 4), DESCRIBED_LAYERS)) for _ in range(STATISTICS_BATCHES)]
        )
        self.mean, self.std = found.mean(0), found.std(0).clamp(min=0.1)

    def learn_to_describe(self) -> Iterator[float]:
        if not self.described:
            self.measure_statistics()
        for step in range(self.described, self.options.describe_steps):
            images = self.squares(random.Random(step), 4)
            with torch.no_grad():
                found = statistics(self.vgg(images, DESCRIBED_LAYERS))
                target = ((found - self.mean) / self.std).clamp(-4, 4)  # rare features are outliers
            with self.autocast():
                description = self.encoder.description(images)
            loss = F.mse_loss(description.float(), target)
            self.optimizers["describe"].zero_grad()
            loss.backward()
            self.set_rates({"describe": 3e-4}, step / self.options.describe_steps)
            self.optimizers["describe"].step()
            self.described = step + 1
            yield loss.item()

    # The second part.

    @torch.no_grad()
    def view(self, rng: random.Random) -> View:
        painting = random_view(rng.choice(self.paintings), rng)[None]
        features = self.vgg(painting, self.objective.existing(*painting.shape[-2:]))
        grams = {layer: self.objective.represent(x, None).bfloat16() for layer, x in features.items()}
        return View(self.encoder.description(painting), grams)

    def losses(self, view: View, photos: Tensor, rng: random.Random) -> Tensor:
        """Stylize photos in the style of a view, and return the loss."""
        self.objective.set_targets([{layer: gram.float() for layer, gram in view.grams.items()}])
        position = torch.tensor([rng.randrange(NOISE_PERIOD) for _ in range(2)])
        self.spikes.losses.clear()
        generator = torch.Generator().manual_seed(rng.getrandbits(32))
        noise = DESCRIPTION_NOISE * torch.randn(view.description.shape, generator=generator)
        style = self.encoder.style(view.description + noise)
        with self.autocast():
            images = self.encoder.stylize(photos, style, position)
        shift = [rng.randrange(SHIFT_PERIOD) for _ in range(2)]
        with torch.no_grad():
            content = self.vgg(shift_images(photos, shift), self.objective.content_layers)
        features = self.vgg(shift_images(images, shift), self.objective.layers_at(*images.shape[-2:]))
        total = self.objective(images, features, content)["total"]
        total = total + LIGHT_WEIGHT * luminance_loss(images, photos).mean()
        total = total + torch.stack(self.spikes.losses).sum() + INACTIVE_WEIGHT * self.inactive.loss
        total = total + MESH_WEIGHT * mesh_loss(images)
        return total + INACTIVE_CHANNELS_WEIGHT * inactive_channels(style)

    def learn_to_paint(self) -> Iterator[float]:
        steps, views = self.options.steps, list[View]()
        photos = Photos(self.rows, self.options.size, 0.6, 0)
        for step in range(self.step, steps):
            rng = random.Random(step)
            losses = []
            for part in range(PAINTINGS_PER_STEP):
                if len(views) < VIEWS:
                    views.append(self.view(rng))
                elif rng.random() < 1 / REUSE:
                    views[rng.randrange(VIEWS)] = self.view(rng)
                key = (rng.randrange(len(self.rows)), PAINTINGS_PER_STEP * step + part, step / steps)
                sample = photos[key]
                if isinstance(sample, InputError):
                    raise sample
                view = rng.choice(views)
                if rng.random() < BLENDS:
                    view = view.mix(rng.choice(views), rng.random())
                loss = self.losses(view, sample[0][None].float() / 255, rng)
                (loss / PAINTINGS_PER_STEP).backward()
                losses.append(loss.item())
            self.set_rates({"head": 1.2e-3, "network": 1e-3}, step / steps)
            for name in ("head", "network"):
                gradients = [p.grad for group in self.optimizers[name].param_groups for p in group["params"]]
                if all(g is None or bool(g.isfinite().all()) for g in gradients):
                    self.optimizers[name].step()
                self.optimizers[name].zero_grad()
            self.step = step + 1
            yield float(np.mean(losses))

    def run(self) -> None:
        started = saved = time.monotonic()
        average = math.nan
        parts = {"describing": self.learn_to_describe(), "painting": self.learn_to_paint()}
        for part, losses in parts.items():
            for loss in losses:
                average = loss if math.isnan(average) else 0.98 * average + 0.02 * loss
                now = time.monotonic()
                if now - saved > SAVE_SECONDS:
                    self.save()
                    saved = now
                    count = self.described if part == "describing" else self.step
                    print(f"{part}: step {count}, loss {average:.3f}, {now - started:.0f} s", flush=True)
            average = math.nan
        self.save()
        model = self.options.output / "style_encoder.safetensors"
        with atomic_write(model) as temporary:
            save_encoder(temporary, self.encoder)
        print(f"style encoder: {model}")


def main(argv: Sequence[str] | None = None) -> None:
    with command_words(argv) as words, one_line_errors():
        Training(Parser(Options, "python -m faststyle.training.style_encoder").read(words)).run()


if __name__ == "__main__":
    main()
