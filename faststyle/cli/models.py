"""The models of ``faststyle stylize``: their files, and loading them."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from faststyle.cli.stylize_options import Options
from faststyle.models.find import is_blend, parse_blend

if TYPE_CHECKING:
    from faststyle.cli.stylize_image import Model
    from faststyle.inference.stylizer import Stylizer


def list_model_files(options: Options) -> list[Path]:
    """Return the files of models and paintings among the options."""
    models = options.checkpoint or ()
    names = itertools.chain(*(parse_blend(model) if is_blend(model) else [model] for model in models))
    files = *map(Path, names), *(options.style or ())
    return [path for path in files if path.is_file()]


def load_models(options: Options, kinds: set[bool]) -> "tuple[list[Model], list[Stylizer]]":
    """Load the models for images and those for videos, each where there are such inputs.

    Args:
        options: The command's options.
        kinds: Contains False for images and True for videos.
    """
    # Imported when there is work, so that errors come at once.
    from faststyle.cli.stylize_image import load
    from faststyle.cli.stylize_video import model_for_videos
    from faststyle.inference.stylizer import Stylizer

    names: tuple[str | None, ...] = options.checkpoint or (None,)
    image_models = [load(name, options.machine) for name in names] if False in kinds else []
    if True not in kinds or options.checkpoint is None:
        return image_models, []
    loaded = dict(zip(names, image_models, strict=False))  # empty without images
    video_models: list[Stylizer] = []
    for name in map(model_for_videos, options.checkpoint):
        model = loaded.get(name)
        if not isinstance(model, Stylizer):
            model = Stylizer.load(name, **vars(options.machine))
        video_models.append(model)
    return image_models, video_models
