"""A loader on real files of its own: for tests of loading and measuring."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from quorate.clock import SystemClock
from quorate.codecs.snapshot import EndpointRoute, MemberRoute, PolicyRoute, PoolRoute, Routing, StrategyRoute
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.registry.blobs import BlobStore
from quorate.serving.desired import Desired
from quorate.serving.generation import Generation
from quorate.serving.lanes import ThreadLane
from quorate.serving.loading import Loader
from quorate.serving.meters import Meters
from quorate.serving.pool import LoadedPool
from quorate.telemetry.counters import Counters

MIB = 2**20
IN = (TensorSpec("input", "float32", (None, 4)),)
SIGNATURE = Signature("array", IN, OutputSpec("scores", ("no", "yes")))


def onnx_file(yes: float, mib: float = 0.0) -> bytes:
    """A model that is that sure of "yes", whose file has so many MiB of weights."""
    width = max(1, int(mib * MIB / 4 / 512))
    rng = np.random.default_rng(0)
    first = rng.normal(size=(4, 512)).astype(np.float32)
    middle = rng.normal(size=(512, width)).astype(np.float32)
    last = np.zeros((width, 2), np.float32)
    bias = np.log(np.array([1 - yes, yes], np.float32))
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["input", "first"], ["hidden"]),
            helper.make_node("MatMul", ["hidden", "middle"], ["wide"]),
            helper.make_node("Gemm", ["wide", "last", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["output"]),
        ],
        "constant",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, 2])],
        [
            helper.make_tensor(name, TensorProto.FLOAT, array.shape, array.tobytes(), raw=True)
            for name, array in (("first", first), ("middle", middle), ("last", last), ("bias", bias))
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def heavy_file() -> bytes:
    """A model with eight matrix products of 256 by 512 by 512 numbers a row: work that threads can share."""
    rng = np.random.default_rng(0)
    square = (rng.normal(size=(512, 512)) / 512**0.5).astype(np.float32)
    first = rng.normal(size=(4, 512)).astype(np.float32)
    last = np.zeros((512, 2), np.float32)
    shape = np.array([1, 256, 1], np.int64)
    nodes = [
        helper.make_node("Unsqueeze", ["input", "axis"], ["thin"]),  # [n, 1, 4]
        helper.make_node("Expand", ["thin", "shape"], ["long"]),  # [n, 256, 4]
        helper.make_node("MatMul", ["long", "first"], ["h0"]),
        *(helper.make_node("MatMul", [f"h{i}", "square"], [f"h{i + 1}"]) for i in range(8)),
        helper.make_node("ReduceMean", ["h8"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "last"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "heavy",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, 2])],
        [
            helper.make_tensor(name, kind, array.shape, array.tobytes(), raw=True)
            for name, kind, array in (
                ("first", TensorProto.FLOAT, first),
                ("square", TensorProto.FLOAT, square),
                ("last", TensorProto.FLOAT, last),
                ("shape", TensorProto.INT64, shape),
                ("axis", TensorProto.INT64, np.array([1], np.int64)),
            )
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


class Site:
    """A loader on files of its own, and a generation."""

    def __init__(self, root: Path) -> None:
        self.blobs = BlobStore(root / "registry")
        self.clock = SystemClock()
        self.counters = Counters(root / "worker-0.qt")
        self.lane = ThreadLane(1, clock=self.clock)
        self.loader = Loader(root / "registry", clock=self.clock, lane=self.lane, meters=Meters(self.counters), cores=4)
        self.generation = Generation.empty()

    def pool(
        self, name: str, yes: float = 0.9, mib: float = 0.0, file: bytes | None = None, **options: Any
    ) -> PoolRoute:
        digest = self.blobs.put(file or onnx_file(yes, mib))
        files = {"model.onnx": digest}
        member = MemberRoute(f"{name}-1", 1, "onnx", digest, files, SIGNATURE, IN, "output", [], options)
        return PoolRoute(name, "classification", SIGNATURE, (member,))

    def routing(self, version: int, *pools: PoolRoute, **settings: Any) -> Routing:
        endpoints = tuple(
            EndpointRoute(
                f"ask-{pool.name}",
                1,
                pool.name,
                (StrategyRoute("one", "mean", (pool.members[0].name,), 1),),
                PolicyRoute("fixed", {"strategy": "one"}),
            )
            for pool in pools
        )
        return Routing(version, pools, endpoints, **settings)

    async def load(self, routing: Routing, desired: Desired | None = None) -> Generation:
        fresh = await self.loader.load(routing, self.generation, desired or Desired())
        old, self.generation = self.generation, fresh
        old.release()
        return fresh

    def named(self, name: str) -> LoadedPool:
        return next(pool for pool in self.generation.pools if pool.route.name == name)

    @property
    def resident(self) -> set[str]:
        return {pool.route.name for pool in self.generation.pools if pool.resident}

    async def bring(self, name: str) -> None:
        pool = self.named(name)
        await self.loader.residency.bring(pool, self.clock.monotonic() + 30.0)
        pool.used = self.clock.monotonic()

    async def answer(self, name: str) -> float:
        """How sure the pool's member is of "yes"."""
        await self.bring(name)
        pool = self.named(name)
        unit: Any = pool.members[0].unit
        return float(unit.run({"input": np.ones((1, 4), np.float32)})[0, 0, 1])

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run(main)
