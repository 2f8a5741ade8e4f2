"""The fused graph of a pool: when there is one, when it is made again, and why there may be none."""

from __future__ import annotations

import builtins
from typing import Any

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper

from quorate.codecs import sample, snapshot
from quorate.control.revisions import fuse as fuse_module
from quorate.control.revisions.together import Together
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.errors import ParityError
from quorate.registry.manifest import Manifest

ROWS = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)


def _onnx(
    project: Any,
    name: str,
    seed: int,
    *,
    rows: bool = True,
    preprocess: list[Any] | None = None,
    tensor_name: str = "input",
) -> Manifest:
    """Register a linear model with softmax as ONNX."""
    weights = np.random.default_rng(seed).normal(size=(4, 2)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", [tensor_name, "w"], ["z"]), helper.make_node("Softmax", ["z"], ["p"])],
        name,
        [helper.make_tensor_value_info(tensor_name, TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor("w", TensorProto.FLOAT, [4, 2], weights.tobytes(), raw=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    logits = ROWS @ weights
    output = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    tensor = TensorSpec("input", "float32", (None, 4))
    draft = Manifest(
        name=name,
        format="onnx",
        signature=Signature("array", (tensor,), OutputSpec("scores", ("no", "yes"))),
        tensors=(TensorSpec(tensor_name, "float32", (None, 4)),),
        output_name="p",
        preprocess=preprocess or [],
        sample=project.registry.blobs.put(sample.encode({"input": ROWS}, output)) if rows else None,
    )
    return project.registry.register(draft, {"model.onnx": model.SerializeToString()})


@pytest.fixture
def pool(project: Any) -> Any:
    """A project whose pool has two ONNX members ``x`` and ``y`` and the callable ``a``."""
    _onnx(project, "x", 1)
    _onnx(project, "y", 2)
    project.write(project.home.config.read_text().replace("[a, b, c]", "[x, a, y]"))
    return project


def _graph(project: Any) -> Any:
    return snapshot.read(project.home.snapshot).pools[0].graph


def test_onnx_members_are_fused(pool: Any) -> None:
    assert pool.apply().notices == ()
    graph = _graph(pool)
    assert set(graph.outputs) == {"x", "y"}
    assert (graph.input_name, graph.members) == ("input", ("x", "y"))
    assert pool.registry.blobs.has(graph.digest)


def test_the_same_members_are_not_compiled_again(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pool.apply()
    before = _graph(pool)
    monkeypatch.setattr(fuse_module, "_compile", None)
    pool.write(pool.home.config.read_text().replace("quorum: 2", "quorum: 3"))
    assert pool.apply().revisions == {"main": 2}
    assert _graph(pool) == before


def test_a_new_version_is_compiled_anew(pool: Any) -> None:
    pool.apply()
    before = _graph(pool)
    _onnx(pool, "y", 3)
    pool.apply()
    assert _graph(pool).digest != before.digest


def test_members_that_are_asked_together_have_a_graph_of_their_own(pool: Any) -> None:
    _onnx(pool, "z", 4)
    pool.write(pool.home.config.read_text().replace("[x, a, y]", "[x, a, y, z]"))
    pool.apply()
    routed = msgspec.structs.replace(snapshot.read(pool.home.snapshot).pools[0], graph=None)
    apart, reason = fuse_module.fuse(routed, pool.registry, (), Together(False, (("x", "y"), ("a", "z"))))
    assert (apart.graph, [graph.members for graph in apart.stages], reason) == (None, [("x", "y")], None)
    both, _ = fuse_module.fuse(routed, pool.registry, (apart,), Together(True, (("x", "y"),)))
    assert (both.graph.members, both.stages) == (("x", "y", "z"), apart.stages)
    assert both.graphs == (both.graph, *both.stages)


def test_a_lost_graph_is_compiled_again(pool: Any) -> None:
    pool.apply()
    [path] = pool.registry.root.glob(f"blobs/*/{_graph(pool).digest}")
    path.unlink()
    pool.apply()
    assert path.exists()


def test_one_onnx_member_needs_no_graph(pool: Any) -> None:
    pool.write(pool.home.config.read_text().replace("[x, a, y]", "[x, a, b]"))
    assert pool.apply().notices == ()
    assert _graph(pool) is None


def test_members_that_are_fed_differently_are_not_fused(pool: Any) -> None:
    step = {"kind": "normalise", "mean": 0.5, "std": 1.0}
    _onnx(pool, "y", 2, preprocess=[step])
    assert pool.apply().notices == ()
    assert _graph(pool) is None


def test_without_the_onnx_package_the_reason_is_told(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without_onnx(name: str, *args: Any, **named: Any) -> Any:
        if name == "onnx":
            raise ModuleNotFoundError("No module named 'onnx'", name="onnx")
        return imported(name, *args, **named)

    monkeypatch.setattr(builtins, "__import__", without_onnx)
    [notice] = pool.apply().notices
    assert "not as one fused graph: the package 'onnx' is not installed." in notice
    assert _graph(pool) is None


def _refuse(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let every graph with that member fail the gate."""
    from quorate.runtimes import compile as compiler

    verified = compiler.compile_verified

    def differs(members: Any, rows: Any) -> Any:
        if name in dict(members):
            raise ParityError(f"Member '{name}' answers differently in the fused graph.", path=name)
        return verified(members, rows)

    monkeypatch.setattr(compiler, "compile_verified", differs)


def test_a_graph_that_answers_differently_is_refused(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _refuse(monkeypatch, "y")
    [notice] = pool.apply().notices
    assert notice == (
        "pools.letters: the ONNX members run separately, not as one fused graph: "
        "Member 'y' answers differently in the fused graph."
    )
    assert _graph(pool) is None


def test_a_member_that_stands_in_the_way_is_left_out(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _onnx(pool, "z", 4)
    pool.write(pool.home.config.read_text().replace("[x, a, y]", "[y, x, a, z]"))
    _refuse(monkeypatch, "y")
    [notice] = pool.apply().notices
    assert notice == (
        "pools.letters: not all ONNX members are in the fused graph: Member 'y' answers differently in the fused graph."
    )
    assert _graph(pool).members == ("x", "z")


def test_a_graph_of_the_previous_release_is_compiled_again(pool: Any) -> None:
    pool.apply()
    before = _graph(pool)
    routing = snapshot.read(pool.home.snapshot)
    old = msgspec.structs.replace(before, digest=pool.registry.blobs.put(b"of old"), members=())
    known = (msgspec.structs.replace(routing.pools[0], graph=old),)
    found, reason = fuse_module.fuse(msgspec.structs.replace(routing.pools[0], graph=None), pool.registry, known)
    assert (found.graph, reason) == (before, None)


def test_one_tensor_may_have_any_name(pool: Any) -> None:
    _onnx(pool, "y", 2, tensor_name="X")
    assert pool.apply().notices == ()
    assert _graph(pool).members == ("x", "y")


def test_without_rows_to_verify_on_there_is_no_graph(pool: Any) -> None:
    _onnx(pool, "x", 1, rows=False)
    _onnx(pool, "y", 2, rows=False)
    [notice] = pool.apply().notices
    assert "no" in notice
    assert "rows to verify the graph on" in notice


def test_the_graph_is_no_reason_for_a_new_revision(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(fuse_module, "fuse", lambda pool, *_: (msgspec.structs.replace(pool, graph=None), None))
        patched.setattr("quorate.control.revisions.apply.fuse", fuse_module.fuse)
        pool.apply()
    assert _graph(pool) is None
    applied = pool.apply()
    assert (applied.changed, applied.snapshot_version) == ((), 2)
    assert _graph(pool) is not None


def test_a_member_whose_rows_run_alone_is_left_out_of_the_graph(pool: Any) -> None:
    _onnx(pool, "z", 4)
    pool.write(pool.home.config.read_text().replace("[x, a, y]", "[x, a, y, z]"))
    pool.apply()
    assert _graph(pool).members == ("x", "y", "z")
    newest = pool.registry.manifest("y:1")
    again = msgspec.structs.replace(newest, options={"rows": "alone"}, version=0, files={}, digest="", created=0.0)
    pool.registry.register(again, {"model.onnx": pool.registry.read_blob(newest.files["model.onnx"])})
    assert pool.apply().notices == ()
    assert _graph(pool).members == ("x", "z")
    assert not _graph(pool).alone
