"""Tokens of a token server (OAuth2, RFC 6749 section 4.4), one for each session."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import Any
from urllib.parse import quote_plus, urlencode

from .credentials import Client, Tls
from .errors import HttpError, TokenError
from .exchange import Answer, Sending, exchange
from .retries import retry_advice
from .sessions import Session, Token
from .urls import shown

MOST_BYTES = 1_000_000
_USUAL_LIFE_S = 300.0
_EARLY_S = 30.0
"""A token is replaced this long before its end, or after half of a shorter life."""

_ERROR = re.compile(r"[a-z_]{1,50}")
"""The form of an error code of a token server; other texts of it may repeat a secret."""

_BEARER = re.compile(r"[\x21-\x7e]+")


def token_of(session: Session, client: Client, tls: Tls, timeout_s: float) -> str:
    """Return a token: that of the session if it is fresh, otherwise a new one.

    Raises:
        TokenError: The token server did not give a token.

    """
    if session.token is None or not session.token.is_fresh():
        session.token = _ask(session, client, tls, timeout_s)
    return session.token.value


def _ask(session: Session, client: Client, tls: Tls, timeout_s: float) -> Token:
    fields = {"grant_type": "client_credentials", **client.more}
    headers = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
    if client.in_body:
        fields |= {"client_id": client.client_id, "client_secret": client.client_secret}
    else:
        # RFC 6749, section 2.3.1: each half is encoded before they are joined.
        pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
        headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    sending = Sending(
        method="POST",
        url=client.token_url,
        headers=headers,
        body=urlencode(fields).encode(),
        timeout_s=timeout_s,
        is_own=True,
        tls=tls,  # the configuration names this server as well
        http2=False,
    )
    where = shown(client.token_url)
    try:
        # A redirect is not followed: the secret is for this URL only.
        answer = exchange(session, sending, MOST_BYTES, keep=lambda _: True)
    except HttpError as error:
        raise TokenError(f"no token from {where}: {error}", **vars(error)) from None
    found = _parsed(answer)
    facts = {"url": where, "status": answer.status}
    if answer.status != 200:
        code = found.get("error")
        known = f" ({code})" if isinstance(code, str) and _ERROR.fullmatch(code) else ""
        advice = retry_advice(answer.status, answer.headers.get("retry-after"))
        raise TokenError(
            f"no token from {where}: it answered {answer.status} {answer.reason}{known}",
            **facts,
            **advice,
        )
    token = found.get("access_token")
    kind = found.get("token_type", "bearer")
    if not isinstance(token, str) or not _BEARER.fullmatch(token):
        raise TokenError(
            f"no token from {where}: its answer has no access_token", **facts, retryable=False
        )
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise TokenError(
            f"the token from {where} is not of the type Bearer", **facts, retryable=False
        )
    life_s = found.get("expires_in")
    try:
        life_s = float(life_s) if life_s is not None else _USUAL_LIFE_S
    except (TypeError, ValueError, OverflowError):
        life_s = _USUAL_LIFE_S
    return Token(token, time.monotonic() + max(life_s - _EARLY_S, life_s / 2))


def _parsed(answer: Answer) -> dict[str, Any]:
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
