"""Test how a training run ends when one of its processes dies."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from faststyle.errors import InputError, RankLostError, WorkerDiedError
from faststyle.training.run import train


@pytest.fixture
def fitted(tmp_path):
    """Return a function that trains in a run whose Trainer raises an error, perhaps after a signal."""

    def fit(error: BaseException, signal: int | None = None) -> None:
        def fit(*_, **__) -> None:
            raise error

        trainer = SimpleNamespace(fit=fit, is_global_zero=True, world_size=2)
        checkpoints = SimpleNamespace(signal=signal)
        last = Path(tmp_path / "last.ckpt")
        run = SimpleNamespace(
            trainer=trainer, checkpoints=checkpoints, last=last, resumes=False, model=None, datamodule=None
        )
        train(run)

    return fit


def test_worker_that_died_is_named_with_what_to_do(fitted):
    with pytest.raises(
        WorkerDiedError, match=r"\(DataLoader worker \(pid 7\) is killed.*same command"
    ) as caught:
        fitted(RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "))
    assert caught.value.parameters == ["workers"]


def test_worker_killed_by_the_signal_is_no_error(fitted):
    with pytest.raises(SystemExit) as caught:
        fitted(EOFError(), signal=15)
    assert caught.value.code == 143


def test_lost_rank_is_reported(fitted):
    with pytest.raises(RankLostError, match="another of the 2 processes"):
        fitted(RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer"))


@pytest.mark.parametrize(
    "error", [InputError("lower `workers`"), OSError(28, "No space left", "a")], ids=repr
)
def test_other_errors_say_how_to_resume(fitted, error):
    with pytest.raises(InputError, match="the same command starts again"):
        fitted(error)


def test_programming_error_keeps_its_traceback(fitted):
    with pytest.raises(RuntimeError, match="shapes differ"):
        fitted(RuntimeError("shapes differ"))
