"""Put trained models into the package in 8 bits, each with its painting's data and a sample image.

    python -m benchmarks.ship runs/*/*.safetensors

A model's file has the name of a built-in style, or that name and -steady for the style's video model.
`python -m benchmarks.images` measures the styles.
"""

from dataclasses import replace
from pathlib import Path

import skimage

from benchmarks.common import make_parser, open_rgb
from faststyle.errors import InputError
from faststyle.files import atomic_write
from faststyle.image.files import save_image
from faststyle.inference.stylizer import Stylizer
from faststyle.models.card import Painting
from faststyle.models.checkpoint import load_grams, load_model, save_model
from faststyle.models.pretrained import FOLDER
from faststyle.registry import choose

PUBLIC_DOMAIN = "public domain"  # each artist died in 1953 or before
# Title, artist and year, by the name of the style.
PAINTINGS = {
    "cap_negre": ("Cap Nègre", "Henri-Edmond Cross", "1909"),
    "composition_vii": ("Composition VII", "Wassily Kandinsky", "1913"),
    "edtaonisl": ("Edtaonisl", "Francis Picabia", "1913"),
    "engraving": ("The Temptation of Jesus", "Gustave Doré", "1866"),
    "great_wave": ("The Great Wave off Kanagawa", "Katsushika Hokusai", "c. 1831"),
    "ink": ("Dwelling in the Fuchun Mountains", "Huang Gongwang", "1350"),
    "picasso": ("Portrait of Pablo Picasso", "Juan Gris", "1912"),
    "shipwreck": ("The Shipwreck of the Minotaur", "J. M. W. Turner", "c. 1810"),
    "stained_glass": ("Adoration of the Magi", "Austrian glass painters", "1390"),
    "starry_night": ("The Starry Night", "Vincent van Gogh", "1889"),
    "the_scream": ("The Scream", "Edvard Munch", "1893"),
    "yellow_cow": ("The Yellow Cow", "Franz Marc", "1911"),
}
SAMPLE_PHOTO = Path(skimage.__file__).parent / "data" / "chelsea.png"
SAMPLE_SIZE = 256  # pixels of the longer side


def ship(path: Path, folder: Path = FOLDER) -> Path:
    """Put a trained model into the package, and return its file there.

    A video model is stored without Gram matrices and sample image: the style's other model has them.

    Raises:
        InputError: There is no such model, it has no Gram matrices, or no painting has its name.
    """
    name, _, variant = path.stem.partition("-")
    painting = Painting(*choose("painting", name, PAINTINGS), PUBLIC_DOMAIN)
    network, card = load_model(path)
    target = folder / variant / f"{name}.safetensors"
    with atomic_write(target) as temporary:
        style = tuple(replace(image, name=name) for image in card.style)  # its file can have another name
        card = replace(card, name=path.stem, style=style, painting=painting, licence="MIT")
        grams = {} if variant else load_grams(path)
        if not (grams or variant):
            raise InputError(f"{path} has no Gram matrices, which refinement needs")
        save_model(temporary, network, card, grams, compact=True)
    if not variant:
        sample = Stylizer.load(target)(open_rgb(SAMPLE_PHOTO, SAMPLE_SIZE))
        save_image(sample, target.with_suffix(".webp"), quality=80)
    return target


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("models", type=Path, nargs="+", help="trained models")
    for path in parser.parse_args(argv).models:
        target = ship(path)
        print(f"{target}: {target.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
