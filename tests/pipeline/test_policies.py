"""The policies on a virtual clock: their invariants, and the table that their documentation gives."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piaccel.errors import OptionError
from piaccel.frames import Frame
from piaccel.pipeline import policies
from piaccel.pipeline.policies import Drop, Every, Fresh, Latest, Paced, Policy
from piaccel.pipeline.simulation import Simulated, simulate

MS = 1_000_000
PICTURE = np.zeros((1, 1, 3), np.uint8)


class Fifo(Every):
    """What must not be done with a live camera: an endless queue."""

    def full(self) -> bool:
        return False


class DropNewest(Every):
    """What others do: two may wait, and the newest is dropped."""

    def offer(self, frame: Frame, now_ns: int) -> None:
        if len(self._queue) >= 2:
            self.drop(frame, "newest")
        else:
            super().offer(frame, now_ns)

    def full(self) -> bool:
        return False


def run(make: Callable[[Drop], Policy], service_ms: float, frames: int = 20_000, fps: float = 30.0) -> Simulated:
    draw = random.Random(1)
    exposures = (round(i * 1e9 / fps) for i in range(frames))
    return simulate(make, exposures, lambda: round(draw.uniform(0.8, 1.2) * service_ms * MS))


# service ms, policy, results/s, dropped %, age p50, p95, p99, gap p50, p99, sd: docs/run.md has the same numbers.
TABLE = [
    (20, Latest, 30.0, 0.0, 20, 24, 24, 33, 40, 3.3),
    (20, Fresh, 30.0, 0.0, 20, 24, 24, 33, 40, 3.3),
    (45, Fifo, 22.2, 0.0, 116_347, None, None, 45, 54, 5.2),
    (45, DropNewest, 22.2, 25.9, 118, 140, 147, 45, 54, 5.2),
    (45, Latest, 22.2, 25.9, 62, 79, 84, 45, 54, 5.2),
    (45, Fresh, 15.0, 50.0, 45, 53, 54, 67, 82, 7.4),
    (80, DropNewest, 12.5, 58.3, 223, 254, 265, 80, 96, 9.3),
    (80, Latest, 12.5, 58.3, 97, 119, 125, 80, 96, 9.3),
    (80, Fresh, 10.3, 65.7, 80, 94, 96, 97, 125, 13.4),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[1].__name__}-{row[0]}ms")
def test_the_simulation_gives_the_documented_ages_rates_and_gaps(row: tuple[object, ...]) -> None:
    service, kind, *expected = row
    assert isinstance(service, int)
    seen = run(kind, service)  # type: ignore[arg-type]
    ages, gaps = np.array(seen.ages_ns) / MS, np.array(seen.gaps_ns) / MS
    dropped = 100 * sum(seen.dropped.values()) / seen.produced
    found = [seen.rate, dropped, *np.percentile(ages, (50, 95, 99)), *np.percentile(gaps, (50, 99)), gaps.std()]
    for name, value, wanted in zip(
        ("rate", "dropped", "p50", "p95", "p99", "gap p50", "gap p99", "gap sd"), found, expected, strict=True
    ):
        if wanted is not None:
            assert value == pytest.approx(wanted, rel=0.05, abs=0.05), name


def kinds() -> dict[str, Callable[[Drop], Policy]]:
    return {
        "latest": Latest,
        "fresh": Fresh,
        "every": Every,
        "paced": lambda drop: Paced(drop, None, 70 * MS),
        "latest with a deadline": lambda drop: Latest(drop, 25 * MS),
        "every with a deadline": lambda drop: Every(drop, 60 * MS),
    }


@pytest.mark.parametrize("name", kinds())
@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.integers(0, 120 * MS), max_size=60),
    services=st.lists(st.integers(1, 150 * MS), min_size=1, max_size=20),
)
def test_order_is_kept_and_every_frame_is_accounted_for(name: str, gaps: list[int], services: list[int]) -> None:
    exposures = np.cumsum(gaps).tolist()
    turn = iter(services * 100)
    seen = simulate(kinds()[name], exposures, lambda: next(turn))
    assert seen.produced == len(exposures)
    assert seen.produced == len(seen.answered) + sum(seen.dropped.values()) + seen.waiting
    assert seen.answered == sorted(set(seen.answered))
    assert all(gap > 0 for gap in seen.gaps_ns)


@settings(max_examples=80, deadline=None)
@given(period=st.integers(5, 100), service=st.integers(1, 200))
def test_the_age_of_a_result_is_bounded_as_the_policy_promises(period: int, service: int) -> None:
    exposures = [i * period * MS for i in range(200)]
    draw = random.Random(service)
    longest = round(1.2 * service * MS)
    times = [draw.randint(round(0.8 * service * MS), longest) for _ in range(400)]
    for kind, bound in ((Latest, period * MS + longest), (Fresh, longest)):
        turn = iter(times)
        seen = simulate(kind, exposures, lambda turn=turn: next(turn))  # type: ignore[misc]
        assert max(seen.ages_ns[:-1]) <= bound  # nothing newer comes to take the last one's place


def test_an_expired_frame_is_dropped_before_any_work_goes_into_it() -> None:
    taken: list[int] = []
    seen = simulate(lambda drop: Every(drop, 50 * MS), [0, 0, 0, 0], lambda: taken.append(1) or 40 * MS)  # type: ignore[func-returns-value]
    assert seen.dropped == {"expired": 2}
    assert len(taken) == len(seen.answered) == 2


def test_every_makes_the_source_wait_instead_of_dropping() -> None:
    seen = simulate(Every, [0] * 50, lambda: 10 * MS)
    assert not seen.dropped
    assert seen.answered == list(range(50))


def test_paced_begins_so_that_the_answer_is_there_at_the_grids_next_point() -> None:
    seen = run(lambda drop: Paced(drop, None, 100 * MS), 45, frames=3000)
    late = [at % (100 * MS) for at in seen.results_ns[100:]]
    early = sorted(100 * MS - offset if offset else 0 for offset in late)
    assert early[int(0.9 * len(early))] <= 25 * MS  # about one in twenty comes after its point, and waits for the next
    assert seen.rate == pytest.approx(10, rel=0.01)


def test_a_policy_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(OptionError, match="newest") as caught:
        policies.make("newest", lambda frame, cause: None)
    assert "latest" in caught.value.hint


@pytest.mark.parametrize(("name", "period"), [("paced", None), ("latest", MS), ("paced", 0)])
def test_a_period_belongs_to_paced_alone_and_is_above_zero(name: str, period: int | None) -> None:
    with pytest.raises(OptionError, match=r"period|time between"):
        policies.make(name, lambda frame, cause: None, period_ns=period)
