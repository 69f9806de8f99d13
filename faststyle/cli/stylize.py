"""``faststyle stylize``: images and videos, by a trained model."""

import sys
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from faststyle.cli.inputs import (
    MODEL,
    PIPE,
    Job,
    check_overwriting,
    input_option,
    output_option,
    plan,
    uses_pipe,
    verbose_option,
    without_links,
)
from faststyle.cli.reports import INCOMPLETE, Done, describe_size, json_line, report
from faststyle.console import error_line
from faststyle.errors import InputError, one_line
from faststyle.image.settings import FileSettings
from faststyle.inference.settings import EngineSettings, RankSettings, StylizeSettings, VideoSettings
from faststyle.options import Settings, group, name_result, option, path, whole
from faststyle.video.settings import ClipSettings, RecordingSettings

MAX_EVALUATIONS = 10_000


@dataclass(frozen=True)
class Options(Settings):
    """Stylize images and videos with a trained model."""

    inputs: tuple[Path, ...] = input_option(
        "images, videos, frames such as frames/%04d.png, or folders of them"
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
    style: tuple[Path, ...] | None = option(
        None,
        "painting to refine towards, for a model whose file lacks its painting's Gram matrices, or without a "
        "model; needs --refine",
        path("a painting's file, or mosaic"),
        "PAINTING",
        many=True,
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
        if self.style and len(self.style) > 1:
            raise InputError("`refine` takes one `style`")
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
        if PIPE in (self.mask or ()):
            raise InputError("`mask` cannot be read from standard input (-): give a file")
        if self.is_sheet and self.image.tile:
            raise InputError("`tile` cannot be used with the sheet of all styles, whose images are small")
        if self.refine is not None:
            self.refuse_with("refine", [*self.for_videos, *self.ranks.changed()])
        if self.ranks.devices is not None:
            self.refuse_with("devices", [*self.for_videos, *(["json"] if self.json else [])])
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

    def refuse_with(self, mode: str, names: list[str]) -> None:
        """Refuse options that the mode does not have.

        Raises:
            InputError: There is one.
        """
        if names:
            raise InputError(f"`{names[0]}` cannot be used with `{mode}`")


def run(options: Options) -> int:
    """Stylize each input and print where the results are; return the number that failed."""
    if uses_pipe(options.inputs, options.output):
        from faststyle.cli.pipe import run_in_pipe

        return run_in_pipe(options, run)
    if options.ranks.devices is not None:
        import_module("torch")  # of the processes that are started
        from faststyle.cli.stylize_batch import stylize_collection

        return stylize_collection(options)
    from faststyle.cli.models import list_model_files
    from faststyle.models.find import label

    names = [*map(label, options.checkpoint or ()), *(painting.stem for painting in options.style or ())]
    name = name_result("_".join(names), options)
    jobs = plan(options.inputs, options.output, name, options.images_only)
    files = list_model_files(options)
    if options.mask:
        from faststyle.cli.masks import exclude_masks, list_mask_files

        jobs = exclude_masks(jobs, options)
        files += list_mask_files(options.mask, jobs)
    check_kinds(jobs, options)
    check_overwriting([job.target for job in jobs], files)
    if options.images_only is None:
        from faststyle.cli.stylize_video import without_pyav

        jobs = without_pyav(jobs, options.inputs)
    safe = without_links(jobs)
    if not safe:
        return len(jobs)
    done = stylize_all(options, safe)
    if options.json:  # each file has its line already
        return done.failures + len(jobs) - len(safe)
    return report(safe, len(jobs), done, options.output)


def check_kinds(jobs: list[Job], options: Options) -> None:
    """Refuse options that apply to none of the inputs, and modes that cannot stylize videos.

    Raises:
        InputError: There is one.
    """
    videos = [job.source for job in jobs if job.video]
    if not videos:
        for name in sorted(options.for_videos):
            raise InputError(f"`{name}` is for videos, and there is none among the inputs")
        return
    if options.refine is not None:
        raise InputError(
            f"{videos[0]} is a video, and frames that are refined one by one flicker: leave out `refine`, or "
            "give single frames as images"
        )
    if options.is_sheet:
        raise InputError(
            f"{videos[0]} is a video, and --checkpoint all is a sheet of one image: give one style, such as "
            "--checkpoint starry_night"
        )
    if len(videos) == len(jobs):
        for name in options.for_images:
            raise InputError(f"`{name}` is for images, and there are only videos among the inputs")


def stylize_all(options: Options, jobs: list[Job]) -> Done:
    """Stylize each image and video with a model, continuing after those that cannot be read."""
    # Imported when there is work, so that --help answers at once.
    from tqdm import tqdm

    from faststyle.cli.models import load_models
    from faststyle.cli.stylize_image import stylize_image
    from faststyle.cli.stylize_video import check_videos, stylize_video
    from faststyle.device import keep_freed_memory
    from faststyle.files import check_writable

    started = time.perf_counter()
    check_videos(jobs, options.recording)
    keep_freed_memory()
    refine = None
    if options.refine is not None:
        from faststyle.cli.refine import Refiner

        refine = Refiner(options)
    image_models, video_models = load_models(options, {job.video for job in jobs})
    for target in {job.target.parent: job.target for job in jobs}.values():
        check_writable(target)
    written = failures = 0
    alone = len(jobs) == 1
    bar = tqdm(jobs, unit="file" if video_models else "image", disable=alone)
    for job in bar:
        begin, error_text = time.perf_counter(), None
        try:
            if job.video:
                complete = stylize_video(video_models, job, options, alone)
            else:
                complete = stylize_image(image_models, job, options, refine)
            failures += not complete
            error_text = None if complete else INCOMPLETE
            written += 1
            if refine is not None and refine.stopped:
                print(f"stopped: the best image so far is {one_line(job.target)}", file=sys.stderr)
                sys.exit(130)
        except (InputError, OSError) as error:
            failures += 1
            error_text = error_line(error, None if alone else job.source)
            bar.write(f"error: {error_text}", file=sys.stderr)
        if options.json:
            models = video_models if job.video else image_models
            print(json_line(job, models[0], time.perf_counter() - begin, error_text), flush=True)
    if written and options.verbose and options.checkpoint and not options.is_sheet:
        print(f"engine: {(image_models or video_models)[0]}", file=sys.stderr)
    if written:
        print(f"done: {describe_size(jobs)}{time.perf_counter() - started:.1f} s", file=sys.stderr)
    return Done(written, failures)
