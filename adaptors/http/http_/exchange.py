"""Sends one request over the wire and reads its answer within bounds; knows no redirects."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterator
from typing import NamedTuple

import httpx

from .credentials import Tls
from .decoding import ACCEPTED, UndecodableError, decoded
from .errors import RequestError, ResponseError, TooLargeError, UnreachableError
from .sessions import Session
from .urls import origin, shown

CONNECT_TIMEOUT_S = 30.0
"""Most seconds for a connection; the server needs the rest of the timeout for its work."""

MOST_BYTES_OF_ERROR = 65_536
"""Most bytes that are read of a body that only an error shows."""

_FINAL = (PermissionError, ssl.SSLCertVerificationError)
"""Reasons that no further attempt changes."""

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""Errors before the first byte of a request has left."""

_USER_AGENT = "jobcell-http/1.0"

for _library in ("httpx", "httpcore", "h11", "h2", "hpack"):
    # At the level debug they log headers, and so credentials and cookies.
    logging.getLogger(_library).setLevel(logging.WARNING)


class Sending(NamedTuple):
    """A request as it is sent."""

    method: str
    url: str
    headers: dict[str, str]
    """With names in lower case."""
    body: bytes | None
    timeout_s: float
    is_own: bool
    """Whether the target is the origin of the credentials."""
    tls: Tls
    http2: bool


class Answer(NamedTuple):
    """An answer.  The body has been read and decompressed."""

    url: str
    status: int
    reason: str
    headers: httpx.Headers
    body: bytes
    version: str


def exchange(
    session: Session, sending: Sending, limit_bytes: int, *, keep: Callable[[int], bool]
) -> Answer:
    """Send a request and read the whole answer.

    Args:
        session: Has the connections and the cookies.
        sending: The request.
        limit_bytes: Most bytes of the body.
        keep: Returns whether the body of a status is wanted.  Of another body only the beginning is
            kept.

    Raises:
        RequestError: The request cannot be made.
        UnreachableError: The server did not answer.
        TooLargeError: The body is too large.
        ResponseError: The body is broken.

    """
    whole = {**_base_headers(), **sending.headers}
    try:
        request = httpx.Request(
            sending.method,
            sending.url,
            # Some old servers know only the usual spelling; HTTP/2 writes lower case anyway.
            headers=[
                (name.title().encode("ascii"), text.encode("latin-1"))
                for name, text in whole.items()
            ],
            content=sending.body if sending.body is not None else b"",
            extensions={"timeout": _timeouts(sending.timeout_s)},
        )
    except httpx.InvalidURL as error:
        url = shown(sending.url)
        raise RequestError(f"not an http or https URL: {url!r} ({error})", url=url) from None
    if sending.body is None and sending.method in ("GET", "HEAD", "OPTIONS", "DELETE", "TRACE"):
        request.headers.pop("content-length", None)
    of = origin(sending.url)
    cookies = session.cookies(of)
    cookies.set_cookie_header(request)
    transport = session.transport(of[0], sending.tls, http2=sending.http2)
    flow = session.digest.sync_auth_flow(request) if session.digest and sending.is_own else None
    try:
        if flow is not None and "authorization" not in request.headers:
            next(flow)
        response = _send(transport, request)
        cookies.extract_cookies(response)
        if flow is not None and response.status_code == 401:
            following = _answer_to_challenge(flow, response)
            if following is not None:
                _drain(response)
                response = _send(transport, following)
                cookies.extract_cookies(response)
        return _read(sending, response, limit_bytes, keep=keep(response.status_code))
    except httpx.HTTPError as error:
        raise _unanswered(sending, error) from None
    finally:
        if flow is not None:
            flow.close()


def _base_headers() -> dict[str, str]:
    return {
        "accept": "application/json, */*;q=0.5",
        "accept-encoding": ACCEPTED,
        "user-agent": _USER_AGENT,
    }


def _timeouts(timeout_s: float) -> dict[str, float | None]:
    connect_s = min(timeout_s, CONNECT_TIMEOUT_S)
    return httpx.Timeout(timeout_s, connect=connect_s, pool=connect_s).as_dict()


def _send(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
    response = transport.handle_request(request)
    response.request = request
    return response


def _answer_to_challenge(
    flow: Iterator[httpx.Request], response: httpx.Response
) -> httpx.Request | None:
    """Return the request with the answer to a challenge of digest authentication, if there is one.

    Raises:
        ResponseError: The challenge is in a form that httpx does not know.

    """
    try:
        following: httpx.Request = flow.send(response)  # type: ignore[attr-defined]  # a generator
    except StopIteration:
        return None
    except (KeyError, ValueError, NotImplementedError, httpx.ProtocolError):
        response.close()
        url = shown(str(response.request.url))
        raise ResponseError(
            f"{response.request.method} {url}: the server asks for digest authentication in a form"
            " that is not known here",
            url=url,
            status=401,
            retryable=False,
        ) from None
    return following


def _drain(response: httpx.Response) -> None:
    """Read a short body that nobody wants, so that its connection can be used again."""
    try:
        left = MOST_BYTES_OF_ERROR
        for chunk in response.iter_raw():
            left -= len(chunk)
            if left < 0:
                break
    except httpx.HTTPError:
        pass  # the connection is closed then
    finally:
        response.close()


def _read(sending: Sending, response: httpx.Response, limit_bytes: int, *, keep: bool) -> Answer:
    """Read the body of a response and close it.

    Raises:
        TooLargeError: The body is too large.
        ResponseError: The body is broken.

    """
    most = limit_bytes if keep else min(limit_bytes, MOST_BYTES_OF_ERROR)
    codings = response.headers.get("content-encoding", "")
    body = bytearray()
    try:
        for piece in decoded(response.iter_raw(), codings, limit_bytes):
            body += piece
            if len(body) > most:
                if keep:
                    raise _too_large(sending, response, limit_bytes)
                del body[most:]
                break
    except UndecodableError as error:
        # The text of another status says more than its broken body.
        if keep:
            raise ResponseError(
                f"{sending.method} {shown(sending.url)}: the body cannot be decompressed: {error}",
                **_facts(sending, response),
            ) from None
    finally:
        response.close()
    reason = response.reason_phrase
    version = response.extensions.get("http_version", b"").decode("ascii", "replace")
    return Answer(sending.url, response.status_code, reason, response.headers, bytes(body), version)


def _too_large(sending: Sending, response: httpx.Response, limit_bytes: int) -> TooLargeError:
    return TooLargeError(
        f"{sending.method} {shown(sending.url)}: the body is larger than {limit_bytes} bytes; the"
        " limit is the argument max_mb",
        **_facts(sending, response),
        limit_bytes=limit_bytes,
    )


def _facts(sending: Sending, response: httpx.Response) -> dict[str, object]:
    return {
        "method": sending.method,
        "url": shown(sending.url),
        "status": response.status_code,
        "reason": response.reason_phrase,
    }


def _unanswered(sending: Sending, error: httpx.HTTPError) -> UnreachableError:
    reason = _reason(error)
    if isinstance(error, httpx.TimeoutException):
        text = f"no answer within {sending.timeout_s:g} s"
        if isinstance(error, _NOT_SENT):
            text = f"no connection within {min(sending.timeout_s, CONNECT_TIMEOUT_S):g} s"
    else:
        text = str(reason) or str(error) or type(reason).__name__
    if isinstance(reason, PermissionError):
        text += " (the run may not reach this host; its net permissions do not include it)"
    elif isinstance(reason, ssl.SSLCertVerificationError):
        text += " (a private authority goes into the configuration, as ca_certificate)"
    return UnreachableError(
        f"{sending.method} {shown(sending.url)}: {text}",
        method=sending.method,
        url=shown(sending.url),
        reason=text,
        retryable=not isinstance(reason, _FINAL),
        sent=not isinstance(error, _NOT_SENT),
    )


def _reason(error: BaseException) -> BaseException:
    """Return the error of the system behind an error of httpx, or the error itself."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return error
