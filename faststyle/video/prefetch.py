"""Pipeline stages that run in threads, with a bounded queue to the next stage."""

import queue
import threading
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

DEPTH = 4  # items in the queue between two stages


def ahead(source: Iterable[T], depth: int = DEPTH) -> Generator[T]:
    """Iterate over a source in a thread, some items ahead of the consumer.

    An exception of the source is raised here, after the items before it. Closing this generator stops the
    thread and the source at the next item.

    Args:
        source: Iterated and closed in the thread.
        depth: Maximum number of items in the queue.
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
