from __future__ import annotations

import sys

import pytest

from quorate.errors import FormatRefused
from quorate.registry import skops_types


@pytest.mark.parametrize(
    "item",
    [
        "sklearn.tree._tree.Tree",
        "sklearn._loss.link.LogitLink",
        "numpy.ndarray",
        "scipy.sparse._csr.csr_matrix",
        "builtins.dict",
        "builtins.bytes",
    ],
)
def test_reviewable(item: str) -> None:
    assert skops_types.may_be_trusted(item)


@pytest.mark.parametrize(
    "item",
    [
        *(
            "os.system",
            "posix.system",
            "subprocess.Popen",
            "sys.exit",
            "my.module.Model",
            "sklearnx.Tree",
            "",
            "sklearn",
        ),
        *(
            "builtins.eval",
            "builtins.exec",
            "builtins.open",
            "builtins.getattr",
            "builtins.__import__",
            "builtins.nope",
        ),
        *(
            "numpy.load",
            "numpy.fromfile",
            "numpy.memmap",
            "numpy.f2py.compile",
            "numpy.testing._private.utils.runstring",
        ),
        *(
            "numpy.lib._npyio_impl.load",
            "numpy.ctypeslib.load_library",
            "scipy.io.loadmat",
            "sklearn.datasets.fetch_openml",
        ),
        *("sklearn.utils._testing.os", "sklearn.externals.thing", "numpy.__builtins__.eval", "builtins.dict.get"),
    ],
)
def test_never(item: str) -> None:
    assert not skops_types.may_be_trusted(item)


def test_without_skops_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(FormatRefused, match=r"pip install 'quorate\[train\]'"):
        skops_types.check("m.skops", b"", [])
