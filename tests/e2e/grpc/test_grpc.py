"""The Open Inference Protocol over gRPC, through the real server; stock clients: ``make check-clients``."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from quorate.serving.grpc import open_inference_pb2 as messages
from quorate.serving.grpc.health_pb2 import HealthCheckRequest, HealthCheckResponse

GENEROUS = 30.0
SAMPLES = Path(__file__).parents[3] / "examples" / "digits" / "samples"
PIXELS = np.stack([np.asarray(Image.open(SAMPLES / name).convert("L")) for name in ("0.png", "3.png", "7.png")])
LABELS = ["0", "3", "7"]
STUCK = np.full((1, 4), -1, np.float32)


class Site:
    """Two workers with gRPC; ``held`` holds the member of ``numbers`` up."""

    def __init__(self, rpc: Any, running: Any, held: Any) -> None:
        self.running = running
        self.held = held
        self.address = rpc.address(running)

    def in_flight(self) -> float:
        text = self.running.http.get(f"{self.running.control}/metrics").text
        return sum(float(value) for value in re.findall(r"^quorate_in_flight\{.*\} (\S+)$", text, re.M))

    def idle(self) -> None:
        """Wait until no request is being answered."""
        self.running.until(lambda: self.in_flight() == 0, within=GENEROUS, what=lambda: "nothing is in flight")

    def decision(self, answer: messages.ModelInferResponse) -> dict[str, Any]:
        """The record of an answer."""
        name = answer.parameters["decision_id"].string_param
        return dict(self.running.http.get(f"{self.running.control}/v1/decisions/{name}").json())


@pytest.fixture(scope="module")
def site(rpc: Any, module_server: Callable[..., Any], module_digits: Path) -> Site:
    held = rpc.extend(module_digits)
    return Site(rpc, module_server(module_digits, "--grpc-port", "0", "--workers", "2"), held)


@pytest.fixture
def channel(site: Site) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(site.address) as made:
        yield made


def _digits(rpc: Any, **more: Any) -> messages.ModelInferRequest:
    made = rpc.request("digits", PIXELS, "image", "UINT8", **more)
    made.parameters["strategy"].string_param = "stacking"
    return made


def test_it_says_what_it_serves(rpc: Any, channel: grpc.Channel) -> None:
    ask = lambda name, request: rpc.method(channel, name)(request, timeout=GENEROUS)  # noqa: E731
    assert ask("ServerLive", messages.ServerLiveRequest()).live
    assert ask("ServerReady", messages.ServerReadyRequest()).ready
    assert ask("ModelReady", messages.ModelReadyRequest(name="svm")).ready
    assert ask("ModelMetadata", messages.ModelMetadataRequest(name="hidden")).outputs[0].name == "label"
    index = ask("RepositoryIndex", messages.RepositoryIndexRequest())
    assert {"digits", "hidden", "numbers", "svm", "holds"} <= {model.name for model in index.models}
    assert rpc.health(channel)(HealthCheckRequest(), timeout=GENEROUS).status == HealthCheckResponse.SERVING


def test_an_endpoint_answers_as_it_does_over_rest(rpc: Any, site: Site, channel: grpc.Channel) -> None:
    request = _digits(rpc, id="7")
    request.parameters["context.user"].string_param = "u"
    answer = rpc.method(channel, "ModelInfer")(request, timeout=GENEROUS)
    found = rpc.outputs(answer)
    assert (answer.id, found["label"]) == ("7", LABELS)
    tensor = {"name": "image", "shape": PIXELS.shape, "datatype": "UINT8", "data": PIXELS.tolist()}
    body = {"inputs": [tensor], "parameters": {"strategy": "stacking"}}
    rest = site.running.http.post(f"{site.running.url}/v2/models/digits/infer", json=body).json()
    for output in rest["outputs"]:
        assert np.ravel(found[output["name"]]).tolist() == pytest.approx(output["data"]) or output["name"] == "label"
    assert set(answer.parameters) == set(rest["parameters"])
    record = site.decision(answer)
    assert (record["endpoint"], record["rows"], record["context"]) == ("digits", 3, {"user": "u"})
    told = {"id": record["id"], "row": 2, "truth": "7"}
    assert site.running.http.post(f"{site.running.url}/v1/outcomes", json=told).json()["accepted"] == 1


def test_an_encoded_image_and_a_member(rpc: Any, channel: grpc.Channel) -> None:
    image = (SAMPLES / "7.png").read_bytes()
    request = messages.ModelInferRequest(model_name="mlp")
    given = request.inputs.add(name="image", datatype="BYTES", shape=[1])
    given.contents.bytes_contents.append(image)
    answer = rpc.method(channel, "ModelInfer")(request, timeout=GENEROUS)
    assert rpc.outputs(answer)["label"] == ["7"]
    assert not answer.parameters


def test_all_workers_share_the_port(rpc: Any, site: Site) -> None:
    """The kernel spreads connections by their ports: that 32 all fall to one of two happens once in 2,000,000,000."""
    slots = set()
    for _ in range(32):
        options = (("grpc.use_local_subchannel_pool", 1),)
        with grpc.insecure_channel(site.address, options) as one:
            answer = rpc.method(one, "ModelInfer")(_digits(rpc), timeout=GENEROUS)
        slots.add(_slot(answer.parameters["decision_id"].string_param))
    assert slots == {0, 1}
    with grpc.insecure_channel(site.address) as one:
        request = messages.ModelStatisticsRequest(name="digits")
        (stats,) = rpc.method(one, "ModelStatistics")(request, timeout=GENEROUS).model_stats
    assert stats.inference_stats.success.count >= 32  # each worker tells of both


def _slot(decision: str) -> int:
    from quorate.ids import DecisionId

    return int(DecisionId.parse(decision).slot)


def test_a_retry_on_another_connection_is_one_decision(rpc: Any, site: Site) -> None:
    found = []
    for _ in range(4):
        with grpc.insecure_channel(site.address, (("grpc.use_local_subchannel_pool", 1),)) as one:
            answer, call = rpc.method(one, "ModelInfer").with_call(
                _digits(rpc), timeout=GENEROUS, metadata=(("idempotency-key", "grpc-1"),)
            )
        found.append((answer.SerializeToString(deterministic=True), dict(call.trailing_metadata())))
    assert len({body for body, _ in found}) == 1
    assert ["idempotency-replayed" in trailing for _, trailing in found] == [False, True, True, True]


def answers_again(rpc: Any, site: Site) -> None:
    """The member that was held has seen that it no longer is."""
    with grpc.insecure_channel(site.address) as channel:
        request = rpc.request("numbers", STUCK)
        site.running.until(
            lambda: (
                rpc.ended(lambda: rpc.method(channel, "ModelInfer")(request, timeout=GENEROUS))[0] is grpc.StatusCode.OK
            ),
            within=GENEROUS,
            what=lambda: "the member answers",
        )


def test_the_deadline_of_the_call_is_the_deadline_of_the_answer(rpc: Any, site: Site) -> None:
    site.held.hold()

    async def main() -> grpc.StatusCode:
        async with grpc.aio.insecure_channel(site.address) as channel:
            call = rpc.method(channel, "ModelInfer")(rpc.request("numbers", STUCK), timeout=1.0)
            code: grpc.StatusCode = await call.code()
            return code

    assert asyncio.run(main()) is grpc.StatusCode.DEADLINE_EXCEEDED
    site.idle()  # the endpoint's own deadline is 300 s
    assert site.held.started
    site.held.release()
    answers_again(rpc, site)


def test_a_cancelled_call_is_given_up_and_others_go_on(rpc: Any, site: Site) -> None:
    site.held.hold()

    async def main() -> list[str]:
        async with grpc.aio.insecure_channel(site.address) as channel:
            infer = rpc.method(channel, "ModelInfer")
            call = infer(rpc.request("numbers", STUCK), timeout=GENEROUS)
            while not site.held.started and not call.done():
                await asyncio.sleep(0.005)
            beside = await infer(_digits(rpc), timeout=GENEROUS)
            call.cancel()
            assert await call.code() is grpc.StatusCode.CANCELLED
            site.idle()
            after = await infer(_digits(rpc), timeout=GENEROUS)
            return [rpc.outputs(answer)["label"] for answer in (beside, after)]

    try:
        assert asyncio.run(main()) == [LABELS, LABELS]
    finally:
        site.held.release()
    answers_again(rpc, site)


def test_a_drain_says_so_and_finishes_what_is_under_way(rpc: Any, server: Callable[..., Any], digits: Path) -> None:
    held = rpc.extend(digits)
    running = server(digits, "--grpc-port", "0")
    held.hold()
    told: list[int] = []
    with grpc.insecure_channel(rpc.address(running)) as channel:
        watch = rpc.health(channel, "Watch")(HealthCheckRequest(), timeout=GENEROUS)

        def listen() -> None:
            for response in watch:
                told.append(response.status)

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        running.until(lambda: told == [HealthCheckResponse.SERVING], within=GENEROUS, what=lambda: f"it serves: {told}")
        call = rpc.method(channel, "ModelInfer").future(rpc.request("numbers", STUCK), timeout=GENEROUS)
        running.until(lambda: held.started or call.done(), within=GENEROUS, what=lambda: "the call is under way")
        running.process.send_signal(signal.SIGTERM)
        running.until(lambda: len(told) == 2, within=GENEROUS, what=lambda: f"the watcher is told: {told}")
        listener.join(GENEROUS)
        assert told == [HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING]
        assert not call.done()
        held.release()
        assert rpc.outputs(call.result(GENEROUS))["probabilities"] == [[0.5, 0.5]]
    assert running.stop() == 0
    assert "Traceback" not in running.log()


def test_a_port_in_use_is_named_with_its_setting(digits: Path) -> None:
    import socket
    import subprocess

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-P", "-c", "from quorate.cli import main; main()", "serve", str(digits)]
        options = ["--port", "0", "--control-port", "0", "--no-console", "--grpc-port", port]
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "set server.grpc_port" in done.stderr


def test_without_the_option_there_is_no_grpc(server: Callable[..., Any], digits: Path) -> None:
    running = server(digits)
    assert "  grpc " not in running.log()
    plan = json.loads((digits / ".quorate" / "run" / "launch.json").read_text())
    assert not any("--grpc-port" in child["argv"] for child in plan["children"])
