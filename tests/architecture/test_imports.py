"""Imports point downward: levels, siblings, cycles and purity, read from the source, in-function imports included."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import quorate

ROOT = Path(quorate.__file__).parent

# Modules directly under src/quorate. Those of one level belong together, like the modules of a package.
MODULES = {"errors": 0, "clock": 0, "ids": 0, "plugins": 0, "home": 0, "sqlite": 0, "__main__": 8}
MODULES |= {"app": 6, "auditing": 6, "explaining": 6, "launch": 6, "welcome": 6, "api": 6}
PACKAGES = {
    "core": 1,
    "spec": 1,
    "preprocess": 2,
    "codecs": 2,
    "runtimes": 2,
    "backends": 2,
    "registry": 2,
    "store": 2,
    "telemetry": 2,
    "web": 3,
    "client": 3,
    "serving": 4,
    "training": 4,
    "control": 4,
    "engines": 5,
    "console": 5,
    "cli": 7,
    "testing": 7,
}
API_LEVEL = 6

# What a worker process never imports, and the modules that a worker process runs.
HEAVY = ("sqlalchemy", "alembic", "scipy", "pandas", "pandera", "onnx", "sklearn", "skl2onnx", "skops", "torch")
HEAVY += ("pydantic", "fastapi")
WORKER = ("serving", "codecs", "preprocess", "web", "core.combine", "core.plan", "core.select", "core.types")
WORKER += ("core.rules", "core.facts", "core.distance", "core.outcomes", "core.value", "core.erasing", "backends")
WORKER += (
    "runtimes.base",
    "runtimes.onnx",
    "runtimes.host",
    "registry.blobs",
    "errors",
    "clock",
    "ids",
    "plugins",
    "home",
    "sqlite",
)

IMPURE = {"asyncio", "concurrent", "datetime", "glob", "io", "logging", "mmap", "multiprocessing", "os", "random"}
IMPURE |= {"select", "shutil", "signal", "socket", "subprocess", "tempfile", "threading", "time", "urllib"}


class Import(NamedTuple):
    """``module`` imports ``target``; ``function`` is the innermost function it does so in, or ``TYPE_CHECKING``."""

    module: str
    target: str
    line: int
    function: str | None

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def sources(root: Path) -> dict[str, Path]:
    """Dotted name to file, for the package in ``root``."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(root: Path) -> list[Import]:
    """Every import statement and ``import_module("…")`` below ``root``, targets resolved to modules."""
    files = sources(root)
    return [found for name, path in files.items() for found in _of_module(name, path, files)]


def _of_module(name: str, path: Path, files: dict[str, Path]) -> Iterator[Import]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]

    def visit(node: ast.AST, function: str | None) -> Iterator[Import]:
        for target in _targets(node, package):
            # `from package import name` means the module package.name where there is one, else something in package.
            module = target if target in files or not target.startswith(root_name + ".") else target.rpartition(".")[0]
            yield Import(name, module, getattr(node, "lineno", 0), function)
        inner = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else function
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            inner = "TYPE_CHECKING"
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inner)

    root_name = name.partition(".")[0]
    yield from visit(ast.parse(path.read_text("utf-8")), None)


def _targets(node: ast.AST, package: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        ancestors = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        base = ".".join([*ancestors, *([node.module] if node.module else [])])
        return [f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
            return [node.args[0].value]
    return []


def place(module: str) -> tuple[int, str]:
    """Level and unit of a module; :class:`KeyError` for one that the tables do not know."""
    _, _, rest = module.partition(".")
    top = rest.partition(".")[0]
    if not top:
        return 0, "the package itself"
    if top in MODULES:
        return MODULES[top], f"the modules of level {MODULES[top]}"
    return PACKAGES[top], top


def upward(found: list[Import]) -> list[str]:
    """Imports that do not point to a lower level or stay in their own unit."""
    wrong = []
    for edge in found:
        if not edge.target.startswith("quorate"):
            continue
        if edge.module == "quorate":
            level, unit = place(edge.target)
            allowed = edge.function in ("__getattr__", "TYPE_CHECKING") and (level == API_LEVEL or unit == "client")
        else:
            (level, unit), (target_level, target_unit) = place(edge.module), place(edge.target)
            allowed = unit == target_unit or target_level < level or edge.target == "quorate"
        if not allowed:
            wrong.append(str(edge))
    return wrong


def cycles(found: list[Import]) -> list[str]:
    """Modules that import each other, directly or in a circle; the package itself is below all of them."""
    graph: dict[str, set[str]] = {}
    for edge in found:
        if edge.target.startswith("quorate.") and edge.module != "quorate":
            graph.setdefault(edge.module, set()).add(edge.target)
    state: dict[str, int] = {}
    circles = []

    def walk(module: str, path: list[str]) -> None:
        state[module] = 1
        for target in sorted(graph.get(module, ())):
            if state.get(target) == 1:
                circles.append(" -> ".join([*path[path.index(target) :], target]))
            elif target not in state:
                walk(target, [*path, target])
        state[module] = 2

    for module in sorted(graph):
        if module not in state:
            walk(module, [module])
    return circles


def outside(found: list[Import], prefixes: tuple[str, ...], names: tuple[str, ...]) -> list[str]:
    """Imports of ``names`` (or anything in them) by the modules under ``prefixes``."""

    def under(module: str, parents: tuple[str, ...]) -> bool:
        return any(module == parent or module.startswith(parent + ".") for parent in parents)

    mine = tuple(f"quorate.{prefix}" for prefix in prefixes)
    return [str(edge) for edge in found if under(edge.module, mine) and under(edge.target, names)]


@pytest.fixture(scope="module")
def all_imports() -> list[Import]:
    return imports(ROOT)


def test_every_module_has_a_level() -> None:
    unknown = []
    for module in sources(ROOT):
        try:
            place(module)
        except KeyError:
            unknown.append(module)
    assert not unknown


def test_imports_point_to_lower_levels_and_never_to_siblings(all_imports: list[Import]) -> None:
    assert not upward(all_imports)


def test_no_module_is_in_a_cycle(all_imports: list[Import]) -> None:
    assert not cycles(all_imports)


def test_nothing_imports_testing(all_imports: list[Import]) -> None:
    others = tuple(unit for unit in (*MODULES, *PACKAGES) if unit != "testing")
    assert not outside(all_imports, others, ("quorate.testing",))


def test_only_the_ray_engine_imports_ray(all_imports: list[Import]) -> None:
    users = {edge.module for edge in all_imports if edge.target.partition(".")[0] == "ray"}
    assert users <= {"quorate.engines.ray"}


def test_the_console_is_a_client_and_nothing_else(all_imports: list[Import]) -> None:
    inside = ("core", "spec", "serving", "training", "control", "store", "registry", "runtimes", "codecs")
    assert not outside(all_imports, ("console",), tuple(f"quorate.{unit}" for unit in inside))
    users = {edge.module for edge in all_imports if edge.target.partition(".")[0] == "nicegui"}
    assert users
    assert all(module.startswith("quorate.console.") for module in users)


def test_modules_of_a_worker_import_nothing_heavy(all_imports: list[Import]) -> None:
    assert not outside(all_imports, WORKER, HEAVY)
    names = set(sources(ROOT))
    assert not [prefix for prefix in WORKER if f"quorate.{prefix}" not in names]


def test_core_needs_numpy_alone_and_touches_nothing(all_imports: list[Import]) -> None:
    wrong = []
    for edge in all_imports:
        if not edge.module.startswith("quorate.core"):
            continue
        top = edge.target.partition(".")[0]
        scipy_in_stats = top == "scipy" and edge.module.startswith("quorate.core.stats")
        pure = top in sys.stdlib_module_names and top not in IMPURE
        if not (pure or scipy_in_stats or top in ("numpy", "quorate")):
            wrong.append(str(edge))
    for name, path in sources(ROOT).items():
        if name.startswith("quorate.core"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
                if isinstance(node, ast.Global) or called in ("open", "print", "input"):
                    wrong.append(f"{name}:{node.lineno} {called or 'global'}")
    assert not wrong


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A small package with one of every mistake."""
    files = {
        "__init__.py": "from quorate import api\ndef __getattr__(name):\n    from quorate import api\n    return api",
        "api.py": "",
        "errors.py": "",
        "ids.py": "from quorate.errors import X",
        "core/__init__.py": "",
        "core/a.py": "import numpy\nfrom quorate.core import b",
        "core/b.py": "from . import c",
        "core/c.py": "def late():\n    from quorate.core.a import x",
        "spec/__init__.py": "",
        "codecs/__init__.py": "import quorate.errors",
        "codecs/low.py": "def late():\n    from ..serving import plane",
        "registry/__init__.py": "from quorate import codecs",
        "serving/__init__.py": "",
        "serving/plane.py": "import importlib\nimportlib.import_module('quorate.testing')\nimport sqlalchemy.orm",
        "testing/__init__.py": "",
        "cli/__init__.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import quorate.testing",
    }
    root = tmp_path / "quorate"
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_checks_find_each_mistake(house: Path) -> None:
    found = imports(house)
    assert upward(found) == [
        "quorate:1 imports quorate.api",
        "quorate.cli:3 imports quorate.testing",
        "quorate.codecs.low:2 imports quorate.serving.plane",
        "quorate.registry:1 imports quorate.codecs",
        "quorate.serving.plane:2 imports quorate.testing",
    ]
    assert cycles(found) == ["quorate.core.a -> quorate.core.b -> quorate.core.c -> quorate.core.a"]
    assert outside(found, ("serving",), HEAVY) == ["quorate.serving.plane:3 imports sqlalchemy.orm"]
    with pytest.raises(KeyError):
        place("quorate.unknown")


def test_nobody_ingests_without_those_who_listen() -> None:
    """What is ingested without them is lost to learners and experiments."""
    makers = {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Ingest"
    }
    assert makers == {"control/journal/ingest.py", "control/listening.py"}
