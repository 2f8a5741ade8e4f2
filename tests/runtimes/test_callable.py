"""Python sources as models."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from quorate.core.types import Artifact, TensorSpec
from quorate.errors import FormatRefused, MemberCrashed
from quorate.runtimes.callable import CallableRuntime

MakeCallable = Callable[..., Artifact]


def run(artifact: Artifact, **inputs: np.ndarray) -> list[float]:
    return CallableRuntime().load(artifact).run(inputs)["y"].ravel().tolist()


def test_a_function_is_called_with_its_tensors_by_name(make_callable: MakeCallable, rows: np.ndarray) -> None:
    tensors = (TensorSpec("input", "float32", (None, 4)), TensorSpec("scale", "float32", (None,)))
    source = "def predict(*, scale, input): return input[:, 0] * scale"
    scale = np.arange(5, dtype=np.float32)
    assert run(make_callable(source, tensors=tensors), input=rows, scale=scale) == [0, 4, 16, 36, 64]


def test_a_class_is_constructed_once(make_callable: MakeCallable, rows: np.ndarray) -> None:
    source = """
        from __future__ import annotations
        import dataclasses, pathlib

        @dataclasses.dataclass
        class Model:
            '''Needs its module in sys.modules while it is defined.'''
            calls: int = 0

            def __post_init__(self):
                self.beside = pathlib.Path(__file__).name

            def __call__(self, input):
                assert self.beside == "model.py"
                self.calls += 1
                return input[:, 0] * 0 + self.calls
    """
    session = CallableRuntime().load(make_callable(source, entry="Model"))
    for call in (1, 2):
        assert session.run({"input": rows})["y"][0, 0] == call


def test_nothing_is_left_behind(make_callable: MakeCallable, rows: np.ndarray) -> None:
    path, modules = list(sys.path), set(sys.modules)
    artifact = make_callable(
        "state = []\ndef predict(input):\n    state.append(1)\n    return input[:, 0] + len(state)"
    )
    one, two = CallableRuntime().load(artifact), CallableRuntime().load(artifact)
    assert one.run({"input": rows})["y"][0, 0] == 1
    assert two.run({"input": rows})["y"][0, 0] == 1, "two loads of one source share nothing"
    one.close()
    assert two.run({"input": rows})["y"][0, 0] == 2
    two.close()
    assert sys.path == path
    assert set(sys.modules) == modules
    assert [file.name for file in artifact.folder.iterdir()] == ["model.py"]


def test_planted_bytecode_is_not_run(make_callable: MakeCallable, rows: np.ndarray) -> None:
    import importlib.util
    import py_compile

    artifact = make_callable("def predict(input): return input[:, 0] + 666")
    source = artifact.folder / "model.py"
    py_compile.compile(
        str(source),
        cfile=importlib.util.cache_from_source(str(source)),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    source.write_text("def predict(input): return input[:, 0]")
    assert run(artifact, input=rows) == [0, 4, 8, 12, 16]


@pytest.mark.parametrize(
    ("source", "entry", "error", "told"),
    [
        ("", "predict", FormatRefused, r"names the entry 'predict', but model\.py has no function"),
        ("predict = 5", "predict", FormatRefused, "no function or class with __call__"),
        ("class Model: pass", "Model", FormatRefused, "no function or class with __call__"),
        ("def predict(input): pass", None, FormatRefused, "in the option 'entry'; got None"),
        ("def predict(input): pass", "os.system", FormatRefused, "in the option 'entry'; got 'os.system'"),
        ("def predict(:", "predict", MemberCrashed, "raised SyntaxError"),
        ("import no_such_module", "predict", MemberCrashed, "raised ModuleNotFoundError"),
        ("raise SystemExit(1)", "predict", MemberCrashed, "raised SystemExit: 1"),
        ("class Model:\n    def __init__(self): 1 / 0", "Model", MemberCrashed, "raised ZeroDivisionError"),
        ("class Model:\n    def __init__(self, path): pass", "Model", MemberCrashed, "raised TypeError"),
    ],
)
def test_what_cannot_be_loaded(
    source: str, entry: Any, error: type[Exception], told: str, make_callable: MakeCallable
) -> None:
    modules = set(sys.modules)
    with pytest.raises(error, match=told):
        CallableRuntime().load(make_callable(source, entry=entry))
    assert not {name for name in set(sys.modules) - modules if name.startswith("_quorate")}


def test_more_than_one_source_is_refused(make_callable: MakeCallable) -> None:
    from dataclasses import replace

    artifact = make_callable("def predict(input): pass")
    with pytest.raises(FormatRefused, match=r"exactly one \.py file; got 2"):
        CallableRuntime().load(replace(artifact, files=("model.py", "helper.py")))


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_pure_is_true_or_false(make_callable: MakeCallable, value: object) -> None:
    source = "def predict(input): return input[:, 0]"
    for good in (True, False):
        CallableRuntime().load(make_callable(source, pure=good)).close()
    with pytest.raises(FormatRefused, match=r"sets pure to .*; expected true or false"):
        CallableRuntime().load(make_callable(source, pure=value))
