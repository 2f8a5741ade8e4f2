"""Which types of a skops file may be trusted: those skops knows, and of the rest only what can be reviewed."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from quorate.errors import FormatRefused

REVIEWABLE = ("builtins", "numpy", "scipy", "sklearn")

# Parts of those libraries that read files, reach the network or run what they are given.
_DANGEROUS = frozenset(
    {
        *("compile", "ctypes", "ctypeslib", "datasets", "eval", "exec", "execfile", "externals", "f2py", "fromfile"),
        *(
            "fromregex",
            "genfromtxt",
            "getattr",
            "importlib",
            "io",
            "load",
            "loads",
            "loadtxt",
            "memmap",
            "npyio",
            "open",
        ),
        *("os", "popen", "pickle", "run", "runstring", "savetxt", "shutil", "subprocess", "sys", "system", "testing"),
        *("DataSource", "weave"),
    }
)


def check(name: str, data: bytes, trusted: Sequence[str]) -> None:
    """Raise :class:`FormatRefused` unless skops knows every type in ``data``, or ``trusted`` lists it rightly."""
    for item in trusted:
        if not may_be_trusted(item):
            raise FormatRefused(
                f"'{item}' cannot be trusted: only types of {', '.join(REVIEWABLE)} that neither run code nor "
                "read files can; serve the model as a callable, or convert it to ONNX.",
                path="options.trusted",
            )
    try:
        from skops.io import get_untrusted_types
    except ImportError:
        raise FormatRefused(
            f"'{name}' cannot be checked: skops is not installed; pip install 'quorate[train]', or convert the "
            "model to ONNX.",
            path=name,
        ) from None
    try:
        found = get_untrusted_types(data=data)
    except Exception as error:  # hostile bytes make it fail in many ways
        raise FormatRefused(
            f"'{name}' is not a skops file that can be read: {type(error).__name__}: {str(error)[:200]}.", path=name
        ) from None
    untrusted = sorted(set(found) - set(trusted))
    if untrusted:
        allowed = [item for item in untrusted if may_be_trusted(item)]
        remedy = (
            f"review them, then pass the option trusted={allowed}"
            if allowed == untrusted
            else "some of them can never be trusted; convert the model to ONNX"
        )
        raise FormatRefused(
            f"'{name}' contains types that are not trusted: {', '.join(untrusted)}; {remedy}.", path=name
        )


def may_be_trusted(item: str) -> bool:
    """Whether a type of that qualified name can be trusted by listing it.

    >>> may_be_trusted("sklearn.tree._tree.Tree"), may_be_trusted("os.system"), may_be_trusted("builtins.eval")
    (True, False, False)
    """
    root, *rest = item.split(".")
    if root == "builtins":
        return len(rest) == 1 and isinstance(getattr(builtins, rest[0], None), type)
    return (
        root in REVIEWABLE and bool(rest) and not any(p.lstrip("_") in _DANGEROUS or p.startswith("__") for p in rest)
    )
