"""Tests of training on photos and crops of one colour."""

import math

import pytest
import torch
from PIL import Image

from faststyle.errors import InputError
from faststyle.image.convert import to_tensor
from faststyle.models.layers import apply_norm
from faststyle.models.layout import SIZES
from faststyle.models.network import TransformerNetwork
from faststyle.training.blank import has_blank_photo, norm_without_flat_channels
from faststyle.training.callbacks import NotANumberGuard
from faststyle.training.crops import read_photo
from faststyle.training.module import StyleTransfer
from tests.support.images import draw_image


def plain(color: str, size: int = 64) -> torch.Tensor:
    return to_tensor(Image.new("RGB", (size, size), color))[None]


def one_pixel() -> torch.Tensor:
    """Return a grey photo in which one pixel is a level lighter."""
    photo = Image.new("RGB", (128, 128), (200, 200, 200))
    photo.putpixel((60, 60), (201, 201, 201))
    return to_tensor(photo)[None]


BLANK = {
    "white": plain("white"),
    "black": plain("black"),
    "red": plain("red"),
    "one pixel": one_pixel(),
    "white beside a photo": torch.cat([plain("white"), to_tensor(draw_image(64, 64))[None]]),
}


def norm_of_gradients(network: torch.nn.Module) -> float:
    return torch.nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None]).item()


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("photos", BLANK.values(), ids=BLANK)
@pytest.mark.parametrize("size", SIZES)
def test_gradient_of_a_blank_photo_is_no_larger_than_that_of_others(
    size, photos, precision, random_vgg, painting
):
    torch.manual_seed(0)
    module = StyleTransfer([str(painting)], style_size=64, size=size, vgg=random_vgg)
    module.setup("fit")
    norms = []
    for batch in (to_tensor(draw_image(64, 64))[None], photos):
        module.zero_grad()
        with torch.autocast("cpu", precision, enabled=precision == torch.bfloat16):
            module.losses(batch)["total"].backward()
        norms.append(norm_of_gradients(module.network))
    assert math.isfinite(norms[1]) and norms[1] < 10 * norms[0]


def test_gradient_of_a_blank_photo_in_motion_is_finite(random_vgg, painting):
    torch.manual_seed(0)
    module = StyleTransfer([str(painting)], style_size=64, size="fast", vgg=random_vgg, temporal_weight=10)
    module.setup("fit")
    module.losses(BLANK["white"])["total"].backward()
    assert math.isfinite(norm_of_gradients(module.network))


@pytest.mark.parametrize("size", SIZES)
def test_gradient_of_other_photos_is_unchanged(size):
    torch.manual_seed(0)
    network, gradients = TransformerNetwork(size), []
    for normalize in (apply_norm, norm_without_flat_channels):
        network.zero_grad()
        network(to_tensor(draw_image(64, 64))[None], normalize=normalize).square().mean().backward()
        gradients.append([parameter.grad.clone() for parameter in network.parameters()])
    assert all(map(torch.equal, *gradients))


def test_only_photos_without_contrast_count_as_blank():
    assert all(has_blank_photo(photos) for photos in BLANK.values())
    gradient = torch.linspace(0.5, 0.52, 64).expand(1, 3, 64, 64)
    assert not has_blank_photo(gradient) and not has_blank_photo(to_tensor(draw_image(64, 64))[None])


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "RGBA"])
def test_photo_of_one_colour_is_refused_by_its_name(mode, tmp_path):
    path = tmp_path / "blank.tif"
    Image.new(mode, (64, 48)).save(path)
    with pytest.raises(InputError, match=r"blank\.tif has one colour in all of its pixels"):
        read_photo({"image": {"bytes": None, "path": str(path)}}, 32)


def test_crops_of_products_on_white_lose_no_step_and_blank_photos_are_named(
    train, photos, monkeypatch, caplog, capsys
):
    counts = []
    end = NotANumberGuard.on_train_end
    monkeypatch.setattr(
        NotANumberGuard, "on_train_end", lambda self, *run: counts.append(self.skipped) or end(self, *run)
    )
    for path in photos.iterdir():
        path.unlink()
    for number in range(12):
        Image.new("RGB", (96, 96), "white").save(photos / f"blank{number}.png")
        product = Image.new("RGB", (300, 300), "white")
        product.putpixel((299, 299), (90, 60, 30))
        product.save(photos / f"product{number}.png")
    train("--model.size=half", "--model.blocks=5", "--data.batch_size=4", "--trainer.max_steps=12")
    assert counts == [0]
    assert any("blank" in record.getMessage() for record in caplog.records)
    assert "that could not be used, named above" in capsys.readouterr().out
