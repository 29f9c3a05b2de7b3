"""The verbs of the adaptor `http` under the name of an older adaptor.  It goes away in the next release.

The package has no client of its own.  `get`, `post`, `put`, `patch`, `delete` and `request` take the
options of `http`, and those that `rest` had before.
"""

from __future__ import annotations

import logging
from typing import Any, TypedDict, Unpack

import http_
from http_ import (
    HttpError,
    RedirectError,
    RequestError,
    ResponseError,
    TokenError,
    TooLargeError,
    UnreachableError,
    cookie,
    file_part,
    paginate,
)
from http_ import HttpError as RestError  # the old name
from http_.bodies import encoded_json
from http_.laziness import State, resolve
from http_.verbs import Operation

__version__ = "1.1.0"

__all__ = [
    "HttpError",
    "RedirectError",
    "RequestError",
    "ResponseError",
    "RestError",
    "TokenError",
    "TooLargeError",
    "UnreachableError",
    "cookie",
    "delete",
    "file_part",
    "get",
    "paginate",
    "patch",
    "post",
    "put",
    "request",
]

_OLD_TIMEOUT_S = 30.0
_announced = False


class BodyOptions(TypedDict, total=False):
    """The options of `request`, apart from `json`, as an editor knows them."""

    query: Any
    headers: Any
    body: Any
    content_type: Any
    errors: Any
    parse_as: Any
    timeout: Any
    timeout_s: Any
    max_redirections: Any
    retries: Any
    idempotency_key: Any
    tls: Any
    http2: Any
    max_mb: Any


class Options(BodyOptions, total=False):
    """All options of `request`."""

    json: Any


def request(  # long: each option is written out, so that a wrong one is an error of this call
    method: Any,
    path: Any,
    *,
    json: Any = None,
    body: Any = None,
    content_type: Any = None,
    query: Any = None,
    headers: Any = None,
    errors: Any = None,
    parse_as: Any = "auto",
    timeout: Any = None,
    timeout_s: Any = None,
    max_redirections: Any = 10,
    retries: Any = 0,
    idempotency_key: Any = None,
    tls: Any = None,
    http2: Any = None,
    max_mb: Any = 4_096,
) -> Operation:
    """Return an operation that makes an HTTP request with the adaptor `http`.

    Args:
        method: The method, such as `"GET"`.
        path: A path below the `base_url` of the configuration, or a whole URL.
        json: A body to send as JSON, also if it is a text.
        body: A body as `http` takes it.  A text and bytes without a content type are sent as a form.
        content_type: As in `http`, and so are the options below.
        query: A dict of parameters.
        headers: A dict of headers.
        errors: Statuses that are errors or not.
        parse_as: The form of the answer.
        timeout: Milliseconds for each read and write.
        timeout_s: The same in seconds; 30 if both are left out.
        max_redirections: Most redirects; `http` follows 5.
        retries: Most further attempts; `http` makes 2.
        idempotency_key: True, or a text.
        tls: Certificates.
        http2: Whether HTTP/2 may be spoken.
        max_mb: Most megabytes of the answer; 50 in `http`.

    Raises:
        RequestError: As in `http`, or *json* and *body* are both given.
        HttpError: As in `http`.

    Example:
        `request("HEAD", "patients", query={"since": state.data.cursor})`

    """
    given = {
        "method": method,
        "path": path,
        "json": json,
        "body": body,
        "content_type": content_type,
        "query": query,
        "headers": headers,
        "errors": errors,
        "parse_as": parse_as,
        "timeout": timeout,
        "timeout_s": timeout_s,
        "max_redirections": max_redirections,
        "retries": retries,
        "idempotency_key": idempotency_key,
        "tls": tls,
        "http2": http2,
        "max_mb": max_mb,
    }

    def run(state: State) -> State:
        _announce_end()
        wanted = _of_http(resolve(state, given), state.get("configuration"))
        result = http_.request(wanted.pop("method"), wanted.pop("path"), **wanted)(state)
        if result["data"] is None and _was_text(wanted, result["response"]):
            result["data"] = ""
        return result

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
            "the adaptor rest is deprecated and goes away in the next release; use the adaptor http,"
            " which has the same verbs (its README lists the differences)"
        )


def _of_http(given: dict[str, Any], configuration: Any) -> dict[str, Any]:
    """Return the arguments for `http` that do the same.

    Args:
        given: The arguments of `request`, with no function of state in them.
        configuration: The configuration of the step.

    Raises:
        RequestError: There are two bodies, or one that cannot be sent.

    """
    wanted = dict(given)
    json, body = wanted.pop("json"), wanted["body"]
    if wanted["timeout"] is None and wanted["timeout_s"] is None:
        wanted["timeout_s"] = _OLD_TIMEOUT_S
    if json is not None:
        if body is not None:
            raise RequestError("either json or body, not both")
        wanted["body"] = encoded_json(json)
    elif isinstance(body, str | bytes) and not _names_type(wanted, configuration):
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        wanted["headers"] = {**(wanted["headers"] or {}), **form}
    return wanted


def _names_type(wanted: dict[str, Any], configuration: Any) -> bool:
    """Return whether somebody says what the body is; wrong headers are left to `http`."""
    if wanted["content_type"] is not None:
        return True
    found = [wanted["headers"] or {}, (configuration or {}).get("headers") or {}]
    return any(
        not isinstance(headers, dict)
        or any(str(name).lower() == "content-type" for name in headers)
        for headers in found
    )


def _was_text(wanted: dict[str, Any], response: dict[str, Any]) -> bool:
    """Return whether an empty answer used to be an empty text: the server does not call it JSON."""
    named = response["headers"].get("content-type", "").partition(";")[0].strip()
    return wanted["parse_as"] == "auto" and not named.endswith(("/json", "+json"))
