"""What goes into the slow baseline and what comes out: kinds of pictures, several styles, masks, colours."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

import faststyle
from faststyle.errors import InputError
from faststyle.image.convert import to_tensor
from faststyle.losses.objective import Objective
from faststyle.optimization.optimization import Optimization, optimize
from tests.support.images import draw_picture


@pytest.fixture
def quick(random_vgg) -> dict:
    """Options of a run where only the plumbing matters."""
    return {"size": 48, "steps": 3, "vgg": random_vgg, "device": "cpu", "precision": "fp32"}


PHOTO, STYLE, OTHER = draw_picture(64, 48, seed=1), draw_picture(56, 40, seed=9), draw_picture(40, 56, seed=4)


def half(width: int = 64, height: int = 48, left: bool = True) -> Image.Image:
    """A mask that is white on one half."""
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).rectangle(
        (0, 0, width // 2 - 1, height) if left else (width // 2, 0, width, height), "white"
    )
    return mask


def levels(a: Image.Image, b: Image.Image) -> np.ndarray:
    return np.abs(np.asarray(a, int) - np.asarray(b, int))


# Kinds and sizes


def test_picture_in_is_picture_out_and_tensor_in_is_tensor_out(quick):
    picture = optimize(PHOTO, STYLE, **quick)
    assert isinstance(picture, Image.Image) and (picture.mode, picture.size) == ("RGB", (48, 36))
    tensor = optimize(to_tensor(PHOTO), to_tensor(STYLE), **quick)
    assert tensor.shape == (3, 48, 64) and tensor.dtype == torch.float32
    assert tensor.min() >= 0 and tensor.max() <= 1 and not tensor.requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_tensor_comes_back_in_its_dtype(quick, dtype):
    assert optimize(to_tensor(PHOTO).to(dtype), STYLE, **quick).dtype == dtype


def test_tensor_that_wants_gradients_gets_none(quick):
    photo = to_tensor(PHOTO).requires_grad_()
    result = optimize(photo, STYLE, preserve_color=True, masks=[half()], **quick)
    assert not result.requires_grad and photo.grad is None


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "I;16"])
def test_picture_of_any_mode_is_taken(quick, mode):
    levels = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64)
    photo = PHOTO.convert(mode) if mode != "I;16" else Image.fromarray(21 * levels)
    result = optimize(photo, STYLE.convert("L"), **quick)
    assert (result.mode, result.size) == ("RGB", (48, 36))


def test_alpha_is_kept(quick):
    photo = PHOTO.copy()
    photo.putalpha(Image.linear_gradient("L").resize(photo.size))
    result = optimize(photo, STYLE, **quick)
    assert (result.mode, result.size) == ("RGBA", (48, 36))
    assert levels(result.getchannel("A"), photo.getchannel("A").resize((48, 36))).max() == 0


def test_picture_is_turned_upright(quick):
    photo = PHOTO.copy()
    photo.getexif()[0x0112] = 6
    assert optimize(photo, STYLE, **quick).size == (36, 48)


@pytest.mark.parametrize("size", [(47, 33), (33, 47), (49, 17), (16, 16)])
def test_odd_sizes_come_back_as_they_were(quick, size):
    width, height = size
    photo = to_tensor(draw_picture(width, height))
    assert optimize(photo, STYLE, **quick, scales=1).shape == (3, height, width)


def test_size_is_that_of_the_longer_side_whether_more_or_less(quick):
    for size in (31, 90):
        run = Optimization(PHOTO, STYLE, **{**quick, "size": size})
        assert run.output_size == (size, round(size * 48 / 64)) == run.result().size


def test_style_size_is_that_of_the_paintings_longer_side(quick):
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
    optimize(PHOTO, STYLE, masks=[half()], **quick)
    assert torch.equal(photo, before[0]) and torch.equal(style, before[1])
    assert (PHOTO.tobytes(), STYLE.tobytes()) == before[2:]


# Several styles


def test_style_of_several_paintings_is_their_blend(quick):
    def terms(styles, **options):
        return next(iter(Optimization(PHOTO, styles, **quick, **options))).terms

    first, second = terms(STYLE), terms([OTHER])
    equal, blended = terms([STYLE, OTHER]), terms([STYLE, OTHER], blend=[3, 1])
    assert equal["style"] == pytest.approx((first["style"] + second["style"]) / 2, rel=1e-5)
    assert blended["style"] == pytest.approx(0.75 * first["style"] + 0.25 * second["style"], rel=1e-5)


def test_options_of_the_objective_reach_it(quick):
    options = {"style_weight": 7.0, "content_layers": {"relu4_2": 2.0}, "statistic": "covariance"}
    run = Optimization(PHOTO, STYLE, **quick, **options)
    expected = Objective(**options)
    assert run.objective.style_weight == 7.0 and run.objective.statistic is expected.statistic
    assert run.objective.content_layers == {"relu4_2": 2.0}


# Masks


def test_photo_stays_where_no_mask_is_white_and_changes_where_one_is(quick):
    result = optimize(PHOTO, STYLE, masks=[half()], **{**quick, "size": 64, "init": "noise"})
    difference = levels(result, PHOTO)
    assert difference[:, 32:].max() == 0
    assert difference[:, :32].mean() > 5


def test_mask_of_another_size_is_laid_over_the_photo(quick):
    result = optimize(PHOTO, STYLE, masks=[half(300, 10)], **{**quick, "size": 64, "init": "noise"})
    difference = levels(result, PHOTO)
    assert difference[:, 33:].max() == 0 and difference[:, :31].mean() > 5


def test_grey_of_a_mask_blends(quick):
    options = {**quick, "size": 64, "init": "noise"}
    mask = Image.linear_gradient("L").resize((64, 48))
    run = Optimization(PHOTO, STYLE, masks=[mask], **options)
    for _ in run:
        pass
    share = to_tensor(mask.convert("RGB"))[:1]
    expected = torch.lerp(run.photo[0], run.picture[0], share)
    assert (to_tensor(run.result()) - expected).abs().max() < 0.01


def test_each_region_takes_the_style_of_its_own_painting(quick):
    # A bright and a dark painting, with the colours of neither in the photo.
    photo = Image.new("RGB", (64, 64), "gray")
    styles = [Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")]
    options = {**quick, "size": 64, "steps": 40, "vgg": "vgg19-caffe", "scales": 1}
    options |= {"content_weight": 0, "style_layers": {"relu1_1": 1.0}}
    result = optimize(photo, styles, masks=[half(64, 64), half(64, 64, left=False)], **options)
    pixels = np.asarray(result, float)
    left, right = pixels[:, 4:28].mean((0, 1)), pixels[:, 36:60].mean((0, 1))
    assert left[0] - left[2] > 60 and right[2] - right[0] > 60


def test_mask_of_the_painting_says_which_part_of_it_counts(quick):
    # With only its left half taken, the right half of a painting can be anything.
    other = STYLE.copy()
    other.paste("black", (28, 0, 56, 40))
    whole, parts = [], []
    for painting in (STYLE, other):
        options = {**quick, "style_layers": {"relu1_1": 1.0}, "style_size": 56}
        whole.append(next(iter(Optimization(PHOTO, painting, **options))).terms["style"])
        masks = [half(56, 40)]
        masks[0].paste("black", (24, 0, 28, 40))  # clear of the middle: a convolution sees its neighbours
        run = Optimization(PHOTO, painting, style_masks=masks, **options)
        parts.append(next(iter(run)).terms["style"])
    assert parts[0] == pytest.approx(parts[1], rel=1e-5)
    assert whole[0] != pytest.approx(whole[1], rel=1e-2)


def test_painting_without_a_mask_is_everywhere(quick):
    result = optimize(PHOTO, [STYLE, OTHER], masks=[half(), None], **{**quick, "size": 64, "init": "noise"})
    assert levels(result, PHOTO)[:, 40:].mean() > 5


@pytest.mark.parametrize("which", ["masks", "style_masks"])
def test_black_mask_is_refused(quick, which):
    with pytest.raises(InputError, match="black all over"):
        optimize(PHOTO, STYLE, **quick, **{which: [Image.new("L", (20, 20))]})


@pytest.mark.parametrize("statistic", ["mrf", "style-swap", "deep-correlation"])
def test_mask_with_a_statistic_of_neighbours_is_refused(quick, statistic):
    with pytest.raises(InputError, match="masks go with"):
        optimize(PHOTO, STYLE, masks=[half()], statistic=statistic, **quick)


# Colours


def test_grey_photo_stays_grey_where_colours_are_preserved(quick):
    result = np.asarray(optimize(PHOTO.convert("L"), STYLE, preserve_color=True, **quick), int)
    assert np.ptp(result, axis=-1).max() <= 1


def test_match_color_brings_the_paintings_to_the_photos_mean(quick):
    photo, style = (Image.blend(Image.new("RGB", p.size, "gray"), p, 0.3) for p in (PHOTO, STYLE))
    plain = Optimization(photo, style, **quick)
    run = Optimization(photo, style, match_color=True, **quick)
    mean = run.photo.mean((0, 2, 3))
    assert (plain.paintings[0].mean((0, 2, 3)) - mean).abs().max() > 0.02
    assert (run.paintings[0].mean((0, 2, 3)) - mean).abs().max() < 1e-3


# What is refused


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
def test_what_cannot_be_used_is_named(quick, options, words):
    with pytest.raises(InputError, match=words):
        optimize(PHOTO, STYLE, **{**quick, **options})


@pytest.mark.parametrize("shape", [(48, 64), (1, 48, 64), (4, 48, 64), (2, 3, 48, 64), (3, 0, 8)])
def test_tensor_of_another_shape_is_refused(quick, shape):
    with pytest.raises(InputError, match=r"\(3,H,W\)"):
        optimize(torch.zeros(shape), STYLE, **quick)
    with pytest.raises(InputError, match=r"\(3,H,W\)"):
        optimize(PHOTO, torch.zeros(shape), **quick)


def test_tensor_of_whole_numbers_is_refused(quick):
    with pytest.raises(InputError, match=r"\[0,1\]"):
        optimize(torch.full((3, 48, 64), 100, dtype=torch.uint8), STYLE, **quick)


def test_no_style_at_all_is_refused(quick):
    with pytest.raises(InputError, match="style"):
        optimize(PHOTO, [], **quick)


def test_picture_too_flat_for_vgg_is_refused(quick):
    with pytest.raises(InputError, match="too small"):
        optimize(Image.new("RGB", (400, 8)), STYLE, **quick)


# The package


def test_package_offers_the_slow_baseline_as_a_function(quick):
    assert faststyle.optimize is optimize  # whatever was imported before, such as faststyle.optimization
    assert "optimize" in faststyle.__all__
    assert faststyle.optimize(PHOTO, STYLE, **quick).size == (48, 36)


def test_fp16_is_refused_for_its_gradients_vanish(quick):
    with pytest.raises(InputError, match="bf16 or fp32"):
        Optimization(PHOTO, STYLE, **{**quick, "precision": "fp16"})
