from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from quorate.errors import IntegrityError, RegistryError
from quorate.registry.blobs import BlobStore, check_names, digest_of


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "registry")


def blob(store: BlobStore, digest: str) -> Path:
    return store.root / "blobs" / digest[:2] / digest


def damage(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"X" + path.read_bytes()[1:])


def test_put_names_bytes_by_their_sha256(store: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"weights" * 400_000)
    assert store.put(source) == hashlib.sha256(source.read_bytes()).hexdigest()
    assert store.read(store.put(b"abc")) == b"abc"
    assert store.put(b"") == hashlib.sha256().hexdigest()
    assert not list((store.root / "temporary").iterdir())


def test_put_of_known_bytes_keeps_one_file_and_renews_its_age(store: BlobStore) -> None:
    digest = store.put(b"abc")
    os.utime(blob(store, digest), (0, 0))
    assert store.put(b"abc") == digest
    assert blob(store, digest).stat().st_mtime > 0
    assert len(list((store.root / "blobs").glob("*/*"))) == 1


def test_put_heals_a_damaged_blob(store: BlobStore) -> None:
    digest = store.put(b"abc")
    damage(blob(store, digest))
    store.put(b"abc")
    assert store.read(digest) == b"abc"


def test_read_refuses_damaged_and_missing_blobs(store: BlobStore) -> None:
    digest = store.put(b"abc")
    damage(blob(store, digest))
    with pytest.raises(IntegrityError, match=f"blob {digest} is corrupted"):
        store.read(digest)
    with pytest.raises(IntegrityError, match="is missing"):
        store.read("0" * 64)


@pytest.mark.parametrize("digest", ["", "abc", "../" * 21 + "x", "A" * 64, "0" * 63 + "\n"])
def test_what_is_no_digest_never_becomes_a_path(store: BlobStore, digest: str) -> None:
    with pytest.raises(IntegrityError, match="not a blob's digest"):
        store.read(digest)


def test_checkout_has_the_files_under_their_names(store: BlobStore) -> None:
    files = {"model.onnx": store.put(b"graph"), "weights/a.bin": store.put(b"a"), "weights/b.bin": store.put(b"a")}
    folder = store.checkout(files)
    assert folder == store.root / "checkouts" / digest_of(files)
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert found == {"model.onnx": b"graph", "weights/a.bin": b"a", "weights/b.bin": b"a"}
    assert (folder / "model.onnx").stat().st_ino == blob(store, files["model.onnx"]).stat().st_ino
    assert store.checkout(files) == folder


def test_checkout_copies_where_links_fail(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    files = {"model.onnx": store.put(b"graph")}
    path = store.checkout(files) / "model.onnx"
    assert path.read_bytes() == b"graph"
    assert path.stat().st_ino != blob(store, files["model.onnx"]).stat().st_ino
    damage(path)
    assert (store.checkout(files) / "model.onnx").read_bytes() == b"graph"  # rebuilt from the sound blob


def test_a_damaged_file_is_never_served_and_is_named(store: BlobStore) -> None:
    files = {"model.onnx": store.put(b"graph"), "weights.bin": store.put(b"weights")}
    damage(blob(store, files["weights.bin"]))
    with pytest.raises(IntegrityError, match=r"model file 'weights\.bin' is corrupted"):
        store.checkout(files)
    assert not (store.root / "checkouts" / digest_of(files)).exists()


def test_damage_after_the_first_checkout_is_found_at_the_next(store: BlobStore) -> None:
    files = {"model.onnx": store.put(b"graph")}
    damage(store.checkout(files) / "model.onnx")  # a hard link: the blob is damaged too
    with pytest.raises(IntegrityError, match=r"model file 'model\.onnx' is corrupted"):
        store.checkout(files)
    store.put(b"graph")
    assert (store.checkout(files) / "model.onnx").read_bytes() == b"graph"


def test_checkout_names_a_missing_file(store: BlobStore) -> None:
    with pytest.raises(IntegrityError, match=r"model file 'model\.onnx' is missing"):
        store.checkout({"model.onnx": "0" * 64})
    assert not list((store.root / "temporary").iterdir())


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "/etc/passwd",
        "../up",
        "a/../b",
        "a//b",
        "a/",
        ".hidden",
        "-flag",
        "a\\b",
        "a\0b",
        "C:x",
        "a b",
        "ä",
    ],
)
def test_names_that_could_leave_the_folder_are_refused(store: BlobStore, name: str) -> None:
    with pytest.raises(RegistryError, match="cannot be a model's file name"):
        store.checkout({name: store.put(b"x")})


def test_a_name_cannot_be_a_file_and_a_folder() -> None:
    with pytest.raises(RegistryError, match="'a' cannot be both"):
        check_names({"a/b/c": 1, "a": 1})
    with pytest.raises(RegistryError, match="at least one file"):
        check_names({})


def test_the_map_digest_covers_names_and_bytes() -> None:
    one = {"a": "0" * 64, "b": "1" * 64}
    assert digest_of(one) == digest_of(dict(reversed(one.items())))
    assert len({digest_of(one), digest_of({"a": "1" * 64, "b": "0" * 64}), digest_of({"a": "0" * 64})}) == 3


def test_a_full_disk_is_said_and_leaves_nothing(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store.put(b"before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RegistryError, match=r"could not be written \(No space left on device\)"):
        store.put(b"after")
    monkeypatch.undo()
    assert len(list((store.root / "blobs").glob("*/*"))) == 1
    assert not list((store.root / "temporary").iterdir())


def test_collect_keeps_what_is_live_or_young(store: BlobStore) -> None:
    live, young, old = store.put(b"live"), store.put(b"young"), store.put(b"old!")
    for digest in (live, old):
        os.utime(blob(store, digest), (1000, 1000))
    kept, dropped = store.checkout({"f": live}), store.checkout({"f": old})
    for folder in (kept, dropped):
        os.utime(folder, (1000, 1000))
    (store.root / "temporary" / "left").write_bytes(b"by a killed process")
    os.utime(store.root / "temporary" / "left", (1000, 1000))
    assert store.collect({live}, before=2000) == 4
    assert store.has(live)
    assert store.has(young)
    assert not store.has(old)
    assert kept.exists()
    assert not dropped.exists()
    assert not list((store.root / "temporary").iterdir())
