"""The server on a socket: its port, its limits, its drain."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import grpc
import pytest

from quorate.codecs.snapshot import Limits
from quorate.errors import ConfigError
from quorate.serving.grpc import open_inference_pb2 as messages
from quorate.serving.grpc.server import GrpcServer
from quorate.serving.grpc.service import SERVICE

GENEROUS = 30.0


def _server(port: Any, folder: Path, number: int = 0, host: str = "127.0.0.1") -> GrpcServer:
    return GrpcServer(
        port.house.plane,
        host=host,
        port=number,
        idempotency=port.table,
        ready=lambda: True,
        telemetry=folder,
    )


def _method(channel: grpc.aio.Channel, name: str) -> Any:
    return channel.unary_unary(
        f"/{SERVICE}/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=getattr(messages, f"{name}Response").FromString,
    )


async def _code(call: Any) -> tuple[grpc.StatusCode, str]:
    return await call.code(), await call.details()


def test_a_call_over_a_socket(port: Any, infer: Any, tmp_path: Path) -> None:
    async def main() -> messages.ModelInferResponse:
        server = _server(port, tmp_path)
        number = await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{number}") as channel:
            answer = await _method(channel, "ModelInfer")(infer(id="7"), timeout=GENEROUS)
        await server.stop(GENEROUS)
        return answer

    assert asyncio.run(main()).id == "7"


def test_two_servers_share_a_port(port: Any, tmp_path: Path) -> None:
    async def main() -> bool:
        first = _server(port, tmp_path)
        number = await first.start()
        second = _server(port, tmp_path, number)
        same = await second.start() == number
        await first.stop(0.0)
        await second.stop(0.0)
        return same

    assert asyncio.run(main())


def test_a_port_that_is_taken_is_named_with_its_setting(port: Any, tmp_path: Path) -> None:
    async def main(number: int) -> None:
        await _server(port, tmp_path, number).start()

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        with pytest.raises(ConfigError) as raised:
            asyncio.run(main(taken.getsockname()[1]))
    assert raised.value.path == "server.grpc_port"


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_above_the_limit_is_not_taken_in(
    port: Any, infer: Any, tmp_path: Path, compression: grpc.Compression
) -> None:
    """Compressed or not: what counts is what it would become."""
    port.publish(port.pool, limits=Limits(body_bytes=100_000))

    async def main() -> list[tuple[grpc.StatusCode, str]]:
        server = _server(port, tmp_path)
        number = await server.start()
        found = []
        async with grpc.aio.insecure_channel(f"127.0.0.1:{number}", compression=compression) as channel:
            for size in (1000, 200_000):
                request = infer()
                request.inputs[0].shape[:] = [size // 8, 2]
                request.raw_input_contents[0] = bytes(size)
                found.append(await _code(_method(channel, "ModelInfer")(request, timeout=GENEROUS)))
        await server.stop(GENEROUS)
        return found

    small, large = asyncio.run(main())
    assert small[0] is grpc.StatusCode.OK
    assert large[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in large[1]


def test_a_limit_that_grew_is_told_and_one_that_shrank_is_obeyed(
    port: Any, infer: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port.publish(port.pool, limits=Limits(body_bytes=50_000))

    async def main() -> list[grpc.StatusCode]:
        server = _server(port, tmp_path)
        number = await server.start()
        found = []
        async with grpc.aio.insecure_channel(f"127.0.0.1:{number}") as channel:
            for limit, size in ((50_000, 40_000), (100_000, 60_000), (30_000, 40_000)):
                port.publish(port.pool, limits=Limits(body_bytes=limit))
                server.told()
                request = infer()
                request.inputs[0].shape[:] = [size // 8, 2]
                request.raw_input_contents[0] = bytes(size)
                found.append((await _code(_method(channel, "ModelInfer")(request, timeout=GENEROUS)))[0])
        await server.stop(GENEROUS)
        return found

    status = grpc.StatusCode
    assert asyncio.run(main()) == [status.OK, status.RESOURCE_EXHAUSTED, status.INVALID_ARGUMENT]
    [warning] = [record.message for record in caplog.records if "body_bytes" in record.message]
    assert "is 100000 now; gRPC goes on taking 50000, until `quorate upgrade`" in warning


def test_a_method_that_is_not_there_is_unimplemented(port: Any, tmp_path: Path) -> None:
    async def main() -> tuple[grpc.StatusCode, str]:
        server = _server(port, tmp_path)
        number = await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{number}") as channel:
            found = await _code(channel.unary_unary(f"/{SERVICE}/ModelStreamInfer")(b"", timeout=GENEROUS))
        await server.stop(GENEROUS)
        return found

    assert asyncio.run(main())[0] is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("grace", [GENEROUS, 0.0])
def test_a_drain_finishes_what_is_under_way(port: Any, infer: Any, tmp_path: Path, grace: float) -> None:
    port.publish(port.house.pool(a=port.house.hosted(0.9, port.house.HANG), b=port.house.inline(0.7)))
    host = port.house.plane.generation.endpoints["main"].pool.members[0].unit.host

    async def main() -> grpc.StatusCode:
        server = _server(port, tmp_path)
        number = await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{number}") as channel:
            call = _method(channel, "ModelInfer")(infer(), timeout=GENEROUS)
            while host.busy_since is None:
                await asyncio.sleep(0.005)
            stopping = asyncio.ensure_future(server.stop(grace))
            while server._serves():
                await asyncio.sleep(0.005)
            if grace:
                host.kill()  # the member fails, the other one answers
            code: grpc.StatusCode = await call.code()
            await stopping
        return code

    code = asyncio.run(main())
    assert code is (grpc.StatusCode.OK if grace else grpc.StatusCode.UNAVAILABLE)
