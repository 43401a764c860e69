"""Answers that are waited for only so long: a driver may hold a read for ever, and nothing ends that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from piaccel.errors import HangError

T = TypeVar("T")


class Answer(Generic[T]):
    """What ``question()`` returns or raises, worked out in a thread that is left behind when it does not end."""

    def __init__(self, question: Callable[[], T]) -> None:
        self._question = question
        self._results: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._results.append(self._question())
        except BaseException as error:  # noqa: BLE001 - whoever waits for the answer gets it
            self._error = error

    def within(self, seconds: float) -> T:
        """Wait at most ``seconds`` more. Raises HangError when nothing came, or what the question raised."""
        self._thread.join(max(0.0, seconds))
        if self._error is not None:
            raise self._error
        if not self._results:
            raise HangError(f"no answer within {max(0.0, seconds):.1f} s")
        return self._results[0]


class Deadline:
    """A moment that several waits share."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then, 0.0 when it has passed."""
        return max(0.0, self._end - time.monotonic())

    def ask(self, question: Callable[[], T]) -> T:
        """What ``question()`` answers. Raises HangError when it has not by the deadline."""
        return Answer(question).within(self.left())
