"""Standard input and output, and lines of JSON, of the command stylize."""

import io
import json
import sys
from types import SimpleNamespace

import pytest
from PIL import Image

from faststyle.cli.main import main
from tests.support.commands import expect_error_line
from tests.support.images import draw_image


@pytest.fixture
def stdin(monkeypatch):
    """Return a function that sets what the command reads."""

    def give(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: False))

    return give


@pytest.fixture
def photo_bytes() -> bytes:
    stream = io.BytesIO()
    draw_image(80, 60).save(stream, "JPEG")
    return stream.getvalue()


def test_image_goes_from_standard_input_to_standard_output(stdin, photo_bytes, model, work, capfdbinary):
    stdin(photo_bytes)
    main(["stylize", "-", "--checkpoint", str(model)])
    with Image.open(io.BytesIO(capfdbinary.readouterr().out)) as image:
        assert (image.format, image.size) == ("PNG", (80, 60))
    assert not list(work.iterdir())


def test_pipe_and_file_can_be_mixed(stdin, photo_bytes, model, work, capfdbinary):
    stdin(photo_bytes)
    main(["stylize", "-", "--checkpoint", str(model), "-o", "out.jpg"])
    assert Image.open("out.jpg").size == (80, 60)
    capfdbinary.readouterr()
    main(["stylize", "out.jpg", "--checkpoint", str(model), "-o", "-"])
    assert Image.open(io.BytesIO(capfdbinary.readouterr().out)).size == (80, 60)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"", ["-"], "standard input is empty"),
        (b"hello", ["-"], "standard input is not an image"),
        (b"", ["-", "photo.jpg"], "give no other input"),
        (b"", ["photos", "-o", "-"], "give no other input"),
        (b"", ["-", "--json"], "--json cannot be used with -"),
    ],
)
def test_invalid_use_of_a_pipe_is_one_line(stdin, model, work, capsys, content, options, message):
    stdin(content)
    (work / "photos").mkdir()
    assert message in expect_error_line(capsys, main, ["stylize", *options, "--checkpoint", str(model)])


def test_json_has_a_line_for_each_file(model, work, capsys):
    (work / "photos").mkdir()
    draw_image(80, 60).save(work / "photos" / "good.png")
    (work / "photos" / "bad.png").write_bytes(b"no image")
    with pytest.raises(SystemExit) as ended:
        main(["stylize", "photos", "--checkpoint", str(model), "-o", "out", "--json"])
    assert ended.value.code == 2
    bad, good = map(json.loads, capsys.readouterr().out.splitlines())
    assert bad["source"] == "photos/bad.png" and bad["result"] is None and "not an image" in bad["error"]
    assert good["result"] == "out/good.png" and good["size"] == [80, 60] and good["error"] is None
    assert good["engine"] == "torch" and good["seconds"] > 0
