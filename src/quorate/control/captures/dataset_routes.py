"""The control port's routes about data sets: have one written, look how far it is, fetch it, delete it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from quorate.control import openapi
from quorate.control.authors import author_of
from quorate.control.captures.exporting import DatasetDesk
from quorate.control.view import View
from quorate.spec.model import NAME
from quorate.store.datasets import Exported

ExportId = Annotated[str, PathParameter(pattern="^[0-9a-f]{32}$")]
_ZIP = "application/zip"
_FILE: dict[int | str, dict[str, Any]] = {
    **openapi.reading("not_found", "conflict", "store"),
    200: {
        "description": "The data set's files and its card, packed. `Range` is obeyed.",
        "content": {_ZIP: {"schema": {"type": "string", "format": "binary"}}},
    },
}


class Zip(Response):
    """A packed data set."""

    media_type = _ZIP


class DatasetRequest(BaseModel):
    """What a data set is asked for with; ``since`` and ``until`` bound the arrival, Unix seconds."""

    model_config = ConfigDict(extra="forbid", strict=True)

    endpoint: Annotated[str, Field(pattern=NAME)]
    truth: Literal["with", "without", "all"] = "all"
    format: Literal["csv", "ndjson", "parquet", "folder"] = "ndjson"
    since: Annotated[float | None, Field(ge=0, le=1e11)] = None
    until: Annotated[float | None, Field(ge=0, le=1e11)] = None


class DatasetView(View):
    """A data set: written to ``place`` by a command, or by the control process, which has its file then.

    Times are Unix seconds; ``digest`` is the SHA-256 of its files.
    """

    id: str
    endpoint: str
    place: str
    format: str
    author: str
    state: Literal["queued", "running", "done", "failed"]
    created: float
    finished: float | None
    error: str | None
    rows: int
    digest: str


def dataset_router(desk: DatasetDesk) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["captures"])

    @router.post("/v1/datasets", status_code=202, responses=openapi.reading("not_found", "store", "overloaded"))
    def write_dataset(request: Request, asked: DatasetRequest) -> DatasetView:
        """Write captured inputs with answers and outcomes as a data set. Needs the role `admin`."""
        author = author_of(request)
        options = {"form": asked.format, "truth": asked.truth, "since": asked.since, "until": asked.until}
        return view(desk.submit(asked.endpoint, options, author=author))

    @router.get("/v1/datasets", responses=openapi.reading("store"))
    def list_datasets() -> list[DatasetView]:
        """The newest hundred data sets, newest first."""
        return [view(made) for made in desk.list()]

    @router.get("/v1/datasets/{id}", responses=openapi.reading("not_found", "store"))
    def show_dataset(id: ExportId) -> DatasetView:
        """How far a data set is."""
        return view(desk.get(id))

    @router.get("/v1/datasets/{id}/file", response_class=Zip, responses=_FILE)
    def dataset_file(id: ExportId) -> Response:
        """A data set that the control process has written, as one file."""
        return FileResponse(desk.result(id), media_type=_ZIP, filename=f"{id}.zip")

    @router.delete("/v1/datasets/{id}", responses=openapi.reading("not_found", "conflict", "store"))
    def delete_dataset(id: ExportId) -> DatasetView:
        """Delete a data set's file here, and forget it. Needs the role `admin`."""
        return view(desk.delete(id))

    return router


def view(made: Exported) -> DatasetView:
    """A data set as it is shown."""
    return DatasetView(**{name: getattr(made, name) for name in DatasetView.model_fields})
