import math

import numpy as np
import pytest
import torch

from faststyle.image.convert import to_tensor
from faststyle.inference.engines.base import mix_statistics, mixing_weights
from faststyle.inference.engines.torch_engine import TorchEngine
from faststyle.inference.video import MEMORY, Shots
from faststyle.models.card import ModelCard
from faststyle.models.layers import ConvNorm
from faststyle.models.model import model_of
from faststyle.models.network import Inference, TransformerNetwork
from tests.support.images import draw_image

torch.manual_seed(0)
NETWORK = TransformerNetwork("fast", blocks=1).eval().requires_grad_(False)
for layer in NETWORK.modules():  # Norms as in a trained network.
    if isinstance(layer, ConvNorm):
        layer[1].weight.uniform_(0.5, 1.5)
        layer[1].bias.uniform_(-0.5, 0.5)


def frames(*seeds: int, size=(48, 40)) -> np.ndarray:
    """Draw frames as bytes, (B,H,W,3)."""
    return np.stack([np.asarray(draw_image(*size, seed)) for seed in seeds])


def engine_of(precision: str = "float32") -> TorchEngine:
    return TorchEngine(model_of(NETWORK, ModelCard()), 8, "cpu", precision)


def stylize_alone(frame: np.ndarray) -> torch.Tensor:
    photo = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255
    return (Inference(NETWORK, 8)(photo)[0].permute(1, 2, 0) * 255).round()


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a.float() - b.float()).abs().max().item()


def test_first_frame_equals_the_networks_output():
    steady = engine_of()
    result, _ = steady.stylize_frames(frames(1), steady.blank_memory(), mixing_weights([0.0]))
    assert result.dtype == torch.uint8 and result.shape == (1, 40, 48, 3)
    assert difference(result[0], stylize_alone(frames(1)[0])) <= 1


def test_equal_frames_give_equal_results():
    steady = engine_of()
    memory = steady.blank_memory()
    for share in (0.0, 0.9, 0.9):
        result, own = steady.stylize_frames(frames(1), memory, mixing_weights([share]))
        memory = mix_statistics(mixing_weights([share]), memory, own)
        assert difference(result[0], stylize_alone(frames(1)[0])) <= 1


def test_batch_equals_its_frames_in_sequence():
    steady, shares = engine_of(), [0.0, 0.8, 0.0, 0.5]
    batch = frames(1, 2, 3, 4)
    memory = steady.blank_memory()
    together, own = steady.stylize_frames(batch, memory, mixing_weights(shares))
    after = mix_statistics(mixing_weights(shares), memory, own)[-1:]
    for number, share in enumerate(shares):
        result, own = steady.stylize_frames(batch[number : number + 1], memory, mixing_weights([share]))
        memory = mix_statistics(mixing_weights([share]), memory, own)
        assert difference(result[0], together[number]) <= 1
    assert np.allclose(memory, after, atol=1e-3)


def test_previous_statistics_soften_a_sudden_change():
    # A bright patch appears. Pixels far from it change less than if each frame were stylized alone.
    before = frames(1, size=(96, 80))
    after = before.copy()
    after[:, :, 64:] = 255
    steady = engine_of()
    first, memory = steady.stylize_frames(before, steady.blank_memory(), mixing_weights([0.0]))
    second, _ = steady.stylize_frames(after, memory, mixing_weights([0.95]))
    untouched = slice(None), slice(0, 16)  # Columns beyond the network's receptive field.
    softened = (second[0][untouched].float() - first[0][untouched].float()).abs().mean()
    jump = (stylize_alone(after[0])[untouched] - stylize_alone(before[0])[untouched]).abs().mean()
    assert softened < 0.3 * jump


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_statistics_stay_exact_in_half_precision(precision):
    half, full = engine_of(precision), engine_of()
    result, own = half.stylize_frames(frames(1), half.blank_memory(), mixing_weights([0.0]))
    expected, exact = full.stylize_frames(frames(1), full.blank_memory(), mixing_weights([0.0]))
    assert own.dtype == np.float32
    assert (result.float() - expected.float()).abs().mean() < 2
    # Half precision would round them to 11 or 8 bits.
    rounded = torch.from_numpy(own).to(getattr(torch, precision)).float().numpy()
    assert not np.array_equal(own, rounded)
    assert np.allclose(own, exact, rtol=0.1, atol=0.05)


def test_given_network_is_not_modified():
    photo = to_tensor(draw_image(32, 32))[None]
    before = NETWORK(photo)
    engine_of().measure(photo)
    assert torch.equal(NETWORK(photo), before)


def test_mixing_weights_give_running_means():
    assert np.allclose(mixing_weights([0.0]), [[0.0, 1.0]])
    expected = [[0.5, 0.5, 0, 0], [0.4, 0.4, 0.2, 0], [0, 0, 0, 1.0]]
    assert np.allclose(mixing_weights([0.5, 0.8, 0.0]), expected)
    assert np.allclose(mixing_weights([0.3] * 7).sum(1), 1)


def test_shots_begin_only_at_cuts():
    shots, still = Shots(), np.asarray(draw_image(64, 48, 1))
    assert shots.share(still, 0.04) == 0
    for step in range(1, 6):  # A pan.
        assert shots.share(np.roll(still, 2 * step, 1), 0.04) == pytest.approx(math.exp(-0.04 / MEMORY))
    assert shots.share(255 - still, 0.04) == 0
    assert shots.share(255 - still, 0.04) > 0.5


def test_flash_is_a_cut_but_fast_pan_is_not():
    noise = np.random.default_rng(0)
    shots = Shots()
    pan = [noise.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(4)]  # All frames differ.
    shares = [shots.share(frame, 0.04) for frame in pan]
    assert shares[0] == 0 and shares[2] > 0 and shares[3] > 0
