import socket

import pytest

from quorate.errors import Forbidden, MalformedRequest
from quorate.web.hosts import HostPolicy


def _accepts(policy: HostPolicy, host: str, method: str = "GET", origin: str | None = None) -> bool:
    try:
        policy.check(method, host.encode("latin-1"), None if origin is None else origin.encode())
    except Forbidden:
        return False
    return True


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:8000", "[::1]:8000", "[::1]"])
def test_loopback_names_are_ours(host):
    assert _accepts(HostPolicy("127.0.0.1"), host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.168.0.7",
        "localhost:8000:1",
        "localhost:x",
        "[::1",
        "::1:80",
        "user@localhost",
        " localhost",
        "\xff",
    ],
)
def test_foreign_names_are_refused(host):
    policy = HostPolicy("127.0.0.1")
    assert not _accepts(policy, host)
    assert not _accepts(policy, host), "a refusal must not be remembered as good"


def test_no_host_is_malformed():
    for host in (None, b""):
        with pytest.raises(MalformedRequest):
            HostPolicy("127.0.0.1").check("GET", host, None)


def test_the_bound_address_and_configured_names_are_ours():
    policy = HostPolicy("10.0.0.5", ["models.example", "box:9000"])
    assert _accepts(policy, "10.0.0.5:8000")
    assert _accepts(policy, "models.example:8000")
    assert _accepts(policy, "box:9000")
    assert not _accepts(policy, "box:9001")
    assert not _accepts(policy, "10.0.0.6")


def test_bound_to_everything_takes_addresses_but_no_names():
    for bound in ("0.0.0.0", "::"):
        policy = HostPolicy(bound)
        assert _accepts(policy, "192.168.0.7:8000")
        assert _accepts(policy, "[fe80::1]:8000")
        assert _accepts(policy, f"{socket.gethostname()}:8000")
        assert not _accepts(policy, "evil.example")


def test_a_star_accepts_any_host_but_no_foreign_origin():
    policy = HostPolicy("0.0.0.0", ["*"])
    assert _accepts(policy, "anything.example")
    assert not _accepts(policy, "anything.example", "POST", "http://other.example")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:3000", "http://127.0.0.1:8001", ""]
)
def test_a_foreign_origin_may_not_change_anything(origin):
    policy = HostPolicy("127.0.0.1")
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert not _accepts(policy, "127.0.0.1:8000", method, origin)
    assert _accepts(policy, "127.0.0.1:8000", "GET", origin)


def test_the_own_and_the_configured_origin_may():
    policy = HostPolicy("127.0.0.1", ["shop.example"])
    assert _accepts(policy, "127.0.0.1:8000", "POST", "http://127.0.0.1:8000")
    assert _accepts(policy, "127.0.0.1:8000", "POST", "https://shop.example")
    assert _accepts(policy, "127.0.0.1:8000", "POST", "https://shop.example:8443")


def test_remembered_names_are_bounded():
    policy = HostPolicy("0.0.0.0")
    for i in range(1000):
        assert _accepts(policy, f"10.0.{i // 256}.{i % 256}")
    assert len(policy._seen) <= 64
