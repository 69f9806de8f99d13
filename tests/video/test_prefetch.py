import threading
import time

import pytest

from faststyle.video.prefetch import ahead


def test_everything_comes_in_order():
    assert list(ahead(range(100), 3)) == list(range(100))


def test_the_source_runs_beside_who_takes():
    taken, second = threading.Event(), threading.Event()

    def source():
        yield threading.get_ident()
        assert taken.wait(10)  # while the one before is in use
        second.set()
        yield threading.get_ident()

    for number, thread in enumerate(ahead(source())):
        assert thread != threading.get_ident()
        if number == 0:
            taken.set()
            assert second.wait(10)


def test_it_is_no_further_ahead_than_told():
    taken = []

    def source():
        for number in range(50):
            taken.append(number)
            yield number

    stage = ahead(source(), 3)
    next(stage)
    time.sleep(0.2)
    assert len(taken) <= 5
    stage.close()


def test_an_error_comes_after_what_was_before_it():
    def source():
        yield 1
        yield 2
        raise ValueError("broken")

    found = []
    with pytest.raises(ValueError, match="broken"):
        for item in ahead(source()):
            found.append(item)
    assert found == [1, 2]


def test_who_stops_taking_ends_the_source():
    closed = threading.Event()

    def source():
        try:
            yield from range(1000)
        finally:
            closed.set()

    stage = ahead(source(), 2)
    assert next(stage) == 0
    stage.close()
    assert closed.is_set()


def test_what_cannot_be_iterated_is_an_error_and_no_wait():
    with pytest.raises(TypeError):
        list(ahead(5))


def test_stages_can_follow_each_other():
    assert list(ahead(x + 1 for x in ahead(range(20)))) == list(range(1, 21))
