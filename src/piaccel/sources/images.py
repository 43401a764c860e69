"""Pictures: one file, or a folder of them in the order of their names. ``images:parts/,fps=10,loop=true``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from piaccel import images, sources
from piaccel.errors import InputError, NotFoundError, OptionError, UnavailableError
from piaccel.frames import Frame

_log = logging.getLogger("piaccel")


@dataclass(frozen=True, kw_only=True)
class Options(sources.Options):
    fps: float = 0.0
    """At most so many a second; 0: as fast as they are read."""
    loop: bool = False


class Images(sources.Source):
    """Gives every picture: with ``fps`` a late reader delays the following ones.

    A file that is no picture is left out, with a warning and a gap in the indices.
    """

    options = Options
    live = False

    def __init__(
        self,
        target: str,
        options: sources.Options,
        clock: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(target, options)
        self._chosen = cast(Options, options)
        if self._chosen.fps < 0:
            raise OptionError(f"images: fps is {self._chosen.fps:g}, expected 0 (as fast as they are read) or more")
        self._clock, self._sleep = clock, sleep
        self._paths: list[Path] | None = None
        self._first: NDArray[np.uint8] | None = None
        self._next = 0
        self._due_ns: int | None = None

    @classmethod
    def accepts(cls, target: str) -> bool:
        path = Path(target)
        return "://" not in target and (path.suffix.lower() in images.SUFFIXES or path.is_dir())

    def open(self) -> None:
        """Find the pictures and read the first. Raises NotFoundError, or OptionError when there is no picture."""
        self.close()
        if not self.target:
            raise OptionError("images needs a folder or a picture", hint="write images:FOLDER")
        try:
            paths = images.find_images([self.target])
        except InputError as error:
            raise OptionError(str(error), hint=error.hint) from error
        self._paths, self._next, self._due_ns = paths, 0, None
        self.fps = self._chosen.fps or None
        self._first = self._read_on()
        if self._first is None:
            self.close()
            raise OptionError(f"{self.target}: none of its {len(paths)} files is a whole picture")
        self.size = (self._first.shape[0], self._first.shape[1])
        self._next -= 1

    def read(self) -> Frame | None:
        """Return the next picture, None after the last. Raises UnavailableError when it is closed."""
        if self._paths is None:
            raise UnavailableError(f"{self} is closed")
        image, self._first = self._first, None
        if image is not None:
            self._next += 1
        else:
            image = self._read_on()
        if image is None:
            return None
        self.size = (image.shape[0], image.shape[1])
        return Frame(image, self._next - 1, self._paced())

    def close(self) -> None:
        self._paths = self._first = None

    def _read_on(self) -> NDArray[np.uint8] | None:
        """The next file that is a picture; None at the end, or when there is none in a whole round."""
        assert self._paths is not None
        for _ in range(len(self._paths)):
            if self._next >= len(self._paths) and not self._chosen.loop:
                return None
            path = self._paths[self._next % len(self._paths)]
            self._next += 1
            try:
                return images.read_image(path)
            except (InputError, NotFoundError) as error:
                _log.warning("left out: %s", error)
        return None

    def _paced(self) -> int:
        """Wait until the next picture is due and return that time."""
        now_ns = self._clock()
        if not self._chosen.fps:
            return now_ns
        due_ns = now_ns if self._due_ns is None else max(self._due_ns, now_ns)
        while (left_ns := due_ns - self._clock()) > 0:
            self._sleep(left_ns / 1e9)
        self._due_ns = due_ns + round(1e9 / self._chosen.fps)
        return due_ns
