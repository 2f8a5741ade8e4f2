"""Labels in every form that models come with, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorate.errors import ConfigError
from quorate.training.labels import read_labels

LABELS = ("tench", "great white shark, Carcharodon", "cock")


def test_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_labels("cat, dog,cow") == (("cat", "dog", "cow"), [])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.txt", "tench\ngreat white shark, Carcharodon\ncock\n"),
        ("labels.txt", "\ufefftench\r\ngreat white shark, Carcharodon \r\ncock\r\n\r\n"),
        ("labels", "tench\ngreat white shark, Carcharodon\ncock"),
        ("labels.csv", 'tench\n"great white shark, Carcharodon"\ncock\n'),
        ("labels.csv", 'tench,"great white shark, Carcharodon",cock\n'),
        ("labels.csv", 'index,label\n2,cock\n0,tench\n1,"great white shark, Carcharodon"\n'),
        ("labels.csv", '0,tench\n1,"great white shark, Carcharodon"\n2,cock\n'),
        ("labels.csv", 'Class Name,Class ID\ncock,2\ntench,0\n"great white shark, Carcharodon",1\n'),
        ("labels.json", '["tench", "great white shark, Carcharodon", "cock"]'),
        ("labels.json", '{"2": "cock", "0": "tench", "1": "great white shark, Carcharodon"}'),
        ("labels.json", '{"cock": 2, "tench": 0, "great white shark, Carcharodon": 1}'),
        ("labels.JSON", '{"0": ["n1", "tench"], "1": ["n2", "great white shark, Carcharodon"], "2": ["n3", "cock"]}'),
    ],
)
def test_files(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_bytes(text.encode())
    assert read_labels(str(tmp_path / name)) == (LABELS, [])


def test_numbers_sort_as_numbers(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text("{" + ", ".join(f'"{i}": "class {i}"' for i in reversed(range(12))) + "}")
    assert read_labels(str(path))[0] == tuple(f"class {i}" for i in range(12))


def test_equal_labels_get_their_index(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("crane\nheron\ncrane\n")
    labels, notices = read_labels(str(tmp_path / "labels.txt"))
    assert labels == ("crane (0)", "heron", "crane (2)")
    assert notices == ["Labels that occur more than once got their index: crane."]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("labels.txt", "one", "has 1 label; expected at least two"),
        ("labels.txt", "one\n\ntwo", "Label 1 of .* is empty"),
        ("labels.txt", b"caf\xe9\nth\xe9", "expected text in UTF-8"),
        ("labels.json", "{", "is not JSON"),
        ("labels.json", "3", "is not a list of labels"),
        ("labels.json", '{"a": "b"}', "is not a list of labels"),
        ("labels.json", '["a", 3]', "has '3' where a label belongs"),
        ("labels.json", '{"0": "a", "2": "b"}', "are not 0 to 1, each once; they go from 0 to 2 in 2 rows"),
        ("labels.csv", "1,a\n2,b\n", "go from 1 to 2 in 2 rows"),
        ("labels.csv", "a,b\nc,d\n", "rows of 2 columns; expected one column"),
        ("labels.csv", "a,b,c\nd,e\n", "rows of 2, 3 columns"),
    ],
)
def test_what_is_no_list_of_labels(tmp_path: Path, name: str, text: str | bytes, message: str) -> None:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=message):
        read_labels(str(tmp_path / name))


def test_neither_a_file_nor_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"'labels\.txt' is neither a file nor a list"):
        read_labels("labels.txt")
