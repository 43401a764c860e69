"""Makes the parts of a pipeline from its settings: models, lanes, and what stands around them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from piaccel import auto
from piaccel.errors import OptionError
from piaccel.models import Model
from piaccel.pipeline.brain import Brain, Place, Seat
from piaccel.pipeline.engine import Engine
from piaccel.pipeline.gate import Gate
from piaccel.pipeline.lanes import Lane, Single
from piaccel.pipeline.own_camera import OwnCamera, OwnLane
from piaccel.pipeline.pool import Pool
from piaccel.pipeline.settings import StreamSettings, ThenSettings
from piaccel.pipeline.stream import Stream

_AHEAD = 2
"""Threads for each model: while it runs for one, the other prepares the next frame, or decodes the last one."""


class Assembly:
    """Opens models for streams. ``models`` are those that were given opened, by the name in the settings."""

    def __init__(
        self,
        pool: Pool,
        *,
        root: str | os.PathLike[str] = "/",
        cores: int,
        models: Mapping[str, Model] | None = None,
        progress: Callable[..., None] | None = None,
    ) -> None:
        self._pool = pool
        self._root = root
        self._cores = cores
        self._models = dict(models or {})
        self._progress = progress

    def brain(self, settings: StreamSettings, stream: Stream, rung: int) -> Brain:
        """Open the models of a stream on a rung of its ladder. Raises what ``piaccel.load`` raises."""
        settings = on_rung(settings, rung)
        held: list[Engine] = []

        def release(broken: bool) -> None:
            for engine in held:
                self._pool.release(engine, broken)

        places = []
        try:
            for worker in range(settings.workers):
                engine = self._engine(_Wanted.first(settings), worker, held)
                second = None if settings.then is None else self._engine(_Wanted.then(settings.then), worker, held)
                seat = Seat(engine, stream.mailbox.wake)
                for thread in range(self._threads(settings, stream)):
                    admitted = partial(seat.admitted, thread)
                    lane = self._lane(settings, stream.name, engine, second, admitted)
                    places.append(Place(lane, seat, thread))
        except BaseException:
            release(False)
            raise
        return Brain(places, release)

    def own_camera(self, settings: StreamSettings) -> OwnCamera:
        """The camera of an accelerator that has one; its model is opened with it."""
        return OwnCamera(lambda: self._open(_Wanted.first(settings)))

    def own_brain(self, camera: OwnCamera, stream: Stream) -> Brain:
        """What answers the frames of such a camera. Raises OptionError for a model without one."""
        engine = Engine(camera.model, Gate(1))
        seat = Seat(engine, stream.mailbox.wake)
        return Brain([Place(OwnLane(camera, engine, partial(seat.admitted, 0)), seat)], lambda broken: None)

    def _engine(self, wanted: _Wanted, worker: int, held: list[Engine]) -> Engine:
        engine = self._pool.acquire(f"{worker}: {wanted}", lambda: self._open(wanted))
        held.append(engine)
        return engine

    def _threads(self, settings: StreamSettings, stream: Stream) -> int:
        """How many threads share a worker's model. Where a frame takes several runs two frames would take turns, and
        both be older for it; only throughput gains from that.
        """
        several_runs = settings.tiles is not None or settings.then is not None
        return (
            _AHEAD if stream.policy.name in ("every", "triggered") or (stream.policy.ahead and not several_runs) else 1
        )

    def _open(self, wanted: _Wanted) -> Model:
        if wanted.model in self._models:
            return self._models[wanted.model]
        given = {"task": wanted.task, "labels": wanted.labels, **wanted.overrides}
        if wanted.threshold is not None:
            given["task_options"] = {"threshold": wanted.threshold}
        threads = wanted.threads or (max(1, self._cores // wanted.workers) if wanted.workers > 1 else None)
        return auto.load(
            wanted.model,
            wanted.backend,
            variant=wanted.variant,
            threads=threads,
            options=wanted.options,
            root=self._root,
            progress=self._progress,
            fallback=wanted.fallback,
            isolate=wanted.isolate,
            **given,
        )

    def _lane(
        self,
        settings: StreamSettings,
        who: str,
        engine: Engine,
        second: Engine | None,
        admitted: Callable[[], None],
    ) -> Lane:
        lane: Lane = Single(engine, who, admitted)
        if settings.tiles is not None:
            from piaccel.pipeline.tiles import Tiles

            columns, rows = grid(settings.tiles)
            lane = Tiles(lane, columns, rows, settings.overlap, whole_frame=settings.whole_frame)
        if settings.then is not None and second is not None:
            from piaccel.pipeline.cascade import Cascade

            then = settings.then
            lane = Cascade(
                lane,
                Single(second, who),
                labels=then.labels,
                min_score=then.min_score,
                margin=then.margin,
                most=then.most,
            )
        if settings.roi is not None:
            from piaccel.pipeline.region import Region

            lane = Region(lane, settings.roi)
        return lane


@dataclasses.dataclass(frozen=True)
class _Wanted:
    """What identifies an opened model."""

    model: str
    backend: str
    variant: str | None
    threads: int | None
    options: tuple[str, ...] = ()
    task: str | None = None
    labels: str | None = None
    threshold: float | None = None
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fallback: bool = True
    isolate: bool = False
    workers: int = 1

    @classmethod
    def first(cls, settings: StreamSettings) -> _Wanted:
        return cls(**{each.name: getattr(settings, each.name) for each in dataclasses.fields(cls)})

    @classmethod
    def then(cls, settings: ThenSettings) -> _Wanted:
        return cls(
            settings.model,
            settings.backend,
            settings.variant,
            settings.threads,
            task=settings.task,
            labels=settings.label_file,
            threshold=settings.threshold,
        )


def on_rung(settings: StreamSettings, rung: int) -> StreamSettings:
    """The settings with what a rung of the ladder changes; rung 0 changes nothing."""
    if rung == 0:
        return settings
    step = settings.ladder[rung - 1]
    changed = {
        name: getattr(step, name)
        for name in ("model", "variant", "backend", "threads")
        if getattr(step, name) is not None
    }
    return dataclasses.replace(settings, **changed)


def grid(text: str) -> tuple[int, int]:
    """Read "3x2" as columns and rows."""
    columns, times, rows = text.lower().partition("x")
    if not times or not columns.isdecimal() or not rows.isdecimal() or not int(columns) or not int(rows):
        raise OptionError(f"tiles {text!r} are not COLUMNSxROWS", hint="such as 3x2")
    return int(columns), int(rows)


def check_model(path: str) -> None:
    """Raise NotFoundError early, before cameras are opened."""
    from piaccel.files import existing

    existing(Path(path))
