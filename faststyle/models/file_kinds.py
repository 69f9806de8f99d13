"""What a file is that is no model of ours, by its first bytes and the names of its layers."""

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

from faststyle.errors import UnsupportedModelError

EXPECTED = "expected a .safetensors or .ckpt of faststyle, or a state dict of pytorch/examples"

# How files begin, in lower case and without what is blank before it.
STARTS = {
    b"version https://git-lfs": "a Git LFS pointer in place of the file: run git lfs pull",
    b"<!doctype": "a web page, as a download that failed leaves it: download the file again",
    b"<html": "a web page, as a download that failed leaves it: download the file again",
    b"<?xml": "XML, as a download that failed leaves it: download the file again",
    b"\x89png": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"gif8": "a picture",
    b"riff": "a picture or a clip",
    b"\x89hdf": "an HDF5 file, such as Keras writes",
    b"gguf": "a GGUF file of a language model",
    b"\x1f\x8b": "packed with gzip: unpack it first",
    b"7z\xbc\xaf": "packed with 7-Zip: unpack it first",
    b"%pdf": "a PDF",
}
# In a zip: names of files that tell what it is.
MEMBERS = {
    r"(^|/)code/|(^|/)constants\.pkl$": "a TorchScript archive: export the network's state_dict from it",
    r"(^|/)archive_format$": "an archive of torch.export's: take the model that it was exported from",
    r"(^|/)metadata\.json$": "a Keras model",
    r"(^|/)data\.pkl$": "a checkpoint of PyTorch's",
}
# Of layers, the first that is met.
LAYERS = {
    r"lora_|\.lora|hada_w": "a LoRA for a diffusion model",
    r"^(model\.)?diffusion_model|^cond_stage|^first_stage|^text_model|time_embed": "a diffusion model",
    r"(q_proj|attn\.qkv|self_attn|transformer\.h\.)": "a transformer's weights",
    r"^layer\d\.\d+\.conv\d": "a ResNet, such as torchvision's",
    r"^features\.\d+|^classifier\.\d": "a VGG or the like, such as torchvision's",
    r"^model\.\d+\.(conv_block|weight|model)|^model\.model\.": "a generator of CycleGAN or pix2pix",
    r"^(decoder\.|enc_\d\.)?\d+\.(weight|bias)$": "numbered layers, such as AdaIN's decoder or its VGG",
    r"^(conv|deconv|res|in|down|up)\d?\.|[Bb]lock|residual": "a style network of another shape than ours",
}
WRAPPERS = ("state_dict", "model_state_dict", "params_ema", "params", "model", "net", "generator", "G")


def unsupported(path: Path, what: str) -> UnsupportedModelError:
    """Return the error of a file that is no model of ours; ``what`` completes "it is …"."""
    return UnsupportedModelError(f"{path} is {what}; {EXPECTED}", file=path)


def describe(path: Path) -> str:
    """What a file that could not be read as a model is, in words that follow "is"."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(512)
        file.seek(max(0, size - 8))
        tail = file.read(8)
    start = head.lstrip().lower()
    for begins, what in STARTS.items():
        if head.lower().startswith(begins) or start.startswith(begins):
            return what
    if not head:
        return "empty"
    if head.startswith(b"PK"):
        return describe_zip(path)
    if head[257:262] == b"ustar":
        return "a tar archive: unpack it first"
    if tail == b"\x57\xfb\x80\x8b\x24\x75\x47\xdb":
        return "a checkpoint of TensorFlow's"
    if re.match(rb"\x08[\x01-\x20]\x12.(pytorch|tf|onnx|keras|skl)", head, re.DOTALL):
        return "an ONNX model: give it its suffix .onnx"
    if all(byte >= 32 or byte in b"\t\r\n" for byte in head) and b"\x7f" not in head:
        return "a text"
    return "damaged, or no model"


def describe_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "damaged: the file ends too early, or its bytes were changed"
    for pattern, what in MEMBERS.items():
        if any(re.search(pattern, name) for name in names):
            return what
    return "a zip archive: unpack it first"


def describe_layers(names: Iterable[str]) -> str:
    """Whose weights have such names, in words that follow "is"."""
    bare = [name.removeprefix("module.") for name in names]
    for pattern, what in LAYERS.items():
        if any(re.search(pattern, name) for name in bare):
            return what
    some = ", ".join(sorted(bare)[:3])
    return f"a checkpoint of something else (of {some:.80})" if some else "a checkpoint of something else"
