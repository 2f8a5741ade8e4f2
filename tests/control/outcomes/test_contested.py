"""Values that were corrected or contradicted, the newest first, and which of them counts."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.codecs.lookup import JournalReader
from quorate.control.outcomes import contested as module
from quorate.control.outcomes.contested import contested


def found(books: Any, *, most: int = 20, endpoint: str = "e") -> list[tuple[str, list[tuple[str, Any, str, bool]]]]:
    with books.database.read() as connection:
        reports = contested(connection, JournalReader(books.home.journal), endpoint, most=most)
    return [
        (each.decision, [(one.source, one.value, one.state, one.counts) for one in each.values]) for each in reports
    ]


def told(books: Any) -> list[str]:
    """Four decisions: agreed on, corrected, contradicted, and of another endpoint."""
    ids = []
    for endpoint in ("e", "e", "e", "other"):
        id_, record = books.decision(endpoint=endpoint)
        books.write(record)
        ids.append(id_)
    agreed, corrected, contradicted, elsewhere = ids
    for decision, truth, source, at in (
        (agreed, "yes", "user", 1000.0),
        (agreed, "yes", "expert", 1001.0),
        (corrected, "yes", "user", 1000.0),
        (corrected, "no", "user", 1002.0),
        (contradicted, "no", "user", 1005.0),
        (contradicted, "yes", "expert", 1001.0),
        (elsewhere, "no", "user", 1000.0),
        (elsewhere, "yes", "user", 1001.0),
    ):
        books.write(books.outcome(decision, truth, source=source, at=at))
    books.ingest.catch_up()
    return ids


def test_what_was_corrected_and_contradicted_is_listed_with_what_counts(books: Any) -> None:
    books.rules("{}")
    _, corrected, contradicted, elsewhere = told(books)
    assert found(books) == [
        (contradicted, [("expert", "yes", "joined", True), ("user", "no", "joined", False)]),
        (corrected, [("user", "yes", "replaced", False), ("user", "no", "joined", True)]),
    ]
    assert [decision for decision, _ in found(books, most=1)] == [contradicted]
    assert [decision for decision, _ in found(books, endpoint="other")] == [elsewhere]


def test_the_rules_of_the_revision_decide(books: Any) -> None:
    books.rules('{"outcomes": {"precedence": ["user", "expert"]}}')
    _, _, contradicted, _ = told(books)
    assert found(books)[0] == (contradicted, [("expert", "yes", "joined", False), ("user", "no", "joined", True)])


def test_only_the_newest_values_are_searched(books: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    books.rules("{}")
    _, _, contradicted, _ = told(books)
    monkeypatch.setattr(module, "NEWEST", 4)  # two of the other endpoint, two of this one
    assert [decision for decision, _ in found(books)] == [contradicted]
