"""A short film of what happened before, at and after an event."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from piaccel.errors import OptionError
from piaccel.sinks import Event, Rule, Sink, _album
from piaccel.sinks._avi import avi
from piaccel.sinks._jpeg import encoded

MOST_UNSAVED = 4
"""Whole clips that may wait for room on the disk; then the oldest is given up and counted."""


@dataclass(frozen=True, kw_only=True)
class Options(_album.Options):
    max_files: int = 200
    """Clips there may be; the oldest are deleted."""
    trigger: str = "*"
    """Which results begin a clip, written as ``on`` is: "crack|hole", "!good", "*" anything found."""
    trigger_score: float = 0.0
    """Findings below this score do not count for ``trigger``."""
    before_s: float = 3.0
    """How much from before the event is in the clip."""
    after_s: float = 3.0
    """How much from after the last event is in it."""
    longest_s: float = 30.0
    """A clip that events would extend beyond ends, and another begins."""
    fps: float = 10.0
    """Frames a second in the clip at most; others are left out."""
    quality: int = 80
    """Of its JPEG pictures, 1 to 100."""
    annotated: bool = True
    """Draw the results on the pictures."""
    memory_bytes: int = 50_000_000
    """What the pictures held for one stream may take; with more, the time before the event gets shorter."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.quality <= 100:
            raise OptionError(f"clip: quality={self.quality}, it must be 1 to 100")
        if self.fps <= 0 or min(self.before_s, self.after_s) < 0 or self.longest_s < self.before_s + self.after_s:
            raise OptionError(
                "clip: fps must be more than 0, before and after not negative, and longest at least both together"
            )
        if not self.trigger:
            raise OptionError("clip: trigger is empty", hint="write trigger=crack, or trigger=* for anything found")


class _Picture(NamedTuple):
    at_ns: int
    size: tuple[int, int]
    jpeg: bytes


@dataclass
class _Recording:
    """What is held of one stream: the last seconds, or the clip that grows."""

    pictures: deque[_Picture] = field(default_factory=deque)
    held_bytes: int = 0
    due_ns: int = 0
    """A picture from before is left out, so that there are ``fps`` a second."""
    ends_ns: int = 0
    path: Path | None = None
    """Where the clip will be; None while nothing happens."""


class Clip(Sink):
    """Writes FOLDER/2026-11-23/011322.123-line1-0a1b2c3d.avi (MJPG), named by the event that began it.

    A clip lies in memory until it is whole.
    """

    options = Options
    chosen: Options
    delivery = "at most once"
    wants_image = True
    queue = 16
    tick_s = 0.5

    def __init__(self, target: str, options: Options, clock: Callable[[], int] = time.monotonic_ns) -> None:
        super().__init__(target, options)
        if options.on:
            raise OptionError(
                "clip: on= would keep from it the frames before the event", hint=f"write trigger={options.on}"
            )
        self._album = _album.Album(target, options, "clip")
        self._rule = Rule.of(options.trigger, options.trigger_score)
        self._clock = clock
        self._recordings: dict[str, _Recording] = {}
        self._unsaved: deque[tuple[Path, bytes]] = deque()
        self._lost = 0

    def open(self) -> None:
        self._album.open()

    def deliver(self, event: Event) -> None:
        recording = self._recordings.setdefault(event.stream, _Recording())
        now_ns = event.published_ns
        if recording.path is not None and now_ns > recording.ends_ns:
            self._finish(recording)
        matches = self._rule.matches(event)
        if matches or now_ns >= recording.due_ns:
            self._keep(recording, event)
        if recording.path is None:
            self._forget_old(recording, now_ns)
        if matches:
            if recording.path is None:
                recording.path = self._album.path(event, "avi")
            recording.ends_ns = now_ns + round(self.chosen.after_s * 1e9)
        if recording.path is not None and recording.pictures:
            lasts_ns = now_ns - recording.pictures[0].at_ns
            if recording.held_bytes > self.chosen.memory_bytes or lasts_ns >= self.chosen.longest_s * 1e9:
                self._finish(recording)

    def tick(self) -> None:
        """End the clips whose time is over though no frame came since, and save those that are whole."""
        now_ns = self._clock()
        for recording in self._recordings.values():
            if recording.path is not None and now_ns > recording.ends_ns:
                self._finish(recording)
        self._save()

    def flush(self, timeout_s: float) -> int:
        """Save the clips as far as they go; what is delivered later begins anew."""
        for recording in self._recordings.values():
            if recording.path is not None:
                self._finish(recording)
        self._save()
        return 0

    def close(self) -> None:
        self._lost += len(self._unsaved) + sum(each.path is not None for each in self._recordings.values())
        self._recordings.clear()
        self._unsaved.clear()

    def facts(self) -> Mapping[str, float]:
        recordings = list(self._recordings.values())
        return {
            "written": self._album.written,
            "deleted": self._album.deleted,
            "lost": self._lost,
            "unsaved": len(self._unsaved),
            "held_bytes": sum(each.held_bytes for each in recordings),
        }

    def _keep(self, recording: _Recording, event: Event) -> None:
        jpeg = encoded(event, "jpg", self.chosen.quality, self.chosen.annotated)
        if jpeg is None or event.image is None:
            return
        size = (event.image.shape[0], event.image.shape[1])
        if recording.pictures and recording.pictures[-1].size != size:  # a film has one size
            if recording.path is not None:
                self._finish(recording)
            recording.pictures.clear()
            recording.held_bytes = 0
        recording.pictures.append(_Picture(event.published_ns, size, jpeg))
        recording.held_bytes += len(jpeg)
        period_ns = round(1e9 / self.chosen.fps)
        recording.due_ns = max(recording.due_ns + period_ns, event.published_ns + period_ns // 2)

    def _forget_old(self, recording: _Recording, now_ns: int) -> None:
        oldest_ns = now_ns - round(self.chosen.before_s * 1e9)
        pictures = recording.pictures
        while pictures and (pictures[0].at_ns < oldest_ns or recording.held_bytes > self.chosen.memory_bytes):
            recording.held_bytes -= len(pictures.popleft().jpeg)

    def _finish(self, recording: _Recording) -> None:
        """Make a file of the clip; what comes next begins with no past, as that is in this one."""
        pictures, path = recording.pictures, recording.path
        recording.pictures, recording.held_bytes, recording.path = deque(), 0, None
        if path is None or not pictures:
            return
        took_s = (pictures[-1].at_ns - pictures[0].at_ns) / 1e9
        fps = (len(pictures) - 1) / took_s if took_s > 0 else self.chosen.fps
        self._unsaved.append((path, avi([each.jpeg for each in pictures], pictures[0].size, fps)))
        if len(self._unsaved) > MOST_UNSAVED:
            self._unsaved.popleft()
            self._lost += 1

    def _save(self) -> None:
        while self._unsaved:
            self._album.write(*self._unsaved[0])
            self._unsaved.popleft()
