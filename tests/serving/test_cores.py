"""The cores that versions share."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from piaccel.serving.cores import Cores


class Customer:
    """Wants cores so many times, and gives back when it is told to."""

    def __init__(self, cores: Cores, threads: int | None, wishes: int) -> None:
        self.cores, self.threads, self.wishes = cores, threads, wishes
        self.running = self.served = 0

    def want(self) -> None:
        while self.wishes and self.cores.take(self.threads, self.want):
            self.wishes -= 1
            self.running += 1
        if not self.wishes:
            self.cores.leave(self.want)

    def finish(self) -> None:
        self.running -= 1
        self.served += 1
        self.cores.give(self.threads)


@given(
    total=st.integers(1, 4),
    wanted=st.lists(st.tuples(st.sampled_from([1, 1, 2, 3, 8, None]), st.integers(0, 6)), max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_everybody_is_served_and_never_more_cores_are_busy_than_there_are(
    total: int, wanted: list[tuple[int | None, int]], order: st.DrawFn
) -> None:
    cores = Cores(total)
    customers = [Customer(cores, threads, wishes) for threads, wishes in wanted]
    for customer in customers:
        customer.want()
    while running := [customer for customer in customers if customer.running]:
        assert 0 < cores.busy <= total
        order.choice(running).finish()  # type: ignore[attr-defined]
    assert cores.busy == 0
    assert [customer.served for customer in customers] == [wishes for _, wishes in wanted]


def test_versions_take_turns() -> None:
    cores = Cores(1)
    served: deque[str] = deque()
    customers = {name: Customer(cores, 1, 3) for name in "abc"}
    for customer in customers.values():
        customer.want()
    while running := [name for name, customer in customers.items() if customer.running]:
        served.append(running[0])
        customers[running[0]].finish()
    assert "".join(served) == "aabcabcbc"  # a waited again before b and c came


def test_a_large_version_is_not_overtaken_for_ever_by_small_ones() -> None:
    cores = Cores(2)
    small, other, large = Customer(cores, 1, 9), Customer(cores, 1, 9), Customer(cores, 2, 1)
    for customer in (small, other, large):
        customer.want()
    finished = 0
    while not large.running:
        next(customer for customer in (small, other) if customer.running).finish()
        finished += 1
    assert finished <= 6
