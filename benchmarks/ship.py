"""Put trained models into the package: measured, with a card that names the painting, and a sample.

python -m benchmarks.ship runs/*/*.safetensors --photos validation/ --paintings paintings/ \\
    --curves curves.json
"""

import argparse
from dataclasses import replace
from pathlib import Path

import skimage

from benchmarks.equivalents import add_flags, measure
from faststyle.device import keep_freed_memory
from faststyle.files import atomic_write
from faststyle.image.convert import fit
from faststyle.image.files import open_image, save_image
from faststyle.inference.stylizer import Stylizer
from faststyle.models.card import Painting
from faststyle.models.checkpoint import load_model, save_model
from faststyle.models.pretrained import FOLDER
from faststyle.registry import choose

PUBLIC_DOMAIN = "public domain"  # each painter died in 1953 or before
PAINTINGS = {
    "composition_vii": ("Composition VII", "Wassily Kandinsky", "1913"),
    "edtaonisl": ("Edtaonisl", "Francis Picabia", "1913"),
    "great_wave": ("The Great Wave off Kanagawa", "Katsushika Hokusai", "c. 1831"),
    "shipwreck": ("The Shipwreck of the Minotaur", "J. M. W. Turner", "c. 1810"),
    "starry_night": ("The Starry Night", "Vincent van Gogh", "1889"),
    "the_scream": ("The Scream", "Edvard Munch", "1893"),
}
SAMPLE = Path(skimage.__file__).parent / "data" / "chelsea.png"
SAMPLE_SIZE = 256


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path, nargs="+")
    add_flags(parser)
    arguments = parser.parse_args()
    keep_freed_memory()
    for path in arguments.models:
        name, _, form = path.stem.partition("-")  # the form: steady or none
        title, artist, year = choose("painting", name, PAINTINGS)
        network, card = load_model(path)
        network.half().float()  # as it will be read again: half the file, the same within a level
        model = Stylizer(network, card)
        card = replace(card, painting=Painting(title, artist, year, PUBLIC_DOMAIN), licence="MIT")
        if form != "steady":  # which L-BFGS, on one picture, does not aim at
            card = replace(card, equals=measure(model, name, arguments))
        target = FOLDER / form / f"{name}.safetensors"
        if not form:
            save_image(model(fit(open_image(SAMPLE), SAMPLE_SIZE)), target.with_suffix(".webp"), quality=80)
        with atomic_write(target) as temporary:
            save_model(temporary, network.half(), card)
        print(f"{path.stem}: {card.equals or target}", flush=True)


if __name__ == "__main__":
    main()
