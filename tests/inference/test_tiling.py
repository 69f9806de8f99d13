import numpy as np
import pytest
import torch
from PIL import Image

from faststyle.cli.main import infer
from faststyle.device import free_memory
from faststyle.errors import InputError
from faststyle.image.convert import to_tensor
from faststyle.image.files import open_image
from faststyle.inference import network_runner, tiling
from faststyle.inference.engines.torch_engine import TorchEngine
from faststyle.inference.stylizer import Stylizer
from faststyle.inference.tiling import (
    MAX_UNTILED_PIXELS,
    MIN_TILE,
    max_whole_pixels,
    mirror_index,
    spans,
    stylize_tiled,
    thumbnail,
)
from faststyle.models.card import ModelCard
from faststyle.models.layers import mirror_pad
from faststyle.models.layout import layout_of
from faststyle.models.model import model_of
from faststyle.models.network import TransformerNetwork
from tests.support.commands import expect_error_line
from tests.support.images import draw_image

LEVEL = 1 / 255


def make_network(size: str, blocks: int | None = 1) -> TransformerNetwork:
    """Build a random network with non-trivial norm parameters, as after training."""
    torch.manual_seed(0)
    network = TransformerNetwork(size, blocks).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if parameter.ndim == 1:
            parameter.add_(0.3 * torch.randn_like(parameter))
        if name == "last.weight":
            parameter.mul_(3)
    return network


def photo_of(width: int, height: int, seed: int = 0) -> torch.Tensor:
    return to_tensor(draw_image(width, height, seed))


def to_bytes(photo: torch.Tensor) -> torch.Tensor:
    return photo.mul(255).round().byte()


def engine_of(network: TransformerNetwork, margin: int = 0) -> TorchEngine:
    return TorchEngine(model_of(network, ModelCard()), margin, "cpu", "float32")


def stylize_whole(engine: TorchEngine, photo, statistics) -> torch.Tensor:
    normalize = engine.statistics_network.normalize_with(statistics)
    return engine.network(photo[None], engine.inference.margin, None, normalize)[0].clamp(0, 1)


def tiled(engine: TorchEngine, photo, tile, statistics):
    out, layout = torch.full_like(photo, 7), engine.network.layout
    margin = engine.inference.margin

    def run(x, position):
        return engine.stylize_tile(x, position, statistics)

    stylize_tiled(run, photo, out, tile, layout.receptive_radius(), margin, layout.stride)
    return out


@pytest.mark.slow
@pytest.mark.parametrize(
    "size, blocks", [("deep", 0), ("half", 0), ("half", 2), ("half", None), ("full", 1), ("fast", None)]
)
def test_pixels_depend_only_on_the_receptive_field(size, blocks):
    network = make_network(size, blocks)
    radius = network.layout.receptive_radius()
    side = 2 * radius + 4 * network.stride
    engine = engine_of(network)
    statistics = engine.measure(photo_of(64, 48)[None]).double()
    network = engine.network.double()
    seen = torch.zeros(side, side, dtype=torch.bool)
    for y in range(side // 2, side // 2 + network.stride):  # Every offset in the stride grid.
        x = torch.rand(1, 3, side, side, dtype=torch.double, requires_grad=True)
        network(x, 0, None, engine.statistics_network.normalize_with(statistics))[0, :, y, y].sum().backward()
        seen = x.grad[0].abs().sum(0) > 0
        for places in seen.nonzero().T:
            assert places.min() >= y - radius and places.max() <= y + radius
            assert places.min() <= y - radius + 2 * network.stride  # The radius is not much too large.


@pytest.mark.parametrize("margin", [0, 8])
@pytest.mark.parametrize("size", ["deep", "half", "fast"])
def test_image_with_its_own_statistics_is_stylized_as_by_the_network(size, margin):
    engine = engine_of(make_network(size), margin)
    photo, other = photo_of(75, 62), photo_of(75, 62, seed=1)
    statistics = engine.measure(photo[None])
    assert torch.allclose(stylize_whole(engine, photo, statistics), engine.stylize(photo[None])[0], atol=1e-4)
    difference = stylize_whole(engine, other, statistics) - engine.stylize(other[None])[0]
    assert difference.abs().max() > 0.02


@pytest.mark.slow
@pytest.mark.parametrize("margin", [0, 8])
@pytest.mark.parametrize("width, height", [(300, 200), (211, 157), (5, 190), (130, 1)])
@pytest.mark.parametrize("size", ["deep", "half", "fast"])
def test_tiled_result_equals_whole_result_with_the_same_statistics(size, width, height, margin):
    engine = engine_of(make_network(size), margin)
    photo = photo_of(width, height)
    statistics = engine.measure(thumbnail(photo, 100))
    whole = stylize_whole(engine, photo, statistics)
    assert whole.amax() - whole.amin() > 0.1
    for tile in (32, 67, 1000):
        assert (tiled(engine, photo, tile, statistics) - whole).abs().max() < LEVEL / 10
        result = tiled(engine, to_bytes(photo), tile, statistics)
        assert result.dtype == torch.uint8
        assert (result / 255 - whole).abs().max() <= LEVEL


def test_full_network_has_the_assumed_receptive_field():
    engine = engine_of(make_network("half", None), 8)
    photo = photo_of(250, 190)
    statistics = engine.measure(photo[None])
    whole = stylize_whole(engine, photo, statistics)
    assert (tiled(engine, photo, 64, statistics) - whole).abs().max() < LEVEL / 10


def test_tiles_leave_no_seams():
    engine = engine_of(make_network("half"))
    photo = photo_of(300, 220)
    statistics = engine.measure(thumbnail(photo, 128))
    result = tiled(engine, photo, 64, statistics)
    steps = (result[:, :, 1:] - result[:, :, :-1]).abs().mean((0, 1))
    radius = engine.network.layout.receptive_radius()
    borders = [span.place.start - 1 for span in spans(300, 300, 64, radius, 0, 4)][1:]
    assert len(borders) >= 3
    others = np.setdiff1d(np.arange(299), borders)
    assert steps[borders].max() <= steps[others].max()
    whole = stylize_whole(engine, photo, statistics)
    at_borders = (whole[:, :, 1:] - whole[:, :, :-1]).abs().mean((0, 1))[borders]
    assert torch.allclose(steps[borders], at_borders, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 5, 40, 301])
@pytest.mark.parametrize("margin", [0, 8])
def test_mirrored_border_is_the_networks(size, margin):
    expected = mirror_pad(torch.arange(size), 0, margin, 16)
    assert np.array_equal(mirror_index(size, margin, 16), expected.numpy())


def test_tiles_have_one_shape_and_start_on_the_stride_grid():
    shapes = set()

    def run(x, place):
        shapes.add(tuple(x.shape))
        return x

    photo = to_bytes(photo_of(301, 222))
    out = torch.zeros_like(photo)
    stylize_tiled(run, photo, out, 64, 24, 8, 4)
    assert len(shapes) == 1 and max(shapes.pop()) <= 64 + 48
    assert torch.equal(out, photo)
    for size in (16, 100, 301, 640):
        found = list(spans(size, size + 16 + -size % 4, 64, 24, 8, 4))
        assert all(span.start % 4 == span.stop % 4 == 0 for span in found)
        assert [span.place.start for span in found[1:]] == [span.place.stop for span in found[:-1]]
        assert found[0].place.start == 0 and found[-1].place.stop == size
        assert all(span.keep.start >= 24 for span in found[1:])


def test_memory_mapped_files_work_as_input_and_output(tmp_path):
    photo = to_bytes(photo_of(150, 90))
    files = [
        np.memmap(tmp_path / name, np.uint8, "w+", shape=(90, 150, 3)) for name in ("photo.raw", "out.raw")
    ]
    files[0][:] = photo.permute(1, 2, 0).numpy()
    views = [file.transpose(2, 0, 1) for file in files]
    engine = engine_of(make_network("fast"), 8)
    statistics, layout = engine.measure(thumbnail(photo, 64)), engine.network.layout

    def run(x, position):
        return engine.stylize_tile(engine.array(x), position, statistics).numpy()

    stylize_tiled(run, *views, 48, layout.receptive_radius(), 8, layout.stride)
    assert np.array_equal(views[1], tiled(engine, photo, 48, statistics).numpy())


def test_thumbnail_is_the_shrunk_image():
    photo = photo_of(300, 200)
    small = thumbnail(photo, 100)
    assert small.shape == (1, 3, 67, 100)
    assert (small.mean((0, 2, 3)) - photo.mean((1, 2))).abs().max() < 0.01
    assert (thumbnail(to_bytes(photo), 100) - small).abs().max() < 0.01
    assert torch.equal(thumbnail(photo, 1000)[0], photo)


@pytest.fixture
def stylize() -> Stylizer:
    return Stylizer(
        make_network("half"), ModelCard(name="small"), device="cpu", precision="fp32", engine="torch"
    )


def max_level_difference(a: Image.Image, b: Image.Image) -> int:
    return int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max())


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"strength": 0.4}, {"preserve_color": True}, {"strength": 0}])
def test_stylizer_gives_the_same_image_with_tiles(stylize, options):
    image = draw_image(201, 143).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    # The image is no larger than the thumbnail, so the statistics are exact.
    whole, result = stylize(image, **options), stylize(image, tile=64, **options)
    assert result.mode == "RGBA" and max_level_difference(result, whole) <= 1
    assert max_level_difference(result.getchannel("A"), image.getchannel("A")) == 0
    photos = torch.stack([photo_of(150, 90, seed) for seed in range(2)])
    for given in (photos, photos[0]):
        result = stylize(given, tile=48, **options)
        assert result.shape == given.shape and result.dtype == given.dtype
        assert (result - stylize(given, **options)).abs().max() < LEVEL / 10


def test_image_too_large_for_memory_is_tiled(stylize, monkeypatch):
    image, tiles = draw_image(300, 200), []
    whole = stylize(image)
    assert stylize.tile_for(300, 200) is None
    monkeypatch.setattr("faststyle.inference.network_runner.max_whole_pixels", lambda *_: 50_000)
    monkeypatch.setattr(stylize.backend, "run", None)  # No image is stylized whole.
    assert stylize.tile_for(300, 200) == MIN_TILE and stylize.tile_for(250, 200) is None
    monkeypatch.setattr(tiling, "MIN_TILE", 64)
    monkeypatch.setattr(
        "faststyle.inference.network_runner.stylize_tiled",
        lambda *given: tiles.append(given[3]) or stylize_tiled(*given),
    )
    assert max_level_difference(stylize(image), whole) <= 1
    assert tiles == [int(50_000**0.5) - 2 * stylize.model.layout.receptive_radius() & -4]


def test_invalid_tile_size_is_rejected(stylize):
    with pytest.raises(InputError, match="-5"):
        stylize(draw_image(40, 30), tile=-5)


def test_estimated_memory_grows_with_the_channels():
    half, full, fast = (layout_of({"size": size}).bytes_per_pixel() for size in ("half", "full", "fast"))
    assert fast < half < full and half == 420
    assert 1 << 20 < free_memory() < 1 << 50
    limits = [max_whole_pixels(layout_of({"size": size}), "cpu") for size in ("full", "fast")]
    assert 0 < limits[0] <= limits[1] <= MAX_UNTILED_PIXELS


def test_infer_stylizes_with_tiles(tmp_path, model, capsys, monkeypatch):
    photo, flags = (
        tmp_path / "photo.png",
        ["--checkpoint", str(model), "--device", "cpu", "--precision", "fp32", "-o"],
    )
    draw_image(300, 200).save(photo)
    tiled, used = network_runner.NetworkRunner._tiled, []
    monkeypatch.setattr(
        network_runner.NetworkRunner, "_tiled", lambda *given: used.append(given) or tiled(*given)
    )
    infer([str(photo), *flags, str(tmp_path / "whole.png")])
    assert not used
    infer([str(photo), *flags, str(tmp_path / "tiled.png"), "--tile", "256"])
    assert len(used) == 1
    monkeypatch.setattr("faststyle.inference.network_runner.max_whole_pixels", lambda *_: 50_000)
    infer([str(photo), *flags, str(tmp_path / "own.png")])
    assert len(used) == 2
    whole = open_image(tmp_path / "whole.png")
    for name in ("tiled.png", "own.png"):
        assert max_level_difference(open_image(tmp_path / name), whole) <= 1
    for wrong in ("15", "big"):
        assert wrong in expect_error_line(capsys, infer, [str(photo), *flags, "out.png", "--tile", wrong])
    wrong = [str(photo), "--checkpoint", "all", "--tile", "256"]
    assert "--tile" in expect_error_line(capsys, infer, wrong)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_infer_stylizes_from_file_to_file(tmp_path, model, monkeypatch, mode):
    pytest.importorskip("pyvips")
    photo, flags = (
        tmp_path / "photo.png",
        ["--checkpoint", str(model), "--device", "cpu", "--precision", "fp32", "-o"],
    )
    image = draw_image(300, 200)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(photo)
    infer([str(photo), *flags, str(tmp_path / "whole.png")])
    monkeypatch.setattr("faststyle.image.vips.MIN_VIPS_PIXELS", 60_000)
    monkeypatch.setattr("faststyle.image.files.open_image", None)  # Pillow is not used.
    infer([str(photo), *flags, str(tmp_path / "strips" / "out.png")])
    results = [Image.open(path) for path in (tmp_path / "whole.png", tmp_path / "strips" / "out.png")]
    assert results[0].mode == results[1].mode == mode and max_level_difference(*results) <= 1
    assert [path.name for path in (tmp_path / "strips").iterdir()] == ["out.png"]
