"""A ladder of TFLite members that take one picture in different sizes, loaded and run as a worker does."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quorate.codecs.snapshot import EndpointRoute, MemberRoute, PolicyRoute, PoolRoute, Routing, StrategyRoute
from quorate.core.types import OutputSpec, Signature, Status, TensorSpec
from quorate.preprocess.image import Resize
from quorate.preprocess.presets import Pictures
from quorate.serving.execution import Execution
from quorate.serving.feed import Feed
from quorate.serving.opening import artifact_of
from quorate.testing.tflite import SCORES, Step, dense_answers, dense_network

from .sites import Site

pytest.importorskip("ai_edge_litert", reason="the extra 'tflite' is not installed")

SIZES = {"small": 4, "large": 8}
CLASSES = ("no", "yes")
SIGNATURE = Signature("image", (TensorSpec("image", "uint8", (None, None, None)),), OutputSpec("scores", CLASSES))
GIVEN = Step(1 / 128, 128)
PIXELS = np.random.default_rng(3).integers(0, 256, (8, 8, 3)).astype(np.uint8)


def weights(size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(size)
    return rng.normal(scale=0.1, size=(size * size * 3, 2)), rng.normal(size=2)


def ladder(site: Site) -> PoolRoute:
    members = []
    for name, size in SIZES.items():
        scales = {"given": GIVEN, "logits": Step(0.02, 128)}
        content = dense_network(*weights(size), shape=(size, size, 3), dtype="uint8", **scales)
        digest = site.blobs.put(content)
        steps = Pictures(size, size, scale=GIVEN.step, mean=1.0, layout="nhwc").steps()
        tensors = (TensorSpec("input", "float32", (None, size, size, 3)),)
        route = MemberRoute(name, 1, "tflite", digest, {"m.tflite": digest}, SIGNATURE, tensors, SCORES, steps)
        members.append(route)
    return PoolRoute("ladder", "classification", SIGNATURE, tuple(members))


def test_a_picture_is_brought_to_the_sizes_of_those_that_run(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    resize = Resize.apply

    def resizing(self: Resize, batch: object, context: object) -> object:
        made.append(self.params.width)
        return resize(self, batch, context)  # type: ignore[arg-type]

    strategies = tuple(StrategyRoute(name, "single", (name,), 1) for name in SIZES)
    endpoint = EndpointRoute("ask", 1, "ladder", strategies, PolicyRoute("fixed", {"strategy": "small"}))
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "png")

    async def main() -> None:
        await site.load(Routing(1, (ladder(site),), (endpoint,)))
        pool = site.named("ladder")
        until = site.clock.monotonic() + 30.0
        monkeypatch.setattr(Resize, "apply", resizing)
        feed = Feed({"image": [file.getvalue()]}, 1)
        execution = Execution(pool, feed, 1, clock=site.clock, until=until, fault_after=30.0)
        for position, (name, size) in enumerate(SIZES.items()):
            execution.start([position])
            await execution.wait(until, [position])
            assert execution.status[:, position].tolist() == [int(Status.OK)], execution.reasons
            assert made == list(SIZES.values())[: position + 1], name
            pixels = np.asarray(Image.fromarray(PIXELS).resize((size, size), Image.Resampling.BILINEAR))
            expected = dense_answers((pixels[None].astype(np.float64) - 128) / 128, *weights(size))
            np.testing.assert_allclose(execution.values[:, position], expected, atol=0.02)

    asyncio.run(main())


def test_threads_of_a_run_are_declared_or_the_workers(site: Site, tmp_path: Path) -> None:
    route = ladder(site).members[0]
    assert artifact_of(route, tmp_path, 2).options == {"intra_op_threads": 2}
    route.options["intra_op_threads"] = 1
    assert artifact_of(route, tmp_path, 2).options == {"intra_op_threads": 1}
    assert route.threads == 1
