"""``calibrate`` and ``refit`` in the configuration: what they mean now, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from quorate.codecs import learned
from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import CalibrationRoute
from quorate.control.revisions.apply import read_config
from quorate.control.revisions.resolve import resolve
from quorate.core.calibrate.methods import fit, strategy_of
from quorate.core.combine.mean import Mean
from quorate.core.combine.vote import Vote, VoteParams
from quorate.registry.manifest import Manifest
from quorate.spec import ConfigProblems

RNG = np.random.default_rng(6)
TEXT = """\
pools:
  letters: {task: classification, members: [a, b, c]}
  numbers: {task: regression, members: [n]}
endpoints:
  main:
    pool: letters
    strategies:
      average: {kind: mean, calibrate: sure, refit: auto, refit_above: 0.05}
      votes: {kind: vote, voting: hard}
      plain: {kind: mean}
    policy: average
  values: {pool: numbers, strategies: {only: {kind: mean}}}
"""


def register(project: Any, name: str, strategy: dict[str, Any]) -> Manifest:
    scores = RNG.dirichlet([1, 1], size=50).astype(np.float32)
    state = fit("temperature", scores, RNG.integers(2, size=50), ("no", "yes"), strategy)
    made: Manifest = project.registry.register(
        Manifest(name=name, format="state", kind="state"), {**state_codec.encode(state)}
    )
    return made


@pytest.fixture
def site(project: Any) -> Any:
    project.model("n", targets=("x",))
    register(project, "sure", strategy_of(Mean(), "abc"))
    register(project, "hard", strategy_of(Vote(VoteParams("hard")), "abc"))
    project.weights("weights", "abc", [1, 2, 3])
    project.write(TEXT)
    return project


def routes(project: Any, old: str = "", new: str = "") -> Any:
    assert old in TEXT
    project.write(TEXT.replace(old, new, 1))
    return resolve(read_config(project.home)[0], project.registry).routing.endpoints[0]


def wrong(project: Any, old: str, new: str) -> str:
    with pytest.raises(ConfigProblems) as caught:
        routes(project, old, new)
    (problem,) = caught.value.problems
    assert problem.line == (8 if "average" in old or "sure" in old else 9 if "votes" in old else 12), problem
    return problem.message


def test_it_is_pinned_with_its_settings(site: Any) -> None:
    average, votes, plain = routes(site).strategies
    assert average.calibrate == CalibrationRoute("sure", 1, site.registry.manifest("sure").files, True, 0.05)
    assert votes.calibrate is plain.calibrate is None
    register(site, "sure", strategy_of(Mean(), "abc"))
    assert routes(site).strategies[0].calibrate.version == 2
    assert routes(site, "sure, refit: auto", '"sure:1"').strategies[0].calibrate.version == 1
    site.apply()
    assert site.apply().changed == ()


def test_what_was_learned_of_strategies_does_not_depend_on_how_they_are_calibrated(site: Any) -> None:
    site.write(TEXT)
    routing = resolve(read_config(site.home)[0], site.registry).routing
    endpoint, pool = routing.endpoints[0], routing.pools[0]
    bare = tuple(msgspec.structs.replace(each, calibrate=None) for each in endpoint.strategies)
    assert learned.key(endpoint, pool) == learned.key(msgspec.structs.replace(endpoint, strategies=bare), pool)
    other = (msgspec.structs.replace(bare[0], quorum=2), *bare[1:])
    assert learned.key(endpoint, pool) != learned.key(msgspec.structs.replace(endpoint, strategies=other), pool)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("calibrate: sure", "calibrate: weights", "expected a fitted calibration"),
        ("calibrate: sure", "calibrate: a", "is a model"),
        ("calibrate: sure", "calibrate: hard", "fitted on answers of 'vote' (voting hard)"),
        ("calibrate: sure", 'calibrate: "sure:1"', "names one version ('sure:1')"),
        ("kind: mean, calibrate: sure", "kind: mean, members: [a, b], calibrate: sure", "over [a, b]"),
        ("kind: mean, calibrate: sure", "kind: online, calibrate: sure", "'online' learns while it serves"),
        ("calibrate: sure, ", "", "nothing to fit again"),
        ("votes: {kind: vote, voting: hard}", "votes: {kind: vote, calibrate: hard}", "voting soft"),
        ("only: {kind: mean}", "only: {kind: mean, calibrate: sure}", "only scores are calibrated"),
    ],
)
def test_what_does_not_fit_is_told_with_its_line(site: Any, old: str, new: str, says: str) -> None:
    assert says in wrong(site, old, new)
