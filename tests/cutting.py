"""A program cut off before, or refused, each of the system calls that change something on a disk, in turn."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

Act = Callable[[str, tuple[Any, ...]], None]

OPERATIONS = (
    "open", "write", "fsync", "rename", "replace", "link", "symlink", "mkdir", "rmdir", "unlink", "fchmod", "fchown",
)  # fmt: skip


def instrument(act: Act, counts: Callable[[str, tuple[Any, ...]], bool] = lambda name, args: True) -> None:
    """Have ``act`` called before each system call that changes something, and that ``counts``."""

    def wrapped(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if (name != "open" or args[1] & (os.O_CREAT | os.O_TRUNC)) and counts(name, args):
                act(name, args)
            return real(*args, **kwargs)

        return call

    for name in OPERATIONS:
        setattr(os, name, wrapped(name))


def cut_before(point: int) -> Act:
    """End this process before operation number ``point``; half of a write is done."""
    count, write = 0, os.write

    def act(name: str, args: tuple[Any, ...]) -> None:
        nonlocal count
        count += 1
        if count == point:
            if name == "write":
                write(args[0], bytes(args[1])[: len(args[1]) // 2])
            os._exit(9)

    return act


class Failing:
    """Operation number ``point`` fails with ``code``, as a full disk or a worn card lets it; none when it is 0."""

    def __init__(self) -> None:
        self.point, self.code, self.count = 0, 0, 0

    def __call__(self, name: str, args: tuple[Any, ...]) -> None:
        self.count += 1
        if self.count == self.point:
            raise OSError(self.code, os.strerror(self.code))

    def at(self, point: int, code: int) -> None:
        """Count from here on."""
        self.point, self.code, self.count = point, code, 0

    def off(self) -> bool:
        """Let everything succeed again; say whether it had come to the point."""
        hit = self.count >= self.point
        self.point = 0
        return hit
