"""Reads a source in a thread of its own, for all who look at it, and brings it back when it is lost."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from piaccel.errors import NotFoundError, OptionError, PiaccelError, UnavailableError
from piaccel.frames import Frame
from piaccel.pipeline.mailbox import Mailbox
from piaccel.pipeline.snapshot import CameraNumbers
from piaccel.sources import Source

PATIENCE_S = (0.25, 15.0)
"""Pauses between tries grow twofold from the first to the second."""
_FUTURE_NS = 2_000_000
"""A frame's time may lie so far in the future: the sensor's clock is read a little later than ours."""
_RATE_OVER_S = 5.0
_log = logging.getLogger("piaccel")


class Camera:
    """A source, its thread and its numbers. Frames go to every mailbox; indices go on rising when it was lost."""

    def __init__(
        self,
        source: Source,
        name: str = "",
        *,
        patience_s: tuple[float, float] = PATIENCE_S,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.source = source
        self.name = name or str(source)
        self.mailboxes: list[Mailbox] = []
        self.fatal: PiaccelError | None = None
        """What ended it for good."""
        self.ended = threading.Event()
        self._patience_s = patience_s
        self._clock = clock
        self._stopping = threading.Event()
        self._state, self._error = "opening", ""
        self._produced = self._lost = self._reconnects = self._restamped = self._resized = 0
        self._next_index = 0
        self._last_ns: int | None = None
        self._size: tuple[int, int] | None = None
        self._arrivals: deque[int] = deque(maxlen=600)
        self._thread = threading.Thread(target=self._run, name=f"piaccel-camera-{self.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, wait_s: float = 5.0) -> None:
        """Read no more. A source that does not come back from its driver within ``wait_s`` is left behind."""
        self._stopping.set()
        for mailbox in self.mailboxes:
            mailbox.close()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(wait_s)
            if self._thread.is_alive():
                _log.warning("%s does not end; it is left behind", self.name)

    def numbers(self) -> CameraNumbers:
        now = self._clock()
        recent = [at for at in list(self._arrivals) if now - at <= _RATE_OVER_S * 1e9]
        span_s = (recent[-1] - recent[0]) / 1e9 if len(recent) > 1 else 0.0
        return CameraNumbers(
            name=self.name,
            source=str(self.source),
            state=self._state,
            produced=self._produced,
            fps=(len(recent) - 1) / span_s if span_s else None,
            lost=self._lost,
            reconnects=self._reconnects,
            restamped=self._restamped,
            resized=self._resized,
            size=self._size,
            clock=self.source.delivery_clock,
            error=self._error,
        )

    def _run(self) -> None:
        pause_s = self._patience_s[0]
        try:
            while not self._stopping.is_set():
                before = self._produced
                try:
                    self.source.open()
                    self._read()
                    self._state = "ended"
                    return
                except UnavailableError as error:
                    self._lose(error)
                finally:
                    self._close()
                pause_s = self._patience_s[0] if self._produced > before else min(2 * pause_s, self._patience_s[1])
                self._stopping.wait(pause_s)
                self._reconnects += not self._stopping.is_set()
        except (OptionError, NotFoundError) as error:
            self._break(error)
        except Exception as error:  # noqa: BLE001 - a driver raises anything; nobody looks at what a thread raises
            self._break(UnavailableError(f"{self.name}: {type(error).__name__}: {' '.join(str(error).split())}"))
        finally:
            for mailbox in self.mailboxes:
                mailbox.end()
            self.ended.set()

    def _read(self) -> None:
        """Hand frames over until the source ends or is told to; raises what ``Source.read`` raises."""
        base = self._next_index
        while not self._stopping.is_set():
            frame = self.source.read()
            if frame is None:
                return
            if self._error:
                _log.warning("%s: frames come again", self.name)
            self._state, self._error = "running", ""
            frame = self._mended(frame, base + frame.index)
            taken = [mailbox.offer(frame) for mailbox in self.mailboxes]
            if self.mailboxes and not any(taken):
                return

    def _mended(self, frame: Frame, index: int) -> Frame:
        """Count the frame; give it an index that rises and a time of exposure that can be."""
        now = self._clock()
        index = max(index, self._next_index)
        lost = index - self._next_index
        self._lost += lost
        self._produced += 1 + lost
        self._next_index = index + 1
        self._arrivals.append(now)
        exposed = now if frame.exposed_ns is None else frame.exposed_ns
        if exposed > now + _FUTURE_NS or (self._last_ns is not None and exposed < self._last_ns):
            self._restamped += 1
            exposed = now
        exposed = self._last_ns = min(exposed, now)
        size = (frame.image.shape[0], frame.image.shape[1])
        if size != self._size:
            if self._size is not None:
                self._resized += 1
                level = logging.WARNING if self.source.live else logging.INFO  # pictures in a folder differ
                _log.log(level, "%s: frames are %dx%d now", self.name, size[1], size[0])
            self._size = size
        return replace(frame, index=index, exposed_ns=exposed)

    def _lose(self, error: UnavailableError) -> None:
        if str(error) != self._error:
            _log.warning("%s: %s%s", self.name, error, f" ({error.hint})" if error.hint else "")
        self._state, self._error = "lost", str(error)

    def _break(self, error: PiaccelError) -> None:
        self.fatal = error
        self._state, self._error = "broken", str(error)

    def _close(self) -> None:
        try:
            self.source.close()
        except Exception as error:  # noqa: BLE001 - a device that is gone may fail even at this
            _log.info("%s does not close: %s", self.name, error)
