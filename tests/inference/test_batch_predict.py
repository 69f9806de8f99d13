"""Tests of batch prediction on one rank, and of the errors when another process dies."""

import pytest
import pytorch_lightning as pl

from faststyle.errors import InputError, RankLostError, WorkerDiedError
from faststyle.inference.batch.predict import predict_shard


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), WorkerDiedError),
        (EOFError(), WorkerDiedError),
        (RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer"), RankLostError),
    ],
    ids=repr,
)
def test_dead_process_ends_the_run_with_its_error(monkeypatch, error, kind):
    def predict(*_, **__):
        raise error

    monkeypatch.setattr(pl.Trainer, "predict", predict)
    with pytest.raises(kind, match="the same command goes on"):
        predict_shard(None, "cpu", 1, 1)


def test_unknown_device_is_named_in_the_error():
    with pytest.raises(InputError) as caught:
        predict_shard(None, "abacus", 2, 1)
    assert caught.value.parameters == ["device", "devices"]
