"""Options of ``faststyle stylize``."""

from dataclasses import dataclass
from pathlib import Path

from faststyle.cli.inputs import MODEL, input_option, output_option, verbose_option
from faststyle.errors import InputError
from faststyle.image.settings import FileSettings
from faststyle.inference.settings import EngineSettings, RankSettings, StylizeSettings, VideoSettings
from faststyle.options import Settings, group, option, path, whole
from faststyle.video.settings import ClipSettings, RecordingSettings

MAX_EVALUATIONS = 10_000


@dataclass(frozen=True)
class Options(Settings):
    """Stylize images and videos with a trained model."""

    inputs: tuple[Path, ...] = input_option(
        "images, videos, frames such as frames/%04d.png, or folders of them",
        required=False,  # they may follow the models
    )
    output: Path | None = output_option(
        "file for one image or video (or frames/%05d.png), else a folder; by default NAME_STYLE beside each "
        "input"
    )
    checkpoint: tuple[str, ...] | None = option(
        None,
        "a built-in style's name, or all for a sheet of every style; a painting's file; a model file "
        "(.safetensors, .ckpt or a model of pytorch/examples); hf://USER/REPO; a blend such as "
        "starry_night:0.6,great_wave:0.4; or several models, each with its mask",
        MODEL,
        "MODEL",
        many=True,
        tag="",
    )
    mask: tuple[Path, ...] | None = option(
        None,
        "for each model, an image that is white where its style is wanted, a folder of such images by the "
        "photos' names, or for a video a video; the rest stays the photo",
        path("a mask's file or folder"),
        "MASK",
        many=True,
        tag="{}",
    )
    refine: int | None = option(
        None,
        "refine each image by N evaluations of the per-image baseline: 10 take seconds, for the best image",
        whole(1, MAX_EVALUATIONS),
        "N",
    )
    style: Path | None = option(
        None,
        "painting to refine towards, for a model whose file lacks its painting's Gram matrices, or without a "
        "model; needs --refine",
        path("a painting's file, or mosaic"),
        "PAINTING",
        tag="",
    )
    file: FileSettings = group(FileSettings)
    image: StylizeSettings = group(StylizeSettings)
    clip: ClipSettings = group(ClipSettings)
    recording: RecordingSettings = group(RecordingSettings)
    video: VideoSettings = group(VideoSettings)
    machine: EngineSettings = group(EngineSettings)
    ranks: RankSettings = group(RankSettings)
    json: bool = option(
        False, "print a line of JSON for each file: source, result, seconds, size, engine, error", tag=""
    )
    verbose: bool = verbose_option()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.move_trailing_inputs()
        if not self.inputs:
            raise InputError("give an image or a video, or a folder of them")
        if self.checkpoint is None and not self.style:
            raise InputError(
                "give `checkpoint` starry_night (faststyle styles lists more) or a painting's file; without "
                "a model, slowly: the command optimize (infer.py --style PAINTING)"
            )
        if self.style and self.refine is None:
            raise InputError(
                "`style` needs `refine` N here; without a model use the command optimize (infer.py --style), "
                "and for a report on both the command compare (infer.py --compare DIR)"
            )
        models, masks = len(self.checkpoint or ()), len(self.mask or ())
        if masks != models and (masks or models > 1):
            raise InputError(
                f"{models} `checkpoint` and {masks} `mask` were given: give one mask for each model, and the "
                "inputs first"
            )
        if self.mask and (self.is_sheet or self.ranks.devices is not None):
            raise InputError(
                "`mask` cannot be used with `devices` or --checkpoint all: leave one of them out"
            )
        if self.is_sheet and self.image.tile:
            raise InputError("`tile` cannot be used with the sheet of all styles, whose images are small")
        if self.refine is not None:
            for name in (*self.for_videos, *self.ranks.changed()):
                raise InputError(f"`{name}` cannot be used with `refine`")
        if self.ranks.devices is not None:
            for name in (*self.for_videos, *["json"] * self.json):
                raise InputError(f"`{name}` cannot be used with `devices`")
            if self.is_sheet:
                raise InputError(
                    "`devices` needs one model: --checkpoint all makes a sheet of a single image"
                )
            if self.output is None:
                raise InputError("`devices` needs `output` FOLDER")
        elif self.ranks.changed():
            raise InputError("`num_nodes` needs `devices` N, the processes of each machine")

    def move_trailing_inputs(self) -> None:
        """Move inputs that follow the models or masks from those options to ``inputs``."""
        models, masks = self.checkpoint or (), self.mask or ()
        if self.inputs or not models:
            return
        name, count = "checkpoint", max(1, len(masks))
        if len(masks) > len(models):
            name, count = "mask", len(models)
        given = getattr(self, name)
        object.__setattr__(self, name, given[:count])
        object.__setattr__(self, "inputs", tuple(map(Path, given[count:])))

    @property
    def is_sheet(self) -> bool:
        """Return True if the result is a sheet of all styles."""
        return "all" in (self.checkpoint or ())

    @property
    def for_videos(self) -> list[str]:
        """The options that were given and concern only videos."""
        blend = ["motion_blend"] if self.video.motion_blend else []
        return [*self.clip.changed(), *self.recording.changed(), *blend]

    @property
    def for_images(self) -> list[str]:
        """The options that were given and concern only images."""
        changed = {**self.file.changed(), **self.image.changed()}
        return [name for name in ("tile", "stroke_scale", "quality") if name in changed]

    @property
    def images_only(self) -> str | None:
        """Return what takes only images; None if videos are stylized too."""
        if self.refine is not None:
            return "--refine"
        return "--checkpoint all" if self.is_sheet else None
