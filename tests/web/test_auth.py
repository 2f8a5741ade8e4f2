import pytest

from quorate.codecs.snapshot import KeyRoute
from quorate.errors import ConfigError, Forbidden, Unauthenticated
from quorate.web.auth import Keyring, fingerprint, is_loopback, new_secret, require_keys, service_key


def _ring(**roles: tuple[str, ...]) -> Keyring:
    return Keyring(KeyRoute(name, fingerprint(f"secret-{name}"), granted) for name, granted in roles.items())


def test_without_keys_everything_is_open():
    ring = _ring()
    assert ring.open
    assert ring.authorise(None, None, "admin") is None


def test_both_headers_work_and_the_scheme_is_case_insensitive():
    ring = _ring(a=("predict",))
    assert ring.authorise(b"Bearer secret-a", None, "predict") == "a"
    assert ring.authorise(b"bearer  secret-a ", None, "predict") == "a"
    assert ring.authorise(None, b"secret-a", "predict") == "a"


@pytest.mark.parametrize(
    ("authorization", "api_key"),
    [
        (None, None),
        (b"", b""),
        (b"Bearer", None),
        (b"Basic secret-a", None),
        (b"secret-a", None),
        (b"Bearer secret-b", None),
        (b"Bearer secret-b", b"secret-a"),  # Authorization counts when both are sent
        (None, fingerprint("secret-a").encode()),  # the stored digest is no key
        (None, b"\xff\x00"),
    ],
)
def test_a_missing_or_unknown_key_is_unauthenticated(authorization, api_key):
    with pytest.raises(Unauthenticated):
        _ring(a=("admin",)).authorise(authorization, api_key, "predict")


@pytest.mark.parametrize(
    ("role", "grants"),
    [
        ("predict", {"predict"}),
        ("outcome", {"outcome"}),
        ("operate", {"predict", "outcome", "operate"}),
        ("admin", {"predict", "outcome", "operate", "admin"}),
        ("unknown", set()),
    ],
)
def test_roles(role, grants):
    ring = _ring(a=(role,))
    for wanted in ("predict", "outcome", "operate", "admin"):
        if wanted in grants:
            assert ring.authorise(None, b"secret-a", wanted) == "a"
        else:
            with pytest.raises(Forbidden, match=wanted):
                ring.authorise(None, b"secret-a", wanted)


def test_new_secrets_differ_and_are_header_safe():
    one, other = new_secret(), new_secret()
    assert one != other
    assert len(one) > 40
    assert one.isascii()
    assert one.isprintable()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("192.168.0.1", False),
        ("localhost.evil.example", False),
    ],
)
def test_is_loopback(host, expected):
    assert is_loopback(host) is expected


def test_other_addresses_need_keys_or_insecure():
    key = KeyRoute("a", fingerprint("s"), ("predict",))
    with pytest.raises(ConfigError, match="--insecure"):
        require_keys("0.0.0.0", (), insecure=False)
    require_keys("0.0.0.0", (key,), insecure=False)
    require_keys("0.0.0.0", (), insecure=True)
    require_keys("127.0.0.1", (), insecure=False)


def test_the_projects_own_key_may_predict_and_no_more():
    ring = Keyring([KeyRoute("k", fingerprint("x"), ("admin",))], secret="s")
    bearer = b"Bearer " + service_key("s").encode()
    assert ring.authorise(bearer, None, "predict") == "jobs"
    with pytest.raises(Forbidden):
        ring.authorise(bearer, None, "operate")
    with pytest.raises(Unauthenticated):
        ring.authorise(b"Bearer " + service_key("t").encode(), None, "predict")
    assert Keyring((), secret="s").open
