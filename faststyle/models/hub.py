"""Downloading models from the Hugging Face Hub, and publishing them there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faststyle.errors import InputError, first_line
from faststyle.models.card import ModelCard, TrainingData

# huggingface_hub is imported inside functions, because importing it takes time and most runs do not need it.

DEFAULT_FILE = "model.safetensors"  # the model in a repository
LOGIN_HINT = "log in with hf auth login, or set HF_TOKEN"
TOKENS_PAGE = "https://huggingface.co/settings/tokens"

README_TEMPLATE = """\
---
license: mit
library_name: faststyle
pipeline_tag: image-to-image
tags:
- style-transfer
- neural-style-transfer
- fast-neural-style
---

# {name}

{image}A feed-forward network that stylizes a photo in the style of {style} in one pass.
It was trained with faststyle.

## How to use it

```sh
python infer.py photo.jpg --checkpoint hf://{repo}
```

```python
from PIL import Image
from faststyle import Stylizer

stylize = Stylizer.load("hf://{repo}")
stylize(Image.open("photo.jpg")).save("stylized.jpg")
```

## How it was trained

{facts}
"""


def download(repo: str) -> Path:
    """Download a model, or take it from the cache if it is unchanged or the Hub cannot be reached.

    Args:
        repo: user/repo for its model.safetensors, or user/repo/NAME.safetensors.

    Returns:
        The file in huggingface_hub's cache.

    Raises:
        InputError: The repository or file does not exist, is private or gated, or cannot be reached.
    """
    repo_id, file = "/".join(repo.split("/")[:2]), "/".join(repo.split("/")[2:]) or DEFAULT_FILE
    check_name(repo_id)
    from huggingface_hub import hf_hub_download

    with translate_hub_errors(repo_id, file):
        return Path(hf_hub_download(repo_id, file))


def push(path: Path, repo: str, card: ModelCard, sample: Path | None = None) -> str:
    """Publish a model with a README in one commit. A missing repository is created.

    Args:
        path: The model's file, which is uploaded as model.safetensors.
        repo: user/repo, or organization/repo.
        card: The model's metadata, from which the README is made. An existing README is replaced.
        sample: An image to show in the README.

    Returns:
        The URL of the repository.

    Raises:
        InputError: A file does not exist, the user is not logged in or has no permission to write to the
            repository, or the Hub cannot be reached.
    """
    check_name(repo)
    uploads, sample_name = {DEFAULT_FILE: path}, ""
    if sample is not None:
        sample_name = f"sample{sample.suffix}"
        uploads[sample_name] = sample
    for file in uploads.values():
        if not file.is_file():
            raise InputError(f"there is no file {file} to push to {repo}")
    from huggingface_hub import CommitOperationAdd, HfApi

    readme = CommitOperationAdd("README.md", make_readme(repo, card, sample_name).encode())
    files = [CommitOperationAdd(name, str(file)) for name, file in uploads.items()]
    api = HfApi()
    with translate_hub_errors(repo):
        page = api.create_repo(repo, exist_ok=True)
        api.create_commit(repo, [readme, *files], commit_message=f"Add {card.name or path.stem}")
    return str(page)


def check_push(repo: str) -> None:
    """Check that ``push`` can write to a repository, without creating it.

    Args:
        repo: user/repo, or organization/repo.

    Raises:
        InputError: The name is invalid, the user is not logged in or has no permission to write to the
            repository, or the Hub cannot be reached.
    """
    check_name(repo)
    from huggingface_hub import HfApi

    with translate_hub_errors(repo):
        user = HfApi().whoami()
    role = user.get("auth", {}).get("accessToken", {}).get("role")
    if role == "read":
        raise InputError(
            f"cannot push to {repo}: your token has only read access; create one with write access on "
            f"{TOKENS_PAGE}"
        )
    owners = [user["name"], *(org["name"] for org in user.get("orgs", []))]
    # The Hub lists all organizations only for a token with this role; for others, push itself has to try.
    if role == "write" and repo.split("/")[0] not in owners:
        raise InputError(
            f"cannot push to {repo}: you can write to {', '.join(f'{owner}/…' for owner in owners)}"
        )


def check_name(repo: str) -> None:
    """Check that a name is user/repo, as the Hub allows.

    Raises:
        InputError: The name is invalid.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        if "/" not in repo:
            raise HFValidationError(f"such as you/{repo or 'starry'}")
        validate_repo_id(repo)
    except HFValidationError as error:
        raise InputError(
            f"{repo!r} is no repository name of the Hub: expected user/repo ({first_line(error)})"
        ) from None


@contextmanager
def translate_hub_errors(repo: str, file: str = DEFAULT_FILE) -> Iterator[None]:
    """Raise errors of huggingface_hub in the block as an InputError that says what to do.

    Args:
        repo: user/repo, for the message.
        file: The file in the repository, for the message.

    Raises:
        InputError: The block raised an error of huggingface_hub or of the network.
    """
    from huggingface_hub.errors import EntryNotFoundError, HTTPError, XetDownloadError

    try:
        yield
    # An interrupted transfer raises a RuntimeError, and a malformed response a ValueError.
    except (HTTPError, OSError, RuntimeError, ValueError, EntryNotFoundError, XetDownloadError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # an error of this machine's file system
        raise InputError(describe_error(error, repo, file)) from None


def describe_error(error: Exception, repo: str, file: str) -> str:
    """Return what an error of huggingface_hub means and what to do about it, in one line."""
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/{repo}"
    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # why the download failed; the file is not in the cache either
    if isinstance(error, errors.GatedRepoError):
        return f"{repo} is gated: request access on {page}, and {LOGIN_HINT}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"the Hub has no model {repo}, or it is private: check the name on {page}, or {LOGIN_HINT}"
    if isinstance(error, errors.RemoteEntryNotFoundError | errors.RevisionNotFoundError):
        return f"{repo} has no file {file}: see {page}/tree/main, and give hf://{repo}/NAME.safetensors"
    if isinstance(error, errors.LocalTokenNotFoundError):
        return f"cannot push to {repo}: you are not logged in; {LOGIN_HINT}"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return f"{repo} cannot be reached because HF_HUB_OFFLINE is set: unset it"
    if isinstance(error, errors.HfHubHTTPError):
        return describe_status(error.response.status_code, error.server_message, repo)
    if isinstance(error, errors.HTTPError | ConnectionError):
        return (
            f"{constants.ENDPOINT} could not be reached for {repo} ({first_line(error)}): check your network "
            "connection"
        )
    return f"the transfer of {repo} failed ({first_line(error)}): try again"


def describe_status(status: int, message: str | None, repo: str) -> str:
    """Return what an HTTP error of the Hub means and what to do about it, in one line.

    Args:
        status: The HTTP status.
        message: The Hub's own message.
        repo: user/repo.
    """
    if status == 401:
        return f"the Hub does not accept your token for {repo}: {LOGIN_HINT} to a token from {TOKENS_PAGE}"
    reason = f" ({message.splitlines()[0]})" if message else ""
    if status == 403:
        return (
            f"you have no permission for {repo}{reason}: "
            f"use a repository of your own, or a token with write access from {TOKENS_PAGE}"
        )
    if status == 429 or status >= 500:
        return f"the Hub is not available for {repo}: status {status}{reason}; try again later"
    return f"the Hub refuses {repo}: status {status}{reason}"


def make_readme(repo: str, card: ModelCard, sample_name: str) -> str:
    """Return the README of a model: how to use it, and its metadata.

    Args:
        repo: user/repo.
        card: The model's metadata.
        sample_name: Name of the sample image in the repository; empty without one.
    """
    data = card.data or TrainingData()
    styles = [style.name for style in card.style]
    photos = [
        data.content,
        f"{data.photos} photos" if data.photos else None,
        f"crops of {data.size} pixels" if data.size else None,
        f"batches of {data.batch_size}" if data.batch_size else None,
    ]
    facts = {
        "painting": ", ".join(styles),
        "steps": card.steps,
        "photos": ", ".join(part for part in photos if part),
        "network": f"{card.network['size']}, {card.network['blocks']} blocks" if card.network else None,
        "loss network": card.training and card.training.vgg,
        "started from": card.init and card.init.name,
        "hardware": card.hardware,
        "minutes": card.minutes,
        "date": card.date,
        "versions": ", ".join(f"{key} {value}" for key, value in card.versions.items()),
        "blend of": ", ".join(f"{key} {value:.2f}" for key, value in card.blend.items()),
    }
    name = card.name or repo.split("/")[1]
    lines = [f"- {key}: {value}" for key, value in facts.items() if value]
    if card.command:
        lines += ["", "```sh", card.command, "```"]
    return README_TEMPLATE.format(
        name=name,
        image=f"![Stylized with {name}]({sample_name})\n\n" if sample_name else "",
        style=" and ".join(styles) or name,
        repo=repo,
        facts="\n".join(lines),
    )
