"""When an actuator's output is active. Knows no thread, pin or clock: it is told every time, in ns."""

from __future__ import annotations

import heapq


class Timeline:
    """Pulses that wait for their time, and the level that is safe while nobody judges the parts.

    Until the first sign of life, and again when none came for ``watchdog_ns``, the output is at the level ``safe``
    and pulses are suppressed; with ``fail_closed`` they are not, because a pulse then is what is safe.
    """

    def __init__(
        self, *, pulse_ns: int, tolerance_ns: int, watchdog_ns: int = 0, safe: bool = False, fail_closed: bool = False
    ) -> None:
        self._pulse_ns = pulse_ns
        self._tolerance_ns = tolerance_ns
        self._watchdog_ns = watchdog_ns
        self._safe = safe
        self._fail_closed = fail_closed
        self._due: list[int] = []
        self._until_ns: int | None = None
        self._lived_ns = 0
        self.alive = False
        self.fired = 0
        self.extended = 0
        """Pulses of ``fired`` that began while another lasted: the two became one longer pulse."""
        self.late = 0
        """Pulses whose time was past by more than the tolerance; skipped, with ``fail_closed`` given at once."""
        self.suppressed = 0
        self.watchdog_trips = 0
        self.max_lateness_ns = 0
        """How long after its time a pulse that waited for it was noticed, at most."""

    @property
    def waiting(self) -> int:
        return len(self._due)

    @property
    def busy(self) -> bool:
        """Whether a pulse lasts or waits."""
        return bool(self._due) or self._until_ns is not None

    def clear(self) -> None:
        """Forget the pulses that wait, and that anybody judged; the counters stay."""
        self._due.clear()
        self._until_ns = None
        self.alive = False

    def live(self, now_ns: int) -> None:
        """A part was judged: the watchdog starts anew."""
        self.alive, self._lived_ns = True, now_ns

    def schedule(self, due_ns: int, now_ns: int) -> None:
        """Ask for a pulse that begins at ``due_ns``."""
        if now_ns - due_ns > self._tolerance_ns:
            self.late += 1
            if not self._fail_closed:
                return
            due_ns = now_ns
        heapq.heappush(self._due, due_ns)

    def advance(self, now_ns: int) -> bool:
        """Do what is due by ``now_ns`` and return whether the output is to be active."""
        if self.alive and self._watchdog_ns and now_ns - self._lived_ns >= self._watchdog_ns:
            self.alive = False
            self.watchdog_trips += 1
        while self._due and self._due[0] <= now_ns:
            self._begin(now_ns, now_ns - heapq.heappop(self._due))
        pulse = self._until_ns is not None and now_ns < self._until_ns
        if not pulse:
            self._until_ns = None
        if self.alive:
            return pulse
        return self._safe or (pulse and self._fail_closed)

    def _begin(self, now_ns: int, lateness_ns: int) -> None:
        self.max_lateness_ns = max(self.max_lateness_ns, lateness_ns)
        if not self.alive and not self._fail_closed:
            self.suppressed += 1
            return
        if lateness_ns > self._tolerance_ns:
            self.late += 1
            if not self._fail_closed:
                return
        self.fired += 1
        self.extended += self._until_ns is not None and now_ns <= self._until_ns
        self._until_ns = now_ns + self._pulse_ns

    @property
    def next_ns(self) -> int | None:
        """When ``advance`` has to be called again at the latest; None when nothing is to come."""
        times = self._due[:1]
        if self._until_ns is not None:
            times.append(self._until_ns)
        if self.alive and self._watchdog_ns:
            times.append(self._lived_ns + self._watchdog_ns)
        return min(times, default=None)
