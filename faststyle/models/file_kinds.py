"""Identify files that are no faststyle model by magic bytes and layer names, for error messages."""

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

from faststyle.errors import UnsupportedModelError

SUPPORTED = (
    "expected a .safetensors or .ckpt file of faststyle, or a state_dict of pytorch/examples; for another "
    "network train its painting: faststyle train --style PAINTING"
)
PYTORCH_CHECKPOINT = "a PyTorch checkpoint"

# The first bytes of a file in lower case, after leading whitespace. The text completes "FILE is …".
MAGIC_BYTES = {
    b"version https://git-lfs": "a Git LFS pointer instead of the file: run git lfs pull",
    b"<!doctype": "a web page, probably from a failed download: download the file again",
    b"<html": "a web page, probably from a failed download: download the file again",
    b"<?xml": "an XML file, probably from a failed download: download the file again",
    b"\x89png": "an image",
    b"\xff\xd8\xff": "an image",
    b"gif8": "an image",
    b"riff": "an image or a video",
    b"\x89hdf": "an HDF5 file, such as Keras writes",
    b"gguf": "a GGUF file of a language model",
    b"\x1f\x8b": "compressed with gzip: decompress it first",
    b"7z\xbc\xaf": "compressed with 7-Zip: decompress it first",
    b"rar!": "a RAR archive: extract the model from it first",
    b"bzh": "compressed with bzip2: decompress it first",
    b"\xfd7zxz": "compressed with xz: decompress it first",
    b"\x28\xb5\x2f\xfd": "compressed with Zstandard: decompress it first",
    b"%pdf": "a PDF",
}
# Names of files in a zip archive.
ZIP_MEMBERS = {
    r"(^|/)code/|(^|/)constants\.pkl$": "a TorchScript archive: export the network's state_dict from it",
    r"(^|/)archive_format$": "a torch.export archive: use the model that it was exported from",
    r"(^|/)metadata\.json$": "a Keras model",
    r"(^|/)data\.pkl$": PYTORCH_CHECKPOINT,
}
# Names of layers; the first pattern that matches any layer decides.
LAYER_NAMES = {
    r"^down\.0\.0\.weight": "weights of faststyle without the network's settings: use the run's model file",
    r"^DeconvBlock\.\d\.conv_transpose": "a network with transposed convolutions, such as rrmina's "
    "fast-neural-style-pytorch",
    r"(^|\.)conv_transpose|^deconv\d\.weight": "a style network with transposed convolutions",
    r"lora_|\.lora|hada_w": "a LoRA for a diffusion model",
    r"^(model\.)?diffusion_model|^cond_stage|^first_stage|^text_model|time_embed": "a diffusion model",
    r"(q_proj|attn\.qkv|self_attn|transformer\.h\.)": "a checkpoint of a transformer",
    r"^layer\d\.\d+\.conv\d": "a ResNet, such as torchvision's",
    r"^features\.\d+|^classifier\.\d": "a VGG or a similar network, such as torchvision's",
    r"^model\.\d+\.(conv_block|weight|model)|^model\.model\.": "a generator of CycleGAN or pix2pix",
    r"^(decoder\.|enc_\d\.)?\d+\.(weight|bias)$": "a network with numbered layers, such as AdaIN's decoder",
    r"^(conv|deconv|res|in|down|up)\d?\.|[Bb]lock|residual": "a style network of another architecture",
}


def unsupported_model_error(path: Path, description: str) -> UnsupportedModelError:
    """Return the error for a file that is no supported model.

    Args:
        path: The file.
        description: Completes the sentence "FILE is …".
    """
    return UnsupportedModelError(f"{path} is {description}; {SUPPORTED}", file=path)


def describe_file(path: Path) -> str:
    """Return what kind of file this is, to complete the sentence "FILE is …"."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(512)
        file.seek(max(0, size - 8))
        tail = file.read(8)
    start = head.lstrip().lower()
    for magic, description in MAGIC_BYTES.items():
        if start.startswith(magic):
            return description
    if not head:
        return "empty"
    if head.startswith(b"PK"):
        return describe_zip(path)
    # Torch7's serialization: the type of the first value, and the class of an object or its table's number.
    if head[:8] in (b"\3\0\0\0\1\0\0\0", b"\4\0\0\0\1\0\0\0"):
        return (
            "a Torch7 file (.t7), such as jcjohnson's fast-neural-style publishes, which PyTorch cannot read"
        )
    if head[257:262] == b"ustar":
        return "a tar archive: extract the model from it first"
    if tail == b"\x57\xfb\x80\x8b\x24\x75\x47\xdb":
        return "a TensorFlow checkpoint"
    if re.match(rb"\x08[\x01-\x20]\x12.(pytorch|tf|onnx|keras|skl)", head, re.DOTALL):
        return "an ONNX model: rename it to end in .onnx"
    if all(byte >= 32 or byte in b"\t\r\n" for byte in head) and b"\x7f" not in head:
        return "a text file"
    return "damaged, or no model"


def describe_zip(path: Path) -> str:
    """Return what kind of zip archive this is, to complete the sentence "FILE is …"."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "damaged: the file is truncated or was changed"
    for pattern, description in ZIP_MEMBERS.items():
        if any(re.search(pattern, name) for name in names):
            return description
    return "a zip archive: extract the model from it first"


def describe_layers(names: Iterable[object]) -> str:
    """Return what network has layers of these names, to complete the sentence "FILE is …"."""
    layers = [name.removeprefix("module.") for name in names if isinstance(name, str)]
    for pattern, description in LAYER_NAMES.items():
        if any(re.search(pattern, layer) for layer in layers):
            return description
    examples = ", ".join(sorted(layers)[:3])
    return f"an unknown checkpoint (with {examples:.80})" if examples else "an unknown checkpoint"
