"""Members' outputs on rows that they have not seen, with the truth, as one ``.npz``: an audit needs no more.

Arrays: ``outputs`` float32 ``[n, m, k]``, ``truth`` ``[n]`` (class indices, or numbers), ``members`` (names, text
``[m]``), ``classes`` (names, text ``[k]``; none for numbers); and, where there are some, ``status`` int8 ``[n, m]``
(0 answered, 1 failed), ``group`` int64 ``[n]`` (rows of the same one are not independent) and ``features`` ``[n, d]``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.codecs import npz
from quorate.core.types import FloatArray, Status, StatusArray
from quorate.errors import FormatRefused

_KNOWN = {"outputs", "truth", "members", "classes", "status", "group", "features"}


@dataclass(frozen=True)
class HeldOutputs:
    """Rows with what every member said; see above."""

    members: tuple[str, ...]
    classes: tuple[str, ...]
    outputs: FloatArray
    truth: NDArray[Any]
    status: StatusArray = field(default_factory=lambda: np.zeros((0, 0), np.int8))
    group: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    features: FloatArray | None = None


def encode(held: HeldOutputs) -> bytes:
    """As bytes of an ``.npz``; what is empty is left out."""
    arrays: dict[str, NDArray[Any]] = {
        "outputs": held.outputs.astype(np.float32, copy=False),
        "truth": held.truth,
        "members": np.array(held.members, np.str_),
        "classes": np.array(held.classes, np.str_),
    }
    if held.status.size:
        arrays["status"] = held.status
    if held.group.size:
        arrays["group"] = held.group
    if held.features is not None:
        arrays["features"] = held.features
    return npz.pack(arrays)


def decode(data: bytes, what: str = "The file") -> HeldOutputs:
    """Read them back, all arrays filled in; :class:`FormatRefused`, starting with ``what``, naming the array."""
    arrays = npz.unpack(data, what)
    unknown = sorted(set(arrays) - _KNOWN)
    missing = sorted({"outputs", "truth", "members"} - set(arrays))
    if unknown or missing:
        said = f"an array '{unknown[0]}'" if unknown else f"no array '{missing[0]}'"
        raise FormatRefused(
            f"{what} has {said}; expected outputs, truth, members, classes and, if need be, status, group, features.",
            path=(unknown or missing)[0],
        )
    members = tuple(arrays["members"].reshape(-1).astype(str).tolist())
    classes = tuple(arrays.get("classes", np.zeros(0, np.str_)).reshape(-1).astype(str).tolist())
    outputs, truth = arrays["outputs"], arrays["truth"]
    shape = outputs.shape
    k = len(classes) if classes else shape[-1] if len(shape) == 3 else -1
    if outputs.dtype.kind != "f" or len(shape) != 3 or shape[1:] != (len(members), k) or not shape[0]:
        raise _wrong(what, "outputs", f"numbers [n, {len(members)}, {len(classes) or 'k'}]", outputs)
    n, m = shape[:2]
    if truth.shape != (n,) or truth.dtype.kind not in ("iu" if classes else "iuf"):
        raise _wrong(what, "truth", f"{'class indices' if classes else 'numbers'} [{n}]", truth)
    truth = truth.astype(np.int64 if classes else np.float64)
    if classes and not (truth.min() >= 0 and truth.max() < len(classes)):
        raise _wrong(what, "truth", f"class indices below {len(classes)}", truth)
    status = arrays.get("status", np.zeros((n, m), np.int8))
    if status.shape != (n, m) or status.dtype.kind not in "iu" or not np.isin(status, [int(s) for s in Status]).all():
        raise _wrong(what, "status", f"0, 1 or 2 [{n}, {m}]", status)
    group = arrays.get("group", np.arange(n))
    if group.shape != (n,) or group.dtype.kind not in "iu":
        raise _wrong(what, "group", f"whole numbers [{n}]", group)
    features = arrays.get("features")
    if features is not None and (features.ndim != 2 or len(features) != n or features.dtype.kind != "f"):
        raise _wrong(what, "features", f"numbers [{n}, d]", features)
    ok = status == int(Status.OK)
    if not np.isfinite(outputs[ok]).all() or not np.isfinite(truth).all():
        raise FormatRefused(f"{what} has numbers that are not finite where a member answered.", path="outputs")
    return HeldOutputs(
        members,
        classes,
        outputs.astype(np.float32, copy=False),
        truth,
        status.astype(np.int8, copy=False),
        group.astype(np.int64, copy=False),
        None if features is None else features.astype(np.float32, copy=False),
    )


def _wrong(what: str, name: str, expected: str, got: NDArray[Any]) -> FormatRefused:
    return FormatRefused(
        f"{what} has '{name}' as {got.dtype}{list(got.shape)}; expected {expected}.",
        path=name,
    )
