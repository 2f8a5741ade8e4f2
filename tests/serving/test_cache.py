import numpy as np
import pytest

from quorate.serving.cache import AnswerCache
from quorate.testing.clock import FakeClock


@pytest.fixture
def clock():
    return FakeClock(monotonic=10.0)


def cache(clock, **bounds):
    return AnswerCache(**{"entries": 3, "max_bytes": 1000, "seconds": 60.0, "clock": clock, **bounds})


def key(name, strategy="s", path="instances"):
    return strategy, path, name.encode()


def answer(number=1.0, rows=1):
    return np.full((rows, 2), number, np.float32)


def test_the_same_input_gets_the_same_answer(clock):
    kept = cache(clock)
    kept.put(key("a"), answer(0.25))
    assert kept.get(key("a")).tolist() == [[0.25, 0.25]]
    assert kept.get(key("b")) is None
    assert kept.get(key("a", strategy="other")) is None
    assert kept.get(key("a", path="body")) is None


def test_what_is_kept_is_a_copy(clock):
    kept, batch = cache(clock), answer(0.5, rows=100)
    kept.put(key("a"), batch[:1])
    batch[:] = 9.0
    assert kept.get(key("a")).tolist() == [[0.5, 0.5]]
    assert not np.shares_memory(kept.get(key("a")), batch)


def test_the_least_recently_used_goes_first(clock):
    kept = cache(clock)
    for name in "abc":
        kept.put(key(name), answer())
    kept.get(key("a"))
    kept.put(key("d"), answer())
    assert [name for name in "abcd" if kept.get(key(name)) is not None] == ["a", "c", "d"]


def test_bytes_are_bounded_and_counted(clock):
    kept = cache(clock, entries=100, max_bytes=100)
    for i in range(50):
        kept.put(key(str(i % 17)), answer(rows=1 + i % 4))
        assert kept.bytes <= 100
        assert kept.bytes == sum(a.nbytes for i in range(17) if (a := kept.get(key(str(i)))) is not None)
    kept.put(key("huge"), answer(rows=1000))
    assert kept.get(key("huge")) is None
    assert len(kept) > 0


def test_an_old_answer_is_not_used(clock):
    kept = cache(clock)
    kept.put(key("a"), answer())
    clock.advance(60.0)
    assert kept.get(key("a")) is not None
    clock.advance(0.1)
    assert kept.get(key("a")) is None
    assert (len(kept), kept.bytes) == (0, 0)
