"""Stages that run at the same time: each in a thread, with a bounded queue to the next."""

import queue
import threading
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

DEPTH = 4  # items that wait between two stages


def ahead(source: Iterable[T], depth: int = DEPTH) -> Generator[T]:
    """Iterate in a thread of its own, so many items ahead of who takes them.

    What the source raises is raised here, after the items before it. Who stops taking (close(), or an
    exception) stops the thread, and with it the source, at its next item.

    Args:
        source: iterated, and closed, in the thread.
        depth: most items that wait.
    """
    waiting: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: tuple[bool, T | BaseException | None]) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                pass
        return False

    def work() -> None:
        iterator: Any = None
        try:
            iterator = iter(source)
            for item in iterator:
                if not put((True, item)):
                    break
            else:
                put((False, None))
        except BaseException as error:
            put((False, error))
        finally:
            if hasattr(iterator, "close"):
                iterator.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            more, item = waiting.get()
            if more:
                yield item  # type: ignore[misc]
            elif item is None:
                return
            else:
                raise item  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join()
