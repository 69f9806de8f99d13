"""Error messages that identify unsupported model files."""

import bz2
import gzip
import io
import lzma
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from faststyle.errors import UnsupportedModelError
from faststyle.models.checkpoint import load_model
from tests.support.images import draw_image


def make_state_dict(*names: str) -> dict[str, Tensor]:
    return {name: torch.zeros(1) for name in names}


CHECKPOINTS = {
    "a VGG": make_state_dict("features.0.weight", "features.0.bias", "classifier.0.weight"),
    "a ResNet": make_state_dict("conv1.weight", "bn1.weight", "layer1.0.conv1.weight"),
    "a generator of CycleGAN or pix2pix": make_state_dict("model.1.weight", "model.10.conv_block.1.weight"),
    "a network with numbered layers, such as AdaIN's decoder": make_state_dict(
        "1.weight", "1.bias", "5.weight"
    ),
    "a diffusion model": {
        "state_dict": make_state_dict("model.diffusion_model.out.2.bias", "first_stage_model.x")
    },
    "a LoRA": make_state_dict("lora_unet_mid_block_attn.lora_up.weight"),
    "a checkpoint of a transformer": make_state_dict("h.0.self_attn.q_proj.weight"),
    "a style network of another architecture": {
        "state_dict": make_state_dict("module.conv1.weight", "res1.conv1.weight")
    },
    "a network with transposed convolutions, such as rrmina's": make_state_dict(
        "ConvBlock.0.conv_layer.weight", "DeconvBlock.0.conv_transpose.weight"
    ),
    "a style network with transposed convolutions": {"net": make_state_dict("deconv1.weight")},
    "weights of faststyle without the network's settings": {
        "epoch": 1,
        "model": make_state_dict("down.0.0.weight", "last.bias"),
    },
    r"an unknown checkpoint \(with backbone\.weight\)": {"model": make_state_dict("backbone.weight")},
    r"an unknown checkpoint \(a list\)": [torch.zeros(1)],
}


@pytest.mark.parametrize("what", CHECKPOINTS)
def test_checkpoint_of_another_project_is_identified(tmp_path, what):
    torch.save(CHECKPOINTS[what], tmp_path / "other.pth")
    with pytest.raises(UnsupportedModelError, match=rf"other\.pth is {what}.*; expected a \.safetensors"):
        load_model(tmp_path / "other.pth")


def test_safetensors_of_another_project_is_identified(tmp_path):
    save_file(make_state_dict("lora_unet.lora_down.weight"), tmp_path / "other.safetensors")
    with pytest.raises(UnsupportedModelError, match="a LoRA for a diffusion model, in safetensors"):
        load_model(tmp_path / "other.safetensors")


def saved_bytes(save) -> bytes:
    stream = io.BytesIO()
    save(stream)
    return stream.getvalue()


def make_zip(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name in names:
            file.writestr(name, "{}")
    return stream.getvalue()


FILES = {
    "a Git LFS pointer instead of the file: run git lfs pull": b"version https://git-lfs.github.com/spec/v1\noid",
    "a web page, probably from a failed download": b"\n\n  <!DOCTYPE html>\n<html>",
    "an XML file": b"<?xml version='1.0'?><Error/>",
    "an image": saved_bytes(lambda stream: draw_image(20, 20).save(stream, "PNG")),
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + b"\0" * 600,
    "a TensorFlow checkpoint": b"\0" * 600 + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb",
    "an ONNX model": b"\x08\x08\x12\x07pytorch\x1a\x05",
    "compressed with gzip": gzip.compress(b"a"),
    "a RAR archive": b"Rar!\x1a\x07\x01\0",
    "compressed with bzip2": bz2.compress(b"a"),
    "compressed with xz": lzma.compress(b"a"),
    "compressed with Zstandard": b"\x28\xb5\x2f\xfd\x04\0",
    r"a Torch7 file \(\.t7\), such as jcjohnson's": b"\4\0\0\0\1\0\0\0\3\0\0\0V 1\r\0\0\0nn.Sequential",
    r"a Torch7 file \(\.t7\)": b"\3\0\0\0\1\0\0\0\5\0\0\0" + b"\2\0\0\0\5\0\0\0model",
    "a GGUF file": b"GGUF\x03\0\0\0",
    "a Keras model": make_zip("metadata.json", "config.json", "model.weights.h5"),
    "a torch.export archive": make_zip("model/archive_format", "model/models/model.json"),
    "a zip archive: extract the model": make_zip("photo.jpg"),
    "a text file": b"Hello, this is a text.\n",
    "empty": b"",
}  # fmt: skip


@pytest.mark.parametrize("what", FILES)
def test_file_that_is_no_checkpoint_is_identified(tmp_path, what):
    for name in ("other.pth", "other.safetensors"):
        (tmp_path / name).write_bytes(FILES[what])
        with pytest.raises(UnsupportedModelError, match=rf"{name} is {what}.*; expected a \.safetensors"):
            load_model(tmp_path / name)
