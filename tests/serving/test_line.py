from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from quorate.serving.line import BULK_TURN, Line


@dataclass
class Item:
    rows: int = 1
    owner: str = "a"
    bulk: bool = False
    number: int = 0


def line_of(*items):
    line = Line()
    for item in items:
        line.put(item)
    return line


def numbers(items):
    return [item.number for item in items]


def test_first_come_first_served():
    line = line_of(*(Item(number=i) for i in range(5)))
    assert (line.count, line.rows) == (5, 5)
    assert numbers(line.take(3)) == [0, 1, 2]
    assert numbers(line.take(9)) == [3, 4]
    assert (line.count, line.rows) == (0, 0)


def test_owners_take_turns():
    line = line_of(*(Item(owner="busy", number=i) for i in range(4)), Item(owner="rare", number=9))
    assert numbers(line.take(3)) == [0, 9, 1]


def test_interactive_comes_before_bulk():
    line = line_of(Item(bulk=True, number=1), Item(number=2), Item(number=3))
    assert numbers(line.take(2)) == [2, 3]
    assert numbers(line.take(2)) == [1]


def test_bulk_does_not_wait_for_ever():
    line = line_of(Item(bulk=True, number=-1))
    for turn in range(1, BULK_TURN + 1):
        line.put(Item(number=turn))
        taken = numbers(line.take(1))
    assert taken == [-1]


def test_the_first_may_be_larger_than_the_limit_and_then_goes_alone():
    line = line_of(Item(rows=10, number=0), Item(number=1))
    assert numbers(line.take(4)) == [0]


def test_what_does_not_fit_any_more_waits():
    line = line_of(Item(rows=3, number=0), Item(rows=3, number=1), Item(rows=1, number=2))
    assert numbers(line.take(5)) == [0]
    assert numbers(line.take(5)) == [1, 2]


items = st.builds(Item, rows=st.integers(1, 6), owner=st.sampled_from("abc"), bulk=st.booleans())


@given(st.lists(st.one_of(items, st.integers(1, 8)), max_size=60))
def test_everybody_gets_through_once_and_in_the_order_of_its_own(steps):
    line, put, taken = Line(), [], []
    for step in steps:
        if isinstance(step, Item):
            step.number = len(put)
            put.append(step)
            line.put(step)
        else:
            batch = line.take(step)
            assert len(batch) == 1 or sum(item.rows for item in batch) <= step
            assert bool(batch) == (len(put) > len(taken))
            taken += batch
        assert line.count == len(put) - len(taken)
        assert line.rows == sum(item.rows for item in put) - sum(item.rows for item in taken)
    while line.count:
        taken += line.take(4)
    assert sorted(numbers(taken)) == numbers(put)
    for owner in "abc":
        for bulk in (False, True):
            own = [item.number for item in taken if (item.owner, item.bulk) == (owner, bulk)]
            assert own == sorted(own)
