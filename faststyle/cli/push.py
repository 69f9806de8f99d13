"""``faststyle push``: publish a model on the Hugging Face Hub."""

from dataclasses import dataclass

from faststyle.cli.inputs import model_option
from faststyle.options import Settings, option, text


@dataclass(frozen=True)
class Options(Settings):
    """Publish a model on the Hugging Face Hub."""

    checkpoint: str = model_option("a model's file or a built-in style's name")
    repo: str = option(
        None,
        "the repository, made if there is none",
        text("a repository of the Hub, USER/REPO"),
        "USER/REPO",
        required=True,
    )


def run(options: Options) -> int:
    """Push the model, and print its page's address; nothing fails."""
    from faststyle.inference.stylizer import Stylizer

    print(Stylizer.load(options.checkpoint, "cpu", engine="torch").push_to_hub(options.repo))
    return 0
