"""Inputs and options of the per-image baseline, and its results."""

import numpy as np
import pytest
import torch
from PIL import Image

import faststyle
from faststyle.errors import InputError
from faststyle.image.convert import to_tensor
from faststyle.losses.objective import Objective
from faststyle.optimization.optimization import Optimization, optimize
from tests.support.images import draw_image


@pytest.fixture
def quick(random_vgg) -> dict:
    """Options of a run with few steps and random VGG weights."""
    return {"size": 48, "steps": 3, "vgg": random_vgg, "device": "cpu", "precision": "fp32"}


PHOTO, STYLE, OTHER = draw_image(64, 48, seed=1), draw_image(56, 40, seed=9), draw_image(40, 56, seed=4)


# Types and sizes


def test_result_has_the_type_of_the_photo(quick):
    image = optimize(PHOTO, STYLE, **quick)
    assert isinstance(image, Image.Image) and (image.mode, image.size) == ("RGB", (48, 36))
    tensor = optimize(to_tensor(PHOTO), to_tensor(STYLE), **quick)
    assert tensor.shape == (3, 48, 64) and tensor.dtype == torch.float32
    assert tensor.min() >= 0 and tensor.max() <= 1 and not tensor.requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_result_has_the_dtype_of_the_photo(quick, dtype):
    assert optimize(to_tensor(PHOTO).to(dtype), STYLE, **quick).dtype == dtype


def test_photo_that_requires_a_gradient_gets_none(quick):
    photo = to_tensor(PHOTO).requires_grad_()
    result = optimize(photo, STYLE, preserve_color=True, masks=[Image.new("L", (64, 48), "white")], **quick)
    assert not result.requires_grad and photo.grad is None


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "I;16"])
def test_image_of_any_mode_is_accepted(quick, mode):
    levels = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64)
    photo = PHOTO.convert(mode) if mode != "I;16" else Image.fromarray(21 * levels)
    result = optimize(photo, STYLE.convert("L"), **quick)
    assert (result.mode, result.size) == ("RGB", (48, 36))


def test_alpha_is_kept(quick):
    photo = PHOTO.copy()
    photo.putalpha(Image.linear_gradient("L").resize(photo.size))
    result = optimize(photo, STYLE, **quick)
    assert (result.mode, result.size) == ("RGBA", (48, 36))
    expected = photo.getchannel("A").resize((48, 36))
    assert np.array_equal(result.getchannel("A"), expected)


def test_photo_is_rotated_by_its_exif_orientation(quick):
    photo = PHOTO.copy()
    photo.getexif()[0x0112] = 6
    assert optimize(photo, STYLE, **quick).size == (36, 48)


@pytest.mark.parametrize("size", [(47, 33), (33, 47), (49, 17), (16, 16)])
def test_tensor_keeps_its_odd_size(quick, size):
    width, height = size
    photo = to_tensor(draw_image(width, height))
    assert optimize(photo, STYLE, **quick, scales=1).shape == (3, height, width)


def test_size_shrinks_or_enlarges_the_longer_side(quick):
    for size in (31, 90):
        run = Optimization(PHOTO, STYLE, **{**quick, "size": size})
        assert run.output_size == (size, round(size * 48 / 64)) == run.result().size


def test_style_size_is_the_longer_side_of_the_paintings(quick):
    run = Optimization(PHOTO, [STYLE, to_tensor(OTHER)], style_size=30, **quick)
    assert [max(painting.shape[-2:]) for painting in run.paintings] == [30, 30]
    run = Optimization(PHOTO, STYLE, **quick)
    assert max(run.paintings[0].shape[-2:]) == 36


def test_inputs_are_not_changed(quick):
    photo, style = to_tensor(PHOTO), to_tensor(STYLE)
    before = photo.clone(), style.clone(), PHOTO.tobytes(), STYLE.tobytes()
    run = Optimization(photo, style, match_color=True, preserve_color=True, **quick)
    run.result().zero_()
    for _ in run:
        pass
    run.result().zero_()
    optimize(PHOTO, STYLE, masks=[Image.new("L", (64, 48), "white")], **quick)
    assert torch.equal(photo, before[0]) and torch.equal(style, before[1])
    assert (PHOTO.tobytes(), STYLE.tobytes()) == before[2:]


# Several styles


def test_style_of_several_paintings_is_their_weighted_mean(quick):
    def terms(styles, **options):
        return next(iter(Optimization(PHOTO, styles, **quick, **options))).terms

    first, second = terms(STYLE), terms([OTHER])
    equal, blended = terms([STYLE, OTHER]), terms([STYLE, OTHER], blend=[3, 1])
    assert equal["style"] == pytest.approx((first["style"] + second["style"]) / 2, rel=1e-5)
    assert blended["style"] == pytest.approx(0.75 * first["style"] + 0.25 * second["style"], rel=1e-5)


def test_options_reach_the_objective(quick):
    options = {"style_weight": 7.0, "content_layers": {"relu4_2": 2.0}, "statistic": "covariance"}
    run = Optimization(PHOTO, STYLE, **quick, **options)
    expected = Objective(**options)
    assert run.objective.style_weight == 7.0 and run.objective.statistic is expected.statistic
    assert run.objective.content_layers == {"relu4_2": 2.0}


# Colours


def test_preserve_color_keeps_a_grey_photo_grey(quick):
    result = np.asarray(optimize(PHOTO.convert("L"), STYLE, preserve_color=True, **quick), int)
    assert np.ptp(result, axis=-1).max() <= 1


def test_match_color_gives_the_paintings_the_mean_colour_of_the_photo(quick):
    photo, style = (Image.blend(Image.new("RGB", p.size, "gray"), p, 0.3) for p in (PHOTO, STYLE))
    plain = Optimization(photo, style, **quick)
    run = Optimization(photo, style, match_color=True, **quick)
    mean = run.photo.mean((0, 2, 3))
    assert (plain.paintings[0].mean((0, 2, 3)) - mean).abs().max() > 0.02
    assert (run.paintings[0].mean((0, 2, 3)) - mean).abs().max() < 1e-3


# Refused input


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"size": 3},
        {"style_size": 3},
        {"scales": 0},
        {"average": 1},
        {"average": -0.1},
        {"average": float("nan")},
        {"learning_rate": -1.0},
        {"masks": [None, None]},
        {"style_masks": []},
    ],
    ids=str,
)
def test_parameter_out_of_range_is_named(quick, options):
    with pytest.raises(InputError) as caught:
        optimize(PHOTO, STYLE, **{**quick, **options})
    assert caught.value.parameters == list(options)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"scales": 9}, "9 `scales`"),
        ({"blend": [1, 2]}, "blend"),
        ({"blend": [0]}, "blend"),
        ({"optimizer": "adamm"}, "did you mean 'adam'"),
        ({"init": "nose"}, "did you mean 'noise'"),
        ({"vgg": "vgg91"}, "did you mean 'vgg19'"),
        ({"pooling": "average"}, "pooling"),
        ({"precision": "fp23"}, "did you mean 'fp32'"),
        ({"device": "abacus"}, "abacus"),
        ({"preset": "gatis"}, "did you mean 'gatys'"),
        ({"statistic": "gramm"}, "did you mean 'gram'"),
        ({"style_layers": {"relu9_9": 1.0}}, "relu9_9"),
        ({"content_layers": {"relu9_9": 1.0}}, "relu9_9"),
        ({"style_weight": -1}, "style_weight"),
        ({"content_weight": 0, "style_weight": 0}, "style_weight"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_unusable_option_is_named(quick, options, words):
    with pytest.raises(InputError, match=words):
        optimize(PHOTO, STYLE, **{**quick, **options})


@pytest.mark.parametrize("shape", [(48, 64), (1, 48, 64), (4, 48, 64), (2, 3, 48, 64), (3, 0, 8)])
def test_tensor_of_another_shape_is_refused(quick, shape):
    with pytest.raises(InputError, match=r"\(3,H,W\)"):
        optimize(torch.zeros(shape), STYLE, **quick)
    with pytest.raises(InputError, match=r"\(3,H,W\)"):
        optimize(PHOTO, torch.zeros(shape), **quick)


def test_integer_tensor_is_refused(quick):
    with pytest.raises(InputError, match=r"\[0,1\]"):
        optimize(torch.full((3, 48, 64), 100, dtype=torch.uint8), STYLE, **quick)


def test_empty_list_of_paintings_is_refused(quick):
    with pytest.raises(InputError) as caught:
        optimize(PHOTO, [], **quick)
    assert caught.value.parameters == ["style"]


def test_image_too_flat_for_vgg_is_refused(quick):
    with pytest.raises(InputError, match="too small"):
        optimize(Image.new("RGB", (400, 8)), STYLE, **quick)


def test_fp16_is_refused(quick):
    with pytest.raises(InputError, match="bf16 or fp32"):
        Optimization(PHOTO, STYLE, **{**quick, "precision": "fp16"})


# The package


def test_package_exports_optimize(quick):
    # ``faststyle.optimization``, a package, is imported before.
    assert faststyle.optimize is optimize
    assert "optimize" in faststyle.__all__
