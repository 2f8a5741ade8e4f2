"""Class labels as they come with models: a list typed out, a text file, a CSV table, a JSON list or index."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quorate.errors import ConfigError

PATH = "labels"


def read_labels(given: str) -> tuple[tuple[str, ...], list[str]]:
    """Labels in the order of a model's output, and notices about what was worked out.

    ``given`` names a file or is a list, ``a,b,c``. A file is ``.json`` (a list; an object from index to label, from
    label to index, or from index to ``[id, label]``), ``.csv`` (one label a row; or two columns, one of them the index;
    with or without a header), or else text with one label a line. Equal labels get their index, ``crane (134)``,
    because truths name classes by label. :class:`ConfigError` if it is none of that.
    """
    path = Path(given)
    if not path.is_file():
        if "," in given:
            labels = [part.strip() for part in given.split(",")]
            return _distinct(_checked(labels, given))
        raise ConfigError(f"'{given}' is neither a file nor a list of labels (a,b,c).", path=PATH)
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The labels in {path} cannot be read: {error}; expected text in UTF-8.", path=PATH) from None
    kind = path.suffix.lower()
    found = _json(text, path) if kind == ".json" else _csv(text, path) if kind == ".csv" else text.rstrip().split("\n")
    return _distinct(_checked([label.strip() for label in found], str(path)))


def _checked(labels: Sequence[str], source: str) -> Sequence[str]:
    if len(labels) < 2:
        raise ConfigError(f"{source} has {len(labels)} label; expected at least two.", path=PATH)
    if "" in labels:
        raise ConfigError(
            f"Label {labels.index('')} of {source} is empty; every output of the model needs one.", path=PATH
        )
    return labels


def _distinct(labels: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    counts = Counter(labels)
    twice = [label for label, count in counts.items() if count > 1]
    if not twice:
        return tuple(labels), []
    numbered = tuple(f"{label} ({index})" if counts[label] > 1 else label for index, label in enumerate(labels))
    return numbered, [f"Labels that occur more than once got their index: {', '.join(twice[:5])}."]


def _json(text: str, path: Path) -> list[str]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}.", path=PATH) from None
    if isinstance(document, list):
        return [_label(value, path) for value in document]
    if isinstance(document, dict):
        if all(isinstance(value, int) and not isinstance(value, bool) for value in document.values()):
            return _ordered([(value, label) for label, value in document.items()], path)
        if all(key.strip().isdecimal() for key in document):
            return _ordered([(int(key), _label(value, path)) for key, value in document.items()], path)
    raise ConfigError(
        f"{path} is not a list of labels; expected [label, …], {{index: label, …}} or {{label: index, …}}.", path=PATH
    )


def _label(value: Any, path: Path) -> str:
    if isinstance(value, list) and value:  # Keras: {"0": ["n01440764", "tench"], …}
        value = value[-1]
    if not isinstance(value, str):
        raise ConfigError(f"{path} has {str(value)[:50]!r} where a label belongs; expected text.", path=PATH)
    return value


def _csv(text: str, path: Path) -> list[str]:
    rows = [row for row in csv.reader(text.splitlines(), skipinitialspace=True) if row]
    if len(rows) == 1:
        return rows[0]
    widths = {len(row) for row in rows}
    if widths == {1}:
        return [row[0] for row in rows]
    if widths == {2}:
        for column in (0, 1):
            body = rows if rows[0][column].strip().isdecimal() else rows[1:]  # a header has no number there
            if all(row[column].strip().isdecimal() for row in body):
                return _ordered([(int(row[column]), row[1 - column]) for row in body], path)
    raise ConfigError(
        f"{path} has rows of {', '.join(map(str, sorted(widths)))} columns; expected one column of labels, or an index "
        "from 0 and a label.",
        path=PATH,
    )


def _ordered(pairs: list[tuple[int, str]], path: Path) -> list[str]:
    pairs.sort()
    if [index for index, _ in pairs] != list(range(len(pairs))):
        first, last = (pairs[0][0], pairs[-1][0]) if pairs else (0, 0)
        raise ConfigError(
            f"The indexes in {path} are not 0 to {len(pairs) - 1}, each once; they go from {first} to {last} in "
            f"{len(pairs)} rows.",
            path=PATH,
        )
    return [label for _, label in pairs]
