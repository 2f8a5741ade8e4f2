"""What the composition root decides before there is a process."""

from __future__ import annotations

import socket

import pytest

from quorate import launch
from quorate.errors import ConfigError


@pytest.fixture(autouse=True)
def _extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "CONSOLE_NEEDS", ())


def test_the_page_never_takes_another_port_of_its_server() -> None:
    notices: list[str] = []
    assert launch._console_port("127.0.0.1", 8002, (8002, 8001), notices) is None
    assert notices == ["There is no page. Port 8002 is another port of this server; set server.console_port."]


def test_the_page_takes_a_free_port() -> None:
    notices: list[str] = []
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert launch._console_port("127.0.0.1", port, (1, 2), notices) == port
    assert notices == []


def test_there_is_no_grpc_unless_it_is_asked_for() -> None:
    assert launch._grpc_port("127.0.0.1", None) is None
    assert launch._grpc_port("127.0.0.1", 0) not in (None, 0)


def test_grpc_without_its_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "GRPC_NEEDS", ("no_such_package.part",))
    with pytest.raises(ConfigError, match="pip install 'quorate\\[grpc\\]'") as raised:
        launch._grpc_port("127.0.0.1", 8003)
    assert raised.value.path == "server.grpc_port"


def test_more_workers_than_cores_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.serving.cores.available", lambda: 1)
    assert launch._crowded(1) == []
    (notice,) = launch._crowded(3)
    assert notice.startswith("3 workers share 1 processor core, ")
    assert "set server.workers to 1 " in notice
