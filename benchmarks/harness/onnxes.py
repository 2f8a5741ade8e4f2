"""Small generated models, for what depends on how many there are and not on what they say."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import examples
from benchmarks.harness.table import FOLDER
from quorate.clock import SystemClock
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.training.register import register_model

WIDTH, CLASSES = 16, ("a", "b", "c", "d")
SIGNATURE = Signature("array", (TensorSpec("input", "float32", (None, WIDTH)),), OutputSpec("scores", classes=CLASSES))


def linear(w: NDArray[np.float32], bias: NDArray[np.float32] | None = None) -> bytes:
    """``softmax(input @ w + bias)`` as an ONNX file; ``w`` ``[16, 4]``."""
    from onnx import TensorProto, helper, numpy_helper

    bias = np.zeros(len(CLASSES), np.float32) if bias is None else bias
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["input", "w", "b"], ["z"]),
            helper.make_node("Softmax", ["z"], ["probabilities"], axis=1),
        ],
        "linear",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, WIDTH])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, len(CLASSES)])],
        [numpy_helper.from_array(w.astype(np.float32), "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def deep(number: int, layers: int, size: int = 128, rows: int = 64) -> bytes:
    """A model that takes a while: so many products of ``[rows, size]`` and ``[size, size]`` for every row of input."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(number)
    scale = np.float32(size**-0.5)
    tensors = {
        "first": rng.normal(size=(WIDTH, size)).astype(np.float32) * np.float32(WIDTH**-0.5),
        "spread": rng.normal(size=(rows, 1)).astype(np.float32),
        "axis": np.array([1], np.int64),
        "last": rng.normal(size=(size, len(CLASSES))).astype(np.float32) * scale,
    }
    tensors |= {f"w{i}": rng.normal(size=(size, size)).astype(np.float32) * scale for i in range(layers)}
    nodes = [
        helper.make_node("MatMul", ["input", "first"], ["x"]),
        helper.make_node("Unsqueeze", ["x", "axis"], ["x1"]),
        helper.make_node("Mul", ["x1", "spread"], ["h0"]),
    ]
    for i in range(layers):
        nodes.append(helper.make_node("MatMul", [f"h{i}", f"w{i}"], [f"z{i}"]))
        nodes.append(helper.make_node("Tanh", [f"z{i}"], [f"h{i + 1}"]))
    nodes += [
        helper.make_node("ReduceMean", [f"h{layers}", "axis"], ["m"], keepdims=0),
        helper.make_node("MatMul", ["m", "last"], ["y"]),
        helper.make_node("Softmax", ["y"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "deep",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, WIDTH])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, len(CLASSES)])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return bytes(model.SerializeToString())


def weights(number: int) -> NDArray[np.float32]:
    """The weights of random model ``number``."""
    return np.random.default_rng(number).normal(size=(WIDTH, len(CLASSES))).astype(np.float32)


def random(number: int) -> bytes:
    """Model ``number`` of any number of different ones."""
    return linear(weights(number))


def register(registry: Registry, name: str, model: bytes) -> None:
    """The next version of ``name``."""
    register_model(registry, name=name, format="onnx", files={"model.onnx": model}, signature=SIGNATURE)


def register_source(registry: Registry, name: str, source: str, *, sample: NDArray[np.float32]) -> None:
    """A Python callable, which runs in a process of its own."""
    register_model(
        registry,
        name=name,
        format="callable",
        files={"member.py": source.encode()},
        signature=SIGNATURE,
        tensors=SIGNATURE.inputs,
        options={"entry": "predict"},
        sample_raw={"input": sample},
    )


def fresh(name: str) -> tuple[Path, Registry]:
    """An empty project under ``build/bench/run`` and its registry."""
    folder = FOLDER / "run" / name
    shutil.rmtree(folder, ignore_errors=True)
    return folder, Registry(Home(folder).registry, SystemClock())


def config(pools: Mapping[str, Sequence[str]], **endpoint: Any) -> dict[str, Any]:
    """An endpoint a pool, its name with ``ask-`` before it; a soft vote unless ``endpoint`` says otherwise."""
    settings: dict[str, Any] = {
        "strategies": {"soft-vote": {"kind": "vote", "voting": "soft"}},
        "deadline_ms": 1000,
    } | endpoint
    settings.setdefault("policy", {"kind": "fixed", "strategy": next(iter(settings["strategies"]))})
    return {
        "pools": {name: {"task": "classification", "members": list(members)} for name, members in pools.items()},
        "endpoints": {f"ask-{name}": {"pool": name, **settings} for name in pools},
    }


def project(name: str, pools: Mapping[str, int], **endpoint: Any) -> Path:
    """A project whose pools have so many random members each, applied."""
    folder, registry = fresh(name)
    members = {pool: [f"{pool}-{i}" for i in range(count)] for pool, count in pools.items()}
    for number, member in enumerate(m for listed in members.values() for m in listed):
        register(registry, member, random(number))
    return examples.apply(folder, config(members, **endpoint))


def path(pool: str) -> str:
    """Where a pool's endpoint takes requests."""
    return f"/v1/endpoints/ask-{pool}/predict"
