"""Arrow columns as a signature's raw input, a column at a time; the types are checked once, the values always."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import Signature, TensorSpec
from quorate.errors import InvalidInput
from quorate.serving.inputs import InputReader, tensor

ID = "id"


class Columns:
    """How a table's schema feeds a signature; :class:`InvalidInput` naming the column where it cannot.

    ``columns`` signatures take columns by name, an ``array`` the list column ``input`` or, where there is none, one
    numeric column per number in order, an ``image`` the binary column ``image``. A column ``id`` that the signature
    does not have is the rows' own id; the rest is ``ignored``.
    """

    def __init__(self, signature: Signature, schema: Any) -> None:
        from pyarrow import types

        self._types = types
        self.signature = signature
        names = [spec.name for spec in signature.inputs]
        if len(set(schema.names)) < len(schema.names):
            twice = next(name for name in schema.names if schema.names.count(name) > 1)
            raise InvalidInput(f"The column '{twice[:64]}' is there twice; send it once.", path=twice[:64])
        self.has_id = ID in schema.names and ID not in names
        self.loose: tuple[str, ...] = ()
        if signature.input_kind == "array" and "input" not in schema.names:
            self.loose = tuple(name for name in schema.names if not (self.has_id and name == ID))
            self._check_loose(schema)
        else:
            for spec in signature.inputs:
                self._check(spec, schema)
        used = {*names, *self.loose, *([ID] if self.has_id else [])}
        self.ignored = tuple(name for name in schema.names if name not in used)

    def _check(self, spec: TensorSpec, schema: Any) -> None:
        if spec.name not in schema.names:
            raise InvalidInput(
                f"There is no column '{spec.name}' ({spec.dtype}); got {', '.join(schema.names)[:200] or 'none'}.",
                path=spec.name,
            )
        found = schema.field(spec.name).type
        if not self._fits(found, spec):
            raise InvalidInput(f"Column '{spec.name}' expects {self._wanted(spec)}; got {found}.", path=spec.name)

    def _check_loose(self, schema: Any) -> None:
        (spec,) = self.signature.inputs
        for name in self.loose:
            if not self._is_number(schema.field(name).type):
                raise InvalidInput(
                    f"Column '{name[:64]}' expects numbers, or one list column 'input' of {spec}; "
                    f"got {schema.field(name).type}.",
                    path=name[:64],
                )
        if len(spec.shape) != 2 or spec.shape[1] not in (None, len(self.loose)):
            raise InvalidInput(
                f"There is no column 'input' of lists for {spec}; got {len(self.loose)} other columns.", path="input"
            )

    def _fits(self, found: Any, spec: TensorSpec) -> bool:
        types = self._types
        if types.is_dictionary(found):
            found = found.value_type
        if self.signature.input_kind == "image":
            return bool(types.is_binary(found) or types.is_large_binary(found))
        if self.signature.input_kind == "array":
            for _ in spec.shape[1:]:
                if not (types.is_list(found) or types.is_large_list(found) or types.is_fixed_size_list(found)):
                    return False
                found = found.value_type
            return self._is_number(found)
        if spec.dtype == "str":
            return bool(types.is_string(found) or types.is_large_string(found))
        if types.is_null(found):
            return spec.nullable
        return bool(types.is_boolean(found)) if spec.dtype == "bool" else self._is_number(found)

    def _is_number(self, found: Any) -> bool:
        return bool(self._types.is_integer(found) or self._types.is_floating(found))

    def _wanted(self, spec: TensorSpec) -> str:
        if self.signature.input_kind == "image":
            return "binary, one encoded image a row"
        if self.signature.input_kind == "array":
            return f"lists of numbers, {spec}"
        return {"str": "text", "bool": "true or false"}.get(spec.dtype, f"numbers ({spec.dtype})")

    def ids(self, batch: Any) -> list[Any] | None:
        """The rows' own ids; text or whole numbers, anything else as text."""
        if not self.has_id:
            return None
        found = batch.column(ID).to_pylist()
        return [v if v is None or (isinstance(v, str | int) and not isinstance(v, bool)) else str(v) for v in found]

    def raw(self, batch: Any, reader: InputReader) -> dict[str, Any]:
        """A record batch as raw input; :class:`InvalidInput` with the path ``instances[i]`` of a bad row."""
        if self.signature.input_kind == "image":
            return reader.encoded(self._images(batch.column("image")))
        if self.signature.input_kind == "columns":
            return {spec.name: self._column(batch.column(spec.name), spec) for spec in self.signature.inputs}
        (spec,) = self.signature.inputs
        if self.loose:
            whole = [self._numbers(_plain(batch.column(name)), name) for name in self.loose]
            return {"input": tensor(np.stack(whole, axis=1), spec, path="instances")}
        return {"input": self._lists(batch.column("input"), spec, reader)}

    def _images(self, column: Any) -> list[bytes]:
        images: list[bytes] = _plain(column).to_pylist()
        for i, image in enumerate(images):
            if not image:
                raise InvalidInput(f"Row {i} has no image; send an encoded one.", path=f"instances[{i}].image")
        return images

    def _column(self, column: Any, spec: TensorSpec) -> NDArray[Any]:
        column = _plain(column)
        if column.null_count and not spec.nullable:
            i = int(np.flatnonzero(np.asarray(column.is_null().to_numpy(zero_copy_only=False)))[0])
            raise InvalidInput(
                f"Row {i} has no value for column '{spec.name}' ({spec.dtype}); send one.",
                path=f"instances[{i}].{spec.name}",
            )
        if spec.dtype == "str":
            texts = column.to_pylist()
            return np.array([text or "" for text in texts] if column.null_count else texts, dtype=object)
        array = self._numbers(column, spec.name) if spec.dtype != "bool" else column.to_numpy(zero_copy_only=False)
        return tensor(array, spec, path="instances", column=spec.name)

    def _numbers(self, column: Any, name: str) -> NDArray[Any]:
        if self._types.is_null(column.type):
            return np.full(len(column), np.nan)
        return np.asarray(column.to_numpy(zero_copy_only=False))

    def _lists(self, column: Any, spec: TensorSpec, reader: InputReader) -> NDArray[Any]:
        """Lists of equal lengths without nulls as one array; where they are not, the slow road names the row."""
        values, shape = column, [len(column)]
        for _ in spec.shape[1:]:
            if values.null_count or not len(values):
                break
            inner = values.flatten()
            length = len(inner) // len(values)
            if not self._types.is_fixed_size_list(values.type):
                lengths = np.diff(values.offsets.to_numpy())
                if (lengths != length).any():
                    break
            shape.append(length)
            values = inner
        if len(shape) != len(spec.shape) or values.null_count:
            found: NDArray[Any] = reader.rows(column.to_pylist())["input"]
            return found
        return tensor(np.asarray(values.to_numpy(zero_copy_only=False)).reshape(shape), spec, path="instances")


def _plain(column: Any) -> Any:
    return column.dictionary_decode() if hasattr(column, "dictionary_decode") else column


def rows_of(batch: Any, indices: Sequence[int]) -> Any:
    """Some rows of a record batch; without a copy where they are neighbours."""
    if len(indices) == indices[-1] - indices[0] + 1:
        return batch.slice(indices[0], len(indices))
    return batch.take(_indices(indices))


def _indices(indices: Sequence[int]) -> Any:
    import pyarrow

    return pyarrow.array(np.asarray(indices, np.int64))
