"""Looks at the board and at every stream once a second: history, alarms, and the heat ladder's steps."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from piaccel.device.throttle import Throttled
from piaccel.errors import PiaccelError
from piaccel.pipeline.camera import Camera
from piaccel.pipeline.heat import Ladder
from piaccel.pipeline.outlet import Outlet
from piaccel.pipeline.snapshot import Snapshot
from piaccel.pipeline.stream import Stream
from piaccel.pipeline.verdict import Conditions

PERIOD_S = 1.0
HISTORY = 300
STEPS = 100
_log = logging.getLogger("piaccel")


class Sensors(Protocol):
    """What ``piaccel.device.sensors.find`` returns."""

    def read(self) -> dict[str, float | None]: ...


class Monitor:
    """Watches while it runs; ``snapshot`` tells everything at any time."""

    def __init__(
        self,
        cameras: Sequence[Camera],
        streams: Sequence[Stream],
        outlets: Sequence[Outlet],
        sensors: Sensors,
        ladders: Mapping[str, Ladder],
        *,
        period_s: float = PERIOD_S,
    ) -> None:
        self.conditions = Conditions()
        self._cameras, self._streams, self._outlets = cameras, streams, outlets
        self._sensors = sensors
        self._ladders = ladders
        self._period_s = period_s
        self._started = time.monotonic()
        self._readings: dict[str, float | None] = {}
        self._history: deque[Mapping[str, float | None]] = deque(maxlen=HISTORY)
        self._steps: deque[str] = deque(maxlen=STEPS)
        self._switching: dict[str, threading.Thread] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="piaccel-monitor", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Idempotent; a switch of the ladder that is under way is waited for."""
        self._over.set()
        for thread in (self._thread, *self._switching.values()):
            if thread.ident is not None:
                thread.join(10.0)

    def snapshot(self) -> Snapshot:
        cameras = tuple(camera.numbers() for camera in self._cameras)
        streams = tuple(stream.numbers() for stream in self._streams)
        sinks = tuple(outlet.numbers() for outlet in self._outlets)
        alarms = list(self._board_alarms())
        alarms += [f"{each.name}: {each.error}" for each in cameras if each.state in ("lost", "stalled", "broken")]
        alarms += [f"{each.name}: {each.model_error}" for each in streams if each.model_error]
        alarms += [f"{each.name}: {each.error}" for each in sinks if each.state in ("failing", "broken")]
        return Snapshot(
            at=time.time(),
            up_s=time.monotonic() - self._started,
            cameras=cameras,
            streams=streams,
            sinks=sinks,
            board=dict(self._readings),
            alarms=tuple(alarms),
            steps=tuple(self._steps),
            history=tuple(self._history),
        )

    def look(self) -> None:
        """Read the sensors, note a point of history, and let the ladders decide."""
        self._readings = self._sensors.read()
        self.conditions.add(self._readings)
        point: dict[str, float | None] = {
            "at": time.time(),
            "temperature_c": self._readings.get("temperature_c"),
        }
        for stream in self._streams:
            _, dropped, _ = stream.mailbox.numbers()
            point[f"{stream.name}.rate"] = stream.meter.rate()
            recent = stream.meter.recent()
            point[f"{stream.name}.age_p50_ms"], point[f"{stream.name}.age_p95_ms"] = recent.p50_ms, recent.p95_ms
            point[f"{stream.name}.dropped"] = float(sum(dropped.values()))
            self._step(stream)
        self._history.append(point)

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - what watches must not die of what it watches
                _log.warning("the monitor failed: %s: %s", type(error).__name__, error)
            if self._over.wait(self._period_s):
                return

    def _step(self, stream: Stream) -> None:
        ladder = self._ladders.get(stream.name)
        late = stream.meter.late_share()
        if ladder is None:
            return
        switching = self._switching.get(stream.name)
        if switching is not None and switching.is_alive():
            return
        step = ladder.update(self._readings, late)
        if step is None:
            return
        words = f"{stream.name}: rung {step.from_rung} to {step.to_rung}: {step.reason}"
        thread = threading.Thread(
            target=self._switch, args=(stream, step.to_rung, words), name="piaccel-switch", daemon=True
        )
        self._switching[stream.name] = thread
        thread.start()

    def _switch(self, stream: Stream, rung: int, words: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        try:
            stream.switch(rung)
        except (PiaccelError, ValueError) as error:
            words += f" failed: {error}"
        _log.warning("HEAT %s", words)
        self._steps.append(f"{now} {words}")

    def _board_alarms(self) -> Iterable[str]:
        bits = self._readings.get("throttled")
        words = list(Throttled(int(bits)).now) if bits is not None else []
        if self._readings.get("under_voltage") and "under-voltage" not in words:
            words.append("under-voltage")
        return words
