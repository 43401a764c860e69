"""The runners of one version, with the queue in front of them: hands out work, and replaces runners that end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from piaccel.errors import CrashError, HangError, PiaccelError, ServiceError
from piaccel.serving import cores as board
from piaccel.serving.cores import Cores
from piaccel.serving.queue import Queue, Waiting
from piaccel.serving.runner import Facts, Runner

T = TypeVar("T")
Open = Callable[[], Awaitable[Runner]]

WINDOW_S = 60.0
FALLS = 2
"""So many runners that end by themselves within the window: the version cannot be relied on."""
TRIES = 2
"""So many runners may end with the same request, and no more."""
LOWEST = 9
"""Priority; the highest is 1."""
_DELAYS_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Before a runner is replaced, by the number that ended within the window."""
_log = logging.getLogger("piaccel")


@dataclass(frozen=True)
class Done(Generic[T]):
    """A result with how long it waited and ran."""

    value: T
    queue_ns: int
    run_ns: int


@dataclass(slots=True, eq=False)
class _Seat:
    """The place of a runner."""

    runner: Runner | None = None
    """None while it is replaced."""
    since_ns: int | None = None
    """When it was its request's turn, which may have had to wait for cores; None while it has none."""
    back_ns: int = 0
    """When a replacement may be there."""


class Crew:
    """Opens runners, keeps them alive and hands them work. ``clock`` is CLOCK_MONOTONIC in ns, as are deadlines."""

    def __init__(
        self,
        open_runner: Open,
        *,
        instances: int = 1,
        cores: Cores | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._open = open_runner
        self._seats = [_Seat() for _ in range(instances)]
        self._cores = cores or board.here()
        self._clock = clock
        self._queue = Queue()
        self._facts: Facts | None = None
        self._falls: deque[int] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._replacing: set[asyncio.Task[None]] = set()
        self._stalled_ns: int | None = None
        """Since when there is work and a runner, but no core."""
        self._closed = False
        self.crashes = self.hangs = 0
        self.cancelled = 0
        """Requests that their clients gave up, waiting or running."""
        self.discarded = 0
        """Answers that nobody waited for any more."""
        self.retried = 0
        """Requests whose runner ended, and that were given to another."""
        self.fatal = 0
        """Requests that ended as many runners as one may."""
        self.on_broken: Callable[[str], None] = lambda reason: None
        """Called when the version's runners crashed or hung twice: it cannot be relied on."""

    @property
    def facts(self) -> Facts:
        assert self._facts is not None
        return self._facts

    @property
    def pids(self) -> list[int]:
        return [seat.runner.pid for seat in self._seats if seat.runner and seat.runner.pid]

    @property
    def runner(self) -> Runner:
        """One that works, for what goes around the queue (golden checks)."""
        for seat in self._seats:
            if seat.runner is not None and seat.runner.alive:
                return seat.runner
        raise ServiceError("unavailable", "the version is not loaded", retry_after_s=self.retry_after_s)

    @property
    def queued(self) -> int:
        return len(self._queue)

    @property
    def running(self) -> int:
        return sum(seat.since_ns is not None for seat in self._seats)

    @property
    def p95_ns(self) -> int | None:
        """How long a run takes, with its wait for cores; None before the first."""
        return self._queue.pace.p95_ns

    @property
    def retry_after_s(self) -> float:
        """How long those ahead of a new request will take; 1 s where nobody knows."""
        needed_ns = self._queue.needed_ns(LOWEST, self._busy_ns() or 0, self._alive)
        return 1.0 if needed_ns is None else needed_ns / 1e9

    async def start(self) -> None:
        """Open the runners. Raises what opening one raises; close the crew then."""
        for seat in self._seats:
            self._sit(seat, await self._open())
        self._queue.pace.expected_ns = self.facts.warm_ns

    async def do(self, work: Callable[[Runner], Awaitable[T]], *, deadline_ns: int, priority: int = 2) -> Done[T]:
        """Run ``work`` on the next free runner. Raises ServiceError at once when it cannot be done in time.

        Whoever gives up (cancels) leaves the others alone: a run under way ends by itself, and its answer is discarded.
        """
        if self._closed:
            raise ServiceError("unavailable", "the version is not loaded", retry_after_s=1.0)
        rank = min(max(priority, 1), LOWEST)
        waiting = Waiting(work, rank, deadline_ns, self._clock(), asyncio.get_running_loop().create_future())
        self._queue.admit(waiting, busy_ns=self._busy_ns(), runners=self._alive)
        self._dispatch()
        if waiting.queued:
            self._limit(waiting)
        try:
            done: Done[T] = await waiting.outcome
        except asyncio.CancelledError:
            self.cancelled += 1
            self._queue.drop(waiting)
            raise
        finally:
            if waiting.timer is not None:
                waiting.timer.cancel()
        return done

    async def close(self) -> None:
        """Refuse who waits, end the runners. Idempotent."""
        self._closed = True
        self._refuse_all("the version is going")
        self._cores.leave(self._dispatch)
        for task in self._replacing:
            task.cancel()
        await asyncio.gather(*self._replacing, return_exceptions=True)
        for seat in self._seats:
            if seat.runner is not None:
                await seat.runner.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Handing out work

    def _dispatch(self) -> None:
        """Give free runners work for as long as there is some, and cores."""
        while True:
            seat = self._free()
            if seat is None or not self._queue:
                self._stalled_ns = None
                self._cores.leave(self._dispatch)
                return
            assert seat.runner is not None
            if not self._cores.take(seat.runner.facts.threads, self._dispatch):
                self._stalled_ns = self._stalled_ns or self._clock()
                return
            turn_ns, self._stalled_ns = self._stalled_ns or self._clock(), None
            waiting = self._queue.take()
            assert waiting is not None
            left_ns = waiting.deadline_ns - self._clock()
            if left_ns <= 0 or left_ns < self._needed_ns(waiting):
                self._cores.give(seat.runner.facts.threads)
                _tell(waiting, _late())
                continue
            seat.since_ns = turn_ns
            self._start(self._serve(seat, seat.runner, waiting), self._tasks)

    async def _serve(self, seat: _Seat, runner: Runner, waiting: Waiting) -> None:
        begun = self._clock()
        try:
            value = await waiting.work(runner)
        except (CrashError, HangError) as error:
            self._lost(seat, runner, error)
            self._again(waiting)
        except Exception as error:  # noqa: BLE001 - it is for whoever asked
            _tell(waiting, error)
        else:
            run_ns = self._clock() - begun
            self._queue.pace.add(begun + run_ns - (seat.since_ns or begun))
            if waiting.outcome.done():
                self.discarded += 1
            else:
                waiting.outcome.set_result(Done(value, begun - waiting.since_ns, run_ns))
        finally:
            seat.since_ns = None
            self._cores.give(runner.facts.threads)
            self._dispatch()

    def _needed_ns(self, waiting: Waiting) -> int:
        """What a run should take: whoever would get its answer late takes no time from those behind it.

        Nothing for a request that had not to wait: only runs can tell that the version is fast again.
        """
        return 0 if waiting.timer is None else self._queue.pace.expected_ns or 0

    def _free(self) -> _Seat | None:
        for seat in self._seats:
            if seat.since_ns is None and seat.runner is not None:
                if seat.runner.alive:
                    return seat
                self._lost(seat, seat.runner, CrashError("the version's process ended between two calls"))
        return None

    @property
    def _alive(self) -> int:
        return max(1, sum(seat.runner is not None for seat in self._seats))

    def _busy_ns(self) -> int | None:
        """Until the next runner is free, by what its run should take; None when one is."""
        now, shortest = self._clock(), None
        for seat in self._seats:
            if seat.runner is None:
                left = max(seat.back_ns - now, 0) + round(self.facts.load_s * 1e9)
            elif seat.since_ns is None:
                return None
            else:
                left = max(seat.since_ns + (self._queue.pace.expected_ns or 0) - now, 0)
            shortest = left if shortest is None else min(left, shortest)
        return shortest

    def _limit(self, waiting: Waiting) -> None:
        """See to it that a request waits until its deadline, and not longer."""
        if waiting.timer is None:
            left_s = max(waiting.deadline_ns - self._clock(), 0) / 1e9
            waiting.timer = asyncio.get_running_loop().call_later(left_s, self._expire, waiting)

    def _expire(self, waiting: Waiting) -> None:
        if self._queue.drop(waiting):
            _tell(waiting, _late())

    def _refuse_all(self, why: str) -> None:
        for waiting in self._queue.empty():
            _tell(waiting, ServiceError("unavailable", why, retry_after_s=1.0))

    # Runners that end

    def _sit(self, seat: _Seat, runner: Runner) -> None:
        seat.runner, self._facts = runner, runner.facts
        runner.on_exit = lambda error: self._lost(seat, runner, error)

    def _lost(self, seat: _Seat, runner: Runner, error: PiaccelError) -> None:
        """A runner ended by itself; heard of from its process and from the request it had, whichever comes first."""
        if seat.runner is not runner or self._closed:
            return
        seat.runner = None
        if isinstance(error, HangError):
            self.hangs += 1
        else:
            self.crashes += 1
        now = self._clock()
        while self._falls and now - self._falls[0] > WINDOW_S * 1e9:
            self._falls.popleft()
        self._falls.append(now)
        _log.warning("%s %s", error, error.hint)
        self._start(self._replace(seat, runner), self._replacing)
        if len(self._falls) >= FALLS:
            self._refuse_all("the model's process ended twice")
            self.on_broken(str(error))

    def _again(self, waiting: Waiting) -> None:
        """A request whose runner ended is tried once more."""
        waiting.tries += 1
        if waiting.outcome.done():
            return
        if waiting.tries >= TRIES:
            self.fatal += 1
            # Not "unavailable": a balancer would send it to the next board.
            _tell(waiting, ServiceError("internal", "the model's process ended twice while it worked on this request"))
        elif self._closed or len(self._falls) >= FALLS:
            _tell(waiting, ServiceError("unavailable", "the model's process ended", retry_after_s=1.0))
        elif waiting.deadline_ns <= self._clock():
            _tell(waiting, _late())
        else:
            self.retried += 1
            self._queue.put_back(waiting)
            self._limit(waiting)

    async def _replace(self, seat: _Seat, ended: Runner) -> None:
        await ended.close()
        failures = 0
        while seat.runner is None:
            delay_s = _DELAYS_S[min(len(self._falls) - 1 + failures, len(_DELAYS_S) - 1)]
            seat.back_ns = self._clock() + round(delay_s * 1e9)
            await asyncio.sleep(delay_s)
            try:
                self._sit(seat, await self._open())
            except (PiaccelError, OSError) as error:
                failures += 1
                _log.warning("a replacement could not be opened: %s", error)
        self._dispatch()

    def _start(self, work: Coroutine[Any, Any, None], where: set[asyncio.Task[None]]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        where.add(task)
        task.add_done_callback(where.discard)


def _tell(waiting: Waiting, error: Exception) -> None:
    if not waiting.outcome.done():
        waiting.outcome.set_exception(error)


def _late() -> ServiceError:
    return ServiceError("deadline_exceeded", "the model became free too late to answer before the deadline")
