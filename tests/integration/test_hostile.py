"""Files that are damaged or mean harm, names that commands trip over, and links that lead out."""

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

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # which pytest would show, and the commands do not

SEEN = Path("/proc/self/status")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """The folder of hostile files, and these files."""
    folder = tmp_path_factory.mktemp("hostile") / "photos"
    return folder, hostile.make(folder, 1_000, frames=20)


@pytest.fixture
def infer(tmp_path, monkeypatch, model):
    """``python infer.py`` with the small model, in an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    flags = ["--checkpoint", str(model), "--device=cpu", "--precision=fp32"]
    return lambda *arguments: main([*flags, *map(str, arguments)])


def memory(kind: str) -> int:
    """Bytes of this process: VmRSS now, VmHWM at most."""
    lines = SEEN.read_text().splitlines() if SEEN.exists() else [f"{kind}: 0 kB"]
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(kind))


@pytest.fixture
def little_memory():
    """What a test takes on top of what the tests before it left: of the 2 GiB torch has half of one."""
    if SEEN.exists():
        Path("/proc/self/clear_refs").write_text("5")  # the largest so far is forgotten
    before = memory("VmRSS")
    yield
    assert memory("VmHWM") - before < 1.5 * 2**30


# The corpus


@pytest.mark.slow
def test_a_thousand_hostile_files_end_in_pictures_or_lines_and_the_good_are_done(
    corpus, infer, little_memory, capfd
):
    folder, paths = corpus
    before = read_folder(folder.parent)
    with pytest.raises(SystemExit) as caught:
        infer(folder, "-o", "out")
    printed = capfd.readouterr()
    assert caught.value.code == 2
    ends = [line.split("\r")[-1] for line in printed.err.split("\n")]
    told = [line for line in ends if line.startswith(("error: ", "warning: "))]
    made = {path.stem for path in Path("out").iterdir()}
    assert "Traceback" not in printed.err and len(told) > 300 and len(made) > 300
    for path in (path for path in paths if path.is_file()):
        lines = [line for line in told if f"/{one_line(path.name)}" in line]
        assert len(lines) == 1 or (not lines and path.stem in made), (path, lines)
    assert {f"good {number}" for number in range(10)} <= made
    # What is neither picture nor line is of a bar, or says what was done to a clip.
    other = {line for line in ends if line.strip() and line not in told}
    assert not [
        line
        for line in other
        if not re.search(r"\d+%\||\[\d\d:\d\d|engine: |padded to|left out|\x1b\[A", line)
    ]
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202e]", printed.err)
    assert read_folder(folder.parent) == before  # no code ran, and nothing was written there


@pytest.mark.slow
def test_training_takes_the_good_among_a_thousand_hostile_files(corpus, train, capfd, caplog):
    folder, _ = corpus
    train("--content", str(folder), "--output", "run", "--trainer.max_steps=3")
    assert Path("run/run.safetensors").is_file()
    assert "Traceback" not in capfd.readouterr().err
    assert all(len(record.getMessage().splitlines()) == 1 for record in caplog.records)


@pytest.mark.slow
def test_each_hostile_file_is_read_for_training_or_refused_in_a_line(corpus, little_memory, capfd):
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
    assert capfd.readouterr().err == ""  # of libraries


@pytest.mark.parametrize(
    "name", ["pipe.jpg", "pipe.mp4", "pipe gif.gif", "zero.png", "zero.mp4", "random.gif"]
)
def test_pipes_and_devices_are_refused_before_they_are_opened(corpus, infer, name, capsys):
    path = corpus[0] / name
    assert "is a pipe or a device" in expect_error_line(capsys, infer, path, "-o", "out.png")
    for read in (open_image, open_clip):
        with pytest.raises(InputError, match="is a pipe or a device"):
            read(path)


def test_the_corpus_is_the_same_each_time(tmp_path):
    first, second = (list(hostile.damaged(40, seed=3)) for _ in range(2))
    assert first == second


@pytest.mark.slow
def test_the_benchmark_tells_pictures_lines_and_what_is_wrong_apart(tmp_path, model):
    pytest.importorskip("resource")  # it looks into /proc
    first, second = hostile.good(tmp_path / "photos")[:2]
    second.write_bytes(b"no picture")
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


def test_a_bomb_is_told_from_a_large_picture():
    check_pixel_count(16_000_000, 100, "blank.png")
    check_pixel_count(100_000_000, 10_000_000, "photo.jpg")  # ten pixels per byte, as in strong compression
    check_pixel_count(900_000_000, 2_700_000_000, "scan.tif")
    for pixels, size in ((17_000_000, 100), (900_000_000, 2_600_000), (2**62, 10**9)):
        with pytest.raises(InputError, match="decompression bombs"):
            check_pixel_count(pixels, size, "bomb.png")


def test_a_drawing_of_few_colours_is_no_bomb(tmp_path):
    Image.new("RGB", (3840, 2160), "white").save(tmp_path / "white.png")
    assert open_image(tmp_path / "white.png").size == (3840, 2160)


REFUSED = {  # of the bombs, those that Pillow would read before it is asked what they hold
    "heavy tags, odd head.tif": "its tags are larger",
    "many strips.tif": "its tags are larger",
    "heavy list of images.jpg": "its tags are larger",
    "many scans.jpg": "more than 500 segments",
    "13000x13000 16 bit.png": "decompression bombs",
    "heavy exif avif.jpg": "its tags are larger",
}


@pytest.mark.slow
def test_bombs_in_headers_are_refused_before_pillow_reads_them(tmp_path, little_memory):
    found = dict(hostile.bombs(1))
    for name, words in REFUSED.items():
        if name in found or features.check("avif"):
            with pytest.raises(InputError, match=words):
                open_image(io.BytesIO(found[name]), name)
    (tmp_path / "a.gif").write_bytes(found["heavy second page.gif"])
    assert not is_animated(tmp_path / "a.gif")  # so its second page is not looked at
    assert open_image(tmp_path / "a.gif").size == (4, 4)


def test_what_is_only_large_is_no_bomb_and_is_not_read_whole(tmp_path, little_memory):
    path = tmp_path / "a.jpg"
    exif = hostile.exif(6)
    exif[0x9C9C] = bytes(40_000)
    draw_image(60, 40).save(path, "MPO", save_all=True, append_images=[draw_image(30, 20)], exif=exif)
    with path.open("ab") as file:
        file.truncate(1 << 30)  # a film, in the files of phones
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
def test_bombs_are_refused_by_strips_too(tmp_path):
    pytest.importorskip("pyvips")
    for name, data in hostile.bombs(1):
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match="decompression bombs"):
        count_pixels(tmp_path / "30000x30000.png")
    assert count_pixels(tmp_path / "30000x30000.ppm") == 0


def test_scripts_in_drawings_and_options_in_names_do_not_reach_libvips(tmp_path):
    pytest.importorskip("pyvips")
    (tmp_path / "a.png").write_text("<svg xmlns='http://www.w3.org/2000/svg' width='9000' height='9000'/>")
    assert count_pixels(tmp_path / "a.png") == 0
    draw_image(40, 30).save(tmp_path / "a[shrink=2].jpg")
    assert count_pixels(tmp_path / "a[shrink=2].jpg") == 1200


def test_a_long_animation_is_a_clip_and_a_bomb_of_frames_is_not(tmp_path):
    (tmp_path / "a.gif").write_bytes(hostile.gif(40, 30, 2_000))
    with open_clip(tmp_path / "a.gif") as clip:
        assert clip.count == 2_000
    for side in (3_000, 6_000):
        (tmp_path / "b.gif").write_bytes(hostile.gif(side, side, 2_000))
        with pytest.raises(InputError, match=r"b\.gif claims .* decompression bombs"):
            open_clip(tmp_path / "b.gif")


@pytest.mark.parametrize("orientation", [0, 9, 99])
def test_an_orientation_that_does_not_exist_is_passed_over(tmp_path, orientation):
    draw_image(40, 30).save(tmp_path / "a.png", exif=hostile.exif(orientation))
    assert np.array_equal(open_image(tmp_path / "a.png"), draw_image(40, 30))


def test_an_orientation_beside_broken_tags_is_taken(tmp_path):
    tags = hostile.tiff([(0x0112, 3, 1, 6), (0x8769, 4, 1, 8), (0x9003, 2, 9_999, 60_000)], 8)
    draw_image(40, 30).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + tags)
    assert open_image(tmp_path / "a.jpg").size == (30, 40)


def test_a_frame_beyond_the_canvas_does_not_make_the_others_large(tmp_path):
    data = bytearray(hostile.gif(40, 30, 3))
    last = data.rindex(b"\x2c")
    data[last + 1 : last + 9] = b"\xff\xff\xff\xff\x01\x00\x01\x00"  # its place: 65535, 65535
    (tmp_path / "a.gif").write_bytes(data)
    with open_clip(tmp_path / "a.gif") as clip:
        assert [frame.pixels.shape for frame in clip] == [(30, 40, 3)] * 2 and "damaged" in clip.damage
    data[last + 1 : last + 5] = b"\xff\x2f\xff\x2f"  # 12287, 12287
    (tmp_path / "a.gif").write_bytes(data)
    with pytest.raises(InputError, match="decompression bombs"):
        open_clip(tmp_path / "a.gif")


def test_a_damaged_length_is_passed_over(tmp_path):
    path = make_clip(tmp_path / "a.webm", 3, codec="libvpx")
    path.write_bytes(path.read_bytes().replace(b"00:00:0", b"00:x0:0"))
    with open_clip(path) as clip:
        assert len(list(clip)) == 3


# Play lists


@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile 'secret.mp4'\n", "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n"]
)
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_play_lists_open_no_other_file(tmp_path, text, name):
    make_clip(tmp_path / "secret.mp4", 2)
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match="is not a video that can be read"):
        open_clip(tmp_path / name)


# Names


@pytest.mark.parametrize("name", hostile.NAMES)
def test_odd_names_are_read_written_and_printed(tmp_path, infer, name, capfd):
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
def test_odd_names_of_clips(tmp_path, infer, name, capfd):
    path = make_clip(tmp_path / "a.mp4", 2, size=(32, 16)).rename(tmp_path / f"{name[:-4]}.mp4")
    infer("-o", "out", "--", path)
    assert [one.name for one in Path("out").iterdir()] == [path.name]
    assert capfd.readouterr().out == f"{one_line(Path('out') / path.name)}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["caf\u00e9", "new\nline", "-x", b"by\xfftes".decode(errors="surrogateescape")]
)
def test_odd_names_of_models_runs_and_folders(tmp_path, train, photos, name, capfd, monkeypatch):
    style, content = tmp_path / f"{name}.png", tmp_path / name
    draw_image(64, 64).save(tmp_path / "style.png")
    (tmp_path / "style.png").rename(style)
    photos.rename(content)
    try:
        train(f"--style={style}", f"--content={content}", f"--output={tmp_path / 'runs' / name}")
    except SystemExit as end:  # in a line, where the name is no text
        assert end.code == 2 and "\udcff" in name
        assert len(capfd.readouterr().err.strip().splitlines()) == 1
        return
    model = tmp_path / "runs" / name / f"{name}.safetensors"
    main([f"--checkpoint={model}", "--device=cpu", f"--output={tmp_path / 'a.png'}", str(style)])
    assert (tmp_path / "a.png").is_file()
    assert "Traceback" not in capfd.readouterr().err


def test_names_are_shown_on_one_line_and_letters_as_they_are():
    assert (
        one_line("caf\u00e9 \u6f22 \U0001f469\u200d\U0001f680\u3000.png")
        == "caf\u00e9 \u6f22 \U0001f469\u200d\U0001f680\u3000.png"
    )
    assert one_line("a\nb\x1b[31m\u202e\x00") == r"a\nb\x1b[31m\u202e\x00"
    assert one_line(b"a\xff".decode(errors="surrogateescape")) == r"a\xff"


@pytest.mark.parametrize("name", ["-x.jpg", "--y.png"])
def test_a_name_that_is_taken_for_a_flag_gets_a_hint(infer, name, capsys):
    save_image(draw_image(40, 30), f"./{name}")
    assert f"./{name}" in expect_error_line(capsys, infer, name, "-o", "out.png")
    infer(f"./{name}", "-o", "out.png")
    infer("-o", "out.png", "--", name)


@pytest.mark.slow
def test_a_name_that_is_no_text_does_not_stop_printing(tmp_path, model):
    name = b"a\xff.png".decode(errors="surrogateescape")
    draw_image(40, 30).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / name)
    (tmp_path / "broken\udcff.png").write_bytes(b"")
    flags = ["--checkpoint", model, "--device=cpu", "--engine=torch", "-o", tmp_path / "o\udcff"]
    run = subprocess.run(
        [sys.executable, ROOT / "infer.py", *flags, tmp_path / name, tmp_path / "broken\udcff.png"],
        capture_output=True, env=os.environ | {"PYTHONUTF8": "1"}, check=False,
    )  # fmt: skip
    assert run.returncode == 2 and b"Traceback" not in run.stderr
    assert rb"broken\xff.png" in run.stderr and rb"1 of 2" in run.stdout
    assert (tmp_path / "o\udcff" / name).is_file()


# Links


@pytest.fixture
def elsewhere(tmp_path) -> Path:
    """A folder that nothing may be written to."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "kept.jpg").write_bytes(b"kept")
    (folder / "kept.mp4").write_bytes(b"kept")
    return folder


def outcome(infer, capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as caught:
        infer(*arguments)
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_results_do_not_leave_the_output_folder_by_links(photos, infer, elsewhere, capsys):
    (photos / "sub" / "deep").mkdir(parents=True)
    draw_image(40, 30).save(photos / "sub" / "deep" / "fox.png")
    make_clip(photos / "film.mp4", 2)
    out = Path("out")
    out.mkdir()
    (out / "sub").symlink_to(elsewhere)
    (out / "beach.jpg").symlink_to(elsewhere / "kept.jpg")
    (out / "film.part.mp4").symlink_to(elsewhere / "kept.mp4")
    before = read_folder(elsewhere)
    said = outcome(infer, capsys, photos, "-o", out)
    assert read_folder(elsewhere) == before and list(elsewhere.glob("*/")) == []
    assert said.count("error: ") == 2
    assert "out/beach.jpg is a link" in said and "out/sub/deep/fox.png would be written to" in said
    assert {path.name for path in out.iterdir() if not path.is_symlink()} == {
        "cat.png", "dune.jpg", "elm.png", "film.mp4"
    }  # fmt: skip


def test_one_result_that_would_leave_is_refused(photos, infer, elsewhere, capsys):
    Path("out").mkdir()
    Path("out/cat.png").symlink_to(elsewhere / "new.png")
    assert "is a link" in expect_error_line(capsys, infer, photos / "cat.png", "-o", "out")
    assert not (elsewhere / "new.png").exists()


def test_a_named_result_that_is_a_link_is_replaced(photos, infer, elsewhere):
    Path("a.jpg").symlink_to(elsewhere / "kept.jpg")
    before = read_folder(elsewhere)
    infer(photos / "cat.png", "-o", "a.jpg")
    assert not Path("a.jpg").is_symlink() and open_image("a.jpg").size == (70, 110)
    assert read_folder(elsewhere) == before


def test_the_output_folder_itself_may_be_a_link_and_inputs_too(photos, infer, elsewhere):
    Path("out").symlink_to(elsewhere)
    Path("in").mkdir()
    Path("in/there.png").symlink_to(photos / "cat.png")
    infer("in", "-o", "out")
    assert open_image(elsewhere / "there.png").size == (70, 110)


def test_links_in_a_ring_are_passed_over(photos, infer):
    (photos / "ring").symlink_to(photos)
    (photos / "self.jpg").symlink_to(photos / "self.jpg")
    Path("out").mkdir()
    Path("out/ring").symlink_to("ring")
    infer(photos, "-o", "out")
    assert len([path for path in Path("out").iterdir() if path.is_file()]) == 4


def test_frames_replace_links(tmp_path, infer, elsewhere):
    make_clip(tmp_path / "a.mp4", 2, size=(32, 16))
    Path("00001.png").symlink_to(elsewhere / "kept.jpg")
    before = read_folder(elsewhere)
    infer(tmp_path / "a.mp4", "-o", "%05d.png")
    assert read_folder(elsewhere) == before and not Path("00001.png").is_symlink()


def test_a_temporary_name_that_is_a_link_is_not_followed(tmp_path, elsewhere):
    link = tmp_path / f".a.png.{os.getpid()}.tmp"
    link.symlink_to(elsewhere / "kept.jpg")
    save_image(draw_image(8, 8), tmp_path / "a.png")
    assert (elsewhere / "kept.jpg").read_bytes() == b"kept" and not link.is_symlink()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["previews", "logs", "run.safetensors"])
def test_a_run_does_not_leave_its_folder_by_links(train, elsewhere, capsys, name):
    train("--output", "run")
    place = Path("run") / name
    (place.rename(Path("moved")))
    place.symlink_to(elsewhere / "kept.jpg" if place.suffix else elsewhere)
    before = read_folder(elsewhere)
    said = expect_error_line(capsys, train, "--output", "run", "--resume", "--trainer.max_steps=4")
    assert f"run/{name} is a link out of run" in said
    assert read_folder(elsewhere) == before


def test_a_link_within_the_folder_is_no_matter(tmp_path):
    (tmp_path / "out" / "real").mkdir(parents=True)
    (tmp_path / "out" / "sub").symlink_to("real")
    check_inside(tmp_path / "out" / "sub" / "a.png", tmp_path / "out")


def test_a_models_own_name_is_no_path(tmp_path, infer, photos):
    torch.manual_seed(0)
    network = TransformerNetwork("half", blocks=1)
    save_model(
        tmp_path / "m.safetensors", network, ModelCard(name="../../evil", style=(StyleImage("/etc/x"),))
    )
    main([f"--checkpoint={tmp_path / 'm.safetensors'}", "--device=cpu", str(photos / "cat.png")])
    assert (photos / "cat_m.png").is_file()


def test_a_row_of_a_data_set_names_no_device():
    with pytest.raises(InputError, match="is a pipe or a device"):
        read_photo({"image": {"path": "/dev/zero", "bytes": None}}, 64)


def test_content_of_a_folder_is_found_though_a_name_is_no_text(photos, caplog):
    (photos / "cat.png").rename(photos / b"cat\xff.png".decode(errors="surrogateescape"))
    data = ContentPhotos(str(photos), size=64)
    data.setup("fit")
    assert len(data.rows) == 2
    assert rb"cat\xff.png: its name is not UTF-8".decode() in caplog.text
