"""What a model's file says about the model. Imports no torch, so that models are listed at once."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from faststyle.errors import InputError, first_line

HEADER = "faststyle"  # the key of a card's JSON among the metadata of a safetensors or ONNX file
MARGIN = 8  # pixels of the mirrored border in which images are stylized
FORMAT_KEYS = {"format_version", "gram"}  # of the file's format, which faststyle.models.checkpoint reads
RETIRED_KEYS = {"equals"}  # written by earlier versions, and ignored

Part = TypeVar("Part")


@dataclass(frozen=True)
class StyleImage:
    """A style image that a model was trained on.

    Attributes:
        name: The file's name without its suffix.
        sha256: The file's digest; None where there was no file.
    """

    name: str
    sha256: str | None = None


@dataclass(frozen=True)
class Ancestor:
    """The model that a training started from (``--init``).

    Attributes:
        name: The model's name.
        steps: Number of steps that it was trained for.
        init: The model that its own training started from.
    """

    name: str
    steps: int | None = None
    init: "Ancestor | None" = None


@dataclass(frozen=True)
class ObjectiveSettings:
    """The arguments of ``Objective`` in training; None takes the preset's own value."""

    content_weight: float | None = None
    style_weight: float | None = None
    tv_weight: float | None = None
    content_layers: dict[str, float] | None = None
    style_layers: dict[str, float] | None = None
    statistic: str = "gram"
    preset: str = "relative"


@dataclass(frozen=True)
class TrainingSettings:
    """The options of a training.

    Attributes:
        style_size: Longer side of the style image in pixels.
        vgg: Name of the VGG that measured content and style.
        pooling: Pooling of that VGG.
        objective: What was minimized.
        others: All other options, by name; nothing depends on them.
    """

    style_size: int = 512
    vgg: str = "vgg19-caffe"
    pooling: str = "max"
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)
    others: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> "TrainingSettings":
        """Make the settings of a run's options, which have the objective's among them."""
        return read_part(cls, group_objective(options), "training")


@dataclass(frozen=True)
class TrainingData:
    """The content photos of a training, and how they were put into batches.

    Attributes:
        content: Name of the folder or data set.
        photos: Number of photos; None where they were streamed.
        size: Side of the crops in pixels.
        least_crop: The smallest crop, as a share of its photo's shorter side.
        batch_size: Number of crops in a batch.
        accumulate: Number of batches of each device in a step.
        devices: Number of devices, of all machines.
        nodes: Number of machines.
        global_batch: Number of crops in a step.
    """

    content: str | None = None
    photos: int | None = None
    size: int | None = None
    least_crop: float | None = None
    batch_size: int | None = None
    accumulate: int | None = None
    devices: int | None = None
    nodes: int | None = None
    global_batch: int | None = None


@dataclass(frozen=True)
class Painting:
    """The painting of a built-in style, for captions and lists."""

    title: str
    artist: str
    year: str
    licence: str


@dataclass(frozen=True)
class ModelCard:
    """What a model's file says about the model; None or empty where the file does not say.

    The names of the fields are the keys of the JSON in the file.

    Attributes:
        network: Arguments of ``TransformerNetwork``.
        name: The model's name.
        source: pytorch/examples for a model in that project's format.
        style: The images that the model was trained on.
        steps: Number of training steps.
        init: The model that training started from.
        training: Options of the training.
        skipped_steps: Number of steps that were left out because their gradients were not finite.
        data: The content photos.
        command: The command that began the training.
        hardware: The device of the training.
        minutes: Duration of the training.
        date: Last day of the training, as YYYY-MM-DD.
        versions: Versions of faststyle and of the libraries that it was trained with.
        blend: Weight of each model in a blend, by name.
        painting: The painting of a built-in style.
        licence: Licence of the model.
        others: What another version of faststyle wrote, by key.
    """

    network: dict[str, Any] = field(default_factory=dict)
    name: str | None = None
    source: str | None = None
    style: tuple[StyleImage, ...] = ()
    steps: int | None = None
    init: Ancestor | None = None
    training: TrainingSettings | None = None
    skipped_steps: int | None = None
    data: TrainingData | None = None
    command: str | None = None
    hardware: str | None = None
    minutes: float | None = None
    date: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    blend: dict[str, float] = field(default_factory=dict)
    painting: Painting | None = None
    licence: str | None = None
    others: dict[str, Any] = field(default_factory=dict)

    @property
    def margin(self) -> int:
        """Pixels of the mirrored border; 0 for pytorch/examples, so that images are the same as there."""
        return 0 if self.source else MARGIN

    @classmethod
    def from_metadata(cls, metadata: Any, path: Path) -> "ModelCard":
        """Read the JSON object of a model's file.

        Args:
            metadata: The parsed JSON.
            path: The file, for messages.

        Raises:
            InputError: The JSON is no object, or a value in it has the wrong type.
        """
        if not isinstance(metadata, dict):
            raise InputError(f"{path} is damaged: its header is no JSON object", path)
        values = {key: value for key, value in metadata.items() if key not in FORMAT_KEYS | RETIRED_KEYS}
        if isinstance(values.get("training"), dict):
            values["training"] = group_objective(values["training"])
        try:
            return read_part(cls, values, "")
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is damaged: {first_line(error)}", path) from None

    def to_metadata(self) -> dict[str, Any]:
        """Return the JSON object for a model's file, without what is not known."""
        found = known(asdict(self))
        others = found.pop("others", {})
        if self.training is not None:
            training = found["training"]
            objective = known(training.pop("objective"))
            found["training"] = {**training.pop("others"), **training, **objective}
        if self.data is not None:
            found["data"] = known(found["data"])
        return {**others, **found}


def known(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values without those that are None or empty."""
    return {key: value for key, value in values.items() if value not in (None, (), {})}


def group_objective(options: Mapping[str, Any]) -> dict[str, Any]:
    """Move the options of the objective into a dictionary of their own, under the key objective."""
    names = {one.name for one in fields(ObjectiveSettings)}
    own = {key: value for key, value in options.items() if key in names}
    return {**{key: value for key, value in options.items() if key not in names}, "objective": own}


def read_part(kind: type[Part], values: Mapping[str, Any], place: str) -> Part:
    """Make a dataclass of a JSON object, each value checked against the type of its field.

    null counts as absent. Keys that are no field go into the field ``others``; a dataclass without that
    field ignores them.

    Args:
        kind: The dataclass.
        values: The JSON object.
        place: The key of the object, for messages.

    Raises:
        ValueError: A value has the wrong type, or a field without a default has no value.
    """
    hints = get_type_hints(kind)
    keeps_others = hints.pop("others", None) is not None
    found: dict[str, Any] = {}
    for one in fields(kind):  # type: ignore[arg-type]
        where = f"{place}.{one.name}".lstrip(".")
        if one.name in hints and values.get(one.name) is not None:
            found[one.name] = read_value(hints[one.name], values[one.name], where)
        elif one.default is MISSING and one.default_factory is MISSING:
            raise ValueError(f"its metadata has no {where}")
    if keeps_others:
        found["others"] = {key: value for key, value in values.items() if key not in hints}
    return kind(**found)


def read_value(hint: Any, value: Any, place: str) -> Any:
    """Return a JSON value as its field holds it: lists become tuples, and objects dataclasses.

    Raises:
        ValueError: The value does not have the type ``hint``.
    """
    if isinstance(hint, UnionType):  # X | None
        hint = get_args(hint)[0]
    if hint is Any:
        return value
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint) and isinstance(value, dict):
        return read_part(hint, value, place)  # type: ignore[arg-type]
    if origin is tuple and isinstance(value, list):
        return tuple(read_value(arguments[0], one, place) for one in value)
    if origin is dict and isinstance(value, dict):
        return {key: read_value(arguments[1], one, f"{place}.{key}") for key, one in value.items()}
    if isinstance(value, int | float if hint is float else origin or hint):
        return value
    raise ValueError(f"its metadata's {place} is {value!r:.40}")
