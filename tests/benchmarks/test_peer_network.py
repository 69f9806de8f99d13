"""The network of pytorch/examples as written here, and the count of operations, on which figures rest."""

import numpy as np
import pytest
import torch

from benchmarks.ceiling import count_per_pixel, count_work
from benchmarks.examples_network import Examples, TransformerNet
from faststyle.models.checkpoint import load_model
from faststyle.models.network import TransformerNetwork
from tests.support.images import draw_image

CPU = torch.device("cpu")


def test_peer_network_has_the_published_number_of_parameters():
    assert sum(value.numel() for value in TransformerNet().state_dict().values()) == 1_679_235


def test_peer_network_and_ours_make_the_same_image_of_the_same_weights(tmp_path):
    examples, path = Examples(CPU), tmp_path / "theirs.pth"
    torch.save(examples.network.state_dict(), path)
    image = draw_image(64, 48)
    ours, _ = load_model(path)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        assert torch.allclose(ours(pixels / 255), examples.network(pixels) / 255, atol=1e-4)
    assert examples(image).size == image.size


def test_clone_gives_its_own_network(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "transformer_net.py").write_text("import torch\nTransformerNet = torch.nn.Identity\n")
    image = draw_image(64, 48)
    assert Examples(CPU, tmp_path)(image).tobytes() == image.tobytes()
    with pytest.raises(SystemExit, match="fast_neural_style"):
        Examples(CPU, tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("size", "nominal", "values_of_two"),
    # The noise of the size deep is computed once for a batch.
    [("half", 42_336, 2.0), ("full", 153_792, 2.0), ("deep", 27_432, 1.86)],
)
def test_operations_are_those_of_the_layer_table(size, nominal, values_of_two):
    network = TransformerNetwork(size)
    assert count_per_pixel(network) == nominal
    counted = count_work(network, 1024, 512)
    assert counted.nominal == 2 * nominal * 1024 * 512
    assert 0.8 < counted.done / counted.nominal < 1  # an upsampling layer needs four taps in place of nine
    twice = count_work(network, 1024, 512, batch=2)
    assert twice.values / counted.values == pytest.approx(values_of_two, abs=0.005)
    assert next(network.parameters()).device == CPU  # unchanged


def test_peer_network_has_the_operations_of_ours_at_full_width():
    theirs = count_work(TransformerNet(), 64, 48)
    assert theirs.done == theirs.nominal == count_work(TransformerNetwork("full"), 64, 48).nominal
