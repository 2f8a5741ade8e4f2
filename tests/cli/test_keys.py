"""``quorate keys`` from the command line."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from quorate.cli import main
from quorate.codecs import snapshot


def _run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(args)
    out, err = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out, err


def test_only_the_secret_is_on_stdout(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    project.apply()
    code, out, err = _run(
        capsys,
        "keys",
        "create",
        "my app",
        "--role",
        "predict",
        "--role",
        "outcome",
        "--project",
        str(project.home.root),
    )
    assert code == 0
    assert out.startswith("qk_")
    assert "shown this once" in err
    [key] = snapshot.read(project.home.snapshot).keys
    assert (key.sha256, key.roles) == (hashlib.sha256(out.strip().encode()).hexdigest(), ("predict", "outcome"))


def test_list_and_revoke(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(project.home.root)
    made = json.loads(_run(capsys, "keys", "create", "a", "--role", "admin", "--json", "--project", folder)[1])
    _run(capsys, "keys", "create", "b", "--role", "predict", "--project", folder)
    assert _run(capsys, "keys", "revoke", made["id"], "--project", folder)[:2] == (0, f"{made['id']} (a) is revoked.\n")
    code, out, _ = _run(capsys, "keys", "list", "--json", "--project", folder)
    assert code == 0
    found = {key["name"]: (key["roles"], key["revoked"] is None) for key in json.loads(out)}
    assert found == {"a": ("admin", False), "b": ("predict", True)}
    assert made["secret"] not in out


def test_the_last_key_needs_a_flag(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(project.home.root)
    made = json.loads(_run(capsys, "keys", "create", "a", "--role", "admin", "--json", "--project", folder)[1])
    code, _, err = _run(capsys, "keys", "revoke", made["id"], "--project", folder)
    assert code == 2
    assert "--leave-none" in err
    assert _run(capsys, "keys", "revoke", made["id"], "--leave-none", "--project", folder)[0] == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("create", "a", "--role", "root"), "got root"),
        (("create", "a"), "--role"),
        (("revoke", "key-0"), "There is no key 'key-0'"),
    ],
)
def test_mistakes_are_exit_code_2(
    project: Any, capsys: pytest.CaptureFixture[str], args: tuple[str, ...], words: str
) -> None:
    code, out, err = _run(capsys, "keys", *args, "--project", str(project.home.root))
    assert (code, out) == (2, "")
    assert words in err
