from quorate.serving.breaker import Breaker, Circuit
from quorate.testing import FakeClock


def opened(clock: FakeClock) -> Breaker:
    breaker = Breaker(clock, threshold=3, pause=1.0, max_pause=8.0)
    for _ in range(3):
        breaker.fault()
    return breaker


def test_opens_after_consecutive_faults_only():
    breaker = Breaker(FakeClock(), threshold=3)
    breaker.fault()
    breaker.fault()
    breaker.success()
    breaker.fault()
    assert not breaker.fault()
    assert breaker.state is Circuit.CLOSED
    assert breaker.fault()
    assert breaker.state is Circuit.OPEN


def test_one_probe_is_due_after_the_pause():
    clock = FakeClock()
    breaker = opened(clock)
    assert not breaker.probe_due()
    clock.advance(1.0)
    assert breaker.probe_due()
    assert breaker.state is Circuit.HALF_OPEN
    assert not breaker.probe_due()


def test_a_good_probe_closes_and_a_bad_one_doubles_the_pause_up_to_its_limit():
    clock = FakeClock()
    breaker = opened(clock)
    for pause in (1.0, 2.0, 4.0, 8.0, 8.0):
        clock.advance(pause * 0.99)
        assert not breaker.probe_due()
        clock.advance(pause * 0.01 + 1e-6)
        assert breaker.probe_due()
        breaker.probed(ok=False)
    clock.advance(8.0)
    assert breaker.probe_due()
    breaker.probed(ok=True)
    assert breaker.state is Circuit.CLOSED


def test_a_relapse_soon_after_closing_keeps_the_longer_pause():
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(1.0)
    breaker.probe_due()
    breaker.probed(ok=True)
    for _ in range(3):
        breaker.fault()
    clock.advance(1.0)
    assert not breaker.probe_due()
    clock.advance(1.0)
    assert breaker.probe_due()


def test_a_late_relapse_starts_with_the_short_pause_again():
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(1.0)
    breaker.probe_due()
    breaker.probed(ok=True)
    clock.advance(9.0)
    assert breaker.trip()
    assert not breaker.trip()
    clock.advance(1.0)
    assert breaker.probe_due()
