"""From names to digests, and every problem on the way with its line and remedy."""

from __future__ import annotations

import math
from typing import Any

import pytest

from quorate.codecs.snapshot import Routing
from quorate.control.revisions.apply import read_config
from quorate.control.revisions.resolve import resolve
from quorate.errors import ConfigError
from quorate.runtimes.onnx import OnnxRuntime
from quorate.spec import ConfigProblems


def _routing(project: Any, text: str) -> Routing:
    project.write(text)
    config, _ = read_config(project.home)
    return resolve(config, project.registry).routing


def _problems(project: Any, text: str) -> list[ConfigError]:
    with pytest.raises(ConfigProblems) as caught:
        _routing(project, text)
    return list(caught.value.problems)


def _endpoint(strategies: str, rest: str = "", *, members: str = "[a, b, c]") -> str:
    return (
        f"pools:\n  letters: {{task: classification, members: {members}}}\n"
        f"endpoints:\n  main:\n    pool: letters\n    strategies:\n      {strategies}\n{rest}"
    )


def test_a_member_is_resolved_to_its_version_and_digests(project: Any) -> None:
    second = project.model("a")
    project.registry.set_alias("a", "champion", 1)
    routing = _routing(project, _endpoint("s: {kind: mean}", members='["a:2", b]'))
    member, other = routing.pools[0].members
    assert (member.name, member.version, member.files, member.digest) == ("a", 2, second.files, second.digest)
    assert (other.name, other.version) == ("b", 1)
    assert _routing(project, _endpoint("s: {kind: mean}")).pools[0].members[0].version == 1
    assert routing.pools[0].signature == second.signature


def test_the_whole_endpoint(project: Any) -> None:
    text = _endpoint(
        "s: {kind: vote, voting: hard, members: [c, a], quorum: 2}\n      t: {kind: single, member: b}",
        "    policy: {kind: split, weights: {s: 3, t: 1}, blind: true, sticky: context.user}\n    fallback: [t]\n"
        "    deadline_ms: 50\n    on_member_failure: fallback\n    on_full: shed\n    caller_may_choose: true\n"
        "server: {allowed_hosts: [example.org]}\njournal: {durability: power}\n",
    )
    project.write(text)
    config, _ = read_config(project.home)
    resolved = resolve(config, project.registry)
    [endpoint] = resolved.routing.endpoints
    first, second = endpoint.strategies
    assert (first.kind, first.members, first.quorum, first.params) == ("vote", ("c", "a"), 2, {"voting": "hard"})
    assert (second.kind, second.members, second.quorum) == ("single", ("b",), 1)
    assert (endpoint.policy.kind, endpoint.policy.blind, endpoint.policy.sticky) == ("split", True, "user")
    assert endpoint.policy.params == {"weights": {"s": 3.0, "t": 1.0}}
    assert (endpoint.fallback, endpoint.deadline_ms) == (("t",), 50.0)
    assert (endpoint.on_member_failure, endpoint.on_full) == ("fallback", "shed")
    assert resolved.routing.hosts == ("example.org",)
    assert resolved.routing.journal.durability == "power"
    assert resolved.notices == ("endpoints.main is blind, so callers may not choose the strategy whatever it says.",)


def test_weights_follow_the_order_of_the_members(project: Any) -> None:
    routing = _routing(project, _endpoint("s: {kind: weighted, members: [c, a], weights: {a: 1, c: 2}}"))
    assert routing.endpoints[0].strategies[0].params == {"weights": [2.0, 1.0]}


def test_log_odds_weights_come_from_validation_accuracies(project: Any) -> None:
    [weights] = [
        s.params["weights"]
        for s in _routing(project, _endpoint("s: {kind: weighted, weights: log-odds}")).endpoints[0].strategies
    ]
    assert weights == pytest.approx([math.log(9), math.log(4), math.log(1.5)])
    for name, accuracy in (("k", 0.5), ("l", 1.0)):
        project.model(name, classes=["x", "y", "z"], accuracy=accuracy)
    routing = _routing(project, _endpoint("s: {kind: weighted, weights: log-odds}", members="[k, l]"))
    assert routing.endpoints[0].strategies[0].params["weights"] == pytest.approx([math.log(2), math.log(999 * 2)])


def test_a_fitted_state_is_resolved_to_its_files(project: Any) -> None:
    state = project.weights("fitted", ["a", "b", "c"], [1, 2, 3])
    routing = _routing(project, _endpoint("s: {kind: weighted, state: fitted}"))
    assert routing.endpoints[0].strategies[0].state == state.files


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (
            _endpoint("s: {kind: mean}", members="[a, nobody]"),
            2,
            "There is no model 'nobody' in the registry; it holds a, b, c.",
        ),
        (_endpoint("s: {kind: mean}", members='["a:7"]'), 2, "Model 'a' has no version 7; it has 1."),
        (_endpoint("s: {kind: mean}", members='["a@best"]'), 2, "Model 'a' has no alias 'best'; it has none."),
        (
            _endpoint("s: {kind: mean}", members='[a, b, "a:1"]'),
            2,
            "pools.letters names the model 'a' twice; a member is called by its model's name.",
        ),
        (
            _endpoint("s: {kind: mean, members: [a, bb]}"),
            7,
            (
                "endpoints.main.strategies.s: there is no member 'bb' in pools.letters; expected one of a, b, c; "
                "did you mean 'b'?"
            ),
        ),
        (_endpoint("s: {kind: mean, members: [a, a]}"), 7, "names the member 'a' 2 times; name it once."),
        (_endpoint("s: {kind: single, member: d}"), 7, "there is no member 'd' in pools.letters"),
        (_endpoint("s: {kind: single, member: a, members: [b]}"), 7, "has both 'member' and 'members'"),
        (_endpoint("s: {kind: single}"), 7, "'single' takes exactly one member; got 3 [a, b, c]."),
        (
            _endpoint("s: {kind: mean, members: [a, b], quorum: 3}"),
            7,
            "endpoints.main.strategies.s has 2 members and a quorum of 3; set it to 2 at most.",
        ),
        (
            _endpoint("s: {kind: mean, members: [a]}", "    quorum: 2\n"),
            8,
            "has 1 member and a quorum of 2 (the endpoint’s); set it to 1 at most.",
        ),
        (_endpoint("s: {kind: single, member: a, quorum: 2}"), 7, "has 1 member and a quorum of 2; set it to 1"),
        (
            _endpoint("s: {kind: weighted, state: lost}"),
            7,
            "There is no model 'lost' in the registry",
        ),
        (_endpoint("s: {kind: weighted, state: a}"), 7, "'a:1' is a model; expected a combiner's state here."),
        (
            _endpoint("s: {kind: weighted, state: fitted}"),
            7,
            "endpoints.main.strategies.s: the state was fitted on the members [a, b]; the strategy has [a, b, c].",
        ),
        (_endpoint("s: {kind: mean, state: fitted}"), 7, "'mean' takes no fitted state; remove 'state'."),
        (_endpoint("s: {kind: stack}"), 7, "'stack' needs a fitted state"),
        (
            _endpoint("s: {kind: mean}", members="[a, fitted]"),
            2,
            "'fitted:1' is a combiner's state; expected a model here.",
        ),
        (
            _endpoint("s: {kind: weighted, weights: {a: 1, b: 1, c: 1, d: 1}}"),
            7,
            "there is a weight for 'd', which is not one of its members; expected one of a, b, c",
        ),
        (_endpoint("s: {kind: weighted, weights: {a: 1, b: 1}}"), 7, "has no weight for its member 'c'; add one."),
        (_endpoint("s: {kind: weighted, weights: [1]}"), 7, "expected one weight for each of the 3 members"),
        (
            _endpoint("s: {kind: weighted, weights: log-odds}", members="[bare]"),
            7,
            "log-odds weights are computed from the metric 'validation_accuracy' of the models; 'bare' has none.",
        ),
        (
            _endpoint("s: {kind: mean}", "    fallback: [t]\n"),
            8,
            "endpoints.main.fallback: there is no strategy 't'; expected s",
        ),
        (_endpoint("s: {kind: mean}", "    fallback: [s, s]\n"), 8, "endpoints.main.fallback names 's' twice"),
        (
            _endpoint("s: {kind: mean}", "    on_member_failure: fallback\n"),
            8,
            "on_member_failure is 'fallback' and there is none",
        ),
        (
            _endpoint("s: {kind: mean}", "    policy: t\n"),
            8,
            "endpoints.main.policy: there is no strategy 't'; expected one of s.",
        ),
        (
            _endpoint("s: {kind: mean}", "    policy: {kind: split, weights: {s: 1, t: 1}}\n"),
            8,
            "endpoints.main.policy: there is no strategy 't'; expected some of s.",
        ),
        (
            _endpoint("s: {kind: mean}\n      t: {kind: mean}"),
            4,
            "endpoints.main has 2 strategies and no policy; say which one answers, as in `policy: s`",
        ),
        (
            (
                "pools: {letters: {task: classification, members: [a]}}\nendpoints:\n  a:\n    pool: letters\n"
                "    strategies: {s: {kind: mean}}\n"
            ),
            3,
            "'a' is an endpoint and also a model in pools.letters; both are served under their names.",
        ),
        (
            _endpoint("s: {kind: mean}").replace("pool: letters", "pool: leters"),
            5,
            "endpoints.main.pool: there is no pool 'leters'; expected letters; did you mean 'letters'?",
        ),
        (
            _endpoint("s: {kind: mean}", "server: {port: 9, control_port: 9}\n"),
            8,
            "server.port and server.control_port are both 9; give them different ports.",
        ),
        (
            _endpoint("s: {kind: mean}", "server: {grpc_port: 8001}\n"),
            8,
            "server.control_port and server.grpc_port are both 8001; give them different ports.",
        ),
        (
            _endpoint("s: {kind: mean}", members="[a, digits]"),
            2,
            "pools.letters: 'digits:1' does not have the signature of 'a:1': its classes are [0, 1], not [no, yes].",
        ),
        (_endpoint("s: {kind: mean}", members="[a, turned]"), 2, "its classes are [yes, no], in another order"),
        (
            _endpoint("s: {kind: mean}", members="[a, wide]"),
            2,
            "its input is [input[N,9] float32], not [input[N,4] float32]",
        ),
        (_endpoint("s: {kind: mean}", members="[a, price]"), 2, "it answers values, not scores"),
        (
            _endpoint("s: {kind: mean}", members="[price]"),
            2,
            "pools.letters is a pool for classification, whose models answer scores; 'price:1' answers values.",
        ),
        (
            _endpoint("s: {kind: vote}", members="[price]").replace("classification", "regression"),
            7,
            "'vote' combines scores; the pool's models answer values.",
        ),
        (
            _endpoint("s: {kind: weighted, weights: log-odds}", members="[price]").replace(
                "classification", "regression"
            ),
            7,
            "log-odds weights need classes",
        ),
        (
            (
                "pools:\n  one: {task: classification, members: [a]}\n"
                "  two: {task: classification, members: ['a:2']}\nendpoints: {}\n"
            ),
            3,
            "pools.two holds 'a:2' and pools.one holds 'a:1'; a model is served under its name, in one version.",
        ),
    ],
)
def test_a_problem_is_one_sentence_with_its_line(project: Any, text: str, line: int, message: str) -> None:
    project.weights("fitted", ["a", "b"], [1, 2])
    project.model("bare", accuracy=None)
    project.model("digits", classes=["0", "1"])
    project.model("turned", classes=["yes", "no"])
    project.model("wide", width=9)
    project.model("price", targets=["price"])
    if "'a:2'" in text:
        project.model("a")
        project.registry.set_alias("a", "champion", 1)
    if "it holds a, b, c." in message:
        message = message.removesuffix(" it holds a, b, c.")
    found = _problems(project, text)
    assert [problem.line for problem in found] == [line]
    assert message in found[0].message
    assert found[0].file == "quorate.yaml"


def test_all_problems_at_once_in_order_of_lines(project: Any) -> None:
    text = _endpoint(
        "s: {kind: mean, members: [x]}\n      t: {kind: stack}\n      u: {kind: weighted, state: lost}",
        "    policy: {kind: split, weights: {z: 1}}\n    fallback: [y]\nserver: {port: 8001}\n",
    )
    assert [problem.line for problem in _problems(project, text)] == [7, 8, 9, 10, 11, 12]


def test_the_path_of_a_plugins_error_is_absolute(project: Any) -> None:
    [problem] = _problems(
        project,
        _endpoint("s: {kind: mean}", "    policy:\n      kind: split\n      weights:\n        s: 1\n        t: 1\n"),
    )
    assert (problem.path, problem.line) == ("endpoints.main.policy.weights.t", 12)


def test_a_lost_blob_is_found_before_it_is_served(project: Any) -> None:
    digest = next(iter(project.registry.manifest("a").files.values()))
    [path] = project.registry.root.glob(f"blobs/*/{digest}")
    path.unlink()
    [problem] = _problems(project, _endpoint("s: {kind: mean}"))
    assert problem.message == "'a:1' has lost its file model.py; restore the registry or register it again."


def _pool(settings: str) -> str:
    return _endpoint("s: {kind: mean}").replace("[a, b, c]}", f"[a, b, c], {settings}}}")


def test_replicas_and_rows_of_a_run(project: Any) -> None:
    run = _routing(project, _pool("replicas: {a: 3, b: 1}, max_batch_rows: 8")).runs["letters"]
    assert run.replicas == {"a": 3}
    assert run.max_batch_rows == {"a": 8, "b": 8, "c": 8}
    run = _routing(project, _pool("max_batch_rows: {b: 4}")).runs["letters"]
    assert (run.replicas, run.max_batch_rows) == ({}, {"b": 4})
    assert _routing(project, _pool("replicas: {a: 1}")).runs == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("replicas: {d: 2}", "pools.letters.replicas: there is no member 'd'; expected one of a, b, c"),
        ("max_batch_rows: {d: 2}", "pools.letters.max_batch_rows: there is no member 'd'"),
        ("replicas: {a: 0}", "greater than or equal to 1"),
        ("replicas: {a: 65}", "less than or equal to 64"),
        ("replicas: 2", "mapping"),
        ("max_batch_rows: 0", "greater than or equal to 1"),
        ("max_batch_rows: {a: 0}", "greater than or equal to 1"),
        ("max_batch_rows: many", "a number of rows, or numbers of rows by member"),
    ],
)
def test_replicas_and_rows_that_cannot_be(project: Any, settings: str, message: str) -> None:
    [problem] = _problems(project, _pool(settings))
    assert message in problem.message
    assert problem.line == 2


def test_what_runs_in_the_worker_has_no_replicas(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.control.revisions.resolve.runtime_for", lambda form: OnnxRuntime)
    [problem] = _problems(project, _pool("replicas: {b: 2}"))
    assert problem.message == (
        "pools.letters.replicas: 'b' (callable) runs in the workers and has no process of its own. Remove it; lanes "
        "and server.workers say how many runs there may be at once."
    )


def test_what_is_recorded_and_how_journals_are_kept(project: Any) -> None:
    text = _endpoint(
        "s: {kind: mean}",
        "    record: {sample: 0.1, omit: [context], redact: {user: hash, email: remove}}\n"
        "journal: {keep_days: 30, keep_bytes: 1GiB, keep_until_shipped: true, ship: {command: [cp, '{path}', x]}}\n",
    )
    routing = _routing(project, text)
    record, journal = routing.endpoints[0].record, routing.journal
    assert (record.sample, record.omit, record.redact) == (0.1, ("context",), {"user": "hash", "email": "remove"})
    assert (journal.keep_days, journal.keep_bytes, journal.keep_until_shipped) == (30, 2**30, True)
    assert journal.ship is not None
    assert (journal.ship.to, journal.ship.command) == (None, ("cp", "{path}", "x"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("journal: {keep_until_shipped: true}", "nothing is shipped; set journal.ship"),
        ("journal: {ship: {attempts: 3}}", "has one of 'to' and 'command'; got neither"),
        ("journal: {ship: {to: x, command: [cp]}}", "has one of 'to' and 'command'; got both"),
    ],
)
def test_journals_that_cannot_be_kept_so(project: Any, settings: str, message: str) -> None:
    [problem] = _problems(project, _endpoint("s: {kind: mean}", f"{settings}\n"))
    assert message in str(problem)


def test_a_policy_that_learns_needs_what_is_recorded(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from quorate import plugins

    monkeypatch.setattr(plugins.load("policies", "fixed"), "learns", True)
    record = "    record: {sample: 0.5, redact: {user: remove, age: hash}}\n"
    wrong = [str(problem) for problem in _problems(project, _endpoint("s: {kind: mean}", record))]
    assert len(wrong) == 2
    assert "record.sample is 0.5, but its policy 'fixed' learns" in wrong[0]
    assert "redact removes 'user', but its policy 'fixed' learns" in wrong[1]
    _routing(project, _endpoint("s: {kind: mean}", "    record: {redact: {user: hash}}\n"))


def test_a_unit_that_is_not_recorded_is_told(project: Any) -> None:
    text = _endpoint(
        "s: {kind: mean}",
        "    policy: {kind: split, weights: {s: 1}, sticky: context.user}\n    record: {redact: {user: remove}}\n",
    )
    project.write(text)
    config, _ = read_config(project.home)
    assert any("with 'hash' they could" in notice for notice in resolve(config, project.registry).notices)
