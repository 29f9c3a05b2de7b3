"""The answers of the server to wrong requests: one JSON form for all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, NotAuthorizedException, ValidationException
from litestar.response import Redirect

from engine import EngineError, PlanError
from jobcell.server.backend import Away, BadRequest, Conflict, UnknownRun

log: logging.Logger = logging.getLogger("jobcell.server")

_NAMES: Final = {"run_state": "state", "last": "Last-Event-ID", "data": "body"}
"""The names that a client knows, for those of parameters of ours."""


class Problem(msgspec.Struct, omit_defaults=True):
    """A problem of a plan or of a field."""

    path: str
    message: str


class ErrorBody(msgspec.Struct, omit_defaults=True):
    """The body of an answer with a status of 400 or more."""

    error: str
    """The kind of the error, such as ``PlanError``."""
    message: str
    problems: list[Problem] = []
    """All problems of a plan."""


def _answer(status: int, body: ErrorBody, **headers: str) -> Response[ErrorBody]:
    return Response(body, status_code=status, headers=headers)


def _of_plan(_: Request[Any, Any, Any], error: PlanError) -> Response[ErrorBody]:
    problems = [Problem(problem.path, problem.message) for problem in error.problems]
    return _answer(400, ErrorBody("PlanError", str(error), problems))


def _unknown(_: Request[Any, Any, Any], error: UnknownRun) -> Response[ErrorBody]:
    return _answer(404, ErrorBody("UnknownRun", str(error)))


def _conflict(_: Request[Any, Any, Any], error: Conflict) -> Response[ErrorBody]:
    return _answer(409, ErrorBody("Conflict", str(error)))


def _away(_: Request[Any, Any, Any], error: Away) -> Response[ErrorBody]:
    return _answer(503, ErrorBody("Away", str(error)), **{"Retry-After": "2"})


def _wrong(_: Request[Any, Any, Any], error: BadRequest) -> Response[ErrorBody]:
    return _answer(400, ErrorBody("BadRequest", str(error)))


def _engine(_: Request[Any, Any, Any], error: EngineError) -> Response[ErrorBody]:
    return _answer(500, ErrorBody(type(error).__name__, str(error)))


def _invalid(_: Request[Any, Any, Any], error: ValidationException) -> Response[ErrorBody]:
    extra: Any = error.extra if isinstance(error.extra, list) else []
    if any(isinstance(item, dict) and item.get("message") == "'data'" for item in extra):
        return _answer(400, ErrorBody("ValidationError", "the request needs a body of JSON"))
    problems = [
        Problem(_NAMES.get(key := str(item.get("key", "")), key), str(item.get("message", "")))
        for item in extra
        if isinstance(item, dict)
    ]
    message = "; ".join(f"{problem.path}: {problem.message}" for problem in problems)
    return _answer(400, ErrorBody("ValidationError", message or error.detail, problems))


def _too_deep(_: Request[Any, Any, Any], __: RecursionError) -> Response[ErrorBody]:
    return _answer(400, ErrorBody("BadRequest", "the body is nested too deeply"))


def _ours(request: Request[Any, Any, Any], error: Exception) -> Response[ErrorBody]:
    """Answer an error of the server itself: the client learns nothing of it, and the log has it."""
    log.error("%s %s has failed", request.method, request.url.path, exc_info=error)
    return _answer(500, ErrorBody("InternalError", "the server has failed; its log says why"))


def _no_token(
    request: Request[Any, Any, Any], error: NotAuthorizedException
) -> Response[ErrorBody] | Redirect:
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        # A person with a browser; `pages` checks where the login leads to.
        path = request.scope.get("raw_path", b"/").decode("ascii", "replace")
        return Redirect(
            "/login" if path == "/" else f"/login?next={quote(path, safe='')}", status_code=303
        )
    return _answer(401, ErrorBody("NotAuthorized", error.detail), **{"WWW-Authenticate": "Bearer"})


def _of_http(_: Request[Any, Any, Any], error: HTTPException) -> Response[ErrorBody]:
    headers = dict(error.headers or {})
    return _answer(error.status_code, ErrorBody(type(error).__name__, error.detail), **headers)


HANDLERS: dict[type[Exception] | int, Callable[..., Response[Any]]] = {
    PlanError: _of_plan,
    UnknownRun: _unknown,
    Conflict: _conflict,
    Away: _away,
    ValidationException: _invalid,
    NotAuthorizedException: _no_token,
    HTTPException: _of_http,
    BadRequest: _wrong,
    EngineError: _engine,
    RecursionError: _too_deep,
    Exception: _ours,
}
"""What is answered for each kind of error; the nearest class counts."""
