"""Constant load: workers that ask one question after the other, as fast as they can or at a rate."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from piaccel.errors import PiaccelError, UnavailableError
from piaccel.soak.clock import Clock
from piaccel.soak.recorder import Recorder

Work = Callable[[], object]
"""One question and its answer; raises PiaccelError where there is none."""

GIVE_UP_AFTER = 50
"""Failures of a worker on end, after which the rest of the time would tell nothing new."""
_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_PATIENCE_S = 2.0


class Pace:
    """Tells each question of all workers when it is due; None is at once."""

    def __init__(self, rate_per_s: float | None, now_ns: int) -> None:
        self._period_ns = 1e9 / rate_per_s if rate_per_s else 0.0
        self._due_ns = float(now_ns)
        self._lock = threading.Lock()

    def wait_s(self, now_ns: int) -> float:
        """How long to wait before the next question. What is late is not made up for: that would be a burst."""
        with self._lock:
            begin_ns = max(self._due_ns, now_ns - self._period_ns)
            self._due_ns = begin_ns + self._period_ns
            return max(0.0, begin_ns - now_ns) / 1e9 if self._period_ns else 0.0


def drive(
    workers: Sequence[Work], clock: Clock, recorder: Recorder, seconds: float, rate_per_s: float | None = None
) -> str:
    """Keep all workers busy for so long. Return why they gave up, "" where they did not.

    One worker runs in this thread, several in their own.
    """
    until_ns = clock.now_ns() + round(seconds * 1e9)
    pace = Pace(rate_per_s, clock.now_ns())
    stopped = threading.Event()
    reasons: list[str] = []

    def ask(work: Work) -> None:
        if reason := _ask(work, clock, recorder, until_ns, pace, stopped):
            reasons.append(reason)

    if len(workers) == 1:
        ask(workers[0])
        return reasons[0] if reasons else ""
    threads = [threading.Thread(target=ask, args=(work,), daemon=True) for work in workers]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():  # in turns: Ctrl-C has to get through
                thread.join(0.2)
    finally:
        stopped.set()
        for thread in threads:  # cut short: questions under way are answered first, if that is soon
            thread.join(_PATIENCE_S)
    return reasons[0] if len(reasons) == len(workers) else ""


def _ask(work: Work, clock: Clock, recorder: Recorder, until_ns: int, pace: Pace, stopped: threading.Event) -> str:
    failures = 0
    while not stopped.is_set():
        wait_s = pace.wait_s(clock.now_ns())
        left_s = (until_ns - clock.now_ns()) / 1e9
        if wait_s >= left_s:
            clock.sleep(max(left_s, 0.0))
            return ""
        if wait_s:
            clock.sleep(wait_s)
        begin_ns = clock.now_ns()
        try:
            work()
        except PiaccelError as error:
            failures += 1
            recorder.error(str(error))
            if failures >= GIVE_UP_AFTER:
                return f"{failures} failures on end, the last: {error}"
            asked_s = error.retry_after_s if isinstance(error, UnavailableError) else None
            clock.sleep(min(asked_s or _PAUSE_S, _LONGEST_PAUSE_S))
            continue
        except Exception:
            if stopped.is_set():  # too slow for our patience: its connection was closed under it
                return ""
            raise
        failures = 0
        recorder.answer(clock.now_ns() - begin_ns)
    return ""
