"""The newest frame of a camera, however slow the consumer, and a window that shows it."""

import threading
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np
from PIL import Image

from faststyle.errors import InputError

T = TypeVar("T")

JOIN_TIMEOUT = 3  # seconds for a thread to end; the read from a silent camera blocks
ALTERNATIVE = "record to a file instead (`output`)"


class Newest(Generic[T]):
    """Iterates over a source in a thread and yields only the newest item; older ones are dropped.

    Leaving its context stops the thread, which closes the source.

    Attributes:
        rate, time_base: Those of the source; None if it has none.
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
        iterator: Any = source  # closed even if it cannot be iterated
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
        """Return the newest item that was not taken yet; None at a timeout and at the end.

        Args:
            seconds: Timeout. By default none.

        Raises:
            Exception: The source's exception, after its last item.
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
        """True if an item is there, or none will come."""
        return self.item is not None or self.ended or self.stopped

    def __iter__(self) -> Iterator[T]:
        while True:
            item = self.take()
            if item is not None:
                yield item
            elif self.over:
                return

    def stop(self) -> None:
        """End the iteration, from any thread, without waiting."""
        with self.change:
            self.stopped, self.item = True, None
            self.change.notify()

    def __enter__(self) -> "Newest[T]":
        return self

    def __exit__(self, *_) -> None:
        self.stop()
        self.thread.join(JOIN_TIMEOUT)


class Window:
    """A window that shows images until the user closes it by q, Escape or its button.

    Raises:
        InputError: There is no tkinter, or no display.
    """

    def __init__(self, title: str):
        try:
            import tkinter

            from PIL import ImageTk
        except ImportError:
            raise InputError(
                f"the window needs tkinter: install it, such as by apt install python3-tk, or {ALTERNATIVE}"
            ) from None
        try:
            self.root = tkinter.Tk()
        except tkinter.TclError:
            raise InputError(f"there is no display to show a window on: {ALTERNATIVE}") from None
        self.to_tk = ImageTk.PhotoImage
        self.root.title(title)
        self.root.configure(background="black")
        self.label = tkinter.Label(self.root, borderwidth=0, background="black")
        self.label.pack(expand=True)
        self.image: Any = None
        self.closed = False
        for key in ("q", "Q", "<Escape>"):
            self.root.bind(key, lambda _: self.close())
        self.root.protocol("WM_DELETE_WINDOW", self.close)
        self.root.update()

    def show(self, pixels: np.ndarray) -> None:
        """Show an image, (H,W,3) uint8 RGB."""
        if not self.closed:
            self.image = self.to_tk(Image.fromarray(pixels), master=self.root)  # Tk keeps no reference
            self.label.configure(image=self.image)

    def update(self) -> None:
        """Process the user's input to the window."""
        if not self.closed:
            self.root.update()

    def close(self) -> None:
        """Mark the window as closed. Leaving its context destroys it: Tk may be running a callback."""
        self.closed = True

    def __enter__(self) -> "Window":
        return self

    def __exit__(self, *_) -> None:
        self.root.destroy()


def show_frames(frames: Newest[Any], window: Any) -> Iterator[Any]:
    """Show the newest frames in a window and yield them, until the frames or the window end.

    The window stays responsive while no frame comes.
    """
    while not window.closed:
        frame = frames.take(0.01)
        window.update()
        if frame is not None:
            window.show(frame.pixels)
            yield frame
        elif frames.over and frames.item is None:
            return
