"""How httpx is set up, and its exceptions as faults."""

from __future__ import annotations

import httpx
import pytest

from quorate.client import wire


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://[::1]:8000", "http://localhost:1", "http://a.localhost"]
)
def test_no_proxy_leads_to_a_server_on_this_machine(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    assert wire.settings(url, None)["trust_env"] is False
    with httpx.Client(**wire.settings(url, None)) as client:
        assert not client._mounts


@pytest.mark.parametrize("url", ["http://10.0.0.1:8000", "https://models.example", "http://localhost.example"])
def test_elsewhere_the_environment_says_which_proxy(url: str) -> None:
    assert wire.settings(url, None)["trust_env"] is True


@pytest.mark.parametrize(
    ("error", "hopeless"),
    [
        (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate"), True),
        (httpx.ConnectError("[Errno 111] Connection refused"), False),
        (httpx.ConnectTimeout(""), False),
        (httpx.LocalProtocolError("illegal header"), True),
        (httpx.UnsupportedProtocol("gopher"), True),
        (httpx.DecodingError("not gzip"), True),
        (httpx.RemoteProtocolError("Server disconnected"), False),
        (httpx.WriteError(""), False),
    ],
)
def test_what_may_pass_is_told_from_what_will_not(error: httpx.RequestError, hopeless: bool) -> None:
    fault = wire.fault(error, "http://h", 10)
    assert fault.hopeless is hopeless
    assert "http://h" in fault.message
    assert fault.message.endswith((".", "?"))
    assert "()" not in fault.message
