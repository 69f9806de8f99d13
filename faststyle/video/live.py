"""A camera's newest frame, whatever is slow, and a window that shows it."""

import threading
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np
from PIL import Image

from faststyle.errors import InputError

T = TypeVar("T")

PATIENCE = 3  # seconds that a thread has to end: a camera may have stopped without a word
INSTEAD = "record to a file instead (`output`)"


class Newest(Generic[T]):
    """Iterates a source in a thread; who takes an item gets the newest, and those before it are dropped.

    A context manager: left, it stops the thread, which closes the source.

    Attributes:
        rate, time_base: the source's, None if it has none.
    """

    def __init__(self, source: Iterable[T]):
        self.rate, self.time_base = getattr(source, "rate", None), getattr(source, "time_base", None)
        self.change = threading.Condition()
        self.item: T | None = None
        self.error: BaseException | None = None
        self.ended = self.stopped = False
        self.thread = threading.Thread(target=self.work, args=(source,), daemon=True)
        self.thread.start()

    def work(self, source: Iterable[T]) -> None:
        iterator: Any = source  # which is closed even where it cannot be iterated
        error: BaseException | None = None
        try:
            iterator = iter(source)
            for item in iterator:
                with self.change:
                    if self.stopped:
                        break
                    self.item = item
                    self.change.notify()
        except BaseException as raised:
            error = raised
        try:
            if hasattr(iterator, "close"):
                iterator.close()
        except BaseException as raised:
            error = error or raised
        with self.change:
            self.ended, self.error = True, error
            self.change.notify()

    def take(self, seconds: float | None = None) -> T | None:
        """The newest item that was not taken yet, waited for so long; None without one, and at the end.

        Raises:
            Exception: what the source raised, after its last item.
        """
        with self.change:
            if not self.over:
                self.change.wait(seconds)
            item, self.item = self.item, None
            if item is None and self.error is not None and not self.stopped:
                raise self.error
            return item

    @property
    def over(self) -> bool:
        """Whether nothing is to be waited for: there is an item, or there will be none."""
        return self.item is not None or self.ended or self.stopped

    def __iter__(self) -> Iterator[T]:
        while True:
            item = self.take()
            if item is not None:
                yield item
            elif self.over:
                return

    def stop(self) -> None:
        """End the iteration, from any thread; waits for nothing."""
        with self.change:
            self.stopped, self.item = True, None
            self.change.notify()

    def __enter__(self) -> "Newest[T]":
        return self

    def __exit__(self, *_) -> None:
        self.stop()
        self.thread.join(PATIENCE)


class Window:
    """A window that shows pictures until it is closed: by q, Escape, or its button.

    Raises:
        InputError: no tkinter, or no display.
    """

    def __init__(self, title: str):
        try:
            import tkinter

            from PIL import ImageTk
        except ImportError:
            raise InputError(
                f"the window needs tkinter: apt install python3-tk, or as your Python has it; or {INSTEAD}"
            ) from None
        try:
            self.root = tkinter.Tk()
        except tkinter.TclError:
            raise InputError(f"there is no display to show a window on: {INSTEAD}") from None
        self.to_tk = ImageTk.PhotoImage
        self.root.title(title)
        self.root.configure(background="black")
        self.label = tkinter.Label(self.root, borderwidth=0, background="black")
        self.label.pack(expand=True)
        self.picture: Any = None
        self.closed = False
        for key in ("q", "Q", "<Escape>"):
            self.root.bind(key, lambda _: self.close())
        self.root.protocol("WM_DELETE_WINDOW", self.close)
        self.root.update()

    def show(self, pixels: np.ndarray) -> None:
        """Show a picture, (H,W,3) uint8 RGB."""
        if not self.closed:
            self.picture = self.to_tk(Image.fromarray(pixels), master=self.root)  # Tk itself holds none
            self.label.configure(image=self.picture)

    def update(self) -> None:
        """Let the window answer to what a person does."""
        if not self.closed:
            self.root.update()

    def close(self) -> None:
        self.closed = True  # it goes when it is left: Tk may be at work for it now

    def __enter__(self) -> "Window":
        return self

    def __exit__(self, *_) -> None:
        self.root.destroy()


def shown(frames: Newest[Any], window: Any) -> Iterator[Any]:
    """The newest of the frames, each shown in the window, until one of both ends.

    The window answers even where no frame comes.
    """
    while not window.closed:
        frame = frames.take(0.01)
        window.update()
        if frame is not None:
            window.show(frame.pixels)
            yield frame
        elif frames.over and frames.item is None:
            return
