"""What a file is that is no model of ours."""

import gzip
import io
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from faststyle.errors import UnsupportedModelError
from faststyle.models.checkpoint import load_model
from tests.support.images import draw_picture


def state(*names: str) -> dict[str, Tensor]:
    return {name: torch.zeros(1) for name in names}


CHECKPOINTS = {
    "a VGG": state("features.0.weight", "features.0.bias", "classifier.0.weight"),
    "a ResNet": state("conv1.weight", "bn1.weight", "layer1.0.conv1.weight"),
    "a generator of CycleGAN or pix2pix": state("model.1.weight", "model.10.conv_block.1.weight"),
    "numbered layers, such as AdaIN's decoder": state("1.weight", "1.bias", "5.weight"),
    "a diffusion model": {"state_dict": state("model.diffusion_model.out.2.bias", "first_stage_model.x")},
    "a LoRA": state("lora_unet_mid_block_attn.lora_up.weight"),
    "a transformer's weights": state("h.0.self_attn.q_proj.weight"),
    "a style network of another shape": {"state_dict": state("module.conv1.weight", "res1.conv1.weight")},
    r"a checkpoint of something else \(of backbone\.weight\)": {"model": state("backbone.weight")},
    r"a checkpoint of something else \(list\)": [torch.zeros(1)],
}


@pytest.mark.parametrize("what", CHECKPOINTS)
def test_checkpoint_of_another_project_is_named(tmp_path, what):
    torch.save(CHECKPOINTS[what], tmp_path / "other.pth")
    with pytest.raises(UnsupportedModelError, match=rf"other\.pth is {what}.*; expected a \.safetensors"):
        load_model(tmp_path / "other.pth")


def test_safetensors_of_another_project_is_named(tmp_path):
    save_file(state("lora_unet.lora_down.weight"), tmp_path / "other.safetensors")
    with pytest.raises(UnsupportedModelError, match="a LoRA for a diffusion model, in safetensors"):
        load_model(tmp_path / "other.safetensors")


def in_bytes(save) -> bytes:
    stream = io.BytesIO()
    save(stream)
    return stream.getvalue()


def zip_of(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name in names:
            file.writestr(name, "{}")
    return stream.getvalue()


OTHERS = {
    "a Git LFS pointer in place of the file: run git lfs pull": b"version https://git-lfs.github.com/spec/v1\noid",
    "a web page, as a download that failed": b"\n\n  <!DOCTYPE html>\n<html>",
    "XML": b"<?xml version='1.0'?><Error/>",
    "a picture": in_bytes(lambda stream: draw_picture(20, 20).save(stream, "PNG")),
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + b"\0" * 600,
    "a checkpoint of TensorFlow's": b"\0" * 600 + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb",
    "an ONNX model": b"\x08\x08\x12\x07pytorch\x1a\x05",
    "packed with gzip": gzip.compress(b"a"),
    "a GGUF file": b"GGUF\x03\0\0\0",
    "a Keras model": zip_of("metadata.json", "config.json", "model.weights.h5"),
    "an archive of torch.export": zip_of("model/archive_format", "model/models/model.json"),
    "a zip archive: unpack it": zip_of("photo.jpg"),
    "a text": b"Hello, this is a text.\n",
    "empty": b"",
}  # fmt: skip


@pytest.mark.parametrize("what", OTHERS)
def test_file_that_is_no_checkpoint_is_named(tmp_path, what):
    for name in ("other.pth", "other.safetensors"):
        (tmp_path / name).write_bytes(OTHERS[what])
        with pytest.raises(UnsupportedModelError, match=rf"{name} is {what}.*; expected a \.safetensors"):
            load_model(tmp_path / name)
