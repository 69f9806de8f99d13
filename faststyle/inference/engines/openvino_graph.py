"""The feed-forward network as a graph of OpenVINO, built from a model's weights.

The layers are those of ``models.network.TransformerNetwork``; a test compares the two.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from faststyle.models.layout import MIN_SIDE, NOISE_PERIOD, noise_table, photo_noise_table
from faststyle.models.model import Model

EPSILON = 1e-5  # of the instance norms

Norms = Literal["own", "given", "running"]  # where the statistics of the norms come from
Node = Any


def fuse_upsampling(weight: np.ndarray) -> np.ndarray:
    """Return the kernel of a transposed convolution that equals upsampling and a convolution with ``weight``.

    Args:
        weight: Kernel (O,I,3,3) of the convolution.

    Returns:
        Kernel (I,O,4,4) of the transposed convolution with stride 2.
    """
    shifts = [(x, y) for y in (0, 1) for x in (0, 1)]
    taps = np.sum([np.pad(weight, ((0, 0), (0, 0), (y, 1 - y), (x, 1 - x))) for x, y in shifts], 0)
    return np.ascontiguousarray(taps[..., ::-1, ::-1].transpose(1, 0, 2, 3))


def fuse_last(weight: np.ndarray, first_stride: int) -> np.ndarray:
    """Return a kernel that computes 2x2 pixels of the last layer as twelve channels.

    Args:
        weight: Kernel (3,C,9,9) of the last layer.
        first_stride: Stride of the first layer; with 2, nearest-neighbour upsampling precedes the last one.
    """
    places = [(a, b) for a in (0, 1) for b in (0, 1)]
    shifted = [np.pad(weight, ((0, 0), (0, 0), (a, 1 - a), (b, 1 - b))) for a, b in places]
    kernel = np.stack(shifted, 1).reshape(12, *shifted[0].shape[1:])  # (12,C,10,10)
    if first_stride == 2:  # sum neighbouring taps, which fall on copies of the same pixel
        kernel = kernel.reshape(*kernel.shape[:2], 5, 2, 5, 2).sum((3, 5))
    return kernel


class GraphBuilder:
    """Builds the graph of a model.

    Args:
        op: OpenVINO's operators, such as ``openvino.opset13``.
        model: The model.
        norms: own: each image's own statistics. given: those of the input ``statistics``. running: means of
            the input ``memory`` and the image's own, weighed by the input ``mix``.
    """

    def __init__(self, op: Any, model: Model, norms: Norms):
        self.op, self.model, self.layout, self.norms = op, model, model.layout, norms
        self.statistics: dict[str, Node] = {}  # mean and variance for each norm, (1,2C)
        self.measured: dict[str, Node] = {}  # those of the image itself
        self.mix: Node = None

    def build(self, margin: int) -> tuple[list[Node], list[Node]]:
        """Return the graph's inputs and outputs.

        Args:
            margin: Width in pixels of a mirrored border that is added, and cropped at the end.
        """
        op, norms = self.op, self.layout.norms()
        width = 2 * sum(norms.values())
        inputs = [op.parameter([1, 3, -1, -1], np.float32, name="images")]
        position = op.parameter([2], np.int64, name="position")
        if self.norms == "running":
            frames = op.parameter([1, -1, -1, 3], np.uint8, name="frames")
            self.mix = op.parameter([1, 2], np.float32, name="mix")
            inputs = [frames, op.parameter([1, width], np.float32, name="memory"), self.mix]
            images = op.transpose(op.convert(frames, np.float32), self.integers([0, 3, 1, 2]))
            images = op.divide(images, self.floats(255))
            position = self.integers([0, 0])
        else:
            images = inputs[0]
            inputs.append(position)
            if self.norms == "given":
                inputs.append(op.parameter([1, width], np.float32, name="statistics"))
        if self.norms != "own":
            place = inputs[1] if self.norms == "running" else inputs[2]
            lengths = self.integers([2 * count for count in norms.values()])
            parts = op.variadic_split(place, self.integers(1), lengths)
            self.statistics = {name: parts.output(number) for number, name in enumerate(norms)}
        shape = op.shape_of(images)
        padded = self.mirror(self.mirror(images, shape, 2, margin), shape, 3, margin)
        image = self.network(padded, position)
        stop = op.add(op.gather(shape, self.integers([2, 3]), self.integers(0)), self.integers([margin] * 2))
        image = op.slice(
            image, self.integers([margin] * 2), stop, self.integers([1, 1]), self.integers([2, 3])
        )
        image = op.clamp(image, 0.0, 1.0)
        if self.norms != "running":
            return inputs, [image]
        pixels = op.round(op.multiply(image, self.floats(255)), "half_to_even")
        pixels = op.transpose(op.convert(pixels, np.uint8), self.integers([0, 2, 3, 1]))
        return inputs, [pixels, op.concat([self.measured[name] for name in norms], 1)]

    def network(self, images: Node, position: Node) -> Node:
        """Apply the network to (B,3,H,W)."""
        op, layout, encoded, x = self.op, self.layout, [], images
        for level in layout.levels:
            x = self.convolve_and_normalize(x, f"down.{level}", 2) if level else self.apply_first(x, position)
            if layout.noise:
                mix = self.model.weights[f"noise.{level}.mix.weight"]
                x = self.add_noise(x, noise_table(layout.steps[level]), mix, layout.steps[level], position)
            x = op.relu(x)
            for block in layout.block_names(level):
                inner = op.relu(self.convolve_and_normalize(x, f"{block}.first"))
                x = op.add(x, self.convolve_and_normalize(inner, f"{block}.second"))
            encoded.append(x)
        for number, level in enumerate(reversed(layout.levels[:-1])):
            x = op.relu(self.up(x, f"up.{number}"))
            if layout.skips[level]:
                x = op.add(x, encoded[level])
        x = self.last(x)
        if not layout.tanh:
            return x
        bent = op.multiply(op.tanh(op.divide(x, self.floats(0.45))), self.floats(0.45))
        return op.add(op.add(bent, self.floats(0.5)), op.multiply(x, self.floats(0.1)))

    def apply_first(self, x: Node, position: Node) -> Node:
        """Apply the first convolution and its norm, with noise in the photo."""
        op, layout = self.op, self.layout
        # Integers from -128 to 127 are exact in bfloat16. The norm removes the constant that is subtracted.
        x = op.subtract(op.multiply(x, self.floats(255)), self.floats(128))
        x = self.convolve(x, "down.0", layout.first_stride, 1 / 255)
        if layout.noise:  # after the convolution, over whose kernel the noise is nearly constant
            gains = self.model.weights["down.0.0.weight"].sum((2, 3), keepdims=True)
            table = photo_noise_table(layout.first_stride)
            x = self.add_noise(x, table, gains, layout.first_stride, position)
        return self.normalize(x, "down.0")

    def convolve_and_normalize(self, x: Node, name: str, stride: int = 1) -> Node:
        """Apply a convolution and its norm."""
        return self.normalize(self.convolve(x, name, stride), name)

    def convolve(self, x: Node, name: str, stride: int = 1, factor: float = 1.0) -> Node:
        """Apply a convolution with reflection padding."""
        weight = self.model.weights[f"{name}.0.weight"] * np.float32(factor)
        x = self.pad(x, weight.shape[-1] // 2, "reflect")
        zero = [0, 0]
        x = self.op.convolution(x, self.constant(weight), [stride, stride], zero, zero, [1, 1])
        return self.op.add(x, self.channels(f"{name}.0.bias"))

    def up(self, x: Node, name: str) -> Node:
        """Upsample by 2, apply a convolution and its norm, as one transposed convolution."""
        kernel = self.constant(fuse_upsampling(self.model.weights[f"{name}.0.weight"]))
        # Replication, because reflecting an upsampled image by one pixel repeats its border.
        x = self.op.convolution_backprop_data(
            self.pad(x, 1, "edge"), kernel, [2, 2], None, [3, 3], [3, 3], [1, 1]
        )
        return self.normalize(self.op.add(x, self.channels(f"{name}.0.bias")), name)

    def last(self, x: Node) -> Node:
        """Apply the last layer: (B,C,H/first_stride,W/first_stride) to (B,3,H,W)."""
        op, stride = self.op, self.layout.first_stride
        kernel = fuse_last(self.model.weights["last.weight"], stride)
        bias = np.repeat(self.model.weights["last.bias"], 4).reshape(1, 12, 1, 1)
        zero = [0, 0]
        x = op.convolution(
            self.pad(x, 4 // stride, "reflect"), self.constant(kernel), [2 // stride] * 2, zero, zero, [1, 1]
        )
        x = op.add(x, self.constant(bias))
        # Not depth_to_space, after which OpenVINO computes with the three channels innermost, and slowly.
        sides = op.gather(op.shape_of(x), self.integers([2, 3]), self.integers(0))
        x = op.reshape(x, op.concat([self.integers([3, 2, 2]), sides], 0), False)
        x = op.transpose(x, self.integers([0, 3, 1, 4, 2]))  # (3,H,2,W,2)
        double = op.multiply(sides, self.integers([2, 2]))
        return op.reshape(x, op.concat([self.integers([1, 3]), double], 0), False)

    def normalize(self, x: Node, name: str) -> Node:
        """Apply an instance norm."""
        op = self.op
        weight, bias = self.channels(f"{name}.1.weight"), self.channels(f"{name}.1.bias")
        if self.norms == "own":
            x = op.mvn(x, self.integers([2, 3]), True, EPSILON, "inside_sqrt")
            return op.add(op.multiply(x, weight), bias)
        statistics = self.statistics[name]
        if self.norms == "running":
            statistics = self.mix_statistics(x, name, statistics)
        statistics = op.unsqueeze(statistics, self.integers([2, 3]))
        mean, variance = op.split(statistics, self.integers(1), 2).outputs()
        root = op.sqrt(op.add(op.relu(variance), self.floats(EPSILON)))
        scale = op.divide(weight, root)
        return op.add(op.multiply(x, scale), op.subtract(bias, op.multiply(mean, scale)))

    def mix_statistics(self, x: Node, name: str, memory: Node) -> Node:
        """Measure mean and variance of (1,C,H,W), and mix them with those of the frames before: (1,2C)."""
        op, axes = self.op, self.integers([2, 3])
        mean = op.reduce_mean(x, axes, True)
        centred = op.subtract(x, mean)  # in bfloat16, the mean of squares would cancel with the squared mean
        variance = op.reduce_mean(op.multiply(centred, centred), axes, True)
        own = self.widen(op.concat([mean, variance], 1), 2 * self.layout.norms()[name])
        own = self.measured[name] = op.squeeze(own, axes)
        first, second = op.split(self.mix, self.integers(1), 2).outputs()
        return op.add(op.multiply(memory, first), op.multiply(own, second))

    def widen(self, values: Node, count: int) -> Node:
        """Pass (1,N,1,1) through an identity convolution.

        OpenVINO keeps every tensor that feeds an output in float32 unless it passes through a convolution;
        without this a frame takes 1.6 times as long.
        """
        identity = self.constant(np.eye(count, dtype=np.float32)[..., None, None])
        return self.op.convolution(values, identity, [1, 1], [0, 0], [0, 0], [1, 1])

    def add_noise(self, x: Node, table: np.ndarray, mix: np.ndarray, step: int, position: Node) -> Node:
        """Add noise to features.

        Args:
            x: (1,C,h,w).
            table: The noise, (1,N,s,s), which repeats.
            mix: Kernel (C,N,1,1) that mixes the N channels of noise into C.
            step: Pixels of the image per feature.
            position: (2,), row and column of the first feature in pixels of the image.
        """
        op = self.op
        side, shape = NOISE_PERIOD // step, op.shape_of(x)
        noise = self.constant(table)
        first = op.divide(position, self.integers([step, step]))
        for axis in (2, 3):
            count = op.gather(shape, self.integers(axis), self.integers(0))
            index = op.range(self.integers(0), count, self.integers(1), "i64")
            start = op.gather(first, self.integers(axis - 2), self.integers(0))
            index = op.floor_mod(op.add(index, start), self.integers(side))
            noise = op.gather(noise, index, self.integers(axis))
        return op.add(x, op.convolution(noise, self.constant(mix), [1, 1], [0, 0], [0, 0], [1, 1]))

    def mirror(self, x: Node, shape: Node, axis: int, margin: int) -> Node:
        """Pad one axis by reflection, on both sides and up to a multiple of the network's stride.

        An index can reflect a small image several times.
        """
        op, one = self.op, self.integers(1)
        stride = self.integers(self.layout.stride)
        size = op.gather(shape, self.integers(axis), self.integers(0))
        padded = op.add(size, self.integers(2 * margin))
        padded = op.divide(op.add(padded, self.integers(self.layout.stride - 1)), stride)
        padded = op.maximum(op.multiply(padded, stride), self.integers(MIN_SIDE))
        stop = op.subtract(padded, self.integers(margin))
        index = op.absolute(op.range(self.integers(-margin), stop, one, "i64"))
        last = op.subtract(size, one)
        index = op.floor_mod(index, op.maximum(op.multiply(last, self.integers(2)), one))
        index = op.subtract(last, op.absolute(op.subtract(index, last)))
        return op.gather(x, index, self.integers(axis))

    def pad(self, x: Node, width: int, mode: str) -> Node:
        """Pad the last two axes."""
        sides = self.integers([0, 0, width, width])
        return self.op.pad(x, sides, sides, mode)

    def channels(self, name: str) -> Node:
        """Return a weight with a value for each channel: (1,C,1,1)."""
        return self.constant(self.model.weights[name].reshape(1, -1, 1, 1))

    def constant(self, values: np.ndarray) -> Node:
        """Return an array of floats as a constant."""
        return self.op.constant(np.ascontiguousarray(values, np.float32))

    def floats(self, value: float) -> Node:
        """Return a number as a constant."""
        return self.op.constant(np.float32(value))

    def integers(self, values: int | Sequence[int]) -> Node:
        """Return integers as a constant, such as axes and sizes."""
        return self.op.constant(np.array(values, np.int64))
