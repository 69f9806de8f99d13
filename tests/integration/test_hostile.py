"""Tests with damaged and malicious files, unusual file names, and links out of the output folder."""

import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, features

from benchmarks import hostile as benchmark
from faststyle.cli.main import infer as main
from faststyle.errors import InputError, one_line
from faststyle.files import check_inside
from faststyle.image.files import open_image, save_image
from faststyle.image.validation import check_pixel_count, silence_decoders
from faststyle.image.vips import count_pixels
from faststyle.models.card import ModelCard, StyleImage
from faststyle.models.checkpoint import save_model
from faststyle.models.network import TransformerNetwork
from faststyle.training.crops import read_photo
from faststyle.training.datamodule import ContentPhotos
from faststyle.video.opening import is_animated, open_clip
from tests.support import ROOT
from tests.support import hostile_files as hostile
from tests.support.commands import expect_error_line, read_folder
from tests.support.images import draw_image
from tests.support.videos import make_clip

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # the commands hide these warnings, pytest shows them

PROC_STATUS = Path("/proc/self/status")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Return the folder of hostile files, and their paths."""
    folder = tmp_path_factory.mktemp("hostile") / "photos"
    return folder, hostile.make(folder, 1_000, frames=20)


@pytest.fixture
def infer(tmp_path, monkeypatch, model):
    """Return ``python infer.py`` with the small model, run in an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    options = ["--checkpoint", str(model), "--device=cpu", "--precision=fp32"]
    return lambda *arguments: main([*options, *map(str, arguments)])


def memory(kind: str) -> int:
    """Return the memory of this process in bytes: VmRSS is the current value, VmHWM the peak."""
    lines = PROC_STATUS.read_text().splitlines() if PROC_STATUS.exists() else [f"{kind}: 0 kB"]
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(kind))


@pytest.fixture
def memory_limit():
    """Fail a test that allocates 1.5 GiB or more, which leaves 0.5 GiB of a 2 GiB limit for PyTorch."""
    if PROC_STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = memory("VmRSS")
    yield
    assert memory("VmHWM") - before < 1.5 * 2**30


# The corpus


@pytest.mark.slow
def test_each_hostile_file_gives_an_image_or_one_error_line(corpus, infer, memory_limit, capfd):
    folder, paths = corpus
    before = read_folder(folder.parent)
    with pytest.raises(SystemExit) as caught:
        infer(folder, "-o", "out")
    printed = capfd.readouterr()
    assert caught.value.code == 2
    ends = [line.split("\r")[-1] for line in printed.err.split("\n")]
    reports = [line for line in ends if line.startswith(("error: ", "warning: "))]
    written = {path.stem for path in Path("out").iterdir()}
    assert "Traceback" not in printed.err and len(reports) > 300 and len(written) > 300
    for path in (path for path in paths if path.is_file()):
        lines = [line for line in reports if f"/{one_line(path.name)}" in line]
        assert len(lines) == 1 or (not lines and path.stem in written), (path, lines)
    assert {f"good {number}" for number in range(10)} <= written
    # All other lines are progress bars or notes on a video.
    other = {line for line in ends if line.strip() and line not in reports}
    assert not [
        line
        for line in other
        if not re.search(r"\d+%\||\[\d\d:\d\d|engine: |padded to|left out|\x1b\[A", line)
    ]
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202e]", printed.err)
    assert read_folder(folder.parent) == before  # no code was run and no input was changed


@pytest.mark.slow
def test_training_uses_the_good_photos_among_hostile_files(corpus, train, capfd, caplog):
    folder, _ = corpus
    train("--content", str(folder), "--output", "run", "--trainer.max_steps=3")
    assert Path("run/run.safetensors").is_file()
    assert "Traceback" not in capfd.readouterr().err
    assert all(len(record.getMessage().splitlines()) == 1 for record in caplog.records)


@pytest.mark.slow
def test_each_hostile_file_is_read_for_training_or_refused(corpus, memory_limit, capfd):
    folder, paths = corpus
    silence_decoders()
    read = 0
    for path in [*paths, *folder.glob("good *")]:
        begun = time.monotonic()
        try:
            read_photo({"image": {"path": str(path), "bytes": None}}, 64)
            read += 1
        except InputError as error:
            assert path.name in str(error)
        assert time.monotonic() - begun < 10, path
    assert 200 < read < 800
    assert capfd.readouterr().err == ""  # no messages of libraries


@pytest.mark.parametrize(
    "name", ["pipe.jpg", "pipe.mp4", "pipe gif.gif", "zero.png", "zero.mp4", "random.gif"]
)
def test_pipes_and_devices_are_refused_before_they_are_opened(corpus, infer, name, capsys):
    path = corpus[0] / name
    assert "is a pipe or a device" in expect_error_line(capsys, infer, path, "-o", "out.png")
    for read in (open_image, open_clip):
        with pytest.raises(InputError, match="is a pipe or a device"):
            read(path)


def test_hostile_files_are_deterministic(tmp_path):
    first, second = (list(hostile.damaged(40, seed=3)) for _ in range(2))
    assert first == second


@pytest.mark.slow
def test_benchmark_classifies_images_error_lines_and_failures(tmp_path, model):
    pytest.importorskip("resource")  # the benchmark reads /proc
    first, second = hostile.good(tmp_path / "photos")[:2]
    second.write_bytes(b"not an image")
    results = benchmark.read_each([first, second], model, tmp_path / "alone", 1)
    assert [result.verdict for result in results] == ["picture", "picture", "line", "line"]
    assert not any(map(benchmark.Result.is_wrong, results))
    assert all(1 << 28 < result.memory < 2 << 30 and result.seconds < 10 for result in results)
    for code, printed, made in [
        (1, "Traceback (most recent call last):\nKeyError: 3", False),
        (2, "error: a\nerror: b", False),
        (2, "error: a\nlibtiff: broken", False),
        (0, "", False),
        (2, "error: \x1b[31mred", False),
    ]:
        assert hostile.verdict(code, printed, made) not in ("picture", "line")


# Bombs


def test_decompression_bombs_are_refused_and_large_images_are_not():
    check_pixel_count(16_000_000, 100, "blank.png")
    check_pixel_count(100_000_000, 10_000_000, "photo.jpg")  # 10 pixels per byte, as with strong compression
    check_pixel_count(900_000_000, 2_700_000_000, "scan.tif")
    for pixels, size in ((17_000_000, 100), (900_000_000, 2_600_000), (2**62, 10**9)):
        with pytest.raises(InputError, match="decompression bombs"):
            check_pixel_count(pixels, size, "bomb.png")


def test_image_of_one_colour_is_not_a_bomb(tmp_path):
    Image.new("RGB", (3840, 2160), "white").save(tmp_path / "white.png")
    assert open_image(tmp_path / "white.png").size == (3840, 2160)


REFUSED = {  # bombs that Pillow would decode while it opens the file
    "heavy tags, odd head.tif": "its tags are larger",
    "many strips.tif": "its tags are larger",
    "heavy list of images.jpg": "its tags are larger",
    "many scans.jpg": "more than 500 segments",
    "13000x13000 16 bit.png": "decompression bombs",
    "heavy exif avif.jpg": "its tags are larger",
}


@pytest.mark.slow
def test_bombs_in_headers_are_refused_before_pillow_reads_them(tmp_path, memory_limit):
    found = dict(hostile.bombs(1))
    for name, words in REFUSED.items():
        if name in found or features.check("avif"):
            with pytest.raises(InputError, match=words):
                open_image(io.BytesIO(found[name]), name)
    (tmp_path / "a.gif").write_bytes(found["heavy second page.gif"])
    assert not is_animated(tmp_path / "a.gif")  # so the second page is not decoded
    assert open_image(tmp_path / "a.gif").size == (4, 4)


def test_large_files_are_accepted_and_not_read_whole(tmp_path, memory_limit):
    path = tmp_path / "a.jpg"
    exif = hostile.exif(6)
    exif[0x9C9C] = bytes(40_000)
    draw_image(60, 40).save(path, "MPO", save_all=True, append_images=[draw_image(30, 20)], exif=exif)
    with path.open("ab") as file:
        file.truncate(1 << 30)  # phones append a video to the photo
    assert open_image(path).size == (40, 60)
    path.write_bytes(b"\xff\xd8\xff")
    with path.open("ab") as file:
        file.truncate(1 << 30)
    with pytest.raises(InputError, match="no image data"):
        open_image(path)
    many = draw_image(60, 40).resize((2_000, 1_500))
    many.save(path, progressive=True, icc_profile=bytes(300_000))
    assert open_image(path).size == (2_000, 1_500)
    heavy = hostile.tiff([(256, 4, 1, 4), (700, 1, 2**31, 200)])
    (tmp_path / "a.tif").write_bytes(heavy)
    os.truncate(tmp_path / "a.tif", 3 << 30)
    with pytest.raises(InputError, match="its tags are larger"):
        open_image(tmp_path / "a.tif")


@pytest.mark.slow
def test_bombs_are_refused_by_libvips_too(tmp_path):
    pytest.importorskip("pyvips")
    for name, data in hostile.bombs(1):
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match="decompression bombs"):
        count_pixels(tmp_path / "30000x30000.png")
    assert count_pixels(tmp_path / "30000x30000.ppm") == 0


def test_svg_content_and_options_in_names_do_not_reach_libvips(tmp_path):
    pytest.importorskip("pyvips")
    (tmp_path / "a.png").write_text("<svg xmlns='http://www.w3.org/2000/svg' width='9000' height='9000'/>")
    assert count_pixels(tmp_path / "a.png") == 0
    draw_image(40, 30).save(tmp_path / "a[shrink=2].jpg")
    assert count_pixels(tmp_path / "a[shrink=2].jpg") == 1200


def test_long_animation_is_accepted_and_large_frames_are_refused(tmp_path):
    (tmp_path / "a.gif").write_bytes(hostile.gif(40, 30, 2_000))
    with open_clip(tmp_path / "a.gif") as video:
        assert video.count == 2_000
    for side in (3_000, 6_000):
        (tmp_path / "b.gif").write_bytes(hostile.gif(side, side, 2_000))
        with pytest.raises(InputError, match=r"b\.gif claims .* decompression bombs"):
            open_clip(tmp_path / "b.gif")


@pytest.mark.parametrize("orientation", [0, 9, 99])
def test_unknown_orientation_is_ignored(tmp_path, orientation):
    draw_image(40, 30).save(tmp_path / "a.png", exif=hostile.exif(orientation))
    assert np.array_equal(open_image(tmp_path / "a.png"), draw_image(40, 30))


def test_orientation_is_applied_although_other_tags_are_broken(tmp_path):
    tags = hostile.tiff([(0x0112, 3, 1, 6), (0x8769, 4, 1, 8), (0x9003, 2, 9_999, 60_000)], 8)
    draw_image(40, 30).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + tags)
    assert open_image(tmp_path / "a.jpg").size == (30, 40)


def test_frame_outside_the_canvas_does_not_enlarge_the_video(tmp_path):
    data = bytearray(hostile.gif(40, 30, 3))
    last = data.rindex(b"\x2c")
    data[last + 1 : last + 9] = b"\xff\xff\xff\xff\x01\x00\x01\x00"  # position (65535, 65535)
    (tmp_path / "a.gif").write_bytes(data)
    with open_clip(tmp_path / "a.gif") as video:
        assert [frame.pixels.shape for frame in video] == [(30, 40, 3)] * 2 and "damaged" in video.damage
    data[last + 1 : last + 5] = b"\xff\x2f\xff\x2f"  # position (12287, 12287)
    (tmp_path / "a.gif").write_bytes(data)
    with pytest.raises(InputError, match="decompression bombs"):
        open_clip(tmp_path / "a.gif")


def test_damaged_duration_is_ignored(tmp_path):
    path = make_clip(tmp_path / "a.webm", 3, codec="libvpx")
    path.write_bytes(path.read_bytes().replace(b"00:00:0", b"00:x0:0"))
    with open_clip(path) as video:
        assert len(list(video)) == 3


# Playlists


@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile 'secret.mp4'\n", "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n"]
)
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_playlists_do_not_open_other_files(tmp_path, text, name):
    make_clip(tmp_path / "secret.mp4", 2)
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match="is not a video that can be read"):
        open_clip(tmp_path / name)


# Names


@pytest.mark.parametrize("name", hostile.NAMES)
def test_unusual_image_names_are_read_written_and_printed(tmp_path, infer, name, capfd):
    folder = tmp_path / f"in {name[:20]}"
    folder.mkdir()
    draw_image(40, 30).save(folder / "a.png")
    (folder / "a.png").rename(folder / name)
    out = Path(f"out {name[:20]} here".replace(".", ""))
    infer("-o", out, "--", folder / name)
    (written,) = out.iterdir()
    assert written.name == name and open_image(written).size == (40, 30)
    assert capfd.readouterr().out == f"{one_line(written)}\n"


@pytest.mark.parametrize("name", [hostile.NAMES[place] for place in (1, 3, 6, 8, 10, -3, -1)])
def test_unusual_video_names_are_read_written_and_printed(tmp_path, infer, name, capfd):
    path = make_clip(tmp_path / "a.mp4", 2, size=(32, 16)).rename(tmp_path / f"{name[:-4]}.mp4")
    infer("-o", "out", "--", path)
    assert [one.name for one in Path("out").iterdir()] == [path.name]
    assert capfd.readouterr().out == f"{one_line(Path('out') / path.name)}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["caf\u00e9", "new\nline", "-x", b"by\xfftes".decode(errors="surrogateescape")]
)
def test_unusual_names_of_styles_folders_and_runs(tmp_path, train, photos, name, capfd, monkeypatch):
    style, content = tmp_path / f"{name}.png", tmp_path / name
    draw_image(64, 64).save(tmp_path / "style.png")
    (tmp_path / "style.png").rename(style)
    photos.rename(content)
    try:
        train(f"--style={style}", f"--content={content}", f"--output={tmp_path / 'runs' / name}")
    except SystemExit as end:  # a one-line error if the name is not UTF-8
        assert end.code == 2 and "\udcff" in name
        assert len(capfd.readouterr().err.strip().splitlines()) == 1
        return
    model = tmp_path / "runs" / name / f"{name}.safetensors"
    main([f"--checkpoint={model}", "--device=cpu", f"--output={tmp_path / 'a.png'}", str(style)])
    assert (tmp_path / "a.png").is_file()
    assert "Traceback" not in capfd.readouterr().err


def test_one_line_escapes_control_characters_only():
    assert (
        one_line("caf\u00e9 \u6f22 \U0001f469\u200d\U0001f680\u3000.png")
        == "caf\u00e9 \u6f22 \U0001f469\u200d\U0001f680\u3000.png"
    )
    assert one_line("a\nb\x1b[31m\u202e\x00") == r"a\nb\x1b[31m\u202e\x00"
    assert one_line(b"a\xff".decode(errors="surrogateescape")) == r"a\xff"


@pytest.mark.parametrize("name", ["-x.jpg", "--y.png"])
def test_error_for_a_name_like_an_option_gives_a_hint(infer, name, capsys):
    save_image(draw_image(40, 30), f"./{name}")
    assert f"./{name}" in expect_error_line(capsys, infer, name, "-o", "out.png")
    infer(f"./{name}", "-o", "out.png")
    infer("-o", "out.png", "--", name)


@pytest.mark.slow
def test_name_that_is_not_utf8_can_be_printed(tmp_path, model):
    name = b"a\xff.png".decode(errors="surrogateescape")
    draw_image(40, 30).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / name)
    (tmp_path / "broken\udcff.png").write_bytes(b"")
    options = ["--checkpoint", model, "--device=cpu", "--engine=torch", "-o", tmp_path / "o\udcff"]
    run = subprocess.run(
        [sys.executable, ROOT / "infer.py", *options, tmp_path / name, tmp_path / "broken\udcff.png"],
        capture_output=True, env=os.environ | {"PYTHONUTF8": "1"}, check=False,
    )  # fmt: skip
    assert run.returncode == 2 and b"Traceback" not in run.stderr
    assert rb"broken\xff.png" in run.stderr and rb"1 of 2" in run.stdout
    assert (tmp_path / "o\udcff" / name).is_file()


# Links


@pytest.fixture
def elsewhere(tmp_path) -> Path:
    """Return a folder that nothing may be written to."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "kept.jpg").write_bytes(b"kept")
    (folder / "kept.mp4").write_bytes(b"kept")
    return folder


def run_with_errors(infer, capsys, *arguments) -> str:
    """Run the command, which must exit with status 2, and return its stderr."""
    with pytest.raises(SystemExit) as caught:
        infer(*arguments)
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_results_are_not_written_through_links_out_of_the_output_folder(photos, infer, elsewhere, capsys):
    (photos / "sub" / "deep").mkdir(parents=True)
    draw_image(40, 30).save(photos / "sub" / "deep" / "fox.png")
    make_clip(photos / "video.mp4", 2)
    out = Path("out")
    out.mkdir()
    (out / "sub").symlink_to(elsewhere)
    (out / "beach.jpg").symlink_to(elsewhere / "kept.jpg")
    (out / "video.part.mp4").symlink_to(elsewhere / "kept.mp4")
    before = read_folder(elsewhere)
    error = run_with_errors(infer, capsys, photos, "-o", out)
    assert read_folder(elsewhere) == before and list(elsewhere.glob("*/")) == []
    assert error.count("error: ") == 2
    assert "out/beach.jpg is a link" in error and "out/sub/deep/fox.png would be written to" in error
    assert {path.name for path in out.iterdir() if not path.is_symlink()} == {
        "cat.png", "dune.jpg", "elm.png", "video.mp4"
    }  # fmt: skip


def test_single_result_behind_a_link_is_refused(photos, infer, elsewhere, capsys):
    Path("out").mkdir()
    Path("out/cat.png").symlink_to(elsewhere / "new.png")
    assert "is a link" in expect_error_line(capsys, infer, photos / "cat.png", "-o", "out")
    assert not (elsewhere / "new.png").exists()


def test_output_file_that_is_a_link_is_replaced(photos, infer, elsewhere):
    Path("a.jpg").symlink_to(elsewhere / "kept.jpg")
    before = read_folder(elsewhere)
    infer(photos / "cat.png", "-o", "a.jpg")
    assert not Path("a.jpg").is_symlink() and open_image("a.jpg").size == (70, 110)
    assert read_folder(elsewhere) == before


def test_output_folder_and_inputs_can_be_links(photos, infer, elsewhere):
    Path("out").symlink_to(elsewhere)
    Path("in").mkdir()
    Path("in/there.png").symlink_to(photos / "cat.png")
    infer("in", "-o", "out")
    assert open_image(elsewhere / "there.png").size == (70, 110)


def test_symlink_loops_are_skipped(photos, infer):
    (photos / "loop").symlink_to(photos)
    (photos / "self.jpg").symlink_to(photos / "self.jpg")
    Path("out").mkdir()
    Path("out/loop").symlink_to("loop")
    infer(photos, "-o", "out")
    assert len([path for path in Path("out").iterdir() if path.is_file()]) == 4


def test_frames_replace_links(tmp_path, infer, elsewhere):
    make_clip(tmp_path / "a.mp4", 2, size=(32, 16))
    Path("00001.png").symlink_to(elsewhere / "kept.jpg")
    before = read_folder(elsewhere)
    infer(tmp_path / "a.mp4", "-o", "%05d.png")
    assert read_folder(elsewhere) == before and not Path("00001.png").is_symlink()


def test_temporary_file_that_is_a_link_is_not_followed(tmp_path, elsewhere):
    link = tmp_path / f".a.png.{os.getpid()}.tmp"
    link.symlink_to(elsewhere / "kept.jpg")
    save_image(draw_image(8, 8), tmp_path / "a.png")
    assert (elsewhere / "kept.jpg").read_bytes() == b"kept" and not link.is_symlink()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["previews", "logs", "run.safetensors"])
def test_run_is_not_written_through_links_out_of_its_folder(train, elsewhere, capsys, name):
    train("--output", "run")
    place = Path("run") / name
    (place.rename(Path("moved")))
    place.symlink_to(elsewhere / "kept.jpg" if place.suffix else elsewhere)
    before = read_folder(elsewhere)
    error = expect_error_line(capsys, train, "--output", "run", "--resume", "--trainer.max_steps=4")
    assert f"run/{name} is a link out of run" in error
    assert read_folder(elsewhere) == before


def test_link_within_the_folder_is_accepted(tmp_path):
    (tmp_path / "out" / "real").mkdir(parents=True)
    (tmp_path / "out" / "sub").symlink_to("real")
    check_inside(tmp_path / "out" / "sub" / "a.png", tmp_path / "out")


def test_name_in_the_metadata_is_not_used_as_a_path(tmp_path, infer, photos):
    torch.manual_seed(0)
    network = TransformerNetwork("half", blocks=1)
    save_model(
        tmp_path / "m.safetensors", network, ModelCard(name="../../evil", style=(StyleImage("/etc/x"),))
    )
    main([f"--checkpoint={tmp_path / 'm.safetensors'}", "--device=cpu", str(photos / "cat.png")])
    assert (photos / "cat_m.png").is_file()


def test_dataset_row_that_names_a_device_is_refused():
    with pytest.raises(InputError, match="is a pipe or a device"):
        read_photo({"image": {"path": "/dev/zero", "bytes": None}}, 64)


def test_photo_whose_name_is_not_utf8_is_skipped(photos, caplog):
    (photos / "cat.png").rename(photos / b"cat\xff.png".decode(errors="surrogateescape"))
    data = ContentPhotos(str(photos), size=64)
    data.setup("fit")
    assert len(data.rows) == 2
    assert rb"cat\xff.png: its name is not UTF-8".decode() in caplog.text
