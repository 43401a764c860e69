"""The queue, retries and replacements of a version, in virtual time with runners made of a sleep."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piaccel.errors import CrashError, HangError, InputError, ModelError, PiaccelError, ServiceError
from piaccel.serving.cores import Cores
from piaccel.serving.crew import Crew, Done
from piaccel.serving.messages import Bytes, Tensor
from piaccel.serving.runner import Facts, GoldenCheck, Picture, Runner
from tests.serving.virtual import clock, run

S = 10**9
FACTS = Facts(
    inputs=(), outputs=(), backend="", variant="", threads=1, why="", kind="", family="", labels=(), load_s=0.0,
    memory_bytes=None,
)  # fmt: skip
Work = Callable[[Runner], Awaitable[str]]


class Sleeper(Runner):
    """Takes its time, and dies when it is told to."""

    def __init__(self, threads: int | None = 1, warm_ns: int | None = None) -> None:
        self.facts = Facts(**{**vars(FACTS), "threads": threads, "warm_ns": warm_ns})
        self.dead = False
        self.closed = False
        self.calls = 0

    async def sleep(self, seconds: float) -> None:
        self.calls += 1
        assert not self.closed
        await asyncio.sleep(seconds)

    def die(self, error: PiaccelError) -> PiaccelError:
        self.dead = True
        if self.on_exit is not None:
            self.on_exit(error)
        return error

    @property
    def pid(self) -> int | None:
        return None

    @property
    def alive(self) -> bool:
        return not self.dead

    async def infer(self, inputs: Sequence[Tensor], wanted: Sequence[str] = ()) -> list[Tensor]:
        raise NotImplementedError

    async def predict(self, image: Bytes, *, annotate: bool = False) -> Picture:
        raise NotImplementedError

    async def check(self, samples: Path | None = None) -> GoldenCheck:
        raise NotImplementedError

    async def close(self) -> None:
        self.closed = True


class Stage:
    """A crew of sleepers and what became of everything."""

    def __init__(
        self, *, instances: int = 1, cores: int = 4, threads: int | None = 1, warm_ns: int | None = None
    ) -> None:
        self.sleepers: list[Sleeper] = []
        self.order: list[str] = []
        self.broken: list[str] = []
        self.threads, self.warm_ns = threads, warm_ns
        self.unwilling = 0
        self.crew = Crew(self._open, instances=instances, cores=Cores(cores), clock=clock)
        self.crew.on_broken = self.broken.append

    async def _open(self) -> Runner:
        if self.unwilling:
            self.unwilling -= 1
            raise ModelError("it cannot be opened")
        self.sleepers.append(Sleeper(self.threads, self.warm_ns))
        return self.sleepers[-1]

    def work(self, name: str = "", seconds: float = 0.1, dies: Sequence[PiaccelError] = ()) -> Work:
        """A request; the first runners that get it die of these errors."""
        left = list(dies)

        async def work(runner: Runner) -> str:
            assert isinstance(runner, Sleeper)
            await runner.sleep(seconds)
            if left:
                raise runner.die(left.pop(0))
            self.order.append(name)
            return name

        return work

    async def ask(self, name: str = "", within_s: float = 10.0, priority: int = 2, **work: object) -> Done[str]:
        return await self.crew.do(
            self.work(name, **work),  # type: ignore[arg-type]
            deadline_ns=clock() + round(within_s * S),
            priority=priority,
        )


def on_stage(body: Callable[[Stage], Awaitable[None]], **options: int | None) -> None:
    async def play() -> None:
        stage = Stage(**options)  # type: ignore[arg-type]
        await stage.crew.start()
        try:
            await body(stage)
        finally:
            await stage.crew.close()
        assert all(sleeper.closed for sleeper in stage.sleepers)
        assert (stage.crew.queued, stage.crew.running) == (0, 0)

    run(play())


def test_an_answer_says_how_long_it_waited_and_ran() -> None:
    async def body(stage: Stage) -> None:
        first, second = await asyncio.gather(stage.ask("a"), stage.ask("b"))
        assert (first.value, first.queue_ns, first.run_ns) == ("a", 0, S // 10)
        assert (second.value, second.queue_ns, second.run_ns) == ("b", S // 10, S // 10)
        assert stage.crew.p95_ns == S // 10

    on_stage(body)


def test_a_request_that_would_be_late_is_refused_at_once_and_told_when_to_come_again() -> None:
    async def body(stage: Stage) -> None:
        await stage.ask()
        waiting = [asyncio.ensure_future(stage.ask(within_s=0.35)) for _ in range(4)]
        await asyncio.sleep(0)
        begun = clock()
        outcomes = await asyncio.gather(*waiting[3:], return_exceptions=True)
        (refusal,) = outcomes
        assert isinstance(refusal, ServiceError)
        assert clock() == begun
        assert refusal.kind == "unavailable"
        assert refusal.retry_after_s == pytest.approx(0.05)
        await asyncio.sleep(refusal.retry_after_s or 0)
        assert (await stage.ask("again", within_s=0.35)).value == "again"
        assert [done.queue_ns for done in await asyncio.gather(*waiting[:3])] == [0, S // 10, 2 * S // 10]

    on_stage(body)


def test_who_would_be_answered_late_after_all_makes_room_for_those_behind() -> None:
    async def body(stage: Stage) -> None:
        await stage.ask()
        first = asyncio.ensure_future(stage.ask("first", within_s=0.45, seconds=0.32))
        await asyncio.sleep(0)
        late = asyncio.ensure_future(stage.ask("late", within_s=0.4))
        behind = asyncio.ensure_future(stage.ask("behind", within_s=0.8))
        begun = clock()
        with pytest.raises(ServiceError) as refusal:
            await late
        assert refusal.value.kind == "deadline_exceeded"
        assert clock() - begun == pytest.approx(0.32 * S)
        assert (await behind).queue_ns == pytest.approx(0.32 * S)
        await first
        assert stage.order == ["", "first", "behind"]

    on_stage(body)


def test_a_version_that_never_ran_lets_only_a_few_wait() -> None:
    async def body(stage: Stage) -> None:
        outcomes = await asyncio.gather(*(stage.ask() for _ in range(20)), return_exceptions=True)
        assert sum(isinstance(outcome, Done) for outcome in outcomes) == 5

    on_stage(body)


def test_a_version_that_never_ran_but_in_its_warm_up_lets_wait_who_can_be_answered_in_time() -> None:
    async def body(stage: Stage) -> None:
        outcomes = await asyncio.gather(*(stage.ask(within_s=1.05) for _ in range(20)), return_exceptions=True)
        assert sum(isinstance(outcome, Done) for outcome in outcomes) == 10

    on_stage(body, warm_ns=S // 10)


def test_the_warm_up_counts_no_more_once_requests_were_answered() -> None:
    async def body(stage: Stage) -> None:
        assert stage.crew.p95_ns is None
        await stage.ask()
        assert stage.crew.p95_ns == S // 10
        outcomes = await asyncio.gather(*(stage.ask(within_s=0.55) for _ in range(20)), return_exceptions=True)
        assert sum(isinstance(outcome, Done) for outcome in outcomes) == 5

    on_stage(body, warm_ns=9 * S)


def test_a_version_that_was_slow_is_tried_again_while_nothing_waits() -> None:
    async def body(stage: Stage) -> None:
        await stage.ask(seconds=5.0)
        assert (await stage.ask("quick", within_s=0.2)).value == "quick"

    on_stage(body)


def test_at_three_times_what_it_can_do_it_does_all_it_can_and_nobody_is_answered_late() -> None:
    async def body(stage: Stage) -> None:
        chance = random.Random(7)
        await stage.ask()
        took: list[float] = []
        refused: list[tuple[float, str, bool]] = []

        async def client() -> None:
            begun = clock()
            try:
                await stage.ask(within_s=0.5, seconds=0.08 + 0.02 * chance.random())
                took.append((clock() - begun) / S)
            except ServiceError as error:
                refused.append(((clock() - begun) / S, error.kind, (error.retry_after_s or 0) > 0))

        clients = []
        for _ in range(3 * 600):
            clients.append(asyncio.ensure_future(client()))
            await asyncio.sleep(chance.expovariate(33))
        seconds = clock() / S
        await asyncio.gather(*clients)
        assert len(took) >= 0.9 * seconds / 0.09
        assert max(took) <= 0.5
        assert set(refused) == {(0, "unavailable", True)}
        assert len(took) + len(refused) == 1800

    on_stage(body)


def test_the_more_urgent_go_first_and_the_rest_in_the_order_they_came() -> None:
    async def body(stage: Stage) -> None:
        await stage.ask("warm")
        asked = [("a", 2), ("b", 2), ("c", 1), ("d", 3), ("e", 1), ("f", 2)]
        await asyncio.gather(*(stage.ask(name, priority=rank) for name, rank in asked))
        assert stage.order == ["warm", "a", "c", "e", "b", "f", "d"]

    on_stage(body)


def test_the_least_urgent_does_not_starve() -> None:
    async def body(stage: Stage) -> None:
        await stage.ask("warm")
        urgent = [asyncio.ensure_future(stage.ask("urgent", within_s=60, priority=1)) for _ in range(200)]
        await asyncio.sleep(0)
        await stage.ask("patient", within_s=60, priority=9)
        assert 40 <= len(stage.order) <= 60
        await asyncio.gather(*urgent)

    on_stage(body)


def test_a_request_whose_deadline_passes_in_the_queue_hears_so_then_and_never_runs() -> None:
    async def body(stage: Stage) -> None:
        slow = asyncio.ensure_future(stage.ask("slow", seconds=30.0, within_s=60))
        await asyncio.sleep(0)
        with pytest.raises(ServiceError) as refused:
            await stage.ask("late", within_s=1.0)
        assert (refused.value.kind, clock()) == ("deadline_exceeded", S)
        await slow
        assert stage.order == ["slow"]
        with pytest.raises(ServiceError) as refused:
            await stage.ask("past", within_s=-1.0)
        assert refused.value.kind == "deadline_exceeded"

    on_stage(body)


def test_whoever_gives_up_leaves_the_others_alone() -> None:
    async def body(stage: Stage) -> None:
        running, waiting, other = (asyncio.ensure_future(stage.ask(name)) for name in ("running", "waiting", "other"))
        await asyncio.sleep(0.05)
        running.cancel()
        waiting.cancel()
        done = await other
        assert (done.value, done.queue_ns) == ("other", S // 10)
        assert stage.order == ["running", "other"]
        assert (stage.crew.cancelled, stage.crew.discarded) == (2, 1)

    on_stage(body)


@pytest.mark.parametrize("error", [CrashError("SIGSEGV"), HangError("no answer")])
def test_a_request_whose_runner_ends_is_tried_once_more_and_the_others_wait(error: PiaccelError) -> None:
    async def body(stage: Stage) -> None:
        answers = await asyncio.gather(stage.ask("a", dies=[error]), stage.ask("b"))
        assert [answer.value for answer in answers] == ["a", "b"]
        assert stage.order == ["a", "b"]
        assert (len(stage.sleepers), stage.sleepers[0].closed) == (2, True)
        assert (stage.crew.crashes + stage.crew.hangs, stage.crew.retried, stage.broken) == (1, 1, [])

    on_stage(body)


def test_a_request_that_ends_two_runners_is_not_tried_again_and_the_version_counts_as_broken() -> None:
    async def body(stage: Stage) -> None:
        deaths = [CrashError("SIGSEGV"), CrashError("SIGBUS"), CrashError("SIGILL")]
        outcomes = await asyncio.gather(stage.ask(dies=deaths), stage.ask("b"), return_exceptions=True)
        kinds = [outcome.kind for outcome in outcomes if isinstance(outcome, ServiceError)]
        assert kinds == ["internal", "unavailable"]
        assert (stage.crew.fatal, stage.broken) == (1, ["SIGBUS"])
        assert (await stage.ask("c")).value == "c"
        assert len(stage.sleepers) == 3

    on_stage(body)


def test_crashes_far_apart_do_not_make_a_version_broken() -> None:
    async def body(stage: Stage) -> None:
        for _ in range(3):
            await stage.ask(dies=[CrashError("SIGSEGV")])
            await asyncio.sleep(61)
        assert (stage.crew.crashes, stage.broken) == (3, [])

    on_stage(body)


def test_a_runner_that_ends_between_two_requests_is_replaced_before_the_next() -> None:
    async def body(stage: Stage) -> None:
        stage.sleepers[0].die(CrashError("SIGKILL"))
        await asyncio.sleep(0)
        assert (await stage.ask("a")).value == "a"
        assert (len(stage.sleepers), stage.crew.crashes, stage.crew.retried) == (2, 1, 0)

    on_stage(body)


def test_a_runner_that_cannot_be_replaced_is_tried_less_and_less_often() -> None:
    async def body(stage: Stage) -> None:
        stage.unwilling = 3
        answer = await stage.ask("a", dies=[CrashError("SIGSEGV")])
        assert (answer.value, clock()) == ("a", round((0.1 + 0 + 0.5 + 1 + 2 + 0.1) * S))

    on_stage(body)


def test_every_instance_works() -> None:
    async def body(stage: Stage) -> None:
        await asyncio.gather(*(stage.ask() for _ in range(6)))
        assert (clock(), [sleeper.calls for sleeper in stage.sleepers]) == (2 * S // 10, [2, 2, 2])

    on_stage(body, instances=3)


def test_what_the_work_raises_reaches_whoever_asked() -> None:
    async def body(stage: Stage) -> None:
        async def refuse(runner: Runner) -> str:
            raise InputError("no picture")

        with pytest.raises(InputError, match="no picture"):
            await stage.crew.do(refuse, deadline_ns=S)
        assert (await stage.ask("a")).value == "a"

    on_stage(body)


def test_closing_refuses_who_waits() -> None:
    async def body(stage: Stage) -> None:
        running, waiting = asyncio.ensure_future(stage.ask("a")), asyncio.ensure_future(stage.ask("b"))
        await asyncio.sleep(0.05)
        await stage.crew.close()
        assert (await running).value == "a"
        for late in (waiting, stage.ask("c")):
            with pytest.raises(ServiceError) as refused:
                await late
            assert refused.value.kind == "unavailable"

    on_stage(body)


def test_versions_take_turns_on_the_cores_and_one_that_wants_more_than_there_are_still_runs() -> None:
    async def body() -> None:
        cores = Cores(2)
        stages = [Stage(threads=threads) for threads in (2, 1, 1, None)]
        for stage in stages:
            stage.crew = Crew(stage._open, cores=cores, clock=clock)
            await stage.crew.start()
        most = 0

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, cores.busy)
                await asyncio.sleep(0.01)

        watcher = asyncio.ensure_future(watch())
        await asyncio.gather(*(stage.ask() for stage in stages for _ in range(4)))
        watcher.cancel()
        # 2+2 threads alone, 1+1 together: three turns of 0.1 s for each round of requests.
        assert clock() == pytest.approx(12 * S / 10, rel=0.1)
        assert (most, cores.busy) == (2, 0)
        for stage in stages:
            await stage.crew.close()

    run(body())


@settings(max_examples=60, deadline=None)
@given(
    requests=st.lists(
        st.tuples(
            st.floats(0, 2),  # when it comes
            st.sampled_from([0.0, 0.05, 0.1, 1.0]),  # how long it takes
            st.sampled_from([0.01, 0.3, 2.0, 20.0]),  # deadline
            st.integers(0, 12),  # priority
            st.sampled_from(["answer", "answer", "answer", "give up", "crash", "crash twice"]),
        ),
        max_size=25,
    ),
    instances=st.integers(1, 3),
)
def test_every_request_has_exactly_one_outcome(
    requests: list[tuple[float, float, float, int, str]], instances: int
) -> None:
    async def body(stage: Stage) -> None:
        outcomes: Counter[int] = Counter()

        async def client(number: int, at: float, seconds: float, within: float, rank: int, fate: str) -> None:
            await asyncio.sleep(at)
            deaths = [CrashError("SIGSEGV")] * {"crash": 1, "crash twice": 2}.get(fate, 0)
            asked = stage.ask(str(number), within_s=within, priority=rank, seconds=seconds, dies=deaths)
            try:
                if fate == "give up":
                    await asyncio.wait_for(asked, 0.07)
                else:
                    assert (await asked).value == str(number)
            except (ServiceError, TimeoutError):
                pass
            outcomes[number] += 1

        await asyncio.gather(*(client(number, *request) for number, request in enumerate(requests)))
        await asyncio.sleep(100)
        assert outcomes == Counter(range(len(requests)))
        assert len(stage.order) == len(set(stage.order))
        assert stage.crew._cores.busy == 0
        assert (await stage.ask("still here")).value == "still here"

    on_stage(body, instances=instances)
