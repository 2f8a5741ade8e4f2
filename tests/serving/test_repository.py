"""The repository extension on fakes: what a name means, who follows, and what the protocol then says."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from quorate.codecs import change as change_codec
from quorate.codecs.snapshot import EndpointRoute, PolicyRoute, PoolRoute, Routing, StrategyRoute
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.errors import InvalidInput, NotFound, NotReady, Overloaded, StoreError
from quorate.serving import oip_models
from quorate.serving.desired import Desired, DesiredFile
from quorate.serving.endpoint import LoadedEndpoint
from quorate.serving.generation import Generation, Model
from quorate.serving.repository import Repository
from quorate.serving.residency import Residency

POLICY = PolicyRoute("fixed", {"strategy": "one"})
SIGNATURE = Signature("array", (TensorSpec("input", "float32", (None, 2)),), OutputSpec("scores", ("no", "yes")))
ONE = (StrategyRoute("one", "mean", ("a",), 1),)


def route(name: str, pool: str) -> EndpointRoute:
    return EndpointRoute(name, 1, pool, ONE, POLICY)


ROUTING = Routing(
    1,
    (PoolRoute("first", "classification", SIGNATURE, ()), PoolRoute("alone", "classification", SIGNATURE, ())),
    (route("x", "first"), route("y", "first")),
)


def test_a_pool_is_out_when_it_is_named_or_none_of_its_endpoints_is_left() -> None:
    assert Desired().pools_out(ROUTING) == set()
    assert Desired(endpoints=("x",)).pools_out(ROUTING) == set()
    assert Desired(endpoints=("x", "y", "gone")).pools_out(ROUTING) == {"first"}
    assert Desired(pools=("alone", "gone")).pools_out(ROUTING) == {"alone"}


def test_what_is_wanted_is_added_and_taken_back() -> None:
    pools = {"x": "first", "y": "first"}
    wanted = Desired().without_endpoint("y", "first").without_endpoint("x", "first").without_pool("first")
    assert wanted == Desired(("x", "y"), ("first",))
    assert wanted.with_endpoint("x", "first") == Desired(("y",), ())
    assert wanted.with_pool("first", pools) == Desired()


def test_the_file_is_what_was_written_last(tmp_path: Path) -> None:
    file = DesiredFile(tmp_path / "run" / "unloaded.json")
    assert (file.stamp(), file.read()) == (None, Desired())
    stamps = [file.stamp()]
    for name in ("a", "b"):
        file.change(lambda wanted, name=name: wanted.without_pool(name))
        stamps.append(file.stamp())
    assert len(set(stamps)) == 3
    assert file.read() == Desired((), ("a", "b"))
    (tmp_path / "run" / "unloaded.json").write_text("{")
    with pytest.raises(StoreError, match="delete it"):
        file.read()


class Shop:
    """Two endpoints over a pool ``first`` of members ``a`` and ``b``, and a repository."""

    def __init__(self, house: Any, root: Path) -> None:
        self.house = house
        self.loads = 0
        self.pool = self._pool()
        endpoints = {name: LoadedEndpoint(route(name, "first"), self.pool, {}) for name in ("x", "y")}
        models = {member.name: {1: Model(self.pool, i)} for i, member in enumerate(self.pool.members)}
        self.generation = house.plane.generation = Generation(1, ROUTING, (self.pool,), endpoints, models)
        self.residency = Residency(clock=house.clock, fill=self._fill)
        house.plane._residency = self.residency
        self.file = DesiredFile(root / "unloaded.json")
        self.repository = Repository(self.file, house.plane, self.residency, house.journal)
        self.repository.read()

    def _pool(self) -> Any:
        pool = self.house.pool(a=self.house.inline(0.9), b=self.house.inline(0.7))
        pool.route = PoolRoute("first", "classification", SIGNATURE, pool.route.members)
        return pool

    async def _fill(self, pool: Any, strict: bool) -> Any:
        self.loads += 1
        return self._pool()

    def predict(self, name: str) -> Any:
        return self.house.plane.predict(self.generation.endpoints[name], self.house.call())

    def states(self) -> dict[str, str]:
        return {one["name"]: one["state"] for one in oip_models.index(self.generation)}


@pytest.fixture
def shop(house: Any, tmp_path: Path) -> Shop:
    return Shop(house, tmp_path)


def test_an_endpoint_goes_alone_and_the_last_one_takes_its_pool(shop: Shop) -> None:
    async def main() -> None:
        await shop.repository.unload("x")
        assert shop.pool.resident
        assert shop.states() == {"x": "UNAVAILABLE", "y": "READY", "a": "READY", "b": "READY"}
        with pytest.raises(NotReady, match="Endpoint 'x' is unloaded"):
            await shop.predict("x")
        await shop.predict("y")
        await shop.repository.unload("y")
        assert not shop.pool.resident
        assert set(shop.states().values()) == {"UNAVAILABLE"}
        assert oip_models.index(shop.generation, ready_only=True) == []
        await shop.repository.load("x")
        assert shop.pool.resident
        assert shop.states() == {"x": "READY", "y": "UNAVAILABLE", "a": "READY", "b": "READY"}
        await shop.predict("x")
        await shop.repository.load("x")

    shop.house.run(main())
    assert shop.loads == 1


@pytest.mark.parametrize("name", ["a", "first"])
def test_a_member_means_its_pool(shop: Shop, name: str) -> None:
    async def main() -> None:
        await shop.repository.unload(name)
        assert not shop.pool.resident
        assert set(shop.states().values()) == {"UNAVAILABLE"}
        with pytest.raises(NotReady):
            await shop.house.plane.run_model(shop.generation.models["b"][1], shop.house.call())
        for found in (shop.generation.endpoints["x"], shop.generation.models["b"][1]):
            with pytest.raises(NotReady, match="load"):
                oip_models.need_loaded(found)
        await shop.repository.load(name)
        assert set(shop.states().values()) == {"READY"}

    shop.house.run(main())


def test_requests_under_way_are_answered_first(shop: Shop) -> None:
    async def main() -> None:
        shop.pool.requests += 1
        asked = asyncio.ensure_future(shop.repository.unload("first"))
        while not shop.pool.unloaded:
            await asyncio.sleep(0.01)
        assert shop.pool.resident
        assert not asked.done()
        shop.pool.requests -= 1
        await asked
        assert not shop.pool.resident
        await shop.repository.load("first")
        shop.pool.requests += 1  # and one that never ends
        with pytest.raises(NotReady, match="after 30 s"):
            await shop.repository.unload("first")
        shop.pool.requests -= 1

    shop.house.run(main())


def test_another_worker_follows_the_file_and_a_new_one_begins_with_it(shop: Shop, tmp_path: Path) -> None:
    other = Repository(DesiredFile(tmp_path / "unloaded.json"), shop.house.plane, shop.residency, shop.house.journal)

    async def until(resident: bool) -> None:
        while shop.pool.resident is not resident:
            shop.repository.follow()
            await asyncio.sleep(0.05)

    async def main() -> None:
        shop.file.change(lambda wanted: wanted.without_pool("first"))
        await until(False)
        assert other.read() == Desired((), ("first",))
        shop.file.change(lambda wanted: wanted.with_pool("first", {}))
        await until(True)

    shop.house.run(main())


def test_a_file_that_cannot_be_read_changes_nothing(shop: Shop, tmp_path: Path, caplog: Any) -> None:
    async def main() -> None:
        await shop.repository.unload("x")
        (tmp_path / "unloaded.json").write_text("nonsense")
        shop.repository.follow()
        assert shop.states()["x"] == "UNAVAILABLE"

    shop.house.run(main())
    assert "cannot be read" in caplog.text


def test_unknown_names_are_refused_with_those_there_are(shop: Shop) -> None:
    async def main() -> None:
        for ask in (shop.repository.load, shop.repository.unload):
            with pytest.raises(NotFound, match="a, b, x, y"):
                await ask("nobody")
            with pytest.raises(InvalidInput):
                await ask("")

    shop.house.run(main())
    assert shop.file.stamp() is None


def test_who_asked_for_what_is_journaled_first(shop: Shop) -> None:
    def changes() -> list[tuple[str, str, str]]:
        found = [change_codec.decode(record) for record in shop.house.journal.changes]
        assert {(change.at, change.detail["pool"]) for change in found} <= {(shop.house.clock.now(), "first")}
        return [(change.actor, change.action, change.subject) for change in found]

    async def main() -> None:
        await shop.repository.unload("x", by="k1")
        await shop.repository.load("a")
        with pytest.raises(NotFound):
            await shop.repository.unload("nobody", by="k1")

    shop.house.run(main())
    assert changes() == [("key k1", "model.unload", "x"), ("inference port", "model.load", "a")]


def test_what_cannot_be_journaled_is_not_done(shop: Shop) -> None:
    shop.house.journal.blocked = True

    async def main() -> None:
        for ask in (shop.repository.unload, shop.repository.load):
            with pytest.raises(Overloaded, match="cannot be recorded now, so it is not made"):
                await ask("x", by="k1")

    shop.house.run(main())
    assert shop.states()["x"] == "READY"
    assert shop.file.stamp() is None


def test_json_of_the_file_is_for_people(shop: Shop, tmp_path: Path) -> None:
    shop.house.run(shop.repository.unload("x"))
    assert json.loads((tmp_path / "unloaded.json").read_text()) == {"endpoints": ["x"], "pools": [], "format": 1}
