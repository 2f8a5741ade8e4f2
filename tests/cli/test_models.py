"""``quorate models`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.cli import main
from quorate.codecs import state as state_codec
from quorate.core.types import State
from quorate.home import Home
from quorate.store.audit import entries
from quorate.store.database import Database

SOURCE = "import numpy as np\ndef f(input):\n    e = np.exp(input)\n    return e / e.sum(axis=1, keepdims=True)\n"
SIGNATURE = """
input_kind: array
inputs: [{name: input, dtype: float32, shape: [null, 3]}]
output: {kind: scores, classes: [a, b, c]}
"""


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def run(*args: str, code: int = 0) -> tuple[str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["models", *args])
        out, err = capsys.readouterr()
        assert stop.value.code == code, err
        return out, err

    return run


@pytest.fixture
def imported(run: Any) -> Any:
    """Two versions of a callable, the first with an alias."""
    Path("model.py").write_text(SOURCE)
    Path("signature.yaml").write_text(SIGNATURE)
    arguments = ("import", "fn", "model.py", "--signature", "signature.yaml", "--option", "entry=f")
    run(*arguments, "--alias", "champion")
    run(*arguments)
    return run


def onnx(input_name: str = "input") -> bytes:
    helper = pytest.importorskip("onnx").helper
    graph = helper.make_graph(
        [helper.make_node("Softmax", [input_name], ["scores"])],
        "g",
        [helper.make_tensor_value_info(input_name, 1, [None, 3])],
        [helper.make_tensor_value_info("scores", 1, [None, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    data: bytes = model.SerializeToString()
    return data


def softmax(rows: np.ndarray) -> np.ndarray:
    powers = np.exp(rows)
    return powers / powers.sum(axis=1, keepdims=True)


def test_an_empty_registry(run: Any) -> None:
    assert json.loads(run("list", "--json")[0]) == []
    assert run("list")[0].splitlines()[0].split() == ["name", "kind", "format", "newest", "versions", "aliases"]
    assert "no model 'x' in the registry" in run("show", "x", code=2)[1]


def test_list(imported: Any) -> None:
    assert json.loads(imported("list", "--json")[0]) == [
        {
            "name": "fn",
            "kind": "model",
            "format": "callable",
            "newest": 2,
            "versions": [1, 2],
            "aliases": {"champion": 1},
        }
    ]
    assert imported("list")[0].splitlines()[2].split() == ["fn", "model", "callable", "2", "1", "2", "champion:1"]
    versions = json.loads(imported("list", "fn", "--json")[0])
    assert [(row["version"], row["aliases"]) for row in versions] == [(1, ["champion"]), (2, [])]
    assert "UTC" in imported("list", "fn")[0]


def test_show(imported: Any) -> None:
    assert json.loads(imported("show", "fn", "--json")[0])["version"] == 1
    manifest = json.loads(imported("show", "fn:2", "--json")[0])
    assert manifest["signature"]["output"]["classes"] == ["a", "b", "c"]
    text = imported("show", "fn@champion")[0]
    for expected in ("fn:1", "callable", "file model.py", "array: input[N,3] float32", "scores: a, b, c", "champion"):
        assert expected in text


def test_alias(imported: Any) -> None:
    assert json.loads(imported("alias", "fn:2", "champion", "--json")[0]) == {"name": "fn", "aliases": {"champion": 2}}
    assert imported("alias", "fn:1", "shadow")[0].splitlines()[-1].split() == ["fn", "shadow", "1"]
    assert json.loads(imported("alias", "fn", "shadow", "--remove", "--json")[0])["aliases"] == {"champion": 2}
    assert "no alias 'shadow'" in imported("alias", "fn", "shadow", "--remove", code=2)[1]


def test_rm(imported: Any) -> None:
    assert "the alias champion names it" in imported("rm", "fn:1", code=2)[1]
    assert "does not name one version" in imported("rm", "fn", code=2)[1]
    assert json.loads(imported("rm", "fn:2", "--json")[0]) == {"removed": "fn:2", "freed_bytes": 0}
    assert "has no version 2" in imported("show", "fn:2", code=2)[1]


def test_rm_keeps_what_is_served(project: Any, run: Any) -> None:
    project.weights("w", ["a", "b", "c"], [1.0, 1.0, 1.0])
    project.write(project.home.config.read_text().replace("{kind: mean}", "{kind: weighted, state: w}"))
    project.apply()
    project.model("a")
    folder = ("--project", str(project.home.root))
    for served in ("a:1", "b:1", "w:1"):
        assert f"'{served}' cannot be removed: it is being served" in run("rm", served, *folder, code=2)[1]
    assert run("rm", "a:2", *folder)[0].startswith("removed a:2")


def test_import_onnx_with_all_that_can_be_read_from_it(run: Any) -> None:
    rows = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    Path("net.onnx").write_bytes(onnx())
    np.savez("sample.npz", **{"input.input": rows, "output": softmax(rows)})
    out, err = run("import", "net", "net.onnx", "--classes", "a, b,c", "--sample", "sample.npz")
    assert out == "net:1\n"
    assert err.splitlines() == [
        "Format: onnx, by the content of net.onnx.",
        "Signature: input[N,3] float32, as the file says.",
        "Checked against the sample's outputs.",
    ]
    manifest = json.loads(run("import", "net", "net.onnx", "--classes", "a,b,c", "--json")[0])
    assert (manifest["version"], manifest["output_name"]) == (2, "scores")
    assert manifest["signature"]["output"]["classes"] == ["a", "b", "c"]
    np.savez("sample.npz", **{"input.input": rows, "output": softmax(rows)[::-1]})
    _, err = run("import", "net", "net.onnx", "--classes", "a,b,c", "--sample", "sample.npz", code=2)
    assert "does not answer as its reference on 20 held-out rows" in err
    assert "Checked on rows made up" in run("import", "net", "net.onnx", "--classes", "a,b,c")[1]
    np.savez("sample.npz", **{"input.input": rows})
    assert (
        "Checked on the sample's rows"
        in run("import", "net", "net.onnx", "--classes", "a,b,c", "--sample", "sample.npz")[1]
    )


def test_import_with_preprocessing_and_files_of_several_folders(run: Any) -> None:
    Path("net/weights").mkdir(parents=True)
    Path("net/model.py").write_text(SOURCE)
    Path("net/weights/table.json").write_text("[1]")
    Path("steps.json").write_text('[{"kind": "normalise", "scale": 2}]')
    Path("signature.json").write_text(
        json.dumps(
            {
                "input_kind": "array",
                "inputs": [{"name": "input", "dtype": "int64", "shape": [None, 3]}],
                "output": {"kind": "values", "names": ["x"]},
            }
        )
    )
    manifest = json.loads(
        run(
            *("import", "fn", "net/model.py", "net/weights/table.json", "--signature", "signature.json"),
            *("--preprocess", "steps.json", "--classes", "a,b,c", "--option", "entry=f", "--json"),
        )[0]
    )
    assert set(manifest["files"]) == {"model.py", "weights/table.json"}
    assert manifest["preprocess"][0]["kind"] == "normalise"
    assert manifest["signature"]["output"]["kind"] == "scores"
    assert manifest["options"] == {"entry": "f"}


def test_import_of_a_state(run: Any) -> None:
    for name, data in state_codec.encode(State("weighted", 1, {}, {"w": np.ones(2)})).items():
        Path(name).write_bytes(data)
    assert run("import", "w", "state.json", "arrays.npz")[0] == "w:1\n"
    assert json.loads(run("show", "w", "--json")[0])["kind"] == "state"


def test_import_refuses_pickles_with_the_way_out(run: Any) -> None:
    Path("model.onnx").write_bytes(b"\x80\x04N.")
    for more in ([], ["--format", "onnx"]):
        assert "is a Python pickle" in (err := run("import", "m", "model.onnx", *more, code=2)[1])
        assert "skops.io.dump" in err
    assert json.loads(run("list", "--json")[0]) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.py",), "'none.py' cannot be read"),
        (("model.py",), "'model.py' has no top-level function or class None; it defines f"),
        (("model.py", "--option", "entry=f"), "give --signature FILE"),
        (("model.py", "--option", "entry"), "'entry' is not an option; expected key=value"),
        (("model.py", "--option", "entry=["), "option 'entry' is not YAML"),
        (("model.py", "--option", "entry=f", "--signature", "none.yaml"), "none.yaml cannot be read"),
        (("model.py", "--option", "entry=f", "--signature", "broken.yaml"), "broken.yaml is not JSON or YAML"),
        (
            ("model.py", "--option", "entry=f", "--signature", "extra.yaml"),
            "there is no 'inputs[0].unit' in a signature",
        ),
        (("model.py", "--option", "entry=f", "--signature", "words.txt"), "words.txt: Expected `object`"),
        (
            ("model.py", "--option", "entry=f", "--signature", "signature.yaml", "--alias", "Champion"),
            "cannot be an alias",
        ),
    ],
)
def test_import_says_what_is_missing_or_wrong(run: Any, arguments: tuple[str, ...], message: str) -> None:
    Path("model.py").write_text("def f(input): return input")
    Path("words.txt").write_text("some words")
    Path("broken.yaml").write_text("a: [")
    Path("signature.yaml").write_text(SIGNATURE)
    Path("extra.yaml").write_text(SIGNATURE.replace("name: input,", "name: input, unit: m,"))
    assert message in run("import", "m", *arguments, code=2)[1]
    assert json.loads(run("list", "--json")[0]) == []


def test_every_change_is_in_the_audit_trail(imported: Any) -> None:
    imported("alias", "fn:2", "shadow")
    imported("alias", "fn", "shadow", "--remove")
    imported("rm", "fn:2")
    database = Database(Home(Path.cwd()).store_url)
    with database.read() as connection:
        trail = [(e.action, e.subject) for e in reversed(entries(connection))]
    database.close()
    assert trail == [
        ("model.import", "fn:1"),
        ("model.import", "fn:2"),
        ("model.alias", "fn@shadow"),
        ("model.alias", "fn@shadow"),
        ("model.remove", "fn:2"),
    ]
