"""Threads by measurement: with a fake unit whose speed is known."""

import pytest

from quorate.serving import cores
from quorate.serving.cost import Cost
from quorate.serving.tuning import candidates, price, tune


class Fake:
    def __init__(self, threads):
        self.threads = threads
        self.closed = False

    def close(self):
        self.closed = True


@pytest.mark.parametrize(("count", "expected"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (8, [1, 2, 4, 8])])
def test_threads_are_doubled_up_to_the_cores(count, expected):
    assert candidates(count) == expected


@pytest.mark.parametrize(
    ("times", "count", "expected"),
    [
        ({1: 4.9, 2: 1.0}, 8, 1),  # fast enough with one
        ({1: 10.0, 2: 5.5, 4: 3.0, 8: 2.9}, 8, 4),  # the last doubling does not pay
        ({1: 10.0, 2: 8.0, 4: 1.0}, 4, 1),  # nor does the first, and nothing more is tried
        ({1: 10.0, 2: 10 / 1.3}, 2, 2),
        ({1: 10.0, 2: 6.0, 3: 5.0}, 3, 3),  # half a doubling needs less
    ],
)
def test_the_threads_that_pay_are_chosen_and_the_others_closed(times, count, expected):
    made = [Fake(1)]

    def reopen(threads):
        made.append(Fake(threads))
        return made[-1]

    found = tune(made[0], reopen, lambda fake: Cost(times[fake.threads], 0.0), count)
    assert (found.unit.threads, found.threads, found.cost.of(1)) == (expected, expected, times[expected])
    assert [fake for fake in made if not fake.closed] == [found.unit]
    assert found.tried == {fake.threads: times[fake.threads] for fake in made}
    assert min(found.tried, key=lambda threads: (price(threads, found.tried[threads]), -threads)) == expected


def test_a_try_that_fails_leaves_nothing_open():
    other = Fake(2)

    def cost(fake):
        if fake is other:
            raise RuntimeError("broken")
        return Cost(9.0, 0.0)

    with pytest.raises(RuntimeError):
        tune(Fake(1), lambda _: other, cost, 2)
    assert other.closed


@pytest.mark.parametrize(("quota", "most"), [("100000 100000", 1), ("max 100000", 10**6), ("50000 100000", 1)])
def test_a_container_s_quota_counts(tmp_path, quota, most):
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert 1 <= cores.available(file) <= most
    assert cores.available(file) <= cores.available(tmp_path / "absent")


def test_workers_share_the_cores():
    assert cores.per_worker(1) == cores.available()
    assert cores.per_worker(10**6) == 1
