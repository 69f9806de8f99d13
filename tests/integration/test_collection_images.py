"""Tests of which images of a collection each rank stylizes, and which results it keeps."""

import os
from pathlib import Path

import pytest

from faststyle.cli.stylize_batch import check, find
from faststyle.errors import InputError
from faststyle.files import atomic_write
from faststyle.image.files import open_image, save_image
from faststyle.inference.batch.shards import Images, Item, explain, is_whole, rank_of
from tests.support.images import draw_image


def test_every_image_belongs_to_exactly_one_rank(many, work):
    shards = [find([many], work / "out", rank, 3) for rank in range(3)]
    names = [item.name for shard in shards for item in shard]
    assert len(names) == len(set(names)) == 94
    assert {item.name for shard in shards for item in shard} == {
        item.name for item in find([many], work / "out", 0, 1)
    }
    assert min(map(len, shards)) > 15
    # An image that is added later does not change the rank of the others.
    draw_image(30, 30).save(many / "later.png")
    for rank, shard in enumerate(shards):
        assert set(shard) <= set(find([many], work / "out", rank, 3))


def test_rank_of_a_name_that_is_not_utf8():
    name = os.fsdecode(b"caf\xe9.jpg")
    assert 0 <= rank_of(name, 7) < 7


def test_output_names_of_inputs(many, photos, work):
    items = {item.name: item.source for item in find([many, photos / "cat.png"], work / "out", 0, 1)}
    assert items["drawn.png"] == str(many / "drawn.bmp")
    assert items["0/p0.png"] == str(many / "0/p0.png")
    assert items["cat.png"] == str(photos / "cat.png")


def test_image_can_have_any_suffix(photos, work):
    (photos / "cat.png").rename(photos / "cat.heic")
    assert find([photos / "cat.heic"], work / "out", 0, 1) == [Item(str(photos / "cat.heic"), "cat.png")]
    assert "cat.png" in {item.name for item in find([photos], work / "out", 0, 1)}


def test_symlink_loops_are_skipped(photos, work):
    Path("loop").symlink_to("loop")
    (photos / "self.jpg").symlink_to("self.jpg")
    check([photos], Path("loop"))
    assert len(find([photos], Path("loop"), 0, 1)) == 4


def test_two_images_with_the_same_output_are_refused(photos, work):
    draw_image(30, 30).save(photos / "cat.bmp")
    for rank in range(2):
        if rank_of("cat.png", 2) == rank:
            with pytest.raises(InputError, match="both be written"):
                find([photos], work / "out", rank, 2)
        else:
            find([photos], work / "out", rank, 2)


def test_output_folder_among_the_inputs_is_refused(photos, tmp_path):
    with pytest.raises(InputError, match="would be read as input"):
        check([photos], photos / "out")
    with pytest.raises(InputError, match="would be read as input"):
        check([photos], photos)
    (photos / "photos").mkdir()
    draw_image(30, 30).save(photos / "photos" / "cat.png")
    with pytest.raises(InputError, match="overwrite"):
        find([photos], tmp_path, 0, 1)
    with pytest.raises(InputError, match="overwrite"):
        find([photos / "cat.png"], photos, 0, 1)


def test_folder_without_images_is_refused(work):
    (work / "empty").mkdir()
    with pytest.raises(InputError, match="no images in empty"):
        find([Path("empty")], Path("out"), 0, 1)


# Results that exist already


def test_complete_results_are_kept(photos, tmp_path):
    out = tmp_path / "out"
    for name in ("beach.jpg", "cat.png"):
        save_image(open_image(photos / name), out / name)
        assert is_whole(photos / name, out / name)
    read = Images(out, open_image)
    assert read[Item(str(photos / "cat.png"), "cat.png", made=True)].kept
    assert read[Item(str(photos / "cat.png"), "cat.png", made=False)].image is not None


@pytest.mark.parametrize("name", ["beach.jpg", "cat.png"])
def test_truncated_missing_and_outdated_results_are_not_complete(photos, tmp_path, name):
    out = tmp_path / "out"
    assert not is_whole(photos / name, out / name)
    save_image(open_image(photos / name), out / name)
    whole = (out / name).read_bytes()
    for fraction in (0, 0.5, 0.9):
        (out / name).write_bytes(whole[: int(fraction * len(whole))])
        assert not is_whole(photos / name, out / name)
    (out / name).write_bytes(whole)
    os.utime(out / name, (0, 0))
    assert not is_whole(photos / name, out / name)


def test_result_behind_a_link_out_of_the_folder_fails(photos, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    read = Images(tmp_path / "out", open_image)[Item(str(photos / "cat.png"), "sub/cat.png")]
    assert read.image is None and "link" in read.error


def test_missing_image_is_reported(photos, tmp_path):
    read = Images(tmp_path, open_image)[Item(str(photos / "gone.png"), "gone.png")]
    assert "there is no file" in read.error


def test_full_disk_is_not_blamed_on_an_image():
    with pytest.raises(OSError, match="No space"):
        explain(OSError(28, "No space left on device", "out/a.png"))
    assert explain(OSError(13, "Permission denied", "a.png")) == "Permission denied: a.png"


def test_long_names_with_a_common_prefix_are_written_at_the_same_time(tmp_path):
    one, other = (tmp_path / f"{'é' * 110}{letter}.png" for letter in "ab")
    with atomic_write(one) as first, atomic_write(other) as second:
        first.write_bytes(b"one")
        second.write_bytes(b"other")
    assert (one.read_bytes(), other.read_bytes()) == (b"one", b"other")
