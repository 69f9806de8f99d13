"""Models on the Hugging Face Hub: to fetch one, and to publish one with its card."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faststyle.errors import InputError, first_line
from faststyle.models.card import ModelCard, TrainingData

# huggingface_hub is imported where it is used, since most runs do without it.

MODEL = "model.safetensors"  # the name of a repo's model, where none is given
LOGIN = "log in with hf auth login, or set HF_TOKEN"
TOKENS = "https://huggingface.co/settings/tokens"

README = """\
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

{picture}A small network that paints a photo in the style of {style}, in one pass.
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
    """Fetch a model; one that was fetched before is read from the cache where the Hub is out of reach.

    Args:
        repo: user/repo, whose model.safetensors is taken, or user/repo/NAME.safetensors.

    Returns:
        The file in huggingface_hub's cache.

    Raises:
        InputError: no such repo or file, one that is private or gated, or no network.
    """
    repo_id, file = "/".join(repo.split("/")[:2]), "/".join(repo.split("/")[2:]) or MODEL
    check_name(repo_id)
    from huggingface_hub import hf_hub_download

    with mendable(repo_id, file):
        return Path(hf_hub_download(repo_id, file))


def push(path: Path, repo: str, card: ModelCard, sample: Path | None = None) -> str:
    """Publish a model with its card, in one commit; the repo is made if there is none.

    Args:
        path: the model's file, which becomes model.safetensors.
        repo: user/repo, or organization/repo.
        card: of the model; the page says what it holds. A page that is there already is replaced.
        sample: a picture to show on the page.

    Returns:
        The page's address.

    Raises:
        InputError: no such file, not logged in, no permission to write there, or no network.
    """
    check_name(repo)
    uploads, picture = {MODEL: path}, ""
    if sample is not None:
        picture = f"sample{sample.suffix}"
        uploads[picture] = sample
    for file in uploads.values():
        if not file.is_file():
            raise InputError(f"there is no file {file} to push to {repo}")
    from huggingface_hub import CommitOperationAdd, HfApi

    readme = CommitOperationAdd("README.md", write_readme(repo, card, picture).encode())
    files = [CommitOperationAdd(name, str(file)) for name, file in uploads.items()]
    api = HfApi()
    with mendable(repo):
        page = api.create_repo(repo, exist_ok=True)
        api.create_commit(repo, [readme, *files], commit_message=f"Add {card.name or path.stem}")
    return str(page)


def check_push(repo: str) -> None:
    """Refuse before a training what ``push`` would refuse after it.

    Args:
        repo: user/repo, or organization/repo; nothing is made there yet.

    Raises:
        InputError: not a repo's name, not logged in, no permission to write there, or no network.
    """
    check_name(repo)
    from huggingface_hub import HfApi

    with mendable(repo):
        user = HfApi().whoami()
    role = user.get("auth", {}).get("accessToken", {}).get("role")
    if role == "read":
        raise InputError(
            f"cannot push to {repo}: your token may only read; make one that may write on {TOKENS}"
        )
    owners = [user["name"], *(org["name"] for org in user.get("orgs", []))]
    # Only such a token is told of all organizations; for others push has to find out.
    if role == "write" and repo.split("/")[0] not in owners:
        raise InputError(f"cannot push to {repo}: you may write to {', '.join(f'{one}/…' for one in owners)}")


def check_name(repo: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        if "/" not in repo:
            raise HFValidationError(f"such as you/{repo or 'starry'}")
        validate_repo_id(repo)
    except HFValidationError as error:
        raise InputError(
            f"{repo!r} is no repo of the Hub: expected user/repo ({first_line(error)})"
        ) from None


@contextmanager
def mendable(repo: str, file: str = MODEL) -> Iterator[None]:
    """Turn the Hub's refusals, and its silence, into one line with the remedy."""
    from huggingface_hub.errors import EntryNotFoundError, HTTPError, XetDownloadError

    try:
        yield
    # A transfer that breaks off is a RuntimeError, an answer that makes no sense a ValueError.
    except (HTTPError, OSError, RuntimeError, ValueError, EntryNotFoundError, XetDownloadError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of this machine's disk
        raise InputError(explain(error, repo, file)) from None


def explain(error: Exception, repo: str, file: str) -> str:
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/{repo}"
    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # why the Hub was no help; the file is not in the cache either
    if isinstance(error, errors.GatedRepoError):
        return f"{repo} is gated: ask for access on {page}, and {LOGIN}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"the Hub has no model {repo}, or it is private: check the name on {page}, or {LOGIN}"
    if isinstance(error, errors.RemoteEntryNotFoundError | errors.RevisionNotFoundError):
        return f"{repo} has no file {file}: see {page}/tree/main, and give hf://{repo}/NAME.safetensors"
    if isinstance(error, errors.LocalTokenNotFoundError):
        return f"cannot push to {repo}: you are not logged in; {LOGIN}"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return f"{repo} needs the Hub, and HF_HUB_OFFLINE forbids the network: unset it"
    if isinstance(error, errors.HfHubHTTPError):
        return explain_status(error.response.status_code, error.server_message, repo)
    if isinstance(error, errors.HTTPError | ConnectionError):
        return (
            f"{constants.ENDPOINT} could not be reached for {repo} ({first_line(error)}): check the network"
        )
    return f"the Hub and this machine could not exchange {repo} ({first_line(error)}): try again"


def explain_status(status: int, message: str | None, repo: str) -> str:
    if status == 401:
        return f"the Hub does not accept your token for {repo}: {LOGIN} to one of {TOKENS}"
    said = f" ({message.splitlines()[0]})" if message else ""
    if status == 403:
        return (
            f"you have no permission for {repo}{said}: "
            f"take a name of yours, or a token that may write, of {TOKENS}"
        )
    if status == 429 or status >= 500:
        return f"the Hub has no time for {repo} now: status {status}{said}; try again later"
    return f"the Hub refuses {repo}: status {status}{said}"


def write_readme(repo: str, card: ModelCard, picture: str) -> str:
    """The model's page: what the header of its file says, and how to use it."""
    data = card.data or TrainingData()
    styles = [one.name for one in card.style]
    photos = [
        data.content,
        f"{data.photos} photos" if data.photos else None,
        f"crops of {data.size} pixels" if data.size else None,
        f"{data.batch_size} a step" if data.batch_size else None,
    ]
    facts = {
        "painting": ", ".join(styles),
        "steps": card.steps,
        "photos": ", ".join(part for part in photos if part),
        "network": f"{card.network['size']}, {card.network['blocks']} blocks" if card.network else None,
        "judged by": card.training and card.training.vgg,
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
    return README.format(
        name=name,
        picture=f"![Stylized with {name}]({picture})\n\n" if picture else "",
        style=" and ".join(styles) or name,
        repo=repo,
        facts="\n".join(lines),
    )
