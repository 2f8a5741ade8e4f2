"""``quorate doctor`` and ``quorate endpoints`` on projects that are well and that are not."""

from __future__ import annotations

import json
import os
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from quorate.cli import _checks, doctor, endpoints
from quorate.cli._checks import examine
from quorate.cli._patient import Finding, Patient
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.telemetry.counters import Counters


def _findings(project: Any, area: str, *levels: str) -> list[Finding]:
    levels = levels or ("warn", "fail")
    return [found for found in examine(project.home) if found.area == area and found.level in levels]


def _one(project: Any, area: str, level: str) -> Finding:
    [finding] = _findings(project, area)
    assert finding.level == level
    assert finding.remedy
    return finding


def _invoke(command: Any, *args: str) -> Any:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, list(args))


@pytest.fixture
def well(project: Any) -> Any:
    """A project that was applied, with ports nobody uses."""
    with socket.socket() as one, socket.socket() as other, socket.socket() as third:
        for free in (one, other, third):
            free.bind(("127.0.0.1", 0))
        ports = [free.getsockname()[1] for free in (one, other, third)]
    listen = f"port: {ports[0]}, control_port: {ports[1]}, console_port: {ports[2]}"
    project.write(project.home.config.read_text() + f"server: {{{listen}}}\n")
    project.apply()
    return project


def test_a_sound_project_is_well(well: Any) -> None:
    bad = [found for found in examine(well.home) if found.level != "ok"]
    assert [found for found in bad if "disk" not in found.finding] == []
    areas = {found.area for found in examine(well.home)}
    assert areas == {
        "installation",
        "project",
        "registry",
        "store",
        "snapshot",
        "journal",
        "telemetry",
        "pools",
        "ports",
        "permissions",
    }


def test_looking_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "quorate.yaml").write_text("pools: {}\nendpoints: {}\n")
    list(examine(_checks.Home(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["quorate.yaml"]


def test_exit_code_and_text(well: Any) -> None:
    fine = _invoke(doctor.command, "--project", str(well.home.root))
    assert fine.exit_code == 0, fine.output
    well.write("pools: 1\n")
    sick = _invoke(doctor.command, "--project", str(well.home.root))
    assert sick.exit_code == 1
    assert "fail  project       quorate.yaml:1:" in sick.output
    assert "→" in sick.output


def test_json(well: Any) -> None:
    report = json.loads(_invoke(doctor.command, "--json", "--project", str(well.home.root)).output)
    assert report["ok"] is True
    assert {"area", "level", "finding", "remedy"} == set(report["findings"][0])


def test_every_problem_of_the_configuration_has_its_line(well: Any) -> None:
    well.write("pools:\n  letters: {task: guessing, members: [a]}\nendpoints:\n  main: {pool: letters}\n")
    found = _findings(well, "project")
    assert [finding.finding.split(": ")[0] for finding in found] == ["quorate.yaml:2", "quorate.yaml:4"]


def test_a_missing_configuration_or_member_fails(well: Any) -> None:
    well.write(well.home.config.read_text().replace("[a, b, c]", "[a, b, nobody]"))
    assert "nobody" in _findings(well, "project", "fail")[0].finding
    well.home.config.unlink()
    assert "no quorate.yaml" in _one(well, "project", "fail").finding


def test_what_is_not_applied_yet_is_told(well: Any) -> None:
    well.write(well.home.config.read_text().replace("quorum: 2", "quorum: 1"))
    assert "quorate apply" in _one(well, "project", "warn").remedy


def test_a_damaged_blob_and_manifest_fail(well: Any) -> None:
    digest = next(iter(well.registry.manifest("b").files.values()))
    blob = well.home.registry / "blobs" / digest[:2] / digest
    blob.chmod(0o644)
    blob.write_bytes(b"other")
    assert "b:1: " in _one(well, "registry", "fail").finding
    blob.unlink()
    (well.home.registry / "models" / "c" / "versions" / "1.json").write_text("{")
    assert len(_findings(well, "registry", "fail")) == 2
    assert "b:1" in _one(well, "snapshot", "fail").finding


def test_the_store(well: Any) -> None:
    well.database.close()
    file = well.database.file
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    raw = bytearray(file.read_bytes())
    file.write_bytes(b"not a database" * 500)
    assert "cannot be used" in _one(well, "store", "fail").finding
    raw[5 * 4096 : 6 * 4096] = b"\xff" * 4096
    file.write_bytes(raw)
    assert _findings(well, "store", "fail")
    file.unlink()
    assert "no store" in _one(well, "store", "warn").finding


def test_a_store_of_a_newer_release_fails(well: Any) -> None:
    with well.database.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert "9999" in _one(well, "store", "fail").finding


def test_a_snapshot_that_cannot_be_read_fails(well: Any) -> None:
    (well.home.snapshot / "routing-1.json").write_text("{")
    assert "quorate apply" in _one(well, "snapshot", "fail").remedy


def test_the_journal(well: Any) -> None:
    folder = well.home.journal / "0"
    folder.mkdir(parents=True)
    records = [encode_record(RecordKind.DECISION, i, b"payload" * 9, 7) for i in range(5)]
    whole = encode_header(Header(0, 1, 0, 0, 7)) + b"".join(records)
    path = folder / segment_name(1, 0)
    path.write_bytes(whole)
    assert "5 records in 1 segments." in _findings(well, "journal", "ok")[0].finding
    path.write_bytes(whole[:-3])
    assert "4 records in 1 segments; 1 end in a torn record" in _findings(well, "journal", "ok")[0].finding
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    path.write_bytes(damaged)
    assert f"{len(records[0])} damaged bytes" in _findings(well, "journal", "fail")[0].finding


def test_a_full_disk(well: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("usage", (), {})
    for free, level in ((50 << 20, "fail"), (500 << 20, "warn"), (5 << 30, "ok")):
        usage.free = free
        monkeypatch.setattr(_checks.shutil, "disk_usage", lambda _: usage)
        assert [f.level for f in _checks.journals(Patient(well.home)) if "disk" in f.finding] == [level]


def test_a_used_port(well: Any) -> None:
    port = Patient(well.home).config.spec.server.port
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        assert str(port) in _one(well, "ports", "warn").finding
        well.home.run.mkdir(exist_ok=True)
        (well.home.run / "supervisor.pid").write_text(str(os.getpid()))
        assert _findings(well, "ports") == []


def test_threads_and_lanes_are_shown(well: Any) -> None:
    def said() -> str:
        [found] = _findings(well, "pools", "ok")
        return found.finding

    assert said() == "letters: no worker runs, so nothing is measured now."
    with closing(Counters(well.home.telemetry / "worker-0.qt")) as counters:
        counters.gauge("quorate_pool_resident", pool="letters").set(0)
        assert "not in memory" in said()
        for name, value in (("resident", 1), ("threads", 2), ("lanes", 1)):
            counters.gauge(f"quorate_pool_{name}", pool="letters").set(value)
        assert (
            said() == "letters: 2 threads a run, 1 at once (its members run in processes of their own; lanes by cores)."
        )
        for threads, seconds in (("1", 0.02), ("2", 0.0112)):
            counters.gauge("quorate_pool_tried_seconds", pool="letters", threads=threads).set(seconds)
        assert said() == (
            "letters: 2 threads a run, 1 at once (threads measured: 20 ms with 1, 11.2 ms with 2; lanes by cores)."
        )
        well.write(well.home.config.read_text().replace("[a, b, c]}", "[a, b, c], threads: 2, lanes: 1}"))
        well.apply()
        assert "threads declared" in said()
        assert "lanes declared" in said()


def test_permissions(well: Any) -> None:
    well.home.config.chmod(0o666)
    assert "quorate.yaml" in _one(well, "permissions", "warn").finding


def test_telemetry_that_cannot_be_read(well: Any) -> None:
    well.home.telemetry.mkdir()
    (well.home.telemetry / "worker-0.qt").write_bytes(b"x")
    assert "worker-0.qt" in _one(well, "telemetry", "warn").finding


def test_packages(well: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        _checks.importlib.metadata,
        "requires",
        lambda _: [
            "numpy>=99",
            "nowhere-to-be-found>=1",
            "scikit-learn>=99; extra == 'train'",
            "absent; extra == 'train'",
        ],
    )
    found = {
        finding.finding.split()[0]: finding.level
        for finding in _findings(well, "installation")
        if "is" in finding.finding
    }
    assert found == {"numpy": "fail", "The": "fail", "scikit-learn": "warn"}


def test_a_format_whose_packages_are_missing_fails(well: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_checks.FORMAT_NEEDS, "callable", (("nowhere_to_be_found",), "train"))
    finding = _one(well, "installation", "fail")
    assert "nowhere_to_be_found" in finding.finding
    assert "quorate[train]" in finding.remedy


def test_a_check_that_fails_is_a_finding(well: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(patient: Patient) -> Any:
        raise RuntimeError("oh")
        yield

    monkeypatch.setattr(_checks, "CHECKS", (broken, _checks.permissions))
    found = list(examine(well.home))
    assert [finding.level for finding in found] == ["fail", "ok"]
    assert "RuntimeError: oh" in found[0].finding


def test_endpoints(well: Any) -> None:
    where = ("--project", str(well.home.root), "--json")
    [row] = json.loads(_invoke(endpoints.command, *where).output)
    assert (row["endpoint"], row["revision"], row["strategies"]) == ("main", 1, "average, best")
    well.write(well.home.config.read_text().replace("quorum: 2", "quorum: 1"))
    well.apply()
    rows = json.loads(_invoke(endpoints.command, "main", *where).output)
    assert [(row["revision"], row["served"]) for row in rows] == [(2, True), (1, False)]
    assert _invoke(endpoints.command, "nobody", *where).exit_code == 1


def test_endpoints_before_anything_was_applied(project: Any) -> None:
    assert json.loads(_invoke(endpoints.command, "--project", str(project.home.root), "--json").output) == []
