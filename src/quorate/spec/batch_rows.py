"""How many rows one run of a member has at most: one number for all, or one by member."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

_NAME = r"^[a-z0-9][a-z0-9._-]{0,127}$"


def _form(value: Any) -> str | None:
    return {dict: "by member", int: "of each", type(None): "none"}.get(type(value))


Rows = Annotated[int, Field(ge=1, le=1_000_000)]
MaxBatchRows = Annotated[
    Annotated[dict[Annotated[str, Field(pattern=_NAME)], Rows], Tag("by member")]
    | Annotated[Rows, Tag("of each")]
    | Annotated[None, Tag("none")],
    Discriminator(
        _form,
        custom_error_type="rows_form",
        custom_error_message="Input should be a number of rows, or numbers of rows by member",
    ),
]
