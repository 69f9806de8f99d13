import threading
import time

import pytest

from faststyle.video.prefetch import ahead


def test_items_come_in_order():
    assert list(ahead(range(100), 3)) == list(range(100))


def test_source_runs_in_parallel_with_the_consumer():
    taken, second = threading.Event(), threading.Event()

    def source():
        yield threading.get_ident()
        assert taken.wait(10)  # While the previous item is in use.
        second.set()
        yield threading.get_ident()

    for number, thread in enumerate(ahead(source())):
        assert thread != threading.get_ident()
        if number == 0:
            taken.set()
            assert second.wait(10)


def test_prefetch_depth_is_limited():
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


def test_error_is_raised_after_the_preceding_items():
    def source():
        yield 1
        yield 2
        raise ValueError("broken")

    found = []
    with pytest.raises(ValueError, match="broken"):
        for item in ahead(source()):
            found.append(item)
    assert found == [1, 2]


def test_closing_the_consumer_closes_the_source():
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


def test_source_that_cannot_be_iterated_raises_instead_of_blocking():
    with pytest.raises(TypeError):
        list(ahead(5))


def test_stages_can_be_chained():
    assert list(ahead(x + 1 for x in ahead(range(20)))) == list(range(1, 21))
