"""The body of a request to the control port, read within limits."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from quorate.errors import InvalidInput, MalformedRequest, UnsupportedMediaType
from quorate.web.limits import ClientDisconnected, read_body

Model = TypeVar("Model", bound=BaseModel)


async def body_of(request: Request, limit: int) -> bytes:
    """The whole body, at most ``limit`` bytes of it, decompressed."""
    headers = dict(request.scope["headers"])
    try:
        return await read_body(
            request.receive,
            limit=limit,
            content_length=headers.get(b"content-length"),
            encoding=headers.get(b"content-encoding"),
        )
    except ClientDisconnected:
        raise MalformedRequest("The body is not complete: the client went away.", path="body") from None


def media_type_of(request: Request) -> str:
    """The media type without its parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def asked(request: Request, model: type[Model], limit: int) -> Model:
    """What is asked with a JSON body of at most ``limit`` bytes.

    :class:`UnsupportedMediaType` for another body; else as :func:`body_of` and :func:`parsed`.
    """
    media_type = media_type_of(request)
    if media_type != "application/json":
        raise UnsupportedMediaType(
            f"'{media_type[:64]}' is not read here; expected application/json.", path="Content-Type"
        )
    return parsed(await body_of(request, limit), model)


def parsed(body: bytes, model: type[Model]) -> Model:
    """JSON as a model; :class:`MalformedRequest` where it is none, :class:`InvalidInput` naming a wrong field."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            raise MalformedRequest(f"The body is not JSON: {first['msg']}.", path="body") from None
        name = ".".join(map(str, first["loc"])) or "body"
        raise InvalidInput(f"The field '{name}' is wrong: {first['msg']}.", path=name) from None


def described(model: type[BaseModel]) -> dict[str, Any]:
    """The body of :func:`asked` in the OpenAPI document."""
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}
