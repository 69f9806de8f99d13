"""Sets of photos, as the library datasets holds them."""

import io
from pathlib import Path

import datasets

from tests.support.images import draw_picture, encoded


def names(rows) -> list[str]:
    return [Path(row["image"]["path"]).name for row in rows]


def make_rows(count: int, column: str = "image") -> datasets.Dataset:
    """A set as it is loaded: different pictures, held in bytes, beside a column that is none."""
    return datasets.Dataset.from_dict(
        {
            "label": list(range(count)),
            column: [{"bytes": encoded(seed=i), "path": f"{i}.png"} for i in range(count)],
        },
        features=datasets.Features({"label": datasets.Value("int64"), column: datasets.Image()}),
    )


def write_parquet(path: Path, count: int, column: str = "image", first: int = 0) -> None:
    """A set of small pictures, beside a column that is none."""
    stored = []
    for i in range(first, first + count):
        stream = io.BytesIO()
        draw_picture(40, 40, seed=i).save(stream, "PNG")
        stored.append({"bytes": stream.getvalue(), "path": f"{i}.png"})
    features = datasets.Features({"label": datasets.Value("int64"), column: datasets.Image()})
    rows = datasets.Dataset.from_dict({"label": list(range(count)), column: stored}, features=features)
    rows.to_parquet(path)
