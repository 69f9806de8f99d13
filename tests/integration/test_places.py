"""Tests of the Space and of the Dockerfile."""

import re
import shlex
import urllib.request
from importlib.metadata import metadata, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tests.support.web_server import serving

ROOT = Path(__file__).parents[2]
SPACE = ROOT / "integrations" / "space"


def test_space_names_its_program_and_a_gradio_that_we_support():
    front_matter = yaml.safe_load((SPACE / "README.md").read_text().split("---")[1])
    assert (SPACE / front_matter["app_file"]).is_file()
    allowed = next(one for one in map(Requirement, requires("faststyle-nst")) if one.name == "gradio")
    assert allowed.specifier.contains(front_matter["sdk_version"])


def test_space_and_image_install_extras_that_exist():
    text = (SPACE / "requirements.txt").read_text() + (ROOT / "Dockerfile").read_text()
    wanted = {name for names in re.findall(r"\[([a-z,]+)\]", text) for name in names.split(",")}
    assert wanted and wanted <= set(metadata("faststyle-nst").get_all("Provides-Extra"))


def test_dockerfile_copies_files_that_exist_and_serves_the_page_as_a_user():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    for line in lines:
        if line.startswith("COPY "):
            assert all((ROOT / name).exists() for name in shlex.split(line)[1:-1])
    assert [line for line in lines if line.startswith("USER ")] == ["USER faststyle"]
    assert lines[-1] == 'CMD ["faststyle", "web", "--host", "0.0.0.0", "--port", "7860"]'


@pytest.mark.slow
def test_space_serves_the_page(tmp_path):
    program = (str(SPACE / "app.py"),)
    with (
        serving(tmp_path / "web", "--port", "7899", program=program) as (address, _),
        urllib.request.urlopen(address) as answer,
    ):
        assert b"faststyle" in answer.read()
