"""The metadata of a model's file. Does not import torch, so that a list of models appears at once."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from faststyle.errors import InputError, first_line

METADATA_KEY = "faststyle"  # under which a safetensors or ONNX file holds the JSON of a ModelCard
MARGIN = 16  # pixels of the mirrored border that is added before stylization; VGG's zeros leave a trace there
FORMAT_KEYS = {"format_version", "gram"}  # describe the file's format; read by faststyle.models.checkpoint
RETIRED_KEYS = {"equals"}  # written by earlier versions, and ignored
JSON_TYPES = {str: "a string", int: "an integer", float: "a number", tuple: "a list"}  # for error messages

Part = TypeVar("Part")


@dataclass(frozen=True)
class StyleImage:
    """A style image that a model was trained on.

    Attributes:
        name: Name of the file without its suffix.
        sha256: SHA-256 digest of the file; None if the image came from no file.
    """

    name: str
    sha256: str | None = None


@dataclass(frozen=True)
class Ancestor:
    """The model from which a training started (``--init``).

    Attributes:
        name: Name of the model.
        steps: Number of its training steps; None if unknown.
        init: The model from which its own training started; None if from random weights.
    """

    name: str
    steps: int | None = None
    init: "Ancestor | None" = None


@dataclass(frozen=True)
class ObjectiveSettings:
    """The arguments of ``Objective`` in a training. None stands for the preset's value."""

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
        vgg: Name of the VGG network that measured content and style.
        pooling: Pooling of the VGG network: max or avg.
        objective: Arguments of the objective.
        others: All other options by name, which no code reads.
    """

    style_size: int = 512
    vgg: str = "vgg19-caffe"
    pooling: str = "max"
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)
    others: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> "TrainingSettings":
        """Return the settings for the options of a run, which include those of the objective."""
        return parse_fields(cls, group_objective(options), "training")


@dataclass(frozen=True)
class TrainingData:
    """The content photos of a training, and how they were batched. None stands for unknown.

    Attributes:
        content: Name of the folder or data set.
        photos: Number of photos; None if they were streamed.
        size: Side of the crops in pixels.
        least_crop: Side of the smallest crop, as a fraction of its photo's shorter side.
        batch_size: Number of crops in a batch.
        accumulate: Number of batches per device in a step.
        devices: Number of devices on all machines.
        nodes: Number of machines.
        global_batch: Number of crops in a step on all devices.
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
    """The painting of a built-in style, for captions and lists.

    Attributes:
        title: Title in English.
        artist: Name of the artist.
        year: Year or period of creation.
        licence: Licence of the photo of the painting.
    """

    title: str
    artist: str
    year: str
    licence: str


@dataclass(frozen=True)
class ModelCard:
    """The metadata of a model. None or an empty value stands for unknown.

    The names of the fields are the keys of the JSON in the file.

    Attributes:
        network: Arguments of ``TransformerNetwork``.
        name: Name of the model.
        source: "pytorch/examples" for a model in that project's format, otherwise None.
        style: The style images that the model was trained on.
        steps: Number of training steps.
        init: The model from which training started.
        training: Options of the training.
        skipped_steps: Number of steps that were skipped because their gradients were not finite.
        data: The content photos.
        command: The command that started the training.
        hardware: The device of the training.
        minutes: Duration of the training in minutes.
        date: Last day of the training, as YYYY-MM-DD.
        versions: Versions of faststyle and its libraries during training, by name.
        blend: Weight of each model in a blend, by name.
        painting: The painting of a built-in style.
        licence: Licence of the model.
        others: Values that another version of faststyle wrote, by key.
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
        """Width of the mirrored border in pixels; 0 for pytorch/examples, which adds none."""
        return 0 if self.source else MARGIN

    @classmethod
    def from_metadata(cls, metadata: Any, path: Path) -> "ModelCard":
        """Parse the JSON of a model's file.

        Args:
            metadata: The decoded JSON.
            path: The file, for error messages.

        Raises:
            InputError: The JSON is no object, a value has the wrong type, or a required value is missing.
        """
        if not isinstance(metadata, dict):
            raise InputError(f"{path} is damaged: its metadata is no JSON object", path)
        values = {key: value for key, value in metadata.items() if key not in FORMAT_KEYS | RETIRED_KEYS}
        if isinstance(values.get("training"), dict):
            values["training"] = group_objective(values["training"])
        try:
            return parse_fields(cls, values, "")
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is damaged: {first_line(error)}", path) from None

    def to_metadata(self) -> dict[str, Any]:
        """Return the JSON object for a model's file, without unknown values."""
        metadata = without_unknown(asdict(self))
        others = metadata.pop("others", {})
        if self.training is not None:
            training = metadata["training"]
            objective = without_unknown(training.pop("objective"))
            metadata["training"] = {**training.pop("others"), **training, **objective}
        if self.data is not None:
            metadata["data"] = without_unknown(metadata["data"])
        return {**others, **metadata}


def without_unknown(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are neither None nor empty."""
    return {key: value for key, value in values.items() if value not in (None, (), {})}


def group_objective(options: Mapping[str, Any]) -> dict[str, Any]:
    """Move the options of the objective into a dictionary of their own, under the key objective."""
    names = {one.name for one in fields(ObjectiveSettings)}
    objective = {key: value for key, value in options.items() if key in names}
    return {**{key: value for key, value in options.items() if key not in names}, "objective": objective}


def parse_fields(kind: type[Part], values: Mapping[str, Any], path: str) -> Part:
    """Build a dataclass from a JSON object, and check each value against the type of its field.

    A value of null counts as missing. Unknown keys are stored in the field ``others``, or ignored if the
    dataclass has no such field.

    Args:
        kind: The dataclass.
        values: The JSON object.
        path: Where the object stands in the JSON, for error messages, such as ``training.objective``.

    Raises:
        ValueError: A value has the wrong type, or a field without a default has no value.
    """
    hints = get_type_hints(kind)
    keeps_others = hints.pop("others", None) is not None
    arguments: dict[str, Any] = {}
    for one in fields(kind):  # type: ignore[arg-type]
        field_path = f"{path}.{one.name}".lstrip(".")
        if one.name in hints and values.get(one.name) is not None:
            arguments[one.name] = parse_value(hints[one.name], values[one.name], field_path)
        elif one.default is MISSING and one.default_factory is MISSING:
            raise ValueError(f"its metadata has no {field_path}")
    if keeps_others:
        arguments["others"] = {key: value for key, value in values.items() if key not in hints}
    return kind(**arguments)


def parse_value(hint: Any, value: Any, path: str) -> Any:
    """Convert a JSON value to the type of its field: lists to tuples, and objects to dataclasses.

    Args:
        hint: The type of the field.
        value: The JSON value, not None.
        path: Where the value stands in the JSON, for error messages, such as ``training.vgg``.

    Raises:
        ValueError: The value has another type.
    """
    if isinstance(hint, UnionType):  # X | None
        hint = get_args(hint)[0]
    if hint is Any:
        return value
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint) and isinstance(value, dict):
        return parse_fields(hint, value, path)  # type: ignore[arg-type]
    if origin is tuple and isinstance(value, list):
        return tuple(parse_value(arguments[0], item, path) for item in value)
    if origin is dict and isinstance(value, dict):
        return {key: parse_value(arguments[1], item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, int | float if hint is float else origin or hint):
        return value
    expected = JSON_TYPES.get(origin or hint, "an object")
    raise ValueError(f"its metadata's {path} is {value!r:.40}, expected {expected}")
