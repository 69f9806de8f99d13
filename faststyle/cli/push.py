"""``faststyle push``: publish a model on the Hugging Face Hub."""

from dataclasses import dataclass

from faststyle.cli.inputs import MODEL
from faststyle.errors import InputError
from faststyle.options import Settings, option, text


@dataclass(frozen=True)
class Options(Settings):
    """Publish a model on the Hugging Face Hub."""

    checkpoint: str | None = option(None, "a model's file or a built-in style's name", MODEL, "MODEL")
    repo: str | None = option(
        None, "the repository, made if there is none", text("a repository of the Hub, USER/REPO"), "USER/REPO"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.checkpoint is None or self.repo is None:
            raise InputError("publishing needs `checkpoint` MODEL and `repo` USER/REPO")


def run(options: Options) -> int:
    """Push the model, and print its page's address; nothing fails."""
    from faststyle.inference.stylizer import Stylizer

    assert options.checkpoint is not None and options.repo is not None
    print(Stylizer.load(options.checkpoint, "cpu", engine="torch").push_to_hub(options.repo))
    return 0
