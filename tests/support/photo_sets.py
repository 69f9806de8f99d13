"""Small photo datasets for the library ``datasets``."""

import io
from pathlib import Path

import datasets

from tests.support.images import draw_image, encoded


def names(rows) -> list[str]:
    return [Path(row["image"]["path"]).name for row in rows]


def make_rows(count: int, column: str = "image") -> datasets.Dataset:
    """Build a dataset of different images, stored as bytes, with a label column beside them."""
    return datasets.Dataset.from_dict(
        {
            "label": list(range(count)),
            column: [{"bytes": encoded(seed=i), "path": f"{i}.png"} for i in range(count)],
        },
        features=datasets.Features({"label": datasets.Value("int64"), column: datasets.Image()}),
    )


def write_parquet(path: Path, count: int, column: str = "image", first: int = 0) -> None:
    """Write a Parquet file of small images with a label column beside them."""
    stored = []
    for i in range(first, first + count):
        stream = io.BytesIO()
        draw_image(40, 40, seed=i).save(stream, "PNG")
        stored.append({"bytes": stream.getvalue(), "path": f"{i}.png"})
    features = datasets.Features({"label": datasets.Value("int64"), column: datasets.Image()})
    rows = datasets.Dataset.from_dict({"label": list(range(count)), column: stored}, features=features)
    rows.to_parquet(path)
