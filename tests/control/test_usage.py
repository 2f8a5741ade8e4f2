"""Sampling of usage: differences of counters by minute, whatever happens to files, clocks and processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from quorate.control import usage as sampling
from quorate.control.usage import KEEP_DAYS, Sampler
from quorate.errors import StoreError
from quorate.store import usage
from quorate.store.database import Database
from quorate.store.usage import UsageKey, Used
from quorate.telemetry.counters import Counters
from quorate.testing.clock import FakeClock

MINUTE = 28_333_333
START = MINUTE * 60.0


class Site:
    """A telemetry folder with one worker's file, a store, a clock at the beginning of a minute."""

    def __init__(self, root: Path, new_store: Callable[[str], Database]) -> None:
        self.folder = root / "telemetry"
        self.database = new_store(f"sqlite:///{root / 'store.db'}")
        self.clock = FakeClock(now=START)
        self.sampler = Sampler(self.folder, self.database, self.clock)
        self.worker = Counters(self.folder / "worker-0.qt")

    def cpu(self, seconds: float) -> None:
        self.worker.counter("quorate_process_cpu_seconds_total").add(seconds)

    def rows(self, first: int = 0, end: int = 2**31 - 1) -> dict[tuple[str, str], Used]:
        with self.database.read() as connection:
            return usage.between(connection, first, end)

    def minutes(self) -> dict[UsageKey, Used]:
        with self.database.read() as connection:
            return usage.timeline(connection, usage.WORKER, 0, 2**31 - 1)


@pytest.fixture
def site(tmp_path: Path, new_store: Callable[[str], Database]) -> Iterator[Site]:
    site = Site(tmp_path, new_store)
    yield site
    site.worker.close()
    site.database.close()


def test_a_minute_has_what_was_used_in_it(site: Site) -> None:
    site.cpu(100.0)  # before anybody watched
    assert not site.sampler.look()
    memory = site.worker.gauge("quorate_process_resident_memory_bytes")
    memory.set(1000.0)
    site.cpu(6.0)
    site.worker.counter("quorate_requests_total", endpoint="e", strategy="a", status="2xx").add(30)
    site.worker.counter("quorate_requests_total", endpoint="e", strategy="b", status="5xx").add(10)
    site.worker.gauge("quorate_pool_memory_bytes", pool="p").set(500.0)
    for ms in (10.0, 30.0):
        site.worker.histogram("quorate_run_duration_seconds", pool="p").observe(ms)
        site.worker.histogram("quorate_batch_requests", pool="p").observe(20)
        site.worker.histogram("quorate_member_duration_seconds", member="m").observe(ms)
    site.worker.counter("quorate_host_cpu_seconds_total", member="m").add(0.5)
    site.clock.advance(59.0)
    assert not site.sampler.look()
    site.clock.advance(1.0)
    assert site.sampler.look()
    rows = site.rows(MINUTE, MINUTE + 1)
    assert rows["worker", "worker-0"] == Used(60.0, 6.0, 60_000.0)
    assert rows["endpoint", "e"] == Used(60.0, requests=40.0)
    assert rows["pool", "p"] == Used(60.0, byte_s=30_000.0, run_s=0.04, runs=2.0, requests=40.0)
    assert rows["member", "m"] == Used(60.0, run_s=0.04, runs=2.0)
    assert rows["host", "m"] == Used(60.0, cpu_s=0.5)
    site.clock.advance(60.0)
    assert site.sampler.look()
    assert site.rows(MINUTE + 1, MINUTE + 2)["worker", "worker-0"] == Used(60.0, 0.0, 60_000.0)
    assert ("endpoint", "e") not in site.rows(MINUTE + 1)


def test_a_counter_that_begins_anew_counts_from_zero(site: Site) -> None:
    site.cpu(50.0)
    site.sampler.look()
    site.worker.close()
    (site.folder / "worker-0.qt").unlink()
    site.worker = Counters(site.folder / "worker-0.qt")
    site.cpu(2.0)
    site.clock.advance(60.0)
    assert site.sampler.look()
    assert site.rows()["worker", "worker-0"].cpu_s == 2.0


def test_a_new_process_counts_from_its_start_and_a_dead_one_holds_no_memory(site: Site) -> None:
    site.cpu(1.0)
    site.worker.gauge("quorate_process_resident_memory_bytes").set(100.0)
    site.sampler.look()
    with_second = Counters(site.folder / "worker-1.qt")
    with_second.counter("quorate_process_cpu_seconds_total").add(3.0)
    site.worker.close()
    site.clock.advance(60.0)
    site.sampler.look()
    rows = site.rows()
    assert rows["worker", "worker-1"].cpu_s == 3.0
    assert rows["worker", "worker-0"].byte_s == 0.0
    with_second.close()
    site.worker = Counters(site.folder / "worker-0.qt")


def test_a_file_that_cannot_be_read_for_a_while_is_caught_up_with_later(site: Site) -> None:
    site.cpu(5.0)
    site.sampler.look()
    path = site.folder / "worker-0.qt"
    aside = path.rename(path.with_suffix(".aside"))
    path.write_bytes(b"nothing")
    site.clock.advance(60.0)
    site.sampler.look()
    aside.rename(path)
    site.cpu(1.0)
    site.clock.advance(60.0)
    site.sampler.look()
    assert site.rows()["worker", "worker-0"].cpu_s == 1.0


def test_a_file_that_was_never_read_before_says_nothing_about_the_past(site: Site) -> None:
    site.cpu(1000.0)
    path = site.folder / "worker-0.qt"
    aside = path.rename(path.with_suffix(".aside"))
    path.write_bytes(b"nothing")
    site.sampler.look()
    aside.rename(path)
    site.clock.advance(60.0)
    site.sampler.look()
    site.cpu(2.0)
    site.clock.advance(60.0)
    site.sampler.look()
    assert site.rows()["worker", "worker-0"].cpu_s == 2.0


def test_a_clock_that_jumps_back_writes_a_minute_in_parts(site: Site) -> None:
    site.sampler.look()
    site.cpu(1.0)
    site.clock.advance(60.0)
    site.sampler.look()
    site.clock.set_now(START + 1)  # back into the minute that is written already
    site.cpu(2.0)
    site.clock.advance(30.0)
    assert site.sampler.look()
    assert site.minutes() == {UsageKey(MINUTE, "worker", "worker-0"): Used(90.0, 3.0)}
    site.clock.set_now(START - 3600)
    assert not site.sampler.look()  # no time has passed


def test_what_was_used_while_nobody_sampled_is_not_known(site: Site) -> None:
    site.sampler.look()
    site.cpu(9.0)
    site.clock.advance(600.0)
    again = Sampler(site.folder, site.database, site.clock)
    assert not again.look()
    site.cpu(1.0)
    site.clock.advance(60.0)
    again.look()
    assert site.rows()["worker", "worker-0"] == Used(60.0, 1.0)


def test_a_store_that_fails_loses_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.sampler.look()
    site.cpu(1.0)
    site.clock.advance(60.0)

    def fail(*_: object) -> None:
        raise StoreError("locked")

    with monkeypatch.context() as patched:
        patched.setattr(usage, "add", fail)
        with pytest.raises(StoreError):
            site.sampler.look()
    site.cpu(1.0)
    site.clock.advance(60.0)
    site.sampler.look()
    assert site.rows()["worker", "worker-0"] == Used(120.0, 2.0)


def test_the_history_is_bounded(site: Site) -> None:
    with site.database.begin() as connection:
        old = {UsageKey(MINUTE - KEEP_DAYS * 24 * 60 - n, "worker", "w"): Used(60.0) for n in (1, 0, -1)}
        usage.add(connection, old)
    site.sampler.look()
    site.clock.advance(60.0)
    site.sampler.look()
    with site.database.read() as connection:
        left = connection.scalar(sa.text("SELECT count(*) FROM usage_minutes WHERE name = 'w'"))
    assert left == 2


def test_one_process_samples(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import threading

    from quorate.control.alone import alone
    from quorate.home import Home

    looked = threading.Event()
    monkeypatch.setattr(sampling.Sampler, "look", lambda self: looked.set())
    home, stop = Home(tmp_path), threading.Event()
    arguments = (home, site.database, site.clock, stop)
    with alone(home, "usage") as mine:
        assert mine
        waiting = threading.Thread(target=sampling.sample_usage, args=arguments)
        waiting.start()
        assert not looked.is_set()
        stop.set()
        waiting.join(30)
    assert not looked.is_set()
    stop.clear()
    working = threading.Thread(target=sampling.sample_usage, args=arguments)
    working.start()
    assert looked.wait(30)
    stop.set()
    working.join(30)
    assert not working.is_alive()
