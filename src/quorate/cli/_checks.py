"""What ``quorate doctor`` looks at; every check reads only, and says what to do about what it finds."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from quorate.cli._capture_checks import captures
from quorate.cli._patient import Finding, Level, Patient
from quorate.cli._running_checks import pools, ports, telemetry
from quorate.codecs import journal, snapshot
from quorate.codecs.lookup import INDEX, OUTCOMES
from quorate.codecs.sidecar import Sidecar
from quorate.control.journal.keeping import Kept
from quorate.control.revisions.apply import read_config
from quorate.control.revisions.diff import diff
from quorate.control.revisions.resolve import resolve
from quorate.errors import QuorateError, StoreError
from quorate.home import Home
from quorate.launch import CONSOLE_NEEDS
from quorate.registry.manifest import Manifest
from quorate.spec import ConfigProblems
from quorate.store.database import schema_versions

FORMAT_NEEDS = {"skops": (("skops", "sklearn"), "train"), "tflite": (("ai_edge_litert",), "tflite")}
"""Artifact format -> modules that load it, and the extra that brings them."""
LOW_DISK = 1 << 30
NO_DISK = 100 << 20


def installation(patient: Patient) -> Iterator[Finding]:
    """Python, and the packages we need in versions we can use."""
    area = "installation"
    wrong = list(_wrong_packages())
    yield from wrong
    for form, (modules, extra) in FORMAT_NEEDS.items():
        users = [m.ref for m in patient.manifests if isinstance(m, Manifest) and m.format == form]
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        if users and missing:
            what = f"{users[0]} has the format {form}, and {', '.join(missing)} is not installed."
            yield Finding(area, "fail", what, f"pip install 'quorate[{extra}]'.")
            wrong.append(Finding(area, "fail", what))
    absent = [name for name in CONSOLE_NEEDS if importlib.util.find_spec(name) is None]
    if absent and (patient.config is None or patient.config.spec.server.console):
        what = f"There is no page: {', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed."
        yield Finding(area, "warn", what, "pip install 'quorate[console]', or set server.console to false.")
    if not wrong:
        release = importlib.metadata.version("quorate")
        yield Finding(
            area, "ok", f"Quorate {release} on Python {platform.python_version()}; every package it needs is there."
        )


def _wrong_packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    needed = importlib.metadata.metadata("quorate")["Requires-Python"]
    if not SpecifierSet(needed).contains(platform.python_version(), prereleases=True):
        yield Finding("installation", "fail", f"Python must be {needed}.", "Make the environment with another Python.")
    for line in importlib.metadata.requires("quorate") or ():
        requirement = Requirement(line)
        # An extra is optional, but what is installed of it must fit all the same.
        optional = requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})
        if optional and not any(requirement.marker.evaluate({"extra": e}) for e in _extras()):  # type: ignore[union-attr]
            continue
        remedy = f"pip install '{requirement.name}{requirement.specifier}'."
        try:
            found = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            if not optional:
                yield Finding("installation", "fail", f"The package {requirement.name} is missing.", remedy)
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            what = f"{requirement.name} {found} is installed; {requirement.specifier} is needed."
            yield Finding("installation", "warn" if optional else "fail", what, remedy)


def _extras() -> list[str]:
    return importlib.metadata.metadata("quorate").get_all("Provides-Extra") or []


def project(patient: Patient) -> Iterator[Finding]:
    """The configuration, against itself, against the registry, and against what is served."""
    area, home = "project", patient.home
    try:
        config, _ = read_config(home)
        resolved = resolve(config, patient.registry)
    except ConfigProblems as error:
        for problem in error.problems:
            yield Finding(area, "fail", str(problem), "Correct it; `quorate check` says when it is right.")
        return
    except QuorateError as error:
        yield Finding(area, "fail", str(error), "Run `quorate doctor --project FOLDER` for another folder.")
        return
    for notice in resolved.notices:
        yield Finding(area, "warn", notice, "Nothing, if that is meant.")
    endpoints = len(config.spec.endpoints)
    yield Finding(area, "ok", f"{home.config.name} is right; it has {endpoints} endpoint{'s' * (endpoints != 1)}.")
    if patient.database.version() == schema_versions()[-1] and diff(home, patient.registry, patient.database):
        yield Finding(
            area, "warn", "quorate.yaml is not what is served.", "`quorate diff` shows it, `quorate apply` ends it."
        )


def registry(patient: Patient) -> Iterator[Finding]:
    """Every manifest can be read, and every byte is what was stored."""
    area, good, bad = "registry", 0, 0
    for manifest in patient.manifests:
        try:
            if isinstance(manifest, QuorateError):
                raise manifest
            for digest in {*manifest.files.values(), *([manifest.sample] if manifest.sample else ())}:
                patient.registry.read_blob(digest)
            good += 1
        except QuorateError as error:
            bad += 1
            where = f"{manifest.ref}: " if isinstance(manifest, Manifest) else ""
            yield Finding(
                area, "fail", f"{where}{error}", "Restore .quorate/registry from a backup, or register it again."
            )
    if not bad:
        yield Finding(area, "ok", f"{good} model version{'s' * (good != 1)}, every file as it was stored.")


def store(patient: Patient) -> Iterator[Finding]:
    """The schema is ours, and SQLite finds the file sound."""
    area, database = "store", patient.database
    try:
        version = database.version()
    except StoreError as error:
        yield Finding(area, "fail", str(error), "Restore the store from a backup, or see who locks it.")
        return
    if version is None:
        yield Finding(area, "warn", "There is no store yet.", "`quorate apply` makes it.")
        return
    known = schema_versions()
    if version not in known:
        yield Finding(area, "fail", f"Its schema is {version}; this release knows {known[-1]}.", "Upgrade Quorate.")
        return
    if version != known[-1]:
        yield Finding(
            area, "warn", f"Its schema is {version}, not {known[-1]}.", "The next `quorate apply` upgrades it."
        )
    if database.file is not None:
        with closing(sqlite3.connect(f"file:{database.file}?mode=ro", uri=True)) as connection:
            try:
                verdict = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
            except sqlite3.DatabaseError as error:
                verdict = str(error)
        if verdict != "ok":
            yield Finding(area, "fail", f"{database.file.name} is damaged: {verdict}.", "Restore it from a backup.")
            return
    yield Finding(area, "ok", f"Schema {version}, sound.")


def published(patient: Patient) -> Iterator[Finding]:
    """The snapshot can be read, and the registry has what it serves."""
    area = "snapshot"
    try:
        if snapshot.current_version(patient.home.snapshot) is None:
            yield Finding(area, "warn", "Nothing was applied yet.", "`quorate apply` or `quorate serve` does it.")
            return
        routing = snapshot.read(patient.home.snapshot)
    except (QuorateError, OSError, ValueError) as error:
        yield Finding(area, "fail", f"It cannot be read: {error}", "`quorate apply` writes it again.")
        return
    missing = [
        f"{member.name}:{member.version}"
        for pool in routing.pools
        for member in pool.members
        if not all(patient.registry.blobs.has(digest) for digest in member.files.values())
    ]
    for ref in missing:
        yield Finding(area, "fail", f"It serves {ref}, whose files are gone.", "Restore the registry from a backup.")
    if not missing:
        served = ", ".join(f"{e.name} (revision {e.revision})" for e in routing.endpoints) or "no endpoint"
        yield Finding(area, "ok", f"Version {routing.version} serves {served}.")


def journals(patient: Patient) -> Iterator[Finding]:
    """Segments without damage, and room for more."""
    area, folder = "journal", patient.home.journal
    records = segments = torn = 0
    for path in sorted(folder.glob("*/*.qj")):
        segments += 1
        try:
            scan = journal.scan(path)
            records += sum(1 for _ in scan)
        except (QuorateError, OSError) as error:
            yield Finding(area, "fail", f"{path.parent.name}/{path.name}: {error}", "Restore it, or move it away.")
            continue
        torn += scan.tail > 0
        if scan.damage:
            lost = sum(damage.length for damage in scan.damage)
            what = f"{path.parent.name}/{path.name} has {lost} damaged bytes; what is around them is read."
            yield Finding(area, "fail", what, "See to the disk; a backup may have these bytes.")
    yield from _kept(patient.home)
    torn_note = f"; {torn} end in a torn record, as after a crash or while writing" if torn else ""
    yield Finding(area, "ok", f"{records} records in {segments} segments{torn_note}.")
    free = shutil.disk_usage(_existing(folder)).free
    level: Level = "fail" if free < NO_DISK else "warn" if free < LOW_DISK else "ok"
    yield Finding(area, level, f"{free / 2**30:.1f} GiB of disk are free.", "" if level == "ok" else "Make room.")


def _kept(home: Home) -> Iterator[Finding]:
    """Compacted files whose index can be read, and whether shipping works."""
    area, kept, good = "journal", Kept.read(home), 0
    for path in sorted(home.journal.glob("*/*.parquet")):
        if path.name.endswith(OUTCOMES):
            continue
        index = path.with_suffix(INDEX)
        try:
            Sidecar(index.read_bytes())
            good += 1
        except (QuorateError, OSError) as error:
            yield Finding(area, "fail", f"{path.parent.name}/{index.name}: {error}", "Restore it from a backup.")
    if good:
        yield Finding(area, "ok", f"{good} compacted files.")
    if kept.ship_error is not None:
        what = f"Shipping fails ({kept.ship_failures} times so far, {kept.aside} files set aside): {kept.ship_error}"
        yield Finding(
            area, "warn", what, "See to the target; it is tried again by itself, or by `quorate journal ship`."
        )
    if kept.held:
        what = f"{kept.held} files should be deleted but are pinned or not shipped."
        yield Finding(area, "warn", what, "`quorate journal status` shows the pins.")


def permissions(patient: Patient) -> Iterator[Finding]:
    """We can write where we must, and nobody else can."""
    area, home, bad = "permissions", patient.home, 0
    state = _existing(home.state)
    if not os.access(state, os.W_OK | os.X_OK):
        bad += 1
        yield Finding(area, "fail", f"{state} cannot be written.", "Run as its owner, or change its permissions.")
    for path in (home.config, home.state):
        if path.exists() and path.stat().st_mode & stat.S_IWOTH:
            bad += 1
            what = f"Everybody on this machine may change {path.name}, and with it what is served."
            yield Finding(area, "warn", what, f"chmod o-w {path}")
    if not bad:
        yield Finding(area, "ok", "State can be written, and not by everybody.")


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


CHECKS: tuple[Callable[[Patient], Iterator[Finding]], ...] = (
    installation,
    project,
    registry,
    store,
    published,
    journals,
    captures,
    telemetry,
    pools,
    ports,
    permissions,
)


def examine(home: Home) -> Iterator[Finding]:
    """All findings; a check that itself fails is one, and the next goes on."""
    patient = Patient(home)
    try:
        for check in CHECKS:
            try:
                yield from check(patient)
            except Exception as error:
                what = f"This could not be looked at: {type(error).__name__}: {error}."
                yield Finding(check.__name__, "fail", what, "Mend what the message says.")
    finally:
        patient.database.close()
