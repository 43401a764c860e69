"""Whether a version passes its probation."""

import pytest

from piaccel.serving.probation import Probation
from piaccel.serving.settings import ModelSettings


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def probation(before_p95_ms: float | None = 10.0, **settings: float) -> tuple[Probation, Clock]:
    clock = Clock()
    chosen = ModelSettings(**{"probation_requests": 50, **settings})  # type: ignore[arg-type]
    return Probation(chosen, before_p95_ms=before_p95_ms, clock=clock), clock


def test_it_passes_after_enough_requests() -> None:
    judged, _ = probation()
    for _ in range(49):
        judged.saw("", 10.0)
        assert judged.verdict is None
    judged.saw("", 10.0)
    assert judged.verdict == ""


def test_it_passes_after_its_time_without_any_request() -> None:
    judged, clock = probation()
    assert judged.verdict is None
    clock.now = 61.0
    assert judged.verdict == ""


@pytest.mark.parametrize("failure", ["internal", "crash", "unavailable"])
def test_the_first_fault_fails_a_short_probation(failure: str) -> None:
    judged, _ = probation()
    judged.saw(failure, 0.0)
    assert judged.verdict == "1 of 1 requests failed on probation"


def test_a_rare_fault_among_many_is_forgiven() -> None:
    judged, _ = probation(probation_requests=1000)
    for _ in range(200):
        judged.saw("", 10.0)
    judged.saw("internal", 0.0)
    assert judged.verdict is None


@pytest.mark.parametrize("failure", ["invalid_argument", "cancelled", "deadline_exceeded"])
def test_what_clients_do_is_not_the_version_s_fault(failure: str) -> None:
    judged, _ = probation()
    for _ in range(100):
        judged.saw(failure, 0.0)
    assert judged.verdict is None


def test_slower_than_allowed_fails() -> None:
    judged, _ = probation()
    for _ in range(30):
        judged.saw("", 25.0)
    assert judged.verdict == "p95 25 ms on probation, at most 20 ms allowed"


def test_a_few_slow_answers_say_nothing() -> None:
    judged, _ = probation()
    for _ in range(10):
        judged.saw("", 1000.0)
    assert judged.verdict is None


def test_disagreement_with_the_version_before_fails() -> None:
    judged, _ = probation()
    for number in range(10):
        judged.compare(number < 3)
    assert judged.verdict == "agrees in 30% of 10 answers with the version before, 50% asked"


def test_without_a_version_before_only_faults_count() -> None:
    judged, _ = probation(before_p95_ms=None)
    for _ in range(50):
        judged.saw("", 1e6)
    assert judged.verdict == ""
