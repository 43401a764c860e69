"""A loaded version: its runners, its numbers, and the leases of the requests that use it."""

from __future__ import annotations

import asyncio
import time
from math import prod

import numpy as np

from piaccel.errors import CrashError, HangError, InputError, PiaccelError, ServiceError
from piaccel.serving import datatypes
from piaccel.serving.batching import Batcher
from piaccel.serving.crew import Crew
from piaccel.serving.messages import PictureRequest, PictureResponse, Request, Response, Tensor
from piaccel.serving.meter import Meter
from piaccel.serving.runner import Facts, Weighing
from piaccel.serving.settings import ModelSettings
from piaccel.serving.snapshot import Stage
from piaccel.tensors import TensorSpec

BATCH_GAIN = 0.1
"""Batches must make a picture so much faster."""


class Version:
    """One version that is open. Whoever uses it holds a lease; it is closed when nobody does any more."""

    def __init__(
        self,
        model: str,
        name: str,
        digest: str,
        crew: Crew,
        settings: ModelSettings,
        weighing: Weighing | None = None,
    ) -> None:
        self.model = model
        self.name = name
        self.digest = digest
        self.crew = crew
        self.settings = settings
        self.weighing = weighing
        """What batches are worth here; None where nobody asked, or the network takes none."""
        self.batcher: Batcher | None = None
        if weighing is not None and _pays(weighing, settings):
            self.batcher = Batcher(crew, weighing.size)
        self.stage: Stage = "verified"
        self.reason = ""
        self.loaded_at = time.time()
        self.golden_at: float | None = None
        self.meter = Meter()
        self.compared = 0
        """Answers that another version gave too."""
        self.agreed = 0
        self._leases = 0
        self._free = asyncio.Event()
        self._free.set()

    @property
    def facts(self) -> Facts:
        return self.crew.facts

    def __enter__(self) -> Version:
        self._leases += 1
        self._free.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self._leases -= 1
        if not self._leases:
            self._free.set()

    async def drained(self, timeout_s: float) -> bool:
        """Wait until nobody uses it; False when somebody still does after ``timeout_s``."""
        try:
            await asyncio.wait_for(self._free.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def infer(self, request: Request) -> Response:
        """Answer raw tensors. Raises ServiceError."""
        facts, begun = self.facts, time.monotonic_ns()
        try:
            inputs = [_fitting(spec, request.inputs, self.model) for spec in facts.inputs]
            _known(request, facts, self.model)
            names = [wish.name for wish in request.outputs]
            counts = {wish.name: wish.classification for wish in request.outputs}

            deadline_ns = self._deadline(request.deadline_ns)
            priority = request.priority or self.settings.priority
            if self.batcher is not None:
                done = await self.batcher.infer(inputs, names, deadline_ns=deadline_ns, priority=priority)
            else:
                done = await self.crew.do(
                    lambda runner: runner.infer(inputs, names), deadline_ns=deadline_ns, priority=priority
                )
            outputs = [
                _classified(tensor, counts[tensor.name], facts.labels) if counts.get(tensor.name) else tensor
                for tensor in done.value
            ]
        except (PiaccelError, asyncio.CancelledError) as error:
            raise self._failed(error, begun) from error
        total = time.monotonic_ns() - begun
        self.meter.success(total, queue_ns=done.queue_ns, infer_ns=done.run_ns)
        times = {"queue": done.queue_ns / 1e6, "infer": done.run_ns / 1e6}
        return Response(self.model, self.name, request.id, outputs, self._who(), times)

    async def predict(self, request: PictureRequest) -> PictureResponse:
        """Answer a picture. Raises ServiceError."""
        begun = time.monotonic_ns()
        try:
            done = await self.crew.do(
                lambda runner: runner.predict(request.image, annotate=request.annotate),
                deadline_ns=self._deadline(request.deadline_ns),
                priority=request.priority or self.settings.priority,
            )
        except (PiaccelError, asyncio.CancelledError) as error:
            raise self._failed(error, begun) from error
        found = done.value
        total = time.monotonic_ns() - begun
        times = found.times_ms
        before = round((times.get("decode", 0) + times.get("pre", 0)) * 1e6)
        self.meter.success(
            total,
            queue_ns=done.queue_ns,
            input_ns=before,
            infer_ns=round(times.get("infer", 0) * 1e6),
            output_ns=round(times.get("post", 0) * 1e6),
        )
        times = {"queue": done.queue_ns / 1e6, **times}
        return PictureResponse(self.model, self.name, request.id, found.result, found.drawn, self._who(), times)

    async def canary(self, timeout_s: float) -> None:
        """Run the network once on zeros, before everybody else: whether it still works. Raises ServiceError."""
        zeros = [
            Tensor.of(spec.name, np.zeros([size or 1 for size in spec.shape], spec.dtype)) for spec in self.facts.inputs
        ]
        deadline_ns = time.monotonic_ns() + round(timeout_s * 1e9)
        await self.crew.do(lambda runner: runner.infer(zeros), deadline_ns=deadline_ns, priority=1)

    def _deadline(self, asked_ns: int | None) -> int:
        own = time.monotonic_ns() + round(self.settings.deadline_s * 1e9)
        return own if asked_ns is None else min(asked_ns, own)

    def _who(self) -> dict[str, str]:
        return {"variant": self.facts.variant, "backend": self.facts.backend}

    def _failed(self, error: BaseException, begun: int) -> BaseException:
        """Count it; what a client may read of it: no path, no traceback."""
        told: BaseException
        if isinstance(error, asyncio.CancelledError):
            told, kind = error, "cancelled"
        elif isinstance(error, ServiceError):
            told, kind = error, error.kind
        elif isinstance(error, InputError):
            told, kind = ServiceError("invalid_argument", f"{self.model}: {error}"), "invalid_argument"
        elif isinstance(error, CrashError | HangError):
            told, kind = ServiceError("unavailable", f"{self.model}: its process ended", retry_after_s=1.0), "crash"
        else:
            told, kind = ServiceError("internal", f"{self.model}: the network failed on this input"), "internal"
        self.meter.failure(kind, time.monotonic_ns() - begun)
        return told


def _pays(weighing: Weighing, settings: ModelSettings) -> bool:
    """Whether a run of that size is worth it, and leaves half the deadline to those that wait for the next one."""
    return weighing.gain > BATCH_GAIN and 2 * weighing.size * weighing.together_ms <= settings.deadline_s * 1e3


def _fitting(spec: TensorSpec, given: list[Tensor], model: str) -> Tensor:
    found = next((tensor for tensor in given if tensor.name == spec.name), None)
    if found is None:
        raise ServiceError("invalid_argument", f"{model}: input {spec.name!r} is missing")
    wanted = datatypes.name_of(spec.dtype)
    if found.datatype != wanted:
        raise ServiceError("invalid_argument", f"{model}: input {spec.name!r} is {wanted}, not {found.datatype}")
    shape = spec.shape
    fits = len(found.shape) == len(shape) and all(
        size is None or size == other for size, other in zip(shape, found.shape, strict=True)
    )
    if not fits or prod(found.shape) == 0:
        raise ServiceError(
            "invalid_argument", f"{model}: input {spec.name!r} has shape {spec.shape_text}, not {list(found.shape)}"
        )
    return found


def _known(request: Request, facts: Facts, model: str) -> None:
    inputs, outputs = {spec.name for spec in facts.inputs}, {spec.name for spec in facts.outputs}
    for tensor in request.inputs:
        if tensor.name not in inputs:
            raise ServiceError("invalid_argument", f"{model} has no input {tensor.name!r}, but {', '.join(inputs)}")
    for wish in request.outputs:
        if wish.name not in outputs:
            raise ServiceError("invalid_argument", f"{model} has no output {wish.name!r}, but {', '.join(outputs)}")


def _classified(tensor: Tensor, count: int, labels: tuple[str, ...]) -> Tensor:
    """The classification extension: BYTES "value:index[:label]" of the ``count`` largest, for each row of the batch."""
    scores = tensor.array()
    rows = scores.reshape(scores.shape[0] if scores.ndim > 1 else 1, -1)
    count = min(count, rows.shape[1])
    blob = bytearray()
    for row in rows:
        for index in np.argsort(-row.astype(np.float64), kind="stable")[:count]:
            text = f"{float(row[index]):f}:{index}" + (f":{labels[index]}" if index < len(labels) else "")
            data = text.encode()
            blob += len(data).to_bytes(4, "little") + data
    shape = (rows.shape[0], count) if scores.ndim > 1 else (count,)
    return Tensor(tensor.name, "BYTES", shape, bytes(blob))
