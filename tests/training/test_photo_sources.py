import datasets
import pytest

from faststyle.errors import InputError
from faststyle.training.crops import read_photo
from faststyle.training.photo_sources import HELD_OUT_PHOTOS, SAMPLES, load_content
from tests.support.images import draw_image
from tests.support.photo_sets import make_rows, names, write_parquet


def test_samples_are_photos_that_come_with_scikit_image():
    train, held_out = load_content("samples")
    assert names(train) == SAMPLES["train"] and names(held_out) == SAMPLES["validation"]
    for row in (*train, *held_out):
        assert min(read_photo(row, 256).size) >= 128


def test_folder_is_searched_with_its_subfolders(photos):
    (photos / "sub" / "deeper").mkdir(parents=True)
    draw_image(64, 64).save(photos / "sub" / "deeper" / "f.webp")
    (photos / "notes.txt").write_text("no picture")
    train, held_out = load_content(str(photos))
    assert sorted(names(train) + names(held_out)) == ["beach.jpg", "cat.png", "dune.jpg", "elm.png", "f.webp"]


@pytest.mark.parametrize("count", [2, 9, 10, 11, 40, 300, 1000])
def test_some_photos_are_held_out(tmp_path, count):
    for i in range(count):
        (tmp_path / f"{i:04}.png").write_bytes(b"")
    train, held_out = (set(names(rows)) for rows in load_content(str(tmp_path)))
    assert train.isdisjoint(held_out)
    assert len(train | held_out) == count
    assert 1 <= len(held_out) <= -(-count // 10)
    assert len(held_out) <= HELD_OUT_PHOTOS + 1


def test_single_photo_is_used_for_both(tmp_path):
    draw_image(64, 64).save(tmp_path / "only.png")
    train, held_out = load_content(str(tmp_path))
    assert names(train) == names(held_out) == ["only.png"]


def test_train_and_validation_folders_are_kept_apart(tmp_path):
    for part, count in (("train", 5), ("validation", 3)):
        (tmp_path / part).mkdir()
        for i in range(count):
            draw_image(64, 64).save(tmp_path / part / f"{part}{i}.png")
    train, held_out = load_content(str(tmp_path))
    assert names(train) == [f"train{i}.png" for i in range(5)]
    assert names(held_out) == [f"validation{i}.png" for i in range(3)]


def test_train_folder_alone_is_an_ordinary_folder(tmp_path):
    (tmp_path / "train").mkdir()
    for i in range(4):
        draw_image(64, 64).save(tmp_path / "train" / f"{i}.png")
    train, held_out = load_content(str(tmp_path))
    assert len(train) + len(held_out) == 4


@pytest.mark.parametrize("name", ["empty", "missing", "missing/", "./missing", "a/b/c", "a.jpg", "notes.txt"])
def test_source_without_photos_is_named(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    draw_image(64, 64).save(tmp_path / "a.jpg")
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        load_content(name)


@pytest.mark.parametrize("column", ["image", "picture"])
@pytest.mark.parametrize("streaming", [False, True])
def test_parquet_file_and_folder_are_read(tmp_path, column, streaming):
    (tmp_path / "sets" / "sub").mkdir(parents=True)
    write_parquet(tmp_path / "sets" / "a.parquet", 25, column)
    write_parquet(tmp_path / "sets" / "sub" / "b.parquet", 5, column, first=25)
    for content, count in (("sets", 30), ("sets/a.parquet", 25)):
        train, held_out = load_content(str(tmp_path / content), streaming)
        rows = [*train, *held_out]
        assert len(rows) == count
        assert all(list(row) == ["image"] for row in rows)
        assert read_photo(rows[3], 32).mode == "RGB"
    # No photo is in both.
    first, second = (
        {row["image"]["bytes"] for row in part} for part in load_content(str(tmp_path / content))
    )
    assert first.isdisjoint(second)


def test_small_streamed_set_has_both_splits(tmp_path):
    write_parquet(tmp_path / "a.parquet", 6)
    train, held_out = load_content(str(tmp_path / "a.parquet"), streaming=True)
    assert len(list(train)) >= 1
    assert len(list(held_out)) >= 1


def test_parquet_without_images_names_its_columns(tmp_path):
    datasets.Dataset.from_dict({"text": ["a", "b"]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="text"):
        load_content(str(tmp_path / "a.parquet"))


@pytest.mark.parametrize("streaming", [False, True])
def test_damaged_parquet_is_named(tmp_path, streaming):
    write_parquet(tmp_path / "whole.parquet", 5)
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes((tmp_path / "whole.parquet").read_bytes()[:200])
    with pytest.raises(InputError, match=r"damaged\.parquet"):
        load_content(str(damaged), streaming)


def test_hub_set_is_loaded_by_its_name(monkeypatch):
    calls = []

    def load_dataset(name, streaming):
        calls.append((name, streaming))
        return datasets.DatasetDict({"train": make_rows(6, "img"), "validation": make_rows(3, "img")})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    train, held_out = load_content("owner/photos")
    assert calls == [("owner/photos", False)]
    assert (len(train), len(held_out)) == (6, 3)
    assert train.column_names == ["image"]
    assert "bytes" in train[0]["image"]  # not decoded yet


def test_photos_of_a_lone_test_split_are_held_out(monkeypatch):
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *a, **k: datasets.DatasetDict({"test": make_rows(20)})
    )
    train, held_out = load_content("owner/photos")
    assert len(train) == 18 and len(held_out) == 2


@pytest.mark.parametrize("error", [ConnectionError("no network\nsecond line"), ConnectionError()])
def test_unreachable_hub_is_a_one_line_error(monkeypatch, error):
    def load_dataset(*args, **kwargs):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(InputError, match="owner/photos") as caught:
        load_content("owner/photos")
    assert "\n" not in str(caught.value)
