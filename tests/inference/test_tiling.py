import numpy as np
import pytest
import torch
from PIL import Image

from faststyle import device
from faststyle.cli.main import infer
from faststyle.device import free_memory
from faststyle.errors import InputError
from faststyle.image.convert import to_tensor
from faststyle.image.files import open_image
from faststyle.inference import tiling
from faststyle.inference.stylizer import Stylizer
from faststyle.inference.tiling import (
    MAX_UNTILED_PIXELS,
    MIN_TILE,
    Tile,
    bytes_per_pixel,
    freeze,
    max_whole_pixels,
    receptive_radius,
    spans,
    stylize_tiled,
    thumbnail,
)
from faststyle.models.card import ModelCard
from faststyle.models.network import Inference, TransformerNetwork
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


def tiled(network, photo, tile, margin=0):
    out = torch.full_like(photo, 7)
    stylize_tiled(Tile(network), photo, out, tile, receptive_radius(network), margin, network.stride)
    return out


@pytest.mark.slow
@pytest.mark.parametrize(
    "size, blocks", [("deep", 0), ("half", 0), ("half", 2), ("half", None), ("full", 1), ("fast", None)]
)
def test_pixels_depend_only_on_the_receptive_field(size, blocks):
    network = make_network(size, blocks)
    radius = receptive_radius(network)
    side = 2 * radius + 4 * network.stride
    frozen = freeze(network, photo_of(64, 48)[None]).double()
    seen = torch.zeros(side, side, dtype=torch.bool)
    for y in range(side // 2, side // 2 + network.stride):  # Every offset in the stride grid.
        x = torch.rand(1, 3, side, side, dtype=torch.double, requires_grad=True)
        frozen(x)[0, :, y, y].sum().backward()
        seen = x.grad[0].abs().sum(0) > 0
        for places in seen.nonzero().T:
            assert places.min() >= y - radius and places.max() <= y + radius
            assert places.min() <= y - radius + 2 * network.stride  # The radius is not much too large.


@pytest.mark.parametrize("margin", [0, 8])
@pytest.mark.parametrize("size", ["deep", "half", "fast"])
def test_network_frozen_with_an_image_stylizes_it_like_the_network(size, margin):
    network = make_network(size)
    photo = photo_of(75, 62)[None]
    frozen = freeze(network, photo, margin)
    assert torch.allclose(frozen(photo, margin), network(photo, margin), atol=1e-4)
    other = photo_of(75, 62, seed=1)[None]
    assert (frozen(other, margin) - network(other, margin)).abs().max() > 0.02
    assert not any(isinstance(module, torch.nn.InstanceNorm2d) for module in frozen.modules())


@pytest.mark.slow
@pytest.mark.parametrize("margin", [0, 8])
@pytest.mark.parametrize("width, height", [(300, 200), (211, 157), (5, 190), (130, 1)])
@pytest.mark.parametrize("size", ["deep", "half", "fast"])
def test_tiled_result_equals_whole_result_with_the_same_statistics(size, width, height, margin):
    network = make_network(size)
    photo = photo_of(width, height)
    frozen = freeze(network, thumbnail(photo, 100), margin)
    whole = Inference(frozen, margin)(photo[None])[0]
    assert whole.amax() - whole.amin() > 0.1
    for tile in (32, 67, 1000):
        assert (tiled(frozen, photo, tile, margin) - whole).abs().max() < LEVEL / 10
        result = tiled(frozen, to_bytes(photo), tile, margin)
        assert result.dtype == torch.uint8
        assert (result / 255 - whole).abs().max() <= LEVEL


def test_full_network_has_the_assumed_receptive_field():
    network = make_network("half", None)
    photo = photo_of(250, 190)
    frozen = freeze(network, photo[None])
    whole = Inference(frozen, 8)(photo[None])[0]
    assert (tiled(frozen, photo, 64, margin=8) - whole).abs().max() < LEVEL / 10


def test_tiles_leave_no_seams():
    network = make_network("half")
    photo = photo_of(300, 220)
    frozen = freeze(network, thumbnail(photo, 128))
    result = tiled(frozen, photo, 64)
    steps = (result[:, :, 1:] - result[:, :, :-1]).abs().mean((0, 1))
    borders = [span.place.start - 1 for span in spans(300, 300, 64, receptive_radius(network), 0, 4)][1:]
    assert len(borders) >= 3
    others = np.setdiff1d(np.arange(299), borders)
    assert steps[borders].max() <= steps[others].max()
    whole = Inference(frozen, 0)(photo[None])[0]
    at_borders = (whole[:, :, 1:] - whole[:, :, :-1]).abs().mean((0, 1))[borders]
    assert torch.allclose(steps[borders], at_borders, atol=1e-5)


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
    views = [torch.from_numpy(file).permute(2, 0, 1) for file in files]
    frozen = freeze(make_network("fast"), thumbnail(views[0], 64), 8)
    stylize_tiled(Tile(frozen), *views, 48, receptive_radius(frozen), 8, frozen.stride)
    assert torch.equal(torch.from_numpy(files[1]).permute(2, 0, 1), tiled(frozen, photo, 48, 8))


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
    monkeypatch.setattr(stylize, "run", None)  # No image is stylized whole.
    assert stylize.tile_for(300, 200) == MIN_TILE and stylize.tile_for(250, 200) is None
    monkeypatch.setattr(tiling, "MIN_TILE", 64)
    monkeypatch.setattr(
        "faststyle.inference.network_runner.stylize_tiled",
        lambda *given: tiles.append(given[3]) or stylize_tiled(*given),
    )
    assert max_level_difference(stylize(image), whole) <= 1
    assert tiles == [int(50_000**0.5) - 2 * receptive_radius(stylize.network) & -4]


def test_invalid_tile_size_is_rejected(stylize):
    with pytest.raises(InputError, match="-5"):
        stylize(draw_image(40, 30), tile=-5)


def test_estimated_memory_grows_with_the_channels():
    half, full, fast = (bytes_per_pixel(make_network(size)) for size in ("half", "full", "fast"))
    assert fast < half < full and half == 420
    cpu = torch.device("cpu")
    assert 1 << 20 < free_memory(cpu) < 1 << 50
    assert (
        0
        < max_whole_pixels(make_network("full"), cpu)
        <= max_whole_pixels(make_network("fast"), cpu)
        <= MAX_UNTILED_PIXELS
    )


@pytest.mark.parametrize(
    "files",
    [("max", "current", "inactive_file"), ("limit_in_bytes", "usage_in_bytes", "total_inactive_file")],
)
def test_memory_limit_of_a_container_is_respected(tmp_path, monkeypatch, files):
    limit, used, cache = files
    (tmp_path / f"memory.{limit}").write_text("5000\n")
    (tmp_path / f"memory.{used}").write_text("2000\n")
    (tmp_path / "memory.stat").write_text(f"anon 7\n{cache} 500\n")
    monkeypatch.setattr(device, "CGROUP_ROOT", tmp_path)
    assert free_memory(torch.device("cpu")) == 3500
    (tmp_path / f"memory.{limit}").write_text("max\n")
    assert free_memory(torch.device("cpu")) > 1 << 20


def test_infer_stylizes_with_tiles(tmp_path, model, capsys, monkeypatch):
    photo, flags = (
        tmp_path / "photo.png",
        ["--checkpoint", str(model), "--device", "cpu", "--precision", "fp32", "-o"],
    )
    draw_image(300, 200).save(photo)
    infer([str(photo), *flags, str(tmp_path / "whole.png")])
    infer([str(photo), *flags, str(tmp_path / "tiled.png"), "--tile", "256"])
    assert "tiles" not in capsys.readouterr().err
    monkeypatch.setattr("faststyle.inference.network_runner.max_whole_pixels", lambda *_: 50_000)
    infer([str(photo), *flags, str(tmp_path / "own.png")])
    assert [line for line in capsys.readouterr().err.splitlines() if "300x200" in line and "256" in line]
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
