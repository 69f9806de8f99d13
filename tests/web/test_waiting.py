"""Tests of long computations in a thread."""

import threading

import pytest

pytest.importorskip("gradio")

from faststyle.errors import InputError
from faststyle.web import components, waiting
from faststyle.web.waiting import Done, Waiting, Worker


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.01)


def test_stages_are_reported_until_the_result():
    reached = threading.Event()

    def work(stage):
        stage.text = "second"
        reached.set()
        return 7

    steps = Worker().follow(lambda stage: reached.wait(10) and 7, "first")
    step = next(steps)
    assert isinstance(step, Waiting) and step.stage == "first" and step.seconds > 0
    reached.set()
    assert list(steps)[-1] == Done(7)
    assert list(Worker().follow(work, "first"))[-1] == Done(7)


def test_error_of_the_computation_is_raised():
    def work(stage):
        raise InputError("too large")

    with pytest.raises(InputError, match="too large"):
        list(Worker().follow(work, "first"))


def test_stopped_computation_that_waits_for_another_one_never_runs():
    worker, end, ran = Worker(), threading.Event(), []
    first = worker.follow(lambda stage: end.wait(10), "first")
    assert isinstance(next(first), Waiting)
    second = worker.follow(lambda stage: ran.append(2), "second")
    assert next(second).stage == waiting.WAITING
    second.close()
    end.set()
    assert list(first)[-1] == Done(True)
    assert list(worker.follow(lambda stage: 3, "third"))[-1] == Done(3) and not ran


def test_result_of_a_stopped_computation_is_discarded():
    worker, end, discarded = Worker(), threading.Event(), []
    first = worker.follow(lambda stage: end.wait(10), "first", discarded.append)
    assert isinstance(next(first), Waiting)
    first.close()
    end.set()
    assert list(worker.follow(lambda stage: 2, "second"))[-1] == Done(2) and discarded == [True]


def test_progress_bar_has_a_name_and_a_value_if_it_is_known():
    assert components.render_waiting(Waiting("Writing the file", 12.3)) == (
        '<p>Writing the file … 12 s <progress aria-label="Writing the file … 12 s"></progress></p>'
    )
    assert 'value="3" max="10"' in components.render_progress("Refining: 3 of 10", 3, 10)
