"""Long computations in a thread, with the stage that they are in."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from time import perf_counter
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
WAITING = "Waiting for this computer"
POLL_SECONDS = 1.0  # between two reports of a stage


class Waiting(NamedTuple):
    """A computation that has not ended yet.

    Attributes:
        stage: What the computation does, such as "Writing the file".
        seconds: Time since the start of the computation.
    """

    stage: str
    seconds: float


class Done(NamedTuple, Generic[T]):
    """A computation that has ended.

    Attributes:
        value: What the computation returned.
    """

    value: T


class Stage:
    """The stage of a computation, which its thread sets and another one reads.

    Attributes:
        text: What the computation does.
    """

    def __init__(self, text: str):
        self.text = text


class Worker:
    """A thread that runs one computation at a time; further computations wait.

    A forward pass cannot be interrupted. If the iterator of ``follow`` is closed, the pass goes on in the
    thread, and its result is dropped.
    """

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1)

    def follow(
        self, function: Callable[[Stage], T], text: str, discard: Callable[[T], object] = lambda _: None
    ) -> Iterator[Waiting | Done[T]]:
        """Run a function in the thread.

        Args:
            function: Called with its stage.
            text: Text of the function's first stage.
            discard: Called with what the function returned if the iterator was closed before.

        Yields:
            The stage about every ``POLL_SECONDS``, and finally what the function returned.
        """
        stage, started = Stage(WAITING), perf_counter()

        def run() -> T:
            stage.text = text
            return function(stage)

        future = self.pool.submit(run)
        try:
            while not wait([future], POLL_SECONDS).done:
                yield Waiting(stage.text, perf_counter() - started)
        except GeneratorExit:
            if not future.cancel():  # it succeeds only while the function waits for another computation
                future.add_done_callback(lambda done: done.exception() or discard(done.result()))
            raise
        yield Done(future.result())
