"""Calls of a verb: resolves and checks the arguments, carries the request out, hides secrets."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from .arguments import (
    MOST_REDIRECTS,
    MOST_RETRIES,
    checked_errors,
    checked_headers,
    checked_key,
    checked_limit,
    checked_method,
    checked_number,
    checked_parser,
    checked_timeout,
)
from .bodies import encoded_body
from .credentials import Settings, read_settings
from .delivery import MAX_ERROR_BODY, Wanted, deliver
from .errors import HttpError, RequestError, ResponseError
from .exchange import Answer
from .hiding import Hiding
from .laziness import State, resolve
from .parsing import parse
from .sessions import session_of
from .urls import make_url, origin, shown

_LEFT_OUT = frozenset({"set-cookie", "set-cookie2"})
"""Headers of a response that stay in the session and do not get into the state."""


class Result(NamedTuple):
    """The result of a call."""

    data: Any
    response: dict[str, Any]
    answer: Answer


class Call:
    """The arguments of a verb, resolved against a state.

    Attributes:
        given: The resolved arguments by name.
        hiding: Hides the secrets of the configuration.

    Raises:
        RequestError: An argument or the configuration is wrong.

    """

    def __init__(self, state: State, given: dict[str, Any]) -> None:
        self.given: dict[str, Any] = resolve(state, given)
        self._settings = read_settings(state.get("configuration"), self.given["tls"])
        self._session = session_of(self._settings)
        self.hiding: Hiding = Hiding(self._settings, self._session)

    def perform(self) -> Result:
        """Send the request.

        Raises:
            HttpError: The request has failed.  No text of the error has a secret.

        """
        try:
            began = time.monotonic()
            wanted = _wanted(self.given, self._settings)
            answer = deliver(self._session, self._settings, wanted, self.hiding)
            duration_ms = round((time.monotonic() - began) * 1000)
            data = _data(wanted, answer, checked_parser(self.given["parse_as"]))
        except HttpError as error:
            raise self.hiding.error(error) from None
        return Result(data, _told(wanted, answer, duration_ms), answer)


def next_state(state: State, data: Any, response: dict[str, Any]) -> State:
    """Return the state after a request: the previous data is the last of the references."""
    return {
        **state,
        "data": data,
        "references": [*(state.get("references") or ()), state.get("data")],
        "response": response,
    }


def _wanted(given: dict[str, Any], settings: Settings) -> Wanted:
    path, query = given["path"], given["query"]
    if not isinstance(path, str):
        raise RequestError(f"the path is a text, not {type(path).__name__}")
    if query is not None and not isinstance(query, dict):
        raise RequestError(f"query is a dict, not {type(query).__name__}")
    method = checked_method(given["method"])
    url = make_url(settings.base_url, path, query)
    headers = checked_headers(given["headers"])
    own = settings.own_origin(url)
    usual = settings.headers.get("content-type")
    if usual and given["body"] is not None and given["content_type"] is None and origin(url) == own:
        headers.setdefault("content-type", usual)  # it decides how the body is written
    body = encoded_body(given["body"], given["content_type"], headers)
    checked_parser(given["parse_as"])
    key = checked_key(given["idempotency_key"])
    if key is not None:
        headers |= checked_headers({"Idempotency-Key": key})
    http2 = given["http2"] if given["http2"] is not None else settings.http2
    if http2 is not None and not isinstance(http2, bool):
        raise RequestError(f"http2 is True or False, not {http2!r:.100}")
    return Wanted(
        method=method,
        url=url,
        headers=headers,
        body=body,
        timeout_s=checked_timeout(given["timeout"], given["timeout_s"]),
        max_redirections=checked_number(
            "max_redirections", given["max_redirections"], MOST_REDIRECTS
        ),
        retries=checked_number("retries", given["retries"], MOST_RETRIES),
        has_key="idempotency-key" in headers,
        limit_bytes=checked_limit(given["max_mb"]),
        errors=checked_errors(given["errors"]),
        http2=bool(http2),
        own=own,
    )


def _data(wanted: Wanted, answer: Answer, parse_as: str) -> Any:
    content_type = answer.headers.get("content-type", "")
    if wanted.method == "HEAD":
        return None
    try:
        return parse(answer.body, content_type, parse_as)
    except (ValueError, LookupError) as error:
        kind = f" ({content_type:.60})" if parse_as == "auto" and content_type else ""
        hint = "" if parse_as == "json" else "; parse_as='bytes' gives it as it is"
        raise ResponseError(
            f"the body from {shown(answer.url)} cannot be read as {parse_as}{kind}: {error}{hint}",
            method=wanted.method,
            url=shown(answer.url),
            status=answer.status,
            body=answer.body[: 4 * MAX_ERROR_BODY].decode(errors="replace")[:MAX_ERROR_BODY],
        ) from None


def _told(wanted: Wanted, answer: Answer, duration_ms: int) -> dict[str, Any]:
    headers: dict[str, str] = {}
    for name, value in answer.headers.multi_items():
        if name not in _LEFT_OUT:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return {
        "method": wanted.method,
        "url": answer.url,
        "status": answer.status,
        "reason": answer.reason,
        "status_code": answer.status,
        "status_message": answer.reason,
        "headers": headers,
        "http_version": answer.version,
        "duration_ms": duration_ms,
    }
