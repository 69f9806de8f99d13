"""Fuzz tests of model files, blends and options: each is accepted, or refused in one line, in seconds.

The examples are the same in every run. For more and other examples, run
``HYPOTHESIS_PROFILE=long pytest tests/integration/test_fuzz.py``; with ``HYPOTHESIS_EXAMPLES=1000000`` it
takes hours.
"""

import contextlib
import io
import itertools
import json
import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from faststyle.cli.main import APART, COMMANDS, MODES, find_command, parser_of
from faststyle.cli.train_options import option
from faststyle.errors import InputError, one_line
from faststyle.models.card import METADATA_KEY
from faststyle.models.checkpoint import load_model, save_model
from faststyle.models.find import find_model, label, parse_blend
from faststyle.models.network import TransformerNetwork
from tests.support.cards import make_card
from tests.support.train_options import keys, option_error

MAX_SECONDS = 10  # per example
common = {"deadline": MAX_SECONDS * 1000, "database": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("quick", max_examples=60, derandomize=True, **common)
examples = int(os.environ.get("HYPOTHESIS_EXAMPLES", 20_000))
settings.register_profile("long", max_examples=examples, print_blob=True, **common)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def small() -> TransformerNetwork:
    torch.manual_seed(0)
    return TransformerNetwork("half", blocks=0)


@pytest.fixture(scope="module")
def files(folder, small) -> Path:
    """Return a folder with the same model in each supported file format."""
    whole = folder / "whole"
    whole.mkdir()
    save_model(whole / "safetensors", small, make_card(name="small"))
    state = {f"network.{name}": weight for name, weight in small.state_dict().items()}
    stored = {"state_dict": state, "hyper_parameters": {"size": "half", "blocks": 0}}
    for name, zipped in (("zip", True), ("legacy", False)):
        torch.save(stored, whole / name, _use_new_zipfile_serialization=zipped)
    for path in whole.iterdir():
        load_model(path)
    return whole


def is_accepted(call, *arguments) -> bool:
    """Return False if the call raises an ``InputError``, whose message must be one line."""
    try:
        call(*arguments)
    except InputError as error:
        assert 0 < len(str(error)) < 20_000
        assert len(one_line(error).splitlines()) == 1
        return False
    return True


edits = st.lists(
    st.tuples(
        st.sampled_from(["change", "cut", "insert", "repeat"]),
        st.one_of(st.integers(0, 400), st.integers(0, 10**6)),  # the first bytes hold the header
        st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=8,
)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
@given(edits=edits)
def test_model_file_with_changed_bytes_is_accepted_or_refused(files, folder, kind, edits):
    content = bytearray((files / kind).read_bytes())
    for what, place, data in edits:
        place %= len(content) + 1
        if what == "change":
            content[place : place + len(data)] = data
        elif what == "cut":
            del content[place : place + data[0] * len(data)]
        elif what == "insert":
            content[place:place] = data
        else:
            content[place:place] = content[place : place + data[0]]
    path = folder / "changed.pth"
    path.write_bytes(content)
    is_accepted(load_model, path)


leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8), st.just(10**9)
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
card_keys = [
    "format_version",
    "network",
    "name",
    "style",
    "training",
    "data",
    "init",
    "blend",
    "steps",
    "source",
]
networks = st.fixed_dictionaries(
    {},
    optional={
        "size": st.sampled_from(["half", "full", "fast"]) | values,
        "blocks": st.integers(-1, 200) | values,
        "tanh": st.booleans() | values,
        "wings": values,
    },
)
cards = st.dictionaries(st.sampled_from(card_keys), values | networks, max_size=6)


@pytest.mark.slow
@given(card=values | cards, version=st.booleans())
@example(card={"network": {"size": "half", "blocks": 0}}, version=True)
def test_any_metadata_is_accepted_or_refused(small, folder, card, version):
    if version and isinstance(card, dict):
        card = {**card, "format_version": 1}
    path = folder / "card.safetensors"
    path.write_bytes(save(small.state_dict(), metadata={METADATA_KEY: json.dumps(card)}))
    is_accepted(load_model, path)


entries = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "F16", "I64", "F8_E4M3", "BOOL", "F4", "C64"]) | values,
        "shape": st.lists(st.integers(-1, 2**64), max_size=5) | values,
        "data_offsets": st.lists(st.integers(0, 64), min_size=2, max_size=2) | values,
    },
)
metadata = st.dictionaries(
    st.just(METADATA_KEY) | st.text(max_size=5), cards.map(json.dumps) | values, max_size=2
)
headers = st.dictionaries(st.text(max_size=6), entries | values, max_size=4)


@pytest.mark.slow
@given(header=headers, metadata=metadata, data=st.binary(max_size=64), length=st.integers(-8, 8) | st.just(0))
def test_any_safetensors_header_is_refused(folder, header, metadata, data, length):
    text = json.dumps({"__metadata__": metadata, **header}).encode()
    path = folder / "header.safetensors"
    path.write_bytes(max(0, len(text) + length).to_bytes(8, "little") + text + data)
    assert not is_accepted(load_model, path)


PIECES = [
    "starry_night",
    "great_wave",
    "a.safetensors",
    "hf:",
    "//",
    "/",
    ":",
    ",",
    ":1",
    ":0.5",
    "-1",
    "nan",
]
PIECES += ["1e400", "inf", "1e308", "..", " ", "\0", "é", "\n", "0", "-steady", "\\", "C:", "1_0"]
pieces = st.sampled_from(PIECES)
names = st.lists(pieces, max_size=10).map("".join) | st.text(max_size=20)


@given(name=names)
@example(name=":1" * 400 + ",a:1")
@example(name="starry_night" + ":1" * 3000)
@example(name="a:1e308,b:1e308")
def test_any_blend_is_accepted_or_refused(name):
    if is_accepted(parse_blend, name):
        weights = parse_blend(name)
        assert all(0 <= weight <= 1 for weight in weights.values())
        assert abs(sum(weights.values()) - 1) < 1e-6


@given(name=names.filter(lambda name: "hf:" not in name))
@example(name="x" * 5000)
@example(name="\ud800")
def test_any_model_name_is_accepted_or_refused(folder, name):
    with contextlib.chdir(folder) if hasattr(contextlib, "chdir") else contextlib.nullcontext():
        try:
            if is_accepted(find_model, name):
                assert label(name)
        except OSError:  # the operating system allows no file of this name
            assert name not in ("", ".")


ODD = ["", "-1", "0", "1", "0.5", "64", "nan", "inf", "-inf", "1e999", "9" * 40, "a:1", "[1]", "--", "-", "é"]
ODD += ["\n", "0:10", "relu1_1", "relu1_1=x", "relu9_9", "auto", "cpu", "all", "mosaic", "a.png", "a b", "\0"]
odd = st.sampled_from(ODD)
OPTION_NAMES = sorted(
    {name for command in COMMANDS.keys() - {*APART} for name in parser_of(command)._option_string_actions}
)
OPTION_NAMES = [name for name in [*OPTION_NAMES, *MODES] if name not in ("-h", "--help")]
words = st.one_of(
    st.sampled_from(OPTION_NAMES).map(lambda name: [name]),
    st.tuples(st.sampled_from(OPTION_NAMES), odd).map(list),
    st.tuples(st.sampled_from(OPTION_NAMES), odd).map(lambda pair: [f"{pair[0]}={pair[1]}"]),
    st.just(["photo.jpg"]),
    st.just(["--checkpoint", "starry_night"]),
    st.just(["--style", "painting.jpg"]),
    odd.map(lambda value: [value]),
)


@settings(max_examples=settings().max_examples * 5)
@given(argv=st.lists(words, max_size=6).map(lambda parts: [*itertools.chain(*parts)]))
@example(argv=["photo.jpg", "--checkpoint", "starry_night", "--end=--"])
@example(argv=["photo.jpg", "--style=--"])
@example(argv=["photo.jpg", f"--{'x' * 5000}"])
@example(argv=["photo.jpg", "--preview=x"])
def test_any_options_of_infer_are_accepted_or_refused(argv):
    error = io.StringIO()
    try:
        with contextlib.redirect_stderr(error):
            command, own, prog = find_command(argv)
            parser_of(command, prog).read(own)
    except SystemExit as end:
        assert end.code == 2
        assert len(error.getvalue().strip().splitlines()) == 1 and error.getvalue().startswith("error: ")


@given(data=st.data())
def test_any_options_of_train_are_accepted_or_refused(parser, data):
    names = st.sampled_from(sorted(map(option, keys(parser))))
    pairs = data.draw(st.lists(st.tuples(names, odd | st.text(max_size=6)), max_size=4))
    line = option_error(parser, *(f"{name}={value}" for name, value in pairs))
    assert len(line.splitlines()) <= 1
