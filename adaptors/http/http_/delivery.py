"""Delivers a request: with credentials for their own origin, over redirects, and again if that is safe."""

from __future__ import annotations

import logging
import time
from typing import NamedTuple

from .credentials import Settings, Tls
from .errors import HttpError, RedirectError, ResponseError, UnreachableError
from .exchange import Answer, Sending, exchange
from .hiding import Hiding
from .parsing import parse
from .retries import IDEMPOTENT, retry_advice, wait_before
from .sessions import Session
from .tokens import token_of
from .tracing import trace_headers
from .urls import Origin, origin, redirected, shown

MAX_ERROR_BODY = 2_000
"""Most characters of an error's body in its details."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})

_FOR_EVERYBODY = frozenset(
    [
        "accept",
        "accept-language",
        "accept-charset",
        "user-agent",
        "content-type",
        "prefer",
        "content-language",
        "cache-control",
        "range",
    ]
)
"""Headers of a job that follow a redirect to another origin.  Any other may be a credential."""

_OF_A_BODY = frozenset(
    ("content-type", "content-language", "content-encoding", "content-location", "digest")
)

logger: logging.Logger = logging.getLogger("jobcell.http")


class Wanted(NamedTuple):
    """A request of a job, whose arguments were checked."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None
    timeout_s: float
    max_redirections: int
    retries: int
    has_key: bool
    limit_bytes: int
    errors: dict[int, str | bool] | None
    http2: bool
    own: Origin
    """The origin that gets the credentials."""

    def is_result(self, status: int) -> bool:
        """Return whether the body of an answer is wanted, and not only the text of an error."""
        if status in _REDIRECTS and self.max_redirections:
            return False
        return self.errors is None or self.errors.get(status, status >= 400) in (False, "")

    def may_repeat(self) -> bool:
        """Return whether a second request does nothing more than the first."""
        return self.method in IDEMPOTENT or self.has_key


def deliver(session: Session, settings: Settings, wanted: Wanted, hiding: Hiding) -> Answer:
    """Send a request, and send it again as long as it fails for the moment and that is safe.

    Raises:
        UnreachableError: The server did not answer.
        ResponseError: The status is an error, or the body cannot be read.
        TokenError: The token server did not give a token.

    """
    attempt = 1
    while True:
        try:
            return _attempt(session, settings, wanted, hiding)
        except HttpError as error:
            wait_s = wait_before(attempt, error)
            if attempt > wanted.retries or wait_s is None or not _may_repeat(wanted, error):
                raise
            text = hiding.text(str(error))
            logger.warning("%s; another attempt follows in %.1f s", text, wait_s)
        time.sleep(wait_s)
        attempt += 1


def _may_repeat(wanted: Wanted, error: HttpError) -> bool:
    if not error.retryable:
        return False
    # If nothing was sent, nothing can happen twice.
    return wanted.may_repeat() or vars(error).get("sent") is False


def _attempt(session: Session, settings: Settings, wanted: Wanted, hiding: Hiding) -> Answer:
    began = time.monotonic()
    try:
        answer, left_origin = _follow(session, settings, wanted)
    except UnreachableError as error:
        if error.retryable and vars(error).get("sent") and not wanted.may_repeat():
            # The server may have done its work, so the plan decides about another attempt.
            error.retryable = None
        raise
    took_ms = (time.monotonic() - began) * 1000
    url = hiding.text(shown(answer.url))
    logger.info("%s %s - %d in %d ms", wanted.method, url, answer.status, round(took_ms))
    message = _complaint(wanted, answer)
    if message is None:
        return answer
    if left_origin and answer.status in (401, 403):
        message += (
            f" (after a redirect to another origin, {shown(answer.url)!r}, which gets no"
            " credentials; if it is the right one, write it as the base_url)"
        )
    raise ResponseError(
        message,
        method=wanted.method,
        url=shown(answer.url),
        status=answer.status,
        status_code=answer.status,
        reason=answer.reason,
        body=_text(answer),
        **retry_advice(answer.status, answer.headers.get("retry-after")),
    )


def _complaint(wanted: Wanted, answer: Answer) -> str | None:
    """Return the message of the error that an answer is; None if it is not an error."""
    if wanted.errors is None:
        return None
    given = wanted.errors.get(answer.status, answer.status >= 400)
    if given is False or given == "":
        return None
    if isinstance(given, str):
        return given
    return f"{wanted.method} {shown(answer.url)} gave {answer.status} {answer.reason}".rstrip()


def _text(answer: Answer) -> str:
    try:
        text = str(parse(answer.body, answer.headers.get("content-type", ""), "text"))
    except (ValueError, LookupError):
        text = answer.body.decode(errors="replace")
    return text[:MAX_ERROR_BODY]


def _follow(session: Session, settings: Settings, wanted: Wanted) -> tuple[Answer, bool]:
    """Send a request and follow its redirects.

    Returns:
        The answer, and whether it is from another origin than that of the credentials.

    Raises:
        RedirectError: There are too many redirects, or one leads where it must not.
        HttpError: As `exchange`.

    """
    method, url, body = wanted.method, wanted.url, wanted.body
    headers = dict(wanted.headers)
    is_own = origin(url) == wanted.own
    left_origin = False
    for _ in range(wanted.max_redirections + 1):
        answer = _authorized(session, settings, wanted, _Hop(method, url, headers, body, is_own))
        location = answer.headers.get("location")
        if answer.status not in _REDIRECTS or location is None or not wanted.max_redirections:
            return answer, left_origin
        try:
            target = redirected(url, location)
            changed = origin(target) != origin(url)
        except HttpError as error:
            raise RedirectError(
                f"{method} {shown(url)} leads to a place that is refused: {error}",
                **_facts(method, url, answer),
            ) from None
        if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
            method, body = ("HEAD" if method == "HEAD" else "GET"), None
            headers = {name: text for name, text in headers.items() if name not in _OF_A_BODY}
        if changed:
            if body is not None:
                raise RedirectError(
                    f"{method} {shown(url)} leads to another origin, {shown(target)!r}, which does not"
                    " get the body; if it is the right one, write this URL",
                    **_facts(method, url, answer),
                    location=shown(target),
                )
            headers = {name: text for name, text in headers.items() if name in _FOR_EVERYBODY}
            # It stays so on the way back: the other server chose the rest of the way.
            is_own, left_origin = False, True
        url = target
    raise RedirectError(
        f"{wanted.method} {shown(wanted.url)} has more than {wanted.max_redirections} redirects; the"
        " limit is the argument max_redirections",
        **_facts(method, url, answer),
    )


def _facts(method: str, url: str, answer: Answer) -> dict[str, object]:
    return {"method": method, "url": shown(url), "status": answer.status}


class _Hop(NamedTuple):
    """A request on the way."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None
    is_own: bool


def _authorized(session: Session, settings: Settings, wanted: Wanted, hop: _Hop) -> Answer:
    """Send one request, with the credentials if its target is their origin."""
    kept = session.token
    answer = _sent(session, settings, wanted, hop)
    if answer.status == 401 and kept is not None and session.token is kept and hop.is_own:
        # The server has ended the token early.  It has refused the request, so it may come again.
        session.token = None
        answer = _sent(session, settings, wanted, hop)
    return answer


def _sent(session: Session, settings: Settings, wanted: Wanted, hop: _Hop) -> Answer:
    headers = hop.headers
    if hop.is_own:
        secret = dict(settings.headers)
        if settings.client is not None and "authorization" not in headers:
            token = token_of(session, settings.client, settings.tls, wanted.timeout_s)
            secret["authorization"] = f"Bearer {token}"
        traced = trace_headers() if settings.trace and "traceparent" not in headers else {}
        headers = {**traced, **secret, **headers}  # the job's own header wins
    sending = Sending(
        method=hop.method,
        url=hop.url,
        headers=headers,
        body=hop.body,
        timeout_s=wanted.timeout_s,
        is_own=hop.is_own,
        tls=settings.tls if hop.is_own else Tls(),
        http2=wanted.http2,
    )
    return exchange(session, sending, wanted.limit_bytes, keep=wanted.is_result)
