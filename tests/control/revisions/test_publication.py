"""What a revision consists of, and publications that survive crashes."""

from __future__ import annotations

from typing import Any

import msgspec

from quorate.codecs import snapshot
from quorate.codecs.snapshot import GraphRoute
from quorate.control.revisions.apply import read_config
from quorate.control.revisions.publication import content, published, record, repair
from quorate.control.revisions.resolve import resolve


def _routing(project: Any) -> snapshot.Routing:
    config, _ = read_config(project.home)
    return resolve(config, project.registry).routing


def test_a_revision_pins_versions_and_not_how_they_run(project: Any) -> None:
    routing = _routing(project)
    [endpoint], [pool] = routing.endpoints, routing.pools
    text = content(endpoint, pool)
    assert content(msgspec.structs.replace(endpoint, revision=7), pool) == text
    graph = GraphRoute("0" * 64, {"a": "a"}, "input")
    assert content(endpoint, msgspec.structs.replace(pool, graph=graph)) == text
    assert content(msgspec.structs.replace(endpoint, deadline_ms=1.0), pool) != text
    project.clock.advance(1)
    project.model("c")
    assert content(endpoint, _routing(project).pools[0]) != text


def test_nothing_is_published_at_first(project: Any) -> None:
    with project.database.read() as connection:
        assert published(connection) is None
    assert not repair(project.home, project.database)
    assert snapshot.current_version(project.home.snapshot) is None


def test_versions_follow_the_higher_of_store_and_snapshot(project: Any) -> None:
    routing = _routing(project)
    snapshot.write(project.home.snapshot, msgspec.structs.replace(routing, version=41))
    with project.database.begin() as connection:
        first = record(project.home, connection, routing, config_digest="d" * 64, author="a", now=1.0)
        second = record(project.home, connection, routing, config_digest="d" * 64, author="a", now=2.0)
        newest = published(connection)
    assert (first.version, second.version) == (42, 43)
    assert newest is not None
    assert newest[1] == second
    assert repair(project.home, project.database)
    assert snapshot.read(project.home.snapshot) == second
    assert not repair(project.home, project.database)
