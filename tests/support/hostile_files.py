"""Generate a reproducible corpus of damaged and malicious image and video files."""

import io
import os
import pickle
import random
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.hostile_bytes import MEGA, wholes
from tests.support.hostile_images import bombs, lol_entities, odd_images
from tests.support.images import draw_image

DEVICES = ("/dev/zero", "/dev/random")
# Information that infer.py prints.
NOTE = re.compile(r": (padded|scaled) to |left out|holds (several images|no times)")


# Random damage


def truncated(data: bytearray, chance: random.Random) -> bytes:
    return bytes(data[: chance.randrange(len(data))])


def flipped(data: bytearray, chance: random.Random, last: int | None = None) -> bytes:
    """Flip one to eight random bits among the first ``last`` bytes."""
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(min(last or len(data), len(data)))] ^= 1 << chance.randrange(8)
    return bytes(data)


def flipped_header(data: bytearray, chance: random.Random) -> bytes:
    return flipped(data, chance, 64)


def zeroed(data: bytearray, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.randint(1, 200))
    return bytes(data[:start] + bytes(end - start) + data[end:])


def maximal(data: bytearray, chance: random.Random) -> bytes:
    """Replace four bytes near the start by the largest number, because headers hold lengths and sizes."""
    start = chance.randrange(min(len(data) - 4, 200))
    data[start : start + 4] = b"\xff\xff\xff\x7f" if chance.random() < 0.5 else b"\xff\xff\xff\xff"
    return bytes(data)


def repeated(data: bytearray, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    return bytes(data[:start] + data[start : start + 300] * chance.randint(2, 20) + data[start:])


def shuffled(data: bytearray, chance: random.Random) -> bytes:
    parts = [data[at : at + 97] for at in range(0, len(data), 97)]
    rest = parts[1:]
    chance.shuffle(rest)
    return b"".join(map(bytes, parts[:1] + rest))


DAMAGES: tuple[Callable[[bytearray, random.Random], bytes], ...] = (
    truncated,
    flipped,
    flipped_header,
    zeroed,
    maximal,
    repeated,
    shuffled,
)


def damaged(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield the name and bytes of ``count`` damaged files."""
    chance = random.Random(seed)
    whole = list(wholes().items())
    for number in range(count):
        suffix, data = whole[number % len(whole)]
        damage = chance.choice(DAMAGES)
        yield f"{number:04d} {damage.__name__}.{suffix}", damage(bytearray(data), chance)


def other_kinds(secret: Path) -> Iterator[tuple[str, bytes]]:
    """Yield files that are neither image nor video; some refer to ``secret`` or to the network."""

    class Run:
        def __reduce__(self):
            return (os.system, (f"touch '{secret}.ran'",))

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(zipfile.ZipInfo("a.png"), bytes(10 * MEGA), zipfile.ZIP_DEFLATED)
    svg = "<svg xmlns='http://www.w3.org/2000/svg' width='40000' height='40000'>"
    postscript = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(" + f"{secret}.ran) (w) file\n"
    plays = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{secret}\n#EXT-X-ENDLIST\n"
    remote = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
    texts = {
        "empty": "",
        "text": "not an image\n" * 50,
        "page": "<!doctype html><html><body>404 Not Found</body></html>",
        "drawing": f"{svg}<image href='file://{secret}'/></svg>",
        "drawing that laughs": f"<!DOCTYPE x [{lol_entities()}]>{svg}<text>&l9;</text></svg>",
        "postscript": postscript,
        "concat": f"ffconcat version 1.0\nfile '{secret}'\n",
        "concat beside": f"ffconcat version 1.0\nfile '{secret.name}'\n",
        "play list": plays,
        "remote play list": remote,
        "session": "v=0\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "manifest": f"<MPD><Period><BaseURL>file://{secret}</BaseURL></Period></MPD>",
    }
    for number, (name, text) in enumerate(texts.items()):
        for suffix in ("jpg", "mp4", ("png", "mkv", "gif", "tif", "avi", "webp")[number % 6]):
            yield f"{name}.{suffix}", text.encode()
    for suffix in ("jpg", "png", "mp4"):
        yield f"pickle.{suffix}", pickle.dumps(Run())
        yield f"archive.{suffix}", archive.getvalue()
        yield f"noise.{suffix}", random.Random(7).randbytes(5_000)
        yield f"a megabyte of zeros.{suffix}", bytes(MEGA)
    whole = wholes()
    for suffix, content in [("png", "jpg"), ("jpg", "png"), ("jpg", "mp4"), ("mp4", "png"), ("mkv", "gif")]:
        yield f"{content} in truth.{suffix}", whole[content]
    yield "webp in truth.mov", whole["moving.webp"]


# Names

NAMES = [
    "with spaces  two.png",
    "new\nline.png",
    "tab\tand\rreturn.png",
    "\x1b[31mred\x1b]0;title\x07.png",
    "right\u202eto left.png",
    "caf\u00e9.png",
    "cafe\u0301.png",
    "\U0001f469\u200d\U0001f680 rocket.png",
    "-o.png",
    "--checkpoint.png",
    "%d.png",
    "a%00b{0}.png",
    "a[page=1].png",
    "a[1].png",
    "quote'\".png",
    "$HOME `id`.png",
    "x" * 251 + ".png",
    "\u6f22" * 83 + ".png",
    b"bytes \xff\xfe.png".decode(errors="surrogateescape"),
]


def good(folder: Path) -> list[Path]:
    """Write ten valid images and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"good {number}.jpg" for number in range(10)]
    for number, path in enumerate(paths):
        draw_image(48 + number, 64 - number, seed=number).save(path, quality=95)
    return paths


def make(folder: Path, count: int = 1_000, seed: int = 0, frames: int = 10_000) -> list[Path]:
    """Write at least ``count`` hostile files, and ten valid images, to a folder.

    Args:
        folder: Where to write the files.
        count: Minimum number of hostile files.
        seed: Seed of the random damage.
        frames: Number of frames of the largest animation; the time to stylize it grows with them.

    Returns:
        The paths of the hostile files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    good(folder)
    secret = folder.parent / "secret.mp4"
    secret.write_bytes(wholes()["mp4"])
    # Number the files, because the results of a.bmp and a.gif would both be a.png.
    files = [(f"bomb {number} {name}", data) for number, (name, data) in enumerate(bombs(frames))]
    files += [(f"odd {number} {name}", data) for number, (name, data) in enumerate(odd_images())]
    files += [(f"other {number} {name}", data) for number, (name, data) in enumerate(other_kinds(secret))]
    for suffix, content in (("png", "png"), ("mp4", "mp4")):
        files += [(f"{name[:-4]}.{suffix}", wholes()[content]) for name in NAMES]
    for number, name in enumerate(NAMES):  # The same names for files that cannot be read.
        files.append((f"{name[: len(name) // 2]}{number}.jpg", b"not an image"))
    special = {"folder.jpg": None, "dangling.jpg": folder / "nothing", "ring.jpg": folder / "ring.jpg"}
    special |= {"pipe.jpg": None, "pipe.mp4": None, "pipe gif.gif": None}
    for device in DEVICES:
        special |= {f"{Path(device).name}.{suffix}": Path(device) for suffix in ("png", "mp4", "gif")}
    files += damaged(max(0, count - len(files) - len(special)), seed)
    paths = []
    for name, data in files:
        paths.append(folder / name)
        paths[-1].write_bytes(data)
    for name, target in special.items():
        paths.append(folder / name)
        if target is not None:
            paths[-1].symlink_to(target)
        elif name.startswith("pipe"):
            os.mkfifo(paths[-1])
        else:
            paths[-1].mkdir()
    return paths


def verdict(code: int, printed: str, made: bool) -> str:
    """Classify how a command handled one hostile file.

    Args:
        code: Exit status of the command.
        printed: Everything that the command printed to stderr.
        made: Whether the command wrote a result.

    Returns:
        ``"picture"`` for a result without errors, ``"line"`` for one error or warning line with status 2,
        otherwise a description of the fault.
    """
    ends = [bar.split("\r")[-1] for bar in printed.split("\n")]  # Progress bars overwrite their own line.
    said = [line for line in ends if line.strip() and not re.search(r"\d+%\|| \[\d\d:\d\d", line)]
    if "Traceback" in printed:
        return f"traceback: {said[-1]}"
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202e]|\x1b(?!\[A)", printed):
        return f"control characters: {printed!r}"
    told = [line for line in said if line.startswith(("error: ", "warning: "))]
    notes = [line for line in said if line.startswith("done: ") or NOTE.search(line)]
    if len(told) + len(notes) < len(said):
        return f"stray lines: {[line for line in said if line not in told + notes]}"
    if code == 0 and made and not told:
        return "picture"
    if code == 2 and len(told) == 1:
        return "line"
    return f"status {code}, {'a' if made else 'no'} result, and said: {said}"
