"""Any painting at once: the style encoder, and networks baked for a painting."""

import numpy as np
import pytest
import torch
from PIL import Image

from faststyle import InputError, Stylizer
from faststyle.cli.main import infer, main
from faststyle.image.convert import scale_to, to_array, to_tensor
from faststyle.losses.settings import STYLE_SIZE
from faststyle.models.find import find_grams, find_model, label
from faststyle.models.network import TransformerNetwork
from faststyle.models.pretrained import ENCODER
from faststyle.models.style_encoder import bake, describe, load_encoder
from faststyle.training.style_network import StyleEncoder, save_encoder
from tests.support.images import draw_image, sample


@pytest.fixture(scope="module")
def encoder() -> StyleEncoder:
    """Return an encoder with random weights."""
    torch.manual_seed(0)
    encoder = StyleEncoder()
    torch.nn.init.normal_(encoder.predict[-1].weight, std=0.1)
    return encoder.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def weights(encoder):
    return {name: tensor.numpy() for name, tensor in encoder.state_dict().items()}


def load_network(weights) -> TransformerNetwork:
    network = TransformerNetwork()
    network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return network.eval().requires_grad_(False)


def test_description_equals_that_of_the_training(encoder, weights):
    painting = draw_image(90, 61, seed=1)
    expected = encoder.description(to_tensor(painting)[None])[0]
    assert np.abs(describe(weights, to_array(painting)) - expected.numpy()).max() < 1e-4


def test_baked_network_equals_the_conditional_one(encoder, weights):
    painting = draw_image(90, 60, seed=1)
    photo = to_tensor(sample("coffee", 96))[None]
    description = encoder.description(to_tensor(scale_to(painting, STYLE_SIZE))[None])
    conditional = encoder.stylize(photo, encoder.style(description))
    baked = load_network(bake(weights, painting))
    assert (baked(photo) - conditional).abs().max() < 1e-5
    assert (baked(photo) - encoder.network(photo)).abs().max() > 0.01


def test_file_holds_the_encoder_in_8_bits(encoder, weights, tmp_path):
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, encoder)
    assert path.stat().st_size < 8e6
    painting, photo = draw_image(90, 60, seed=1), to_tensor(sample("coffee", 96))[None]
    images = [load_network(bake(one, painting))(photo) for one in (load_encoder(path), weights)]
    assert (images[0] - images[1]).abs().mean() < 0.02


def test_built_in_encoder_is_small_and_tells_paintings_apart(tmp_path):
    assert ENCODER.stat().st_size < 8e6
    photo = sample("coffee", 96)
    images = []
    for number in range(2):
        path = tmp_path / f"painting_{number}.png"
        draw_image(120, 90, seed=number).save(path)
        images.append(np.asarray(Stylizer.load(path, engine="torch")(photo), float))
    assert np.abs(images[0] - images[1]).mean() > 3
    assert np.abs(images[0] - np.asarray(photo, float)).mean() > 10


def test_painting_is_a_model_wherever_a_model_is_asked_for(tmp_path, painting):
    model = find_model(painting)
    style = model.card.style[0]
    assert style.name == "painting" and len(style.sha256) == 64
    assert label(painting) == "painting"
    grams = find_grams(painting)
    assert grams["relu4_1"].shape == (1, 512, 512)
    blended = find_model(f"{painting}:0.5,starry_night:0.5")
    assert not np.array_equal(blended.weights["last.weight"], model.weights["last.weight"])


def test_command_stylizes_with_a_painting_and_keeps_its_model(work, painting, capsys):
    sample("coffee", 96).save("photo.png")
    infer(["photo.png", "--checkpoint", str(painting), "-o", "a.png", "--engine=torch"])
    main(["export", "--checkpoint", str(painting), "--output", "kept.safetensors"])
    assert "--checkpoint kept.safetensors" in capsys.readouterr().out
    infer(["photo.png", "--checkpoint", "kept.safetensors", "-o", "b.png", "--engine=torch"])
    with Image.open("a.png") as a, Image.open("b.png") as b:
        assert a.tobytes() == b.tobytes()
    assert find_grams("kept.safetensors")["relu4_1"].shape == (1, 512, 512)


@pytest.mark.parametrize(
    ("size", "colour", "words"),
    [((64, 48), (200, 30, 30), "has one colour"), ((1, 1), (0, 0, 0), "has one colour")],
)
def test_painting_of_one_colour_is_refused(tmp_path, size, colour, words):
    path = tmp_path / "flat.png"
    Image.new("RGB", size, colour).save(path)
    with pytest.raises(InputError, match=words):
        find_model(path)


def test_painting_that_is_a_line_is_refused(tmp_path):
    draw_image(500, 3).save(tmp_path / "line.png")
    with pytest.raises(InputError, match="500x3 pixels, and is too narrow"):
        find_model(tmp_path / "line.png")


def test_invisible_pixels_of_a_painting_do_not_count(tmp_path):
    visible, results = draw_image(120, 90, seed=3), []
    alpha = Image.linear_gradient("L").resize((120, 90)).point(lambda value: 255 * (value > 127))
    for hidden in ("black", "white"):
        image = Image.composite(visible, Image.new("RGB", visible.size, hidden), alpha)
        image.putalpha(alpha)
        image.save(tmp_path / "cut.png")
        results.append(find_model(tmp_path / "cut.png").weights["down.0.1.weight"])
    assert np.array_equal(*results)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_painting_of_any_mode_is_read(tmp_path, mode):
    path = tmp_path / "painting.png"
    draw_image(120, 90, seed=3).convert(mode).save(path)
    image = Stylizer.load(path, engine="torch")(sample("coffee", 64))
    assert image.size == sample("coffee", 64).size
