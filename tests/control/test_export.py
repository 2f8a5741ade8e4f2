"""An exported strategy is one file that answers as its members and combiner do here."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from quorate import plugins
from quorate.codecs import sample
from quorate.codecs import state as state_codec
from quorate.control import export as export_module
from quorate.control.export import Exported, export_strategy
from quorate.control.revisions.apply import read_config
from quorate.control.revisions.resolve import resolve
from quorate.core.calibrate.methods import fit, strategy_of
from quorate.core.combine.mean import Mean
from quorate.core.types import OutputSpec, Signature, State, TensorSpec
from quorate.errors import ConfigError, FormatRefused, NotFound, ParityError
from quorate.registry.manifest import Manifest

ROWS = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
TENSOR = TensorSpec("input", "float32", (None, 4))
CLASSES = ("ant", "bee", "cat")
MEMBERS = ("x", "y", "z")
WEIGHTS = {
    name: np.random.default_rng(seed).normal(size=(4, 3)).astype(np.float32) for seed, name in enumerate(MEMBERS)
}
CONFIG = """\
pools:
  animals: {task: classification, members: [x, y, z]}
endpoints:
  main:
    pool: animals
    strategies:
      alone: {kind: single, member: y}
      mean: {kind: mean}
      soft: {kind: vote}
      hard: {kind: vote, voting: hard}
      pair: {kind: vote, voting: hard, members: [x, z]}
      listed: {kind: weighted, weights: {x: 0.5, y: 3.0, z: 1.0}}
      fitted: {kind: weighted, state: learned}
      stacked: {kind: stack, state: stacking}
    policy: soft
"""


def own(name: str, rows: np.ndarray, *, scores: bool = True) -> np.ndarray:
    logits = rows @ WEIGHTS[name]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True) if scores else logits


def register(project: Any, name: str, *, scores: bool = True, **changes: Any) -> Manifest:
    nodes = [helper.make_node("MatMul", ["input", "w"], ["z"])]
    nodes.append(helper.make_node("Softmax" if scores else "Identity", ["z"], ["p"]))
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 3])],
        [helper.make_tensor("w", TensorProto.FLOAT, [4, 3], WEIGHTS[name].tobytes(), raw=True)],
    )
    opset = changes.pop("opset", 17)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    output = OutputSpec("scores", CLASSES) if scores else OutputSpec("values", names=("a", "b", "c"))
    fields: dict[str, Any] = {
        "name": name,
        "format": "onnx",
        "signature": Signature("array", (TENSOR,), output),
        "tensors": (TENSOR,),
        "output_name": "p",
        "sample": project.registry.blobs.put(sample.encode({"input": ROWS}, own(name, ROWS, scores=scores))),
    }
    return project.registry.register(Manifest(**{**fields, **changes}), {"model.onnx": model.SerializeToString()})


def state(project: Any, name: str, found: State) -> None:
    project.registry.register(Manifest(name=name, format="state", kind="state"), {**state_codec.encode(found)})


def stacking(output: str) -> State:
    rng = np.random.default_rng(9)
    meta = {"output": output, "members": list(MEMBERS), "classes": list(CLASSES if output == "scores" else "abc")}
    arrays = {
        "subsets": np.ones((1, 3), bool),
        "coefficients": rng.normal(size=(1, 9, 3)),
        "intercepts": rng.normal(size=(1, 3)),
    }
    return State("stack", 1, meta | ({"clip": 1e-6} if output == "scores" else {}), arrays)


@pytest.fixture
def animals(project: Any) -> Any:
    """Three linear members of three classes, and a strategy of every kind."""
    for name in MEMBERS:
        register(project, name)
    state(project, "learned", State("weighted", 1, {"members": list(MEMBERS)}, {"weights": np.array([0.2, 1.0, 2.5])}))
    state(project, "stacking", stacking("scores"))
    project.write(CONFIG)
    return project


def export(project: Any, strategy: str | None = None, endpoint: str = "main") -> Exported:
    config, _ = read_config(project.home)
    return export_strategy(resolve(config, project.registry).routing, project.registry, endpoint, strategy)


def run(exported: Exported, rows: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(exported.model)
    assert [output.name for output in session.get_outputs()] == list(exported.outputs)
    return session.run(None, {session.get_inputs()[0].name: rows})


@pytest.mark.parametrize("strategy", ["alone", "mean", "soft", "hard", "pair", "listed", "fitted", "stacked"])
def test_every_kind_answers_as_its_combiner(animals: Any, strategy: str) -> None:
    exported = export(animals, strategy)
    assert exported.outputs == ("label", "probabilities")
    assert exported.largest_difference <= 1e-5
    rows = np.random.default_rng(5).normal(size=(200, 4)).astype(np.float32)
    labels, probabilities = run(exported, rows)
    config, _ = read_config(animals.home)
    route = next(s for s in resolve(config, animals.registry).routing.endpoints[0].strategies if s.name == strategy)
    plugin = plugins.load("combiners", route.kind)
    files = {name: animals.registry.read_blob(digest) for name, digest in (route.state or {}).items()}
    outputs = np.stack([own(name, rows) for name in route.members], axis=1)
    combiner = plugin(msgspec.convert(dict(route.params), plugin.Params))
    want = combiner.combine(outputs, np.zeros(outputs.shape[:2], np.int8), state_codec.decode(files) if files else None)
    np.testing.assert_allclose(probabilities, want, atol=1e-5)
    assert probabilities.dtype == np.float32
    assert labels.tolist() == [CLASSES[i] for i in want.argmax(axis=1)]
    one_row = run(exported, rows[:1])
    np.testing.assert_allclose(one_row[1], probabilities[:1], atol=1e-6)


def test_a_calibrated_strategy_is_refused(animals: Any) -> None:
    scores = np.random.default_rng(1).dirichlet(np.ones(3), size=30)
    made = fit("temperature", scores, np.arange(30) % 3, CLASSES, strategy_of(Mean(), MEMBERS))
    state(animals, "sure", made)
    animals.write(CONFIG.replace("mean: {kind: mean}", "mean: {kind: mean, calibrate: sure}"))
    with pytest.raises(FormatRefused, match="its calibration is no part of a graph"):
        export(animals, "mean")
    assert export(animals, "soft").largest_difference <= 1e-5


def test_ties_of_votes_go_to_the_likelier_class(animals: Any) -> None:
    labels, probabilities = run(export(animals, "pair"), ROWS)
    x, z = own("x", ROWS), own("z", ROWS)
    tied = x.argmax(axis=1) != z.argmax(axis=1)
    assert tied.sum() > 5
    assert labels[tied].tolist() == [CLASSES[i] for i in _likelier(x[tied], z[tied])]
    np.testing.assert_allclose(np.sort(probabilities[tied])[:, 1:], 0.5, atol=2e-6)


def _likelier(x: np.ndarray, z: np.ndarray) -> list[int]:
    votes = (np.eye(3)[x.argmax(axis=1)] + np.eye(3)[z.argmax(axis=1)]) > 0
    return np.where(votes, x + z, -1.0).argmax(axis=1).tolist()


def test_values(project: Any) -> None:
    for name in MEMBERS:
        register(project, name, scores=False)
    state(project, "stacking", stacking("values"))
    project.write(
        "pools:\n  p: {task: regression, members: [x, y, z]}\nendpoints:\n  main:\n    pool: p\n"
        "    strategies: {mean: {kind: mean}, stacked: {kind: stack, state: stacking}}\n    policy: mean\n"
    )
    (got,) = run(export(project, "mean"), ROWS)
    np.testing.assert_allclose(got, np.mean([own(name, ROWS, scores=False) for name in MEMBERS], axis=0), atol=1e-5)
    exported = export(project, "stacked")
    assert exported.outputs == ("values",)
    arrays = stacking("values").arrays
    flat = np.concatenate([own(name, ROWS, scores=False) for name in MEMBERS], axis=1)
    want = flat @ arrays["coefficients"][0] + arrays["intercepts"][0]
    np.testing.assert_allclose(run(exported, ROWS)[0], want, rtol=1e-4, atol=1e-4)


def test_the_metadata_say_what_a_caller_must_know(animals: Any) -> None:
    step = {"kind": "normalise", "version": 1, "mean": 0.5, "std": 2.0, "scale": 1.0}
    for name in MEMBERS:
        register(animals, name, preprocess=[step])
    metadata = ort.InferenceSession(export(animals, "listed").model).get_modelmeta().custom_metadata_map
    assert metadata["quorate.endpoint"] == "main"
    assert metadata["quorate.strategy"] == "listed"
    assert json.loads(metadata["quorate.combiner"]) == {"kind": "weighted", "weights": [0.5, 3.0, 1.0]}
    assert json.loads(metadata["quorate.classes"]) == list(CLASSES)
    assert json.loads(metadata["quorate.preprocess"]) == [step]
    assert [(m["name"], m["version"]) for m in json.loads(metadata["quorate.members"])] == [(n, 2) for n in MEMBERS]


def test_what_cannot_be_one_file_says_why(animals: Any) -> None:
    with pytest.raises(NotFound, match="no endpoint 'other'; expected one of: main"):
        export(animals, "soft", endpoint="other")
    with pytest.raises(NotFound, match="has no strategy 'best'; expected one of: alone, mean"):
        export(animals, "best")
    with pytest.raises(ConfigError, match="has 8 strategies; name one of: alone, mean"):
        export(animals)
    register(animals, "z", preprocess=[{"kind": "normalise", "mean": 0.5, "std": 1.0}])
    with pytest.raises(FormatRefused, match="member 'z' is preprocessed otherwise than 'x'"):
        export(animals, "soft")
    register(animals, "z", options={"rows": "alone"})
    with pytest.raises(FormatRefused, match="the rows of member 'z:3' must be run one at a time"):
        export(animals, "soft")
    animals.model("z", classes=CLASSES)
    with pytest.raises(FormatRefused, match="member 'z:4' is a callable model; expected onnx") as caught:
        export(animals, "soft")
    assert caught.value.path == "z"
    assert export(animals, "alone").outputs == ("label", "probabilities"), "which does not need it"


def test_members_of_an_old_opset_are_refused(animals: Any) -> None:
    for name in MEMBERS:
        register(animals, name, opset=11)
    with pytest.raises(FormatRefused, match="version 11 of the standard operators, which is too old"):
        export(animals, "soft")


def test_a_combiner_from_elsewhere_is_refused(animals: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from quorate.runtimes.compile import combiners

    monkeypatch.setattr(combiners, "_ATTACH", {})
    with pytest.raises(FormatRefused, match="combiner 'vote' has no form in ONNX"):
        export(animals, "soft")


def test_parity_is_a_gate(animals: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    right = export_module._expected

    def off(*given: Any) -> np.ndarray:
        return right(*given) + np.float32([2e-5, 0, 0])

    monkeypatch.setattr(export_module, "_expected", off)
    with pytest.raises(ParityError, match="largest difference is 2e-05"):
        export(animals, "soft")
