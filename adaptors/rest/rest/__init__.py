"""HTTP requests for workflow jobs.  The adaptor `http` replaces this package.

`get`, `post`, `put`, `patch`, `delete` and `request` return operations: functions from state to
state.  Any of their arguments may be a function of state.  In the state that an operation returns,
`data` is the body of the response, and the value that `data` had before is the last item of
`references`.  `response` has method, URL, status, reason and headers.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from typing import Any, TypeAlias, TypedDict, Unpack

from .arguments import check_header, checked_key, checked_method, checked_timeout, encoded_json
from .client import PARSERS, Request, make_url, origin, parse, send
from .errors import RequestError, ResponseError, RestError, UnreachableError

__version__ = "1.0.0"

__all__ = [
    "RequestError",
    "ResponseError",
    "RestError",
    "UnreachableError",
    "delete",
    "get",
    "patch",
    "post",
    "put",
    "request",
]

_announced = False

State: TypeAlias = dict[str, Any]
Operation: TypeAlias = Callable[[State], State]


class BodyOptions(TypedDict, total=False):
    """The options of `request`, apart from `json`, as an editor knows them."""

    query: Any
    headers: Any
    body: Any
    parse_as: Any
    timeout_s: Any
    idempotency_key: Any


class Options(BodyOptions, total=False):
    """All options of `request`."""

    json: Any


def request(
    method: Any,
    path: Any,
    *,
    query: Any = None,
    headers: Any = None,
    json: Any = None,
    body: Any = None,
    parse_as: Any = "auto",
    timeout_s: Any = 30.0,
    idempotency_key: Any = None,
) -> Operation:
    """Return an operation that makes an HTTP request.

    Args:
        method: The method, such as `"GET"`.
        path: A path below the `base_url` of the configuration, or a whole URL.
        query: A dict of parameters; a value of None is left out, and a list repeats the key.
        headers: A dict of headers.
        json: A body to send as JSON.
        body: A body to send as it is, text or bytes.
        parse_as: `"json"`, `"text"`, `"bytes"`, `"base64"`, or `"auto"`, which means JSON if the
            server says so, and otherwise text.
        timeout_s: Seconds for connecting and for each read.
        idempotency_key: True sends the header `Idempotency-Key` with a key that is the same in every
            attempt of the step, so that the server can recognise a repeated request.  A text is sent as
            the key.

    Raises:
        RequestError: An argument is wrong.  The operation raises this error and the next two, because
            the arguments are known only then.
        UnreachableError: The server did not answer, or the run may not reach it.
        ResponseError: The status is 400 or more, or the body cannot be read as *parse_as*.

    Example:
        `request("HEAD", "patients", query={"since": state.data.cursor})`

    """
    given = {
        "method": method,
        "path": path,
        "query": query,
        "headers": headers,
        "json": json,
        "body": body,
        "parse_as": parse_as,
        "timeout_s": timeout_s,
        "idempotency_key": idempotency_key,
    }

    def run(state: State) -> State:
        _announce_end()
        wanted = _resolve(state, given)
        if wanted["parse_as"] not in PARSERS:
            raise RequestError(f"parse_as is one of {', '.join(PARSERS)}", got=wanted["parse_as"])
        prepared = _prepare(wanted, state.get("configuration") or {})
        response = send(prepared)
        told = {
            "method": prepared.method,
            "url": response.url,
            "status": response.status,
            "reason": response.reason,
            "headers": response.headers,
        }
        return {
            **state,
            "data": parse(response, wanted["parse_as"]),
            "references": [*(state.get("references") or ()), state.get("data")],
            "response": told,
        }

    return run


def get(path: Any, **options: Unpack[Options]) -> Operation:
    """Make a GET request, with the options of `request`.

    Example:
        `get("patients", query={"since": state.data.cursor})`

    """
    return request("GET", path, **options)


def post(path: Any, json: Any = None, **options: Unpack[BodyOptions]) -> Operation:
    """Make a POST request, with *json* or the option `body`, and the other options of `request`.

    Example:
        `post("patients", state.data)`

    """
    return request("POST", path, json=json, **options)


def put(path: Any, json: Any = None, **options: Unpack[BodyOptions]) -> Operation:
    """Make a PUT request, with the options of `request`.

    Example:
        `put("patients/7", state.data)`

    """
    return request("PUT", path, json=json, **options)


def patch(path: Any, json: Any = None, **options: Unpack[BodyOptions]) -> Operation:
    """Make a PATCH request, with the options of `request`.

    Example:
        `patch("patients/7", {"name": state.data.name})`

    """
    return request("PATCH", path, json=json, **options)


def delete(path: Any, **options: Unpack[Options]) -> Operation:
    """Make a DELETE request, with the options of `request`.

    Example:
        `delete("patients/7")`

    """
    return request("DELETE", path, **options)


def _announce_end() -> None:
    """Log once in each run that another adaptor replaces this one."""
    global _announced  # noqa: PLW0603 - module state lives as long as the run
    try:
        import jobcell_context  # noqa: F401 - it exists in a run only
    except ImportError:
        return
    if not _announced:
        _announced = True
        logging.getLogger(__name__).warning(
            "the adaptor rest is deprecated and goes away in the next release; the adaptor http has the"
            " same verbs (its README lists the differences)"
        )


def _resolve(state: State, value: Any) -> Any:
    """Return *value* with each function in it replaced by the result of the function for *state*."""
    while callable(value):
        value = value(state)
    if isinstance(value, dict):
        return {key: _resolve(state, inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_resolve(state, inner) for inner in value]
    return value


def _prepare(wanted: dict[str, Any], configuration: dict[str, Any]) -> Request:
    if not isinstance(wanted["path"], str):
        raise RequestError(f"the path is a text, not {type(wanted['path']).__name__}")
    base_url = configuration.get("base_url") or configuration.get("baseUrl")
    for name, value, kind in (
        ("base_url", base_url, str),
        ("query", wanted["query"], dict),
        ("headers", wanted["headers"], dict),
    ):
        if value is not None and not isinstance(value, kind):
            raise RequestError(f"{name} is a {kind.__name__}, not {type(value).__name__}")
    url = make_url(base_url, wanted["path"], wanted["query"])
    headers = {"Accept": "application/json, */*;q=0.5"}
    body = wanted["body"]
    if wanted["json"] is not None:
        if body is not None:
            raise RequestError("either json or body, not both")
        body = encoded_json(wanted["json"])
        headers["Content-Type"] = "application/json"
    if isinstance(body, str):
        body = body.encode()
    if body is not None and not isinstance(body, bytes):
        raise RequestError(f"body is a text or bytes, not {type(body).__name__}; is json meant?")
    key = checked_key(wanted["idempotency_key"])
    if key is not None:
        headers["Idempotency-Key"] = key
    trusted = base_url is None or origin(url) == origin(base_url)
    headers |= {str(name): str(value) for name, value in (wanted["headers"] or {}).items()}
    secret_headers = _secret_headers(configuration) if trusted else {}
    for name, value in (*headers.items(), *secret_headers.items()):
        check_header(name, value)
    return Request(
        method=checked_method(wanted["method"]),
        url=url,
        headers=headers,
        secret_headers=secret_headers,
        body=body,
        timeout_s=checked_timeout(wanted["timeout_s"]),
        authorities=configuration.get("ca_certificate") if trusted else None,
    )


def _secret_headers(configuration: dict[str, Any]) -> dict[str, str]:
    headers = {str(name): str(value) for name, value in configuration.get("headers", {}).items()}
    token = configuration.get("access_token") or configuration.get("token")
    if token:
        return {"Authorization": f"Bearer {token}", **headers}
    if configuration.get("username") is not None:
        pair = f"{configuration['username']}:{configuration.get('password', '')}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode(), **headers}
    return headers
