"""Requests as the generators get them."""

from __future__ import annotations

from pathlib import Path

from benchmarks.harness.requests import Request, save


def test_a_request_is_whole_and_its_expectation_follows_it(tmp_path: Path) -> None:
    request = Request("/a", b"{}", headers={"X-One": "1"}, expect=b"yes")
    raw = request.encode()
    head, _, body = raw.partition(b"\r\n\r\n")
    assert body == b"{}"
    assert head.split(b"\r\n") == [
        b"POST /a HTTP/1.1",
        b"Host: 127.0.0.1",
        b"Content-Type: application/json",
        b"Content-Length: 2",
        b"X-One: 1",
    ]
    saved = save([request, Request("/b", b"")], tmp_path / "deep" / "file").read_bytes()
    assert (
        saved
        == b"%d 3\n" % len(raw)
        + raw
        + b"yes"
        + b"%d 0\n" % len(Request("/b", b"").encode())
        + Request("/b", b"").encode()
    )
