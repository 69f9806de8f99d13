"""LightningModule that trains a transformer network with the perceptual loss of a frozen VGG."""

import hashlib
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from faststyle.console import STARTED
from faststyle.errors import InputError
from faststyle.image.convert import scale_to, to_tensor
from faststyle.image.mosaic import open_style
from faststyle.image.warp import in_bounds_mask, warp
from faststyle.losses.objective import Objective
from faststyle.losses.presets import PRESETS
from faststyle.losses.settings import PoolingName, VGGName, Weight
from faststyle.losses.vgg import VGG
from faststyle.models.card import Ancestor, ModelCard, StyleImage, TrainingSettings, parse_fields
from faststyle.models.layers import apply_norm
from faststyle.models.layout import DEFAULT_SIZE, NOISE_PERIOD
from faststyle.models.network import TransformerNetwork
from faststyle.options import whole
from faststyle.training.blank import has_blank_photo, norm_without_flat_channels
from faststyle.training.inactive import INACTIVE_WEIGHT, InactiveFeatures
from faststyle.training.light import LIGHT_WEIGHT, luminance_loss
from faststyle.training.mesh import MESH_WEIGHT, mesh_loss
from faststyle.training.muon import Muon
from faststyle.training.options import (
    Blocks,
    ModelName,
    Seconds,
    SizeName,
    StyleBlend,
    StyleFiles,
    StyleSize,
)
from faststyle.training.start import find_start
from faststyle.training.synthetic_motion import SHIFT_PERIOD, shift_images, simulate_motion, temporal_loss

# With the full style weight from the first step, a network loses the photo's light and dark areas for good.
# The weight therefore rises from a fraction of its value, over a fraction of the run's steps.
INITIAL_STYLE_SHARE, STYLE_RISE = 0.1, 0.35

# Defaults that suit networks better than those of per-image optimization: less style keeps the photo
# recognizable, and total variation makes networks leave flat holes.
STYLE_WEIGHT, TV_WEIGHT = 2.5, 0.0

# VGG's data types, by Lightning's names of precisions.
VGG_PRECISIONS = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def load_style(style: str, size: int) -> Tensor:
    """Read a style image to (1,3,H,W), RGB in [0,1], with its longer side resized to ``size`` pixels.

    Raises:
        InputError: The file does not exist or is no image.
    """
    return to_tensor(scale_to(open_style(style), size))[None]


class StyleTransfer(pl.LightningModule):
    """Training of a network that gives photos the style of a painting: Johnson et al. 2016, https://arxiv.org/abs/1603.08155.

    Args:
        style: Style images; several are blended. mosaic is an image that the package generates.
        style_size: Longer side of the style image in pixels. A larger one gives larger strokes, whatever the
            size of the stylized image.
        style_blend: Weight of each style image, if there are several; by default equal.
        size: Size of the network; full is Johnson's network, half has half of its channels. By default that
            of ``init``, or deep.
        blocks: Number of residual blocks; by default that of the size.
        init: Trained model to start from, so that a new style needs fewer steps. auto is what the style
            encoder makes of the (first) painting at once, and for another size of the network none; none is
            random weights.
        temporal_weight: Weight of the temporal consistency loss, for video: the difference between the
            stylized photo and the stylized photo after motion and noise. 0 leaves it out and saves time.
        light_weight: Weight of the loss that keeps the photo's light and dark areas. At 1 the sky stays bare.
        vgg: Network of the perceptual loss. vgg19-caffe needs no download; vgg16 and vgg19 are torchvision's.
        pooling: Pooling in VGG; avg gives smoother gradients.
        learning_rate: Highest learning rate of Muon. It is not adapted to the batch: for k times as many
            photos a step, from several devices or accumulation, multiply it by sqrt(k) (Malladi et al. 2022,
            https://arxiv.org/abs/2205.10287, for Adam; Muon's updates are scaled to the same size).
        warmup: Number of steps in which the learning rate rises. After them it falls to 0 along a cosine.
        seconds: Length of the run in seconds from the command's start, in place of a number of steps.
        compile: Compile the network and VGG with torch.compile, which pays off on a GPU.
        style_weight: Weight of the style loss; a larger one gives more of the painting and less of the photo.
            By default 2.5 with the preset relative, else the preset's own.
        tv_weight: Weight of the total variation loss. By default 0 with the preset relative, because it makes
            networks leave flat holes, else the preset's own.
        **objective: Arguments of ``Objective``.
    """

    def __init__(
        self,
        style: StyleFiles,
        style_size: StyleSize = 384,
        style_blend: StyleBlend | None = None,
        size: SizeName | None = None,
        blocks: Blocks | None = None,
        init: ModelName | None = "auto",
        temporal_weight: Weight = 0.0,
        light_weight: Weight = LIGHT_WEIGHT,
        vgg: VGGName = "vgg19-caffe",
        pooling: PoolingName = "max",
        learning_rate: Weight = 2e-3,
        warmup: Annotated[int, whole(0)] = 20,
        seconds: Seconds | None = None,
        compile: bool = False,
        style_weight: Weight | None = None,
        tv_weight: Weight | None = None,
        **objective: Any,
    ):
        super().__init__()
        # Without init, because the state of a resumed run holds the weights.
        self.save_hyperparameters(ignore="init")
        self.earlier = 0.0  # seconds of the starts that this run continues
        start, self.start = find_start(init, style, size, blocks)
        self.hparams["size"] = size or (start.config["size"] if start else DEFAULT_SIZE)
        self.network = TransformerNetwork(self.hparams["size"], blocks)
        self.inactive = InactiveFeatures(self.network)
        self.objective = Objective(style_weight=style_weight, tv_weight=tv_weight, **objective)
        if self.objective.preset is PRESETS["relative"]:
            self.objective.style_weight = STYLE_WEIGHT if style_weight is None else style_weight
            self.objective.tv_weight = TV_WEIGHT if tv_weight is None else tv_weight
        if start is not None:
            if start.config != self.network.config:
                raise InputError(
                    f"`init` {init} is a network with {start.config}, but this run's has "
                    f"{self.network.config}: set `size` and `blocks` to the same values"
                )
            self.network.load_state_dict(start.state_dict())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["start"] = asdict(self.start) if self.start else None
        checkpoint["elapsed"] = self.elapsed()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.earlier = checkpoint.get("elapsed", 0.0)
        start = checkpoint.get("start")
        self.start = parse_fields(Ancestor, start, "start") if start else None
        if self._trainer is not None:
            # Lightning counts batches, and the number of batches in a step may differ in the resumed run.
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
            consumed = checkpoint["global_step"] * self.trainer.accumulate_grad_batches
            for counts in (progress["current"], progress["total"]):
                surplus = counts["processed"] - consumed
                counts.update({name: count - surplus for name, count in counts.items()})
            self.set_learning_rate(checkpoint["optimizer_states"][0], checkpoint["lr_schedulers"][0])

    def set_learning_rate(self, optimizer: dict[str, Any], schedule: dict[str, Any]) -> None:
        """Replace the learning rate in the saved states of an optimizer and its schedule by this run's."""
        rate = self.hparams["learning_rate"]
        for group in optimizer["param_groups"]:
            before = group["initial_lr"]
            if before != rate:
                factor = group["lr"] / before if before else 1.0  # of the schedule
                group["lr"], group["initial_lr"] = factor * rate, rate
        schedule["base_lrs"] = [rate] * len(schedule["base_lrs"])

    def setup(self, stage: str) -> None:
        """Load VGG and compute the style's targets; neither is saved in a checkpoint."""
        if hasattr(self, "vgg"):
            return
        h = self.hparams
        styles = [load_style(style, h["style_size"]) for style in h["style"]]
        precision = VGG_PRECISIONS.get(self.trainer.precision if self._trainer else "", torch.float32)
        self.vgg = VGG(h["vgg"], h["pooling"], self.objective.layers, precision)
        with torch.no_grad():
            features = [self.vgg(style, self.objective.existing(*style.shape[-2:])) for style in styles]
        self.objective.set_style(features, h["style_blend"])
        if h["compile"]:
            self.network.compile()
            self.vgg.compile()

    def forward(self, photos: Tensor, margin: int = 0, place: Tensor | None = None) -> Tensor:
        """Stylize (B,3,H,W), RGB in [0,1]. Outputs can fall slightly outside [0,1]."""
        # Noise gives contrast to every layer.
        blank = self.network.noise is None and has_blank_photo(photos)
        return self.network(photos, margin, place, norm_without_flat_channels if blank else apply_norm)

    def losses(
        self, photos: Tensor, first_seed: int = 0, step_seed: int = 0, style_share: float = 1.0
    ) -> dict[str, Tensor]:
        """Stylize photos and compute the terms of the loss.

        Args:
            photos: (B,3,H,W), RGB in [0,1].
            first_seed: Seed of the first photo's motion; each next photo's seed is one more.
            step_seed: Seed of the noise's offset and the shift, which all photos of a step share.
            style_share: Fraction of the style weight to use, 0 to 1.

        Returns:
            The terms by name; ``total`` is their weighted sum.
        """
        temporal_weight = self.hparams["temporal_weight"]
        generator = torch.Generator().manual_seed(step_seed)
        # A random part of the network's noise, so that training covers all of it.
        place = torch.randint(0, NOISE_PERIOD, (2,), generator=generator).to(self.device)
        if temporal_weight:
            flow, moved = simulate_motion(photos, first_seed)
            images, next_images = self(torch.cat([photos, moved]), place=place).chunk(2)
        else:
            images = self(photos, place=place)
        shift = torch.randint(0, SHIFT_PERIOD, (2,), generator=generator).tolist()
        with torch.no_grad():
            content = self.vgg(shift_images(photos, shift), self.objective.content_layers)
        features = self.vgg(shift_images(images, shift), self.objective.layers_at(*images.shape[-2:]))
        terms = self.objective(images, features, content, style_share)
        terms["light"] = luminance_loss(images, photos).mean()
        terms["inactive"] = self.inactive.loss
        terms["mesh"] = mesh_loss(images)
        weights = {"light": self.hparams["light_weight"], "inactive": INACTIVE_WEIGHT, "mesh": MESH_WEIGHT}
        terms["total"] = terms["total"] + sum(weight * terms[name] for name, weight in weights.items())
        if temporal_weight:
            expected = warp(images, flow)
            terms["temporal"] = temporal_loss(next_images, expected, in_bounds_mask(flow)).mean()
            terms["total"] = terms["total"] + temporal_weight * terms["temporal"]
        return terms

    def training_step(self, photos: Tensor, batch_idx: int) -> Tensor:
        accumulate, world_size = self.trainer.accumulate_grad_batches, self.trainer.world_size
        batch = self.global_step * accumulate + batch_idx % accumulate
        number = (batch * world_size + self.global_rank) * len(photos)  # of the first photo's sample
        seed = self.trainer.datamodule.seed  # type: ignore[attr-defined]
        style_share = self.style_share(self.done(self.global_step))
        terms = self.losses(photos, seed + number, seed + self.global_step, style_share)
        shown = {"crop": float(photos.shape[-1]), "style_weight": style_share * self.objective.style_weight}
        self.log_dict({"loss": terms["total"], **shown}, prog_bar=True, logger=False)
        self.log_dict({f"train/{name}": value for name, value in terms.items()})
        return terms["total"]

    def on_train_batch_end(self, *_: Any) -> None:
        if self.hparams["seconds"] and self.done(self.global_step) == 1:
            self.trainer.should_stop = True

    def elapsed(self) -> float:
        """Return the seconds since the command's start, with those of the starts that it continues."""
        return self.earlier + time.monotonic() - STARTED

    def done(self, step: int) -> float:
        """Return the fraction of the run that is done, 0 to 1: of its seconds, or of its steps."""
        if self.hparams["seconds"]:
            return min(1.0, self.elapsed() / self.hparams["seconds"])
        return min(1.0, step / self.trainer.max_steps)

    def style_share(self, done: float) -> float:
        """Return the fraction of the style weight to use after a fraction ``done`` of the run's steps.

        It is 1 for a run that starts from a trained network, which keeps light and dark areas already.
        """
        rising = INITIAL_STYLE_SHARE + (1 - INITIAL_STYLE_SHARE) * done / STYLE_RISE
        return 1.0 if self.start else min(1.0, rising)

    def validation_step(self, photos: Tensor, batch_idx: int) -> None:
        first_seed = batch_idx * self.trainer.datamodule.batch_size  # type: ignore[attr-defined]
        terms = self.losses(photos, first_seed)
        self.log("held_out", terms["total"], prog_bar=True, logger=False)
        self.log_dict({f"validation/{name}": value for name, value in terms.items()})

    def configure_optimizers(self) -> Any:
        optimizer = Muon(self.network.parameters(), self.hparams["learning_rate"])
        warmup = self.hparams["warmup"]

        def learning_rate_factor(step: int) -> float:
            return min(1.0, (step + 1) / max(1, warmup)) * (0.5 + 0.5 * math.cos(math.pi * self.done(step)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, learning_rate_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def grams(self) -> dict[str, Tensor]:
        """Return the style images' mean Gram matrices by layer, or {} if they do not suit refinement."""
        objective = self.objective
        # Refinement uses this VGG.
        suits = self.hparams["vgg"] == "vgg19-caffe" and self.hparams["pooling"] == "max"
        if not suits or objective.preset.style is not None or self.hparams.get("statistic", "gram") != "gram":
            return {}
        return objective.mean_targets()

    def card(self) -> ModelCard:
        """Return the model card: how the model was trained, without paths of this machine."""
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
