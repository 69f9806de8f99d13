"""The LightningModule: a transformer network trained with the perceptual loss of a frozen VGG."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from faststyle.errors import InputError
from faststyle.image.convert import scale_to, to_tensor
from faststyle.image.mosaic import open_style
from faststyle.image.warp import in_bounds_mask, warp
from faststyle.losses.objective import Objective
from faststyle.losses.presets import PRESETS
from faststyle.losses.settings import PoolingName, VGGName, Weight
from faststyle.losses.vgg import VGG
from faststyle.models.card import Ancestor, ModelCard, StyleImage, TrainingSettings, parse_fields
from faststyle.models.find import find_model, label
from faststyle.models.layers import NOISE_PERIOD
from faststyle.models.network import DEFAULT_SIZE, TransformerNetwork
from faststyle.options import whole
from faststyle.training.light import light_lost
from faststyle.training.muon import Muon
from faststyle.training.options import Blocks, ModelName, SizeName, StyleBlend, StyleFiles, StyleSize
from faststyle.training.synthetic_motion import disturb, random_flow, unsteadiness

# A strong style from the first step loses the photo's light and dark, and does not find it again. So the
# style's weight rises from a share of it, over a share of the run's steps.
FIRST_WEIGHT, RISE = 0.1, 0.35

# What suits networks better than the baseline: less style keeps the photo readable, since they see each photo
# but once; and they leave flat holes by total variation.
STYLE_WEIGHT, TV_WEIGHT = 2.0, 0.0

# VGG's pooling and the scales of the style see nothing of a pattern that repeats itself in their cells, so
# that networks weave a mesh of 4 pixels, unless images are shifted by another number of pixels at each step.
GRID = 8

# Of VGG, by Lightning's names.
PRECISIONS = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def load_style(style: str, size: int) -> Tensor:
    """Read a style picture, its longer side brought to ``size`` pixels, to (1,3,H,W) in [0,1].

    Raises:
        InputError: no such picture.
    """
    return to_tensor(scale_to(open_style(style), size))[None]


def shifted(images: Tensor, shift: Sequence[int]) -> Tensor:
    """Move (B,3,H,W) down and right by so many pixels; mirrored ones come in."""
    down, right = shift
    return F.pad(images, (right, 0, down, 0), mode="reflect")[..., : images.shape[2], : images.shape[3]]


def move(photos: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """Made-up motion of (B,3,H,W), another for each photo, of seeds from ``first`` on.

    So a batch moves alike in one process and in parts.

    Returns:
        The flow, (B,2,H,W), and the photos a moment later.
    """
    height, width = photos.shape[2:]
    flows, moved = [], []
    for seed, photo in enumerate(photos.split(1), first):
        chance = torch.Generator().manual_seed(seed)
        flows.append(random_flow(1, height, width, chance).to(photo))
        moved.append(disturb(photo, flows[-1], chance))
    return torch.cat(flows), torch.cat(moved)


class StyleTransfer(pl.LightningModule):
    """Training of a network that gives photos the style of a painting.

    Johnson et al. 2016, https://arxiv.org/abs/1603.08155.

    Args:
        style: Style images; several are blended. mosaic is one that the package draws.
        style_size: Longer side of the style image in pixels. Larger gives larger strokes, whatever the size
            of the image that is stylized.
        style_blend: Weight of each of several style images; by default equal.
        size: Size of the network; half and full are Johnson's with half and all of the channels. By default
            that of ``init``, or deep.
        blocks: Number of residual blocks; by default the size's own.
        init: Trained model to start from: a new style then needs fewer steps.
        temporal_weight: Weight of temporal consistency, for video: the difference between a photo's image and
            that of the photo moved, with noise added. 0 leaves the term out, which takes less time.
        light_weight: Weight of keeping the photo's light and dark, which a young network swaps and a strong
            style loses.
        vgg: Network that judges. vgg19-caffe needs no download; vgg16 and vgg19 are torchvision's.
        pooling: Pooling in VGG; avg gives smoother gradients.
        learning_rate: Highest learning rate of Muon. It does not follow the batch: for k times as many photos
            a step, from several devices or accumulated, set sqrt(k) times as much (Malladi et al. 2022,
            https://arxiv.org/abs/2205.10287, for Adam; Muon's updates are scaled to be as large).
        warmup: Number of steps in which the learning rate rises; then it falls to 0 along a cosine.
        compile: Run torch.compile on the network and VGG, which is worth the wait on a GPU.
        style_weight: Weight of the style distance: more gives more painting, less photo. By default 2 with
            the preset relative, else the preset's own.
        tv_weight: Weight of the total variation. By default 0 with the preset relative, because networks
            leave flat holes with it, else the preset's own.
        **objective: Arguments of ``Objective``.
    """

    def __init__(
        self,
        style: StyleFiles,
        style_size: StyleSize = 384,
        style_blend: StyleBlend | None = None,
        size: SizeName | None = None,
        blocks: Blocks | None = None,
        init: ModelName | None = None,
        temporal_weight: Weight = 0.0,
        light_weight: Weight = 1.0,
        vgg: VGGName = "vgg19-caffe",
        pooling: PoolingName = "max",
        learning_rate: Weight = 2e-3,
        warmup: Annotated[int, whole(0)] = 20,
        compile: bool = False,
        style_weight: Weight | None = None,
        tv_weight: Weight | None = None,
        **objective: Any,
    ):
        super().__init__()
        # Not init: a run that resumes has its weights in its own state.
        self.save_hyperparameters(ignore="init")
        self.start: Ancestor | None = None  # the model that it started from
        start, card = find_model(init) if init is not None else (None, ModelCard())
        self.hparams["size"] = size or (start.config["size"] if start else DEFAULT_SIZE)
        self.network = TransformerNetwork(self.hparams["size"], blocks)
        self.objective = Objective(style_weight=style_weight, tv_weight=tv_weight, **objective)
        if self.objective.preset is PRESETS["relative"]:
            self.objective.style_weight = STYLE_WEIGHT if style_weight is None else style_weight
            self.objective.tv_weight = TV_WEIGHT if tv_weight is None else tv_weight
        if start is not None and init is not None:
            if start.config != self.network.config:
                raise InputError(
                    f"`init` {init} is a network of {start.config}, and this run's is of "
                    f"{self.network.config}: set `size` and `blocks` to the same"
                )
            self.network.load_state_dict(start.state_dict())
            self.start = Ancestor(label(init), card.steps, card.init)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["start"] = asdict(self.start) if self.start else None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        start = checkpoint.get("start")
        self.start = parse_fields(Ancestor, start, "start") if start else None
        if self._trainer is not None:
            # Lightning counts batches; a step may have more or fewer of them from now on.
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
            had = checkpoint["global_step"] * self.trainer.accumulate_grad_batches
            for counts in (progress["current"], progress["total"]):
                late = counts["processed"] - had
                counts.update({name: count - late for name, count in counts.items()})
            self.take_rate(checkpoint["optimizer_states"][0], checkpoint["lr_schedulers"][0])

    def take_rate(self, optimizer: dict[str, Any], schedule: dict[str, Any]) -> None:
        """Put this start's learning rate into the state of another, in which the run's own is."""
        rate = self.hparams["learning_rate"]
        for group in optimizer["param_groups"]:
            before = group["initial_lr"]
            if before != rate:
                share = group["lr"] / before if before else 1.0  # of the schedule
                group["lr"], group["initial_lr"] = share * rate, rate
        schedule["base_lrs"] = [rate] * len(schedule["base_lrs"])

    def setup(self, stage: str) -> None:
        """Load VGG, and measure the style; neither is part of a checkpoint."""
        if hasattr(self, "vgg"):
            return
        h = self.hparams
        styles = [load_style(style, h["style_size"]) for style in h["style"]]
        precision = PRECISIONS.get(self.trainer.precision if self._trainer else "", torch.float32)
        self.vgg = VGG(h["vgg"], h["pooling"], self.objective.layers, precision)
        with torch.no_grad():
            features = [self.vgg(style, self.objective.existing(*style.shape[-2:])) for style in styles]
        self.objective.set_style(features, h["style_blend"])
        if h["compile"]:
            self.network.compile()
            self.vgg.compile()

    def forward(self, photos: Tensor, margin: int = 0, place: Tensor | None = None) -> Tensor:
        """Stylize (B,3,H,W), RGB in [0,1], as the network does; values may leave [0,1] a little."""
        return self.network(photos, margin, place)

    def losses(
        self, photos: Tensor, first: int = 0, step: int = 0, style_share: float = 1.0
    ) -> dict[str, Tensor]:
        """The objective's terms of what the network makes of (B,3,H,W) photos.

        Args:
            photos: RGB in [0,1].
            first: seed of the first photo's motion; the next photo's is one more.
            step: Seed of what all photos of a step share: the part of the noise, and the shift.
            style_share: Share of the style's weight that counts.
        """
        temporal_weight = self.hparams["temporal_weight"]
        # Any part of the noise, and so all of it in time.
        chance = torch.Generator().manual_seed(step)
        place = torch.randint(0, NOISE_PERIOD, (2,), generator=chance).to(self.device)
        if temporal_weight:
            flow, moved = move(photos, first)
            images, after = self(torch.cat([photos, moved]), place=place).chunk(2)
        else:
            images = self(photos, place=place)
        shift = torch.randint(0, GRID, (2,), generator=chance).tolist()
        with torch.no_grad():
            content = self.vgg(shifted(photos, shift), self.objective.content_layers)
        features = self.vgg(shifted(images, shift), self.objective.layers_at(*images.shape[-2:]))
        terms = self.objective(images, features, content, style_share)
        terms["light"] = light_lost(images, photos).mean()
        terms["total"] = terms["total"] + self.hparams["light_weight"] * terms["light"]
        if temporal_weight:
            terms["temporal"] = unsteadiness(after, warp(images, flow), in_bounds_mask(flow)).mean()
            terms["total"] = terms["total"] + temporal_weight * terms["temporal"]
        return terms

    def training_step(self, photos: Tensor, batch_idx: int) -> Tensor:
        accumulate, ranks = self.trainer.accumulate_grad_batches, self.trainer.world_size
        batch = self.global_step * accumulate + batch_idx % accumulate
        draw = (batch * ranks + self.global_rank) * len(photos)  # the first photo's number
        seed = self.trainer.datamodule.seed  # type: ignore[attr-defined]
        rise = self.style_share(self.global_step / self.trainer.max_steps)
        terms = self.losses(photos, seed + draw, seed + self.global_step, rise)
        shown = {"crop": float(photos.shape[-1]), "style_weight": rise * self.objective.style_weight}
        self.log_dict({"loss": terms["total"], **shown}, prog_bar=True, logger=False)
        self.log_dict({f"train/{name}": value for name, value in terms.items()})
        return terms["total"]

    def style_share(self, done: float) -> float:
        """Return the share of the style's weight that counts, where ``done`` goes from 0 to 1.

        A network that is trained already has the photo's light and dark, and starts with all of it.
        """
        return 1.0 if self.start else min(1.0, FIRST_WEIGHT + (1 - FIRST_WEIGHT) * done / RISE)

    def validation_step(self, photos: Tensor, batch_idx: int) -> None:
        terms = self.losses(photos, first=batch_idx * self.trainer.datamodule.batch_size)  # type: ignore[attr-defined]
        self.log("held_out", terms["total"], prog_bar=True, logger=False)
        self.log_dict({f"validation/{name}": value for name, value in terms.items()})

    def configure_optimizers(self) -> Any:
        optimizer = Muon(self.network.parameters(), self.hparams["learning_rate"])
        warmup, steps = self.hparams["warmup"], self.trainer.max_steps

        def share(step: int) -> float:
            return min(1.0, (step + 1) / max(1, warmup)) * (
                0.5 + 0.5 * math.cos(math.pi * min(1.0, step / steps))
            )

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def grams(self) -> dict[str, Tensor]:
        """Return the painting's Gram matrices by layer, of several paintings their mean; else nothing."""
        objective = self.objective
        # Refining takes this VGG.
        same = self.hparams["vgg"] == "vgg19-caffe" and self.hparams["pooling"] == "max"
        if not same or objective.preset.style is not None or self.hparams.get("statistic", "gram") != "gram":
            return {}
        grams = {}
        for layer in objective.targets:
            each = [
                share * objective.get_buffer(f"style_{number}_{layer}")
                for number, share in enumerate(objective.shares)
            ]
            grams[layer] = torch.stack(each).sum(0)
        return grams

    def card(self) -> ModelCard:
        """Return what the model was trained with, without paths of this machine."""
        styles = []
        for style in self.hparams["style"]:
            path = Path(style)
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
            styles.append(StyleImage(path.stem, digest))
        options = {key: value for key, value in self.hparams.items() if key not in ("style", "_instantiator")}
        names = ("content_weight", "style_weight", "tv_weight", "content_layers", "style_layers")
        options |= {name: getattr(self.objective, name) for name in names}
        training = TrainingSettings.from_options(options)
        return ModelCard(style=tuple(styles), steps=self.global_step, init=self.start, training=training)
