"""Every error of the control port as problem JSON: ours, the framework's, and what nobody expected."""

from __future__ import annotations

import logging
import re

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from quorate.control import openapi
from quorate.errors import InvalidInput, MalformedRequest, MethodNotAllowed, NotFound, QuorateError
from quorate.web.problem import problem

log = logging.getLogger("quorate.control")


def answer_problems(app: FastAPI) -> None:
    """Have ``app`` answer whatever its handlers raise as problem JSON."""
    app.add_exception_handler(QuorateError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _failed)


def _respond(request: Request, error: BaseException) -> Response:
    status, headers, body = problem(error, request_id=request.state.request_id)
    response = Response(body, status)
    response.raw_headers = headers
    return response


def _refused(request: Request, error: Exception) -> Response:
    return _respond(request, error)


def _failed(request: Request, error: Exception) -> Response:
    # Starlette raises it again afterwards, and the server logs it with its traceback.
    request_id = request.state.request_id
    log.error("Request %s failed (%s)", request.url.path[:200], request_id, extra={"request_id": request_id})
    return _respond(request, error)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    first = error.errors()[0]
    place, *rest = first["loc"]
    name = ".".join(map(str, rest)) or str(place)
    return _respond(request, InvalidInput(f"The {place} parameter '{name}' is wrong: {first['msg']}.", path=name))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    path = request.url.path[:200]
    if error.status_code == 404:
        return _respond(request, NotFound(f"There is no route {path}; /docs lists them.", path="path"))
    if error.status_code == 405:
        allow = _allowed(request) or tuple((error.headers or {}).get("Allow", "").split(", "))
        message = f"{request.method} is not possible on {path}; expected {' or '.join(allow)}."
        return _respond(request, MethodNotAllowed(message, allow=allow, path="method"))
    return _respond(request, MalformedRequest(f"The request cannot be read: {error.detail}.", path="request"))


def _allowed(request: Request) -> tuple[str, ...]:
    """What is possible on a path; the framework names the methods of one of its routes only."""
    paths = openapi.document(request.app)["paths"]
    fits = [t for t in paths if re.fullmatch(re.sub(r"{[^}]+}", "[^/]+", t), request.url.path)]
    # As OpenAPI says, the path with the fewest parameters is meant.
    best = min(fits, key=lambda template: template.count("{"), default=None)
    return () if best is None else tuple(sorted(method.upper() for method in paths[best]))
