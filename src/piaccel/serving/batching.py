"""Requests that wait anyway run together, where a measurement on this board showed that it pays.

Nobody waits for company: a run takes whoever came while the one before it ran. On CPUs batches mostly cost (3.7 ms a
picture alone and 4.5 ms in eights, onnxruntime on one thread), so that it is off unless asked for and measured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from piaccel.errors import InferenceError, InputError, PiaccelError, ServiceError
from piaccel.serving.crew import Crew, Done
from piaccel.serving.messages import Tensor
from piaccel.serving.runner import Runner


@dataclass(eq=False, slots=True)
class _Member:
    """A request that is to run with others."""

    inputs: list[Tensor]
    deadline_ns: int
    outcome: asyncio.Future[Done[list[Tensor]]]


@dataclass(eq=False, slots=True)
class _Group:
    """Requests that will run together: same outputs wanted, same shapes but for the batch, same priority."""

    names: list[str]
    members: list[_Member] = field(default_factory=list)
    rows: int = 0
    closed: bool = False


class Batcher:
    """Stands in front of a crew. Whoever gives up leaves the others alone, and a request that cannot be answered is
    found out by running each of its batch alone.
    """

    def __init__(self, crew: Crew, size: int) -> None:
        self._crew = crew
        self.size = size
        """Most rows of a run; 1 runs each alone."""
        self.batches = 0
        """Runs of more than one request."""
        self._open: dict[Any, _Group] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def infer(
        self, inputs: list[Tensor], names: list[str], *, deadline_ns: int, priority: int
    ) -> Done[list[Tensor]]:
        """Do what ``Runner.infer`` does, through the crew. Raises what ``Crew.do`` raises."""
        rows = inputs[0].shape[0]
        if rows >= self.size or any(tensor.shape[0] != rows for tensor in inputs):
            return await self._alone(inputs, names, deadline_ns, priority)
        key = (priority, tuple(names), tuple((each.name, each.datatype, each.shape[1:]) for each in inputs))
        group = self._open.get(key)
        if group is None or group.closed or group.rows + rows > self.size:
            group = self._open[key] = _Group(names)
            task = asyncio.create_task(self._run(group, deadline_ns, priority))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        member = _Member(inputs, deadline_ns, asyncio.get_running_loop().create_future())
        group.members.append(member)
        group.rows += rows
        try:
            return await member.outcome
        finally:
            if not group.closed and member.outcome.cancelled():
                group.members.remove(member)
                group.rows -= rows

    async def _alone(
        self, inputs: list[Tensor], names: list[str], deadline_ns: int, priority: int
    ) -> Done[list[Tensor]]:
        return await self._crew.do(
            lambda runner: runner.infer(inputs, names), deadline_ns=deadline_ns, priority=priority
        )

    async def _run(self, group: _Group, deadline_ns: int, priority: int) -> None:
        try:
            done = await self._crew.do(
                lambda runner: self._together(runner, group), deadline_ns=deadline_ns, priority=priority
            )
        except (InputError, InferenceError) as error:
            await self._one_by_one(group, priority, error)
        except (PiaccelError, asyncio.CancelledError) as error:
            _settle(group, error)
        else:
            for member, outputs in zip(group.members, done.value, strict=True):
                if not member.outcome.done():
                    member.outcome.set_result(Done(outputs, done.queue_ns, done.run_ns))
        finally:
            group.closed = True

    async def _together(self, runner: Runner, group: _Group) -> list[list[Tensor]]:
        """The outputs of each member. Called again with another runner when the first one ended."""
        if not group.closed:
            group.closed = True
            now = time.monotonic_ns()
            for member in group.members:
                if now > member.deadline_ns and not member.outcome.done():
                    late = ServiceError("deadline_exceeded", "the deadline passed before the model was free")
                    member.outcome.set_exception(late)
            group.members = [member for member in group.members if not member.outcome.done()]
        if not group.members:
            return []
        if len(group.members) == 1:
            return [await runner.infer(group.members[0].inputs, group.names)]
        self.batches += 1
        outputs = await runner.infer(_stacked([member.inputs for member in group.members]), group.names)
        rows = [member.inputs[0].shape[0] for member in group.members]
        if any(not tensor.shape or tensor.shape[0] != sum(rows) for tensor in outputs):
            self.size = 1  # its outputs know no batch
            raise InferenceError("the network's outputs cannot be told apart by request")
        ends = np.cumsum(rows)
        return [
            [Tensor.of(tensor.name, tensor.array()[end - count : end]) for tensor in outputs]
            for count, end in zip(rows, ends, strict=True)
        ]

    async def _one_by_one(self, group: _Group, priority: int, error: PiaccelError) -> None:
        """One of them is at fault: the others shall not hear of it."""
        if len(group.members) == 1:
            _settle(group, error)
            return

        async def answer(member: _Member) -> None:
            try:
                done = await self._alone(member.inputs, group.names, member.deadline_ns, priority)
            except (PiaccelError, asyncio.CancelledError) as own:
                if not member.outcome.done():
                    member.outcome.set_exception(_for_a_future(own))
            else:
                if not member.outcome.done():
                    member.outcome.set_result(done)

        await asyncio.gather(*(answer(member) for member in group.members))


def _settle(group: _Group, error: BaseException) -> None:
    for member in group.members:
        if not member.outcome.done():
            member.outcome.set_exception(_for_a_future(error))


def _for_a_future(error: BaseException) -> BaseException:
    """A cancelled run is no cancelled client."""
    if isinstance(error, asyncio.CancelledError):
        return ServiceError("unavailable", "the version was closed", retry_after_s=1.0)
    return error


def _stacked(requests: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    return [
        Tensor.of(tensors[0].name, np.concatenate([tensor.array() for tensor in tensors]))
        for tensors in zip(*requests, strict=True)
    ]
