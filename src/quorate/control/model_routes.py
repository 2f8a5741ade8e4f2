"""The control port's routes about models: what is registered, and what a model sees of a picture."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool

from quorate.codecs import snapshot
from quorate.control import model_views as views
from quorate.control import openapi
from quorate.control.bodies import body_of, media_type_of
from quorate.control.preview import seen, steps_of
from quorate.errors import MethodNotAllowed, NotFound, UnsupportedMediaType
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.spec.model import NAME

Name = Annotated[str, Path(pattern=NAME)]
PREVIEWS = 2
"""Pictures decoded at a time: those who may only predict must not fill the memory of control."""


def models_router(home: Home, registry: Registry) -> APIRouter:
    """The routes about the models of a registry."""
    router = APIRouter()
    turn = asyncio.Semaphore(PREVIEWS)

    @router.post(
        "/v1/models/{name}/preview",
        tags=["models"],
        response_class=openapi.Png,
        responses=openapi.PREVIEW,
        openapi_extra=openapi.PICTURE,
    )
    async def model_preview(name: Name, request: Request) -> Response:
        """What a model sees of a picture: its declared preprocessing, as a PNG. Needs the role `predict`."""
        routing = snapshot.read_or_empty(home.snapshot)
        body = await body_of(request, routing.limits.body_bytes)
        media_type = media_type_of(request)
        if not media_type.startswith("image/") and media_type != "application/octet-stream":
            raise UnsupportedMediaType(
                f"'{media_type[:64]}' is not read here; expected one encoded picture as image/*.", path="Content-Type"
            )
        steps = await run_in_threadpool(steps_of, name, routing, registry)
        pixels = routing.limits.image_pixels
        async with turn:
            return openapi.Png(await run_in_threadpool(seen, steps, body, max_pixels=pixels))

    @router.get("/v1/models/{name}/preview", include_in_schema=False)
    def no_preview(name: Name) -> Response:
        """Before the routes below, where 'preview' would be taken for a version."""
        raise MethodNotAllowed(
            "GET is not possible here; expected POST with a picture.", allow=("POST",), path="method"
        )

    @router.get("/v1/models", tags=["models"], responses=openapi.reading("registry"))
    def models() -> list[views.ModelSummary]:
        """The models of the registry."""
        found = (views.model_summary(registry, name) for name in registry.names())
        return [summary for summary in found if summary is not None]

    @router.get("/v1/models/{name}", tags=["models"], responses=openapi.reading("not_found", "registry"))
    def model(name: Name) -> views.Model:
        """A model and all its versions."""
        aliases = registry.aliases(name)
        versions = [views.model_version(registry.manifest(f"{name}:{v}"), aliases) for v in _versions(registry, name)]
        return views.Model(name=name, aliases=aliases, versions=versions)

    @router.get("/v1/models/{name}/{version}", tags=["models"], responses=openapi.reading("not_found", "registry"))
    def model_version(name: Name, version: Annotated[int, Path(ge=1, lt=10**9)]) -> views.ModelVersion:
        """One version of a model: its manifest."""
        if version not in _versions(registry, name):
            raise NotFound(f"Model '{name}' has no version {version}; /v1/models/{name} lists them.", path="version")
        return views.model_version(registry.manifest(f"{name}:{version}"), registry.aliases(name))

    return router


def _versions(registry: Registry, name: str) -> list[int]:
    found = sorted(registry.versions(name), reverse=True)
    if not found:
        raise NotFound(f"There is no model '{name}'; /v1/models lists them.", path="name")
    return found
