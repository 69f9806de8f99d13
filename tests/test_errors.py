"""Exception classes, the library errors converted to them, and how commands print them."""

import pickle
from pathlib import Path

import pytest
import torch

from faststyle.console import error_line
from faststyle.device import memory_errors, process_errors
from faststyle.errors import InputError, OutOfMemoryError, RankLostError, WorkerDiedError


def test_parameters_in_backticks_become_options():
    error = InputError("`size` must be 16 or more, not 3: raise `size`, or leave out (`tile`)")
    assert error.parameters == ["size", "size", "tile"]
    assert error_line(error) == "--size must be 16 or more, not 3: raise --size, or leave out (--tile)"


@pytest.mark.parametrize("name", ["a`size`b.jpg", "photos/`size`.jpg", "`a b`.jpg", "``.jpg", "`Size`.jpg"])
def test_backticks_in_a_file_name_are_no_parameter(name):
    error = InputError(f"{name} is damaged")
    assert error.parameters == [] and error_line(error) == str(error)


def test_command_can_name_its_options_itself():
    error = InputError("lower `max_size`")
    assert error_line(error) == "lower --max-size"
    assert error_line(error, option=lambda name: f"--model.{name}") == "lower --model.max_size"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("a.jpg is damaged", file="a.jpg"), "a.jpg is damaged"),
        (InputError("a.jpg is damaged", file=Path("a.jpg")), "a.jpg is damaged"),
        (InputError("lower `max_size`"), "a.jpg: lower --max-size"),
        (OSError(13, "Permission denied", "a.jpg"), "Permission denied: a.jpg"),
        (OSError(28, "No space left", "out/a.jpg"), "a.jpg: No space left: out/a.jpg"),
    ],
    ids=str,
)
def test_source_file_is_named_once(error, line):
    assert error_line(error, Path("a.jpg")) == line


def test_error_keeps_its_file_when_pickled():
    error = pickle.loads(pickle.dumps(OutOfMemoryError("a.jpg does not fit", file="a.jpg")))
    assert isinstance(error, OutOfMemoryError)
    assert error.file == "a.jpg" and str(error) == "a.jpg does not fit"


# Errors for which libraries have no exception class


def onnxruntime_error(message: str) -> Exception:
    error_class = type(
        "RuntimeException", (Exception,), {"__module__": "onnxruntime.capi.onnxruntime_pybind11_state"}
    )
    return error_class(message)


def test_torchs_cpu_allocator_raises_out_of_memory():
    with pytest.raises(OutOfMemoryError) as caught, memory_errors("2x2 pixels", "lower `max_size`"):
        torch.empty(2**60, dtype=torch.uint8)
    assert caught.value.parameters == ["max_size"]
    assert str(caught.value) == "2x2 pixels do not fit into memory: lower `max_size`"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("std::bad_alloc"),
        onnxruntime_error("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer"),
        onnxruntime_error("std::bad_alloc"),
    ],
    ids=repr,
)
def test_error_of_an_allocator_becomes_out_of_memory(error):
    with pytest.raises(OutOfMemoryError), memory_errors("2x2 pixels", "lower `max_size`"):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        InputError("memory.jpg is damaged"),
        OutOfMemoryError("the inner block's message"),
        RuntimeError("shapes differ"),
        OSError("memory.jpg"),
        onnxruntime_error("Got invalid dimensions for input"),
    ],
    ids=repr,
)
def test_other_error_in_memory_errors_is_unchanged(error):
    with pytest.raises(type(error)) as caught, memory_errors("2x2 pixels", "lower `max_size`"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. "),
            "DataLoader worker (pid 12) is killed by signal: Killed",
        ),
        (
            RuntimeError("DataLoader worker (pid(s) 12, 13) exited unexpectedly"),
            "DataLoader worker (pid(s) 12, 13) exited unexpectedly",
        ),
        (EOFError(), "DataLoader worker (pid unknown)"),
    ],
    ids=repr,
)
def test_dead_worker_raises_worker_died(error, message):
    with pytest.raises(WorkerDiedError) as caught, process_errors():
        raise error
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer"),
        torch.distributed.DistNetworkError("Connection reset by peer"),
    ],
    ids=repr,
)
def test_lost_connection_raises_rank_lost(error):
    with pytest.raises(RankLostError), process_errors():
        raise error


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), EOFError("Ran out of input"), KeyError("gloo")]
)
def test_other_error_in_process_errors_is_unchanged(error):
    with pytest.raises(type(error)) as caught, process_errors():
        raise error
    assert caught.value is error


# The options of training


@pytest.mark.parametrize(
    ("parameter", "option"),
    [
        ("learning_rate", "--model.learning_rate"),
        ("style_weight", "--model.style_weight"),
        ("content_weight", "--model.content_weight"),  # passed on by **objective
        ("workers", "--data.workers"),
        ("precision", "--trainer.precision"),
        ("num_nodes", "--trainer.num_nodes"),
        ("content", "--content"),
        ("style", "--style"),
        ("init", "--init"),
        ("output", "--output"),
    ],
)
def test_training_prints_the_options_of_its_groups(parameter, option):
    from faststyle.cli import train_options

    assert error_line(InputError(f"lower `{parameter}`"), option=train_options.option) == f"lower {option}"
