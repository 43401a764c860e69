"""A pipeline: cameras, streams, sinks, and the life of all of them."""

from __future__ import annotations

import itertools
import logging
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

from piaccel import sinks, sources, specs
from piaccel.bench import Verdict
from piaccel.bench.environment import usable_cores
from piaccel.device import sensors as board_sensors
from piaccel.errors import OptionError, PiaccelError
from piaccel.models import Model
from piaccel.pipeline import function_sink, labels, policies, triggers
from piaccel.pipeline.assembly import Assembly, check_model
from piaccel.pipeline.brain import Brain
from piaccel.pipeline.camera import Camera
from piaccel.pipeline.heat import HeatSettings, Ladder
from piaccel.pipeline.histogram import Histogram
from piaccel.pipeline.monitor import Monitor, Sensors
from piaccel.pipeline.outlet import Outlet
from piaccel.pipeline.own_camera import OwnCamera
from piaccel.pipeline.pool import Pool
from piaccel.pipeline.settings import Settings, StreamSettings, read, structure
from piaccel.pipeline.snapshot import Snapshot
from piaccel.pipeline.stream import Stream
from piaccel.pipeline.verdict import judge
from piaccel.sinks import Event, Sink
from piaccel.sources import Source

SCHEMA = "piaccel.run/1"
SWITCH_S = 0.001
"""How long a thread may keep Python's lock from the others meanwhile; Python's own 5 ms would show in the ages."""
_log = logging.getLogger("piaccel")


@dataclass(frozen=True)
class Summary:
    """What came of a run."""

    numbers: Snapshot
    verdict: Verdict
    ended: str
    """Why it ended: "frames", "seconds", "source", "stopped", or "failed"."""
    error: str = ""
    hint: str = ""
    hottest_c: float | None = None
    mean_w: float | None = None
    distributions: Mapping[str, Mapping[str, list[tuple[int, int]]]] = field(default_factory=dict)
    """By stream and stage ("age", "gap", "inference", ...): (duration in ns, count) of each bucket of the histogram."""
    schema: str = SCHEMA


class Pipeline:
    """Camera to output in real time. Use it in ``with``; ``run`` blocks, ``start`` and ``stop`` do not.

    ``Pipeline("usb:0", "demo/bundle", sinks=["console"], deadline="80ms")``, or ``Pipeline(settings=...)`` for several
    streams. A source, a model or a sink may be given as an object; a sink also as a function that takes an ``Event``.
    Raises OptionError and NotFoundError for what can be told before anything is opened.
    """

    def __init__(
        self,
        source: str | Mapping[str, Any] | Source | None = None,
        model: str | os.PathLike[str] | Model | None = None,
        *,
        sinks: Sequence[str | Mapping[str, Any] | Sink | Callable[[Event], None]] = (),
        settings: Settings | None = None,
        root: str | os.PathLike[str] = "/",
        sensors: Sensors | None = None,
        progress: Callable[..., None] | None = None,
        **stream: Any,
    ) -> None:
        objects, models = [each for each in sinks if not isinstance(each, str | Mapping)], {}
        if settings is None:
            if model is None:
                raise OptionError("a pipeline needs a model", hint="give a bundle's folder or a model file")
            if isinstance(model, Model):
                models["<model>"] = model
            table = dict(stream)
            table["model"] = "<model>" if isinstance(model, Model) else os.fspath(model)
            table["source"] = "" if source is None or isinstance(source, Source) else source
            table["sinks"] = [each for each in sinks if isinstance(each, str | Mapping)]
            settings = structure(table)
        elif stream or model is not None:
            raise OptionError("settings say everything: give no model and no options of a stream beside them")
        self.settings = settings
        self.manual: dict[str, triggers.Manual] = {}
        """By stream: triggers of kind "manual", for ``fire``."""
        self._given_source = source if isinstance(source, Source) else None
        self._identify = _identifiers(settings.name)
        cores = usable_cores()
        self._assembly = Assembly(
            Pool(cores, list(models.values())), root=root, cores=cores, models=models, progress=progress
        )
        for each in settings.streams.values():
            if each.model not in models:
                check_model(each.model)
        self._outlets = [*self._named_outlets(), *(function_sink.outlet(each) for each in objects)]
        self._heat = specs.options(HeatSettings, "heat", settings.heat)
        self._sensors = sensors or board_sensors.find(root)
        self._cameras: dict[str, Camera] = {}
        self._streams: list[Stream] = []
        self._triggers: list[tuple[triggers.Trigger, Stream]] = []
        self._ladders: dict[str, Ladder] = {}
        self._monitor: Monitor | None = None
        self._services: list[Any] = []
        self._last: dict[str, Event] = {}
        self._wants: Callable[[str], bool] = lambda _: False
        self._stop = threading.Event()
        self._switch_s: float | None = None
        self._stopped = False
        self._why = ""

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], **arguments: Any) -> Pipeline:
        """Read a TOML file. Raises NotFoundError, OptionError."""
        return cls(settings=read(Path(path)), **arguments)

    def start(self, frames: int | None = None) -> None:
        """Open models, sinks and cameras, in this order, and go; ``frames`` is the number of results wanted.

        Raises what opening the models raises; sources and sinks are tried again where that may help.
        """
        self._switch_s = sys.getswitchinterval()
        sys.setswitchinterval(min(SWITCH_S, self._switch_s))
        try:
            for name, settings in self.settings.streams.items():
                self._streams.append(self._stream(name, settings, frames))
            for stream in self._streams:
                stream.open()
                self._check_track(stream)
            for outlet in self._outlets:
                labels.check(outlet, [each for each in self._streams if self._feeds(each.name, outlet)])
            for outlet in self._outlets:
                outlet.start()
            cameras = list(self._cameras.values())
            self._monitor = Monitor(cameras, self._streams, self._outlets, self._sensors, self._ladders)
            self._monitor.start()
            self._start_services()
            for stream in self._streams:
                stream.start()
            for trigger, stream in self._triggers:
                trigger.start(stream.mailbox.announce)
            for camera in cameras:
                camera.start()
        except BaseException:
            self.stop()
            raise

    def run(self, frames: int | None = None, seconds: float | None = None) -> Summary:
        """Start, and ``wait``."""
        self.start(frames)
        return self.wait(frames, seconds)

    def wait(self, frames: int | None = None, seconds: float | None = None) -> Summary:
        """Wait until the sources end, ``frames`` results are out or ``seconds`` have passed; then stop and sum up.

        Ctrl-C ends it as ``stop`` does: what is under way is finished.
        """
        until = None if seconds is None else time.monotonic() + seconds
        try:
            while not self._stop.is_set():
                if self._fatal() is not None:
                    self._why = "failed"
                    break
                if all(stream.ended.is_set() for stream in self._streams):
                    self._why = "frames" if frames is not None and self._enough(frames) else "source"
                    break
                left = 0.5 if until is None else until - time.monotonic()
                if left <= 0:
                    self._why = "seconds"
                    break
                self._stop.wait(min(left, 0.05 if frames is not None else 0.2))
        except KeyboardInterrupt:
            self._why = "stopped"
        self.stop()
        return self.summary()

    def check(self) -> None:
        """Make every part without opening any. Raises what is wrong with the settings."""
        for name, settings in self.settings.streams.items():
            self._stream(name, settings, None)

    def request_stop(self) -> None:
        """Have ``run`` come to its end; may be called from a signal handler."""
        self._stop.set()

    def stop(self) -> None:
        """Read no more frames, finish those under way, deliver what waits, and leave every output safe. Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        self._stop.set()
        for trigger, _ in self._triggers:
            trigger.stop()
        for camera in self._cameras.values():
            camera.stop()
        for stream in self._streams:
            stream.stop()
        if self._monitor is not None:
            self._monitor.stop()
        for outlet in self._outlets:
            outlet.finish(self.settings.drain_s)
        for outlet in self._outlets:
            outlet.stop(self.settings.drain_s)
        for service in self._services:
            service.stop()
        if self._switch_s is not None:
            sys.setswitchinterval(self._switch_s)

    @property
    def ended(self) -> bool:
        """Whether nothing more will come: every stream has ended, or a part can never work."""
        return self._fatal() is not None or all(stream.ended.is_set() for stream in self._streams)

    def snapshot(self) -> Snapshot:
        """Everything that is known now. Raises OptionError before ``start``."""
        if self._monitor is None:
            raise OptionError("the pipeline has not been started")
        return self._monitor.snapshot()

    def summary(self) -> Summary:
        """The numbers with a verdict on them; after ``stop``."""
        numbers = self.snapshot()
        assert self._monitor is not None
        error = self._fatal()
        verdict = judge(numbers, self._monitor.conditions)
        if error is not None:
            verdict = Verdict(False, (str(error), *(each for each in verdict.reasons if str(error) not in each)))
        return Summary(
            numbers,
            verdict,
            "failed" if error else self._why or "stopped",
            str(error or ""),
            error.hint if error else "",
            self._monitor.conditions.hottest_c,
            self._monitor.conditions.mean_w,
            {
                stream.name: {name: each.buckets() for name, each in stream.meter.histograms().items()}
                for stream in self._streams
            },
        )

    def histograms(self) -> dict[tuple[str, str], Histogram]:
        """By (stream, what): the distributions behind the snapshot's numbers."""
        return {
            (stream.name, name): histogram
            for stream in self._streams
            for name, histogram in stream.meter.histograms().items()
        }

    def picture(self, stream: str) -> Event | None:
        """The last event with its picture, while somebody watches."""
        return self._last.get(stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _stream(self, name: str, settings: StreamSettings, frames: int | None) -> Stream:
        camera = self._camera(settings)
        outlets = [each for each in self._outlets if self._feeds(name, each)]
        deadline_ns = None if settings.deadline_s is None else round(settings.deadline_s * 1e9)
        period_ns = None if settings.period_s is None else round(settings.period_s * 1e9)
        trigger = triggers.make(settings.trigger) if settings.trigger is not None else None
        rates = {number: rung.rate for number, rung in enumerate(settings.ladder, 1) if rung.rate}
        stream = Stream(
            name,
            camera.name,
            None
            if trigger is not None
            else lambda drop: policies.make(settings.policy, drop, deadline_ns, period_ns=period_ns),
            partial(self._think, settings, camera),
            partial(self._publish, outlets),
            self._identify,
            title=Path(settings.model).name,
            parts=_parts(trigger),
            follow=self._tracker(settings),
            limit=frames,
            deadline_ns=deadline_ns,
            eager=settings.policy == "every" or trigger is not None,
            rungs=1 + len(settings.ladder),
            rates=rates,
        )
        if trigger is not None:
            self._triggers.append((trigger, stream))
            stream.mailbox.every_frame_is_a_part = isinstance(trigger, triggers.EveryFrame)
            if isinstance(trigger, triggers.Manual):
                self.manual[name] = trigger
        if settings.ladder:
            self._ladders[name] = Ladder(1 + len(settings.ladder), self._heat)
        camera.mailboxes.append(stream.mailbox)
        return stream

    def _feeds(self, stream: str, outlet: Outlet) -> bool:
        wanted = self.settings.streams[stream].sinks
        return wanted is None or outlet.name in wanted

    def _think(self, settings: StreamSettings, camera: Camera, stream: Stream, rung: int) -> Brain:
        if isinstance(camera.source, OwnCamera):
            return self._assembly.own_brain(camera.source, stream)
        return self._assembly.brain(settings, stream, rung)

    def _camera(self, settings: StreamSettings) -> Camera:
        key = str(settings.source) or ("<given>" if self._given_source else f"<own {len(self._cameras)}>")
        if key not in self._cameras:
            if self._given_source is not None:
                source = self._given_source
            else:
                source = sources.make(settings.source) if settings.source else self._assembly.own_camera(settings)
            name, number = str(source), 2
            while name in {camera.name for camera in self._cameras.values()}:
                name, number = f"{source} ({number})", number + 1
            self._cameras[key] = Camera(source, name)
        return self._cameras[key]

    def _tracker(self, settings: StreamSettings) -> Any:
        if settings.track is False:
            return None
        from piaccel.pipeline.track import Options, Tracker

        given = {} if settings.track is True else settings.track
        return Tracker(specs.options(Options, "track", given)).update

    def _check_track(self, stream: Stream) -> None:
        """Only boxes can be followed."""
        if self.settings.streams[stream.name].track is not False:
            from piaccel.pipeline.track import Tracker

            if stream.kind not in Tracker.kinds:
                raise OptionError(f"{stream.name}: results of kind {stream.kind} cannot be tracked, only detections")

    def _named_outlets(self) -> list[Outlet]:
        return [Outlet(sinks.make(given), name) for name, given in self.settings.sinks.items()]

    def _publish(self, outlets: Sequence[Outlet], event: Event) -> None:
        for outlet in outlets:
            outlet.offer(event)
        if self._wants(event.stream):
            self._last[event.stream] = event
        elif self._last:
            self._last.pop(event.stream, None)

    def _start_services(self) -> None:
        if self.settings.log:
            from piaccel.pipeline.log import JsonLines

            log = JsonLines(Path(self.settings.log), self.snapshot, self.settings.log_period_s)
            self._services.append(log)
            log.start()
        if self.settings.web:
            from piaccel.pipeline.web import Web

            web = Web(self.settings.web, self.snapshot, self.histograms, self.picture)
            self._services.append(web)
            self._wants = web.wants
            web.start()

    def _fatal(self) -> PiaccelError | None:
        """What no trying again will mend: a source, a stream or a sink that gave up."""
        parts: list[Camera | Stream | Outlet] = [*self._cameras.values(), *self._streams, *self._outlets]
        return next((part.fatal for part in parts if part.fatal is not None), None)

    def _enough(self, frames: int) -> bool:
        return all(stream.mailbox.numbers()[0].answered >= frames for stream in self._streams)


def _parts(trigger: triggers.Trigger | None) -> dict[str, int]:
    if trigger is None:
        return {}
    return {
        "patience_ns": round(trigger.chosen.patience_s * 1e9),
        "early_ns": round(trigger.chosen.early_s * 1e9),
    }


def _identifiers(name: str) -> Callable[[], str]:
    """Ids that no two events ever share: device, run, number."""
    device = name or socket.gethostname() or "device"
    run = uuid.uuid4().hex[:12]
    numbers = itertools.count()
    return lambda: f"{device}/{run}/{next(numbers)}"
