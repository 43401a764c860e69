"""Reads a power source again and again while something runs, from a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from piaccel.device.power.energy import Energy, Idle, Reading, integrate
from piaccel.device.power.source import PowerSource
from piaccel.errors import OptionError, UnavailableError

HZ = 10.0
IDLE_S = 10.0
_LONGEST_READ_S = 5.0


class Meter:
    """Samples ``source`` ``hz`` times a second between ``start`` and ``stop`` (or in a ``with``), and integrates.

    ``clock`` gives ns; ``wait`` sleeps so many seconds and says whether to end, for tests. A source that is slow is
    read as often as it can be. Without the thread, call ``sample`` yourself. Raises OptionError for another ``hz``.
    """

    def __init__(
        self,
        source: PowerSource,
        hz: float = HZ,
        *,
        clock: Callable[[], int] = time.perf_counter_ns,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        if not 0.01 <= hz <= 1000:
            raise OptionError(f"{hz:g} readings a second: 0.01 to 1000 was expected")
        self.source = source
        self.period_s = max(1 / hz, source.cost_ms / 1000)
        self._clock = clock
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait
        self._readings: list[Reading] = []
        self._thread: threading.Thread | None = None
        self._reason = ""
        self.started_ns = clock()
        self.stopped_ns: int | None = None

    def start(self) -> None:
        """Take the first reading here, the others in a thread."""
        self.started_ns = self._clock()
        self.sample()
        self._thread = threading.Thread(target=self._run, name="piaccel-power", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take the last reading and end. Idempotent; a reading that hangs is left behind."""
        if self.stopped_ns is not None:
            return
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(_LONGEST_READ_S)
            if self._thread.is_alive():
                self._note(None, f"a reading of {self.source.name} hangs")
        if self._thread is None or not self._thread.is_alive():
            self.sample()
        self.stopped_ns = self._clock()

    def sample(self) -> float | None:
        """Take one reading, and keep it."""
        begun = self._clock()
        try:
            watts = self.source.read()
            reason = self.source.reason
        except Exception as error:  # noqa: BLE001 - another package's source may raise anything; it is told, not hidden
            watts, reason = None, f"{type(error).__name__}: {error}"
        self._note(watts, reason, (begun + self._clock()) // 2)
        return watts

    @property
    def readings(self) -> tuple[Reading, ...]:
        """All so far."""
        return tuple(self._readings)

    @property
    def energy(self) -> Energy:
        """From ``start`` to ``stop``, or to now."""
        return self.between(self.started_ns, self._clock() if self.stopped_ns is None else self.stopped_ns)

    def between(self, start_ns: int, end_ns: int) -> Energy:
        """The energy of a part, in the ns of the meter's clock."""
        return integrate(
            self.readings,
            start_ns,
            end_ns,
            period_s=self.period_s,
            relative=self.source.uncertainty,
            reason=self._reason,
        )

    def _run(self) -> None:
        while not self._wait(self.period_s):
            self.sample()

    def _note(self, watts: float | None, reason: str, at_ns: int | None = None) -> None:
        if self.stopped_ns is not None:
            return  # of a reading that hung, too late
        if watts is None:
            self._reason = reason or f"{self.source.name} gave no reading"
        self._readings.append(Reading(self._clock() if at_ns is None else at_ns, watts))

    def __enter__(self) -> Meter:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def measure_idle(
    source: PowerSource,
    seconds: float = IDLE_S,
    hz: float = HZ,
    *,
    clock: Callable[[], int] = time.perf_counter_ns,
    sleep: Callable[[float], object] = time.sleep,
) -> Idle:
    """Measure for ``seconds`` while nothing runs, here in the caller's thread.

    A source that was given its idle power answers that. Raises UnavailableError where too little could be read, or
    where the source is a number without one for idle.
    """
    if source.idle_w is not None:
        return Idle(source.idle_w, 0.0, 0.0, 0, source.how)
    if not source.is_measured:
        raise UnavailableError(
            f"{source.name} does not say what the machine draws idle", hint=f"--power {source.name},idle=2.7W"
        )
    meter = Meter(source, hz, clock=clock)
    end_ns = clock() + round(seconds * 1e9)
    meter.sample()
    while clock() < end_ns:
        sleep(min(meter.period_s, max((end_ns - clock()) / 1e9, 1e-3)))
        meter.sample()
    energy = meter.energy
    if energy.mean_w is None:
        raise UnavailableError(f"the idle power cannot be measured: {energy.reason}", hint=source.hint)
    how = f"mean of {energy.samples} readings of {source.name} in {energy.seconds:.0f} s"
    return Idle(energy.mean_w, energy.sampling_j / energy.seconds, energy.seconds, energy.samples, how)
