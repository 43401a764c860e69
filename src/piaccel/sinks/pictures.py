"""A picture of each event that concerns it, with the result drawn on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from piaccel.errors import OptionError
from piaccel.sinks import Event, Sink, _album
from piaccel.sinks._jpeg import encoded


@dataclass(frozen=True, kw_only=True)
class Options(_album.Options):
    format: Literal["jpg", "png"] = "jpg"
    quality: int = 90
    """Of a JPEG, 1 to 100."""
    annotated: bool = True
    """Draw the result on the picture."""
    json: bool = False
    """Write the event beside the picture as NAME.json; it counts as a file."""
    min_interval_s: float = 0.0
    """Skip the events that come sooner after the last picture of their stream."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.quality <= 100:
            raise OptionError(f"pictures: quality={self.quality}, it must be 1 to 100")


class Pictures(Sink):
    """Writes FOLDER/2026-11-23/011322.123-line1-0a1b2c3d.jpg (UTC), whole or not at all."""

    options = Options
    chosen: Options
    wants_image = True
    queue = 16

    def __init__(self, target: str, options: Options) -> None:
        super().__init__(target, options)
        self._album = _album.Album(target, options, "pictures")
        self._last_ns: dict[str, int] = {}
        self._skipped = self._without = 0

    def open(self) -> None:
        self._album.open()

    def deliver(self, event: Event) -> None:
        last_ns = self._last_ns.get(event.stream)
        if last_ns is not None and 0 <= event.published_ns - last_ns < self.chosen.min_interval_s * 1e9:
            self._skipped += 1
            return
        blob = encoded(event, self.chosen.format, self.chosen.quality, self.chosen.annotated)
        if blob is None:
            self._without += 1
            return
        self._album.write(self._album.path(event, self.chosen.format), blob)
        if self.chosen.json:
            self._album.write(self._album.path(event, "json"), json.dumps(event.to_dict()).encode())
        self._last_ns[event.stream] = event.published_ns

    def close(self) -> None:
        """Nothing is held open."""

    def facts(self) -> Mapping[str, float]:
        album = self._album
        return {
            "written": album.written,
            "deleted": album.deleted,
            "skipped": self._skipped,
            "without_picture": self._without,
        }
