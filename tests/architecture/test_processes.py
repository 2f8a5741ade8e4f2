"""What a process has really imported, asked of a fresh interpreter."""

import json
import subprocess
import sys

import pytest

FORBIDDEN = (
    "sqlalchemy",
    "scipy.stats",
    "pandas",
    "pandera",
    "onnx",
    "sklearn",
    "torch",
    "pydantic",
    "fastapi",
    "pyarrow",
)


def imported_by(statements: str) -> list[str]:
    """Names of the modules that ``statements`` add to a fresh interpreter."""
    report = "print(json.dumps(sorted(set(sys.modules) - before)))"
    program = f"import json, sys\nbefore = set(sys.modules)\n{statements}\n{report}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def forbidden(modules: list[str]) -> list[str]:
    return [m for m in modules if any(m == name or m.startswith(name + ".") for name in FORBIDDEN)]


LOAD_PLUGINS = """
from quorate import plugins
for family in plugins.FAMILIES:
    for name in plugins.names(family):
        plugins.load(family, name)
"""


@pytest.mark.parametrize(
    "statements",
    [
        "import quorate.app, quorate.serving.worker",
        "import quorate.app, quorate.serving.worker" + LOAD_PLUGINS,
        "import quorate.runtimes.host_main",
    ],
    ids=["worker", "worker with every plugin", "host of a callable"],
)
def test_a_worker_imports_nothing_heavy(statements: str) -> None:
    assert not forbidden(imported_by(statements))


def test_a_worker_imports_optional_packages_only_where_they_are_used() -> None:
    roots = {module.partition(".")[0] for module in imported_by("import quorate.app, quorate.serving.worker")}
    assert not roots & {"grpc", "google", "pyarrow", "opentelemetry"}


def test_importing_quorate_imports_nothing_but_the_standard_library() -> None:
    roots = {module.partition(".")[0] for module in imported_by("import quorate")}
    assert roots - set(sys.stdlib_module_names) == {"quorate"}


def test_the_question_finds_a_heavy_import() -> None:
    assert "sqlalchemy" in forbidden(imported_by("import quorate, sqlalchemy"))
    with pytest.raises(AssertionError, match="ModuleNotFoundError"):
        imported_by("import quorate.no_such_module")
