"""Bytes into redaction: a planted secret is always found, and other text stays.

The first three bytes of an input choose the spelling, the form and the length of the secret.  Then
come the secret and the text around it.
"""

from __future__ import annotations

import base64
import csv
import functools
import html
import io
import json
import re
import shlex
import unicodedata
from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import quoteattr

import msgspec

from engine.reporting.redaction import MIN_SECRET_CHARACTERS, Redactor
from fuzzing.mutation import mutate_bytes
from fuzzing.target import Target
from protocol.events import REDACTED
from protocol.state import decode_state, encode_state

LONG_BYTES = 60_000
"""Some inputs get this length, so that work in the square of the length takes too long."""

SHORT_CHARACTERS = 2_000

LONG, PIECES = 1, 2
"""The choices in the second byte."""


def _in_csv(secret: str) -> str:
    out = io.StringIO()
    csv.writer(out).writerow([secret])
    return out.getvalue().rstrip("\r\n")


SPELLINGS: tuple[Callable[[str], str], ...] = (
    str,
    repr,
    ascii,
    json.dumps,
    lambda secret: json.dumps(secret, ensure_ascii=False),
    lambda secret: json.dumps(json.dumps(secret)),
    quote,
    quote_plus,
    lambda secret: quote(secret, safe=""),
    lambda secret: quote(quote(secret, safe=""), safe=""),
    html.escape,
    lambda secret: html.escape(secret, quote=False),
    shlex.quote,
    _in_csv,
    lambda secret: repr(secret.encode()),
    lambda secret: secret.encode().hex(),
    lambda secret: base64.b64encode(secret.encode()).decode(),
    lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    lambda secret: base64.b64encode(f"user:{secret}".encode()).decode(),
    lambda secret: secret.encode("unicode_escape").decode(),
    lambda secret: secret.encode("ascii", "xmlcharrefreplace").decode(),
    lambda secret: html.escape(secret).encode("ascii", "xmlcharrefreplace").decode(),
    lambda secret: unicodedata.normalize("NFC", secret),
    lambda secret: unicodedata.normalize("NFD", secret),
    quoteattr,
    re.escape,
    lambda secret: secret.encode().hex().upper(),
    lambda secret: json.dumps({"auth": repr(secret)}),
    lambda secret: repr([secret, {secret: 1}]),
)
"""The ways in which ordinary code writes a value, from the standard library and not from our list.
"""


def check(data: bytes) -> None:
    """Plant a secret, in one of its spellings, and look for it in the output."""
    head = data[:3].ljust(3, b"\0")
    form, length = head[1], MIN_SECRET_CHARACTERS + head[2] % 59
    text = data[3:].decode("utf-8", "replace")
    secret, around = text[:length], text[length:]
    redactor = _informed(Redactor.adopt, secret, around[:40])
    spelled = SPELLINGS[head[0] % len(SPELLINGS)](secret)
    half = len(around) // 2
    before, after = around[:half], around[half:]
    if form & LONG and head[2] % 4 == 0 and around:
        after *= max(1, LONG_BYTES // len(around))
    whole = f"{before} {spelled} {after}"
    redacted = redactor.text(whole)
    hidden = _is_secret(secret)
    if hidden:
        assert _core(spelled) not in redacted, f"{spelled!r} was let through"
    if form & PIECES:
        _check_records(redactor, whole, redacted, _core(spelled))
    _check_garbage(redactor, data, hidden=hidden, secret=secret)
    _check_value(redactor, before, after[:2000], spelled, hidden=hidden)


@functools.lru_cache(maxsize=16)
def _informed(_adopt: object, secret: str, host: str) -> Redactor:
    """Return a redactor that knows a credential; a test replaces the method by which it learns.

    The seeds have the same secrets in many spellings, and to learn a secret takes most of the time of a check.
    """
    redactor = Redactor()
    redactor.learn({"password": secret, "host": host})
    return redactor


def _is_secret(secret: str) -> bool:
    """Whether the text is a secret, and its mark cannot form another secret with text around it."""
    mark = REDACTED
    return (
        len(secret) >= MIN_SECRET_CHARACTERS
        and secret == secret.strip()
        and len(secret.splitlines()) == 1
        and not set(secret) <= set(mark)
        and not any(secret.startswith(mark[-n:]) or secret.endswith(mark[:n]) for n in range(1, 11))
        and mark not in secret
    )


def _core(spelled: str) -> str:
    """Return a spelling without the quotes around it, which may stay."""
    core = spelled.removeprefix("b")
    for quotes in ("'", '"', '\\"', '"'):
        if core.startswith(quotes) and core.endswith(quotes) and len(core) > 2 * len(quotes):
            core = core[len(quotes) : -len(quotes)]
    return core if len(core) >= MIN_SECRET_CHARACTERS else spelled


def _check_records(redactor: Redactor, whole: str, redacted: str, core: str) -> None:
    """Assert that a text that is cut into records hides the secret, and loses no record."""
    records = redactor.records()
    step = 1 + len(whole) % 7 if len(whole) < SHORT_CHARACTERS else 997
    places = range(0, len(whole), step)
    out = [pair for place in places for pair in records.feed(place, whole[place : place + step])]
    out += records.flush()
    assert [place for place, _ in out] == list(places), "each record goes out once, in order"
    emitted = "".join(text for _, text in out)
    assert core not in emitted or core in redacted, "a secret is let through in records"


def _check_garbage(redactor: Redactor, data: bytes, *, hidden: bool, secret: str) -> None:
    """Give the redactor bytes in place of a state: the answer may be anything except the secret."""
    encoded = data[3:] + msgspec.msgpack.encode(secret)
    scrubbed = redactor.raw(encoded)
    if hidden:
        assert secret.encode() not in (encoded if scrubbed is None else scrubbed)


def _check_value(
    redactor: Redactor, before: str, after: str, spelled: str, *, hidden: bool
) -> None:
    """Assert that a value keeps its shape, and that its encoded form is redacted alike."""
    value = {
        "n": 1,
        "before": before,
        "list": [spelled, None, 2.5, spelled.encode(), {"deep": [after, spelled]}],
        f"key {spelled}": True,
        "filler": "-" * 5000,
    }
    scrubbed = redactor.value(value)
    assert _shape(scrubbed) == _shape(value)
    encoded = redactor.raw(encode_state(value))
    assert _alike(value if encoded is None else decode_state(encoded), scrubbed)
    if hidden:
        assert _core(spelled) not in scrubbed["list"][0]
        assert _core(spelled).encode() not in scrubbed["list"][3]
        assert _core(spelled) not in scrubbed["list"][4]["deep"][1]
    assert scrubbed["n"] == 1


def _alike(one: Any, other: Any) -> bool:
    """Whether two values are the same, except for texts that one of them hides as a whole.

    A text that keeps almost matching is hidden as a whole, but not always within a larger text.
    """
    if isinstance(one, dict):
        pairs = zip(one.items(), other.items(), strict=True)
        return all(_alike(a, b) and _alike(x, y) for (a, x), (b, y) in pairs)
    if isinstance(one, list):
        return all(_alike(a, b) for a, b in zip(one, other, strict=True))
    hidden = (REDACTED, REDACTED.encode())
    return one == other or one in hidden or other in hidden


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return [_shape(item) for item in value.values()]
    if isinstance(value, list):
        return [_shape(item) for item in value]
    return type(value)


WORDS = tuple(
    word.encode()
    for word in (
        "'", '"', "\\", "\\\\", "&", "&amp;", "&#x27;", "<", "%", "%25", "%2F", "/", "+", "=", " ", "\n",
        "\t", "\r", "\0", "\x1b", "\x7f", "\x85", "\xa0", "\u0130", "\u00e9", "e\u0301", "\u200b", "\u2028",
        "\ufb01", "\ufeff", "\U0001f511", "$", "`", "[", "]", "[redacted]", "redacted", "user:", "://", "@",
        "https://user:hunter22@host/", "aaaaaaaa", "abababab", "{}", "null",
    )
)  # fmt: skip


def mutate(data: bytes, rng: Random) -> bytes:
    """Change the choice, or the secret and the text around it."""
    head = bytearray(data[:3].ljust(3, b"\0"))
    if rng.randrange(3) == 0:
        head[rng.randrange(3)] = rng.randrange(256)
    body = data[3:]
    if rng.randrange(4) == 0:
        body = body[: rng.randint(0, 60)] * 2 + body  # the secret again, and parts of it
    return bytes(head) + mutate_bytes(body, rng, WORDS)


def seeds() -> list[bytes]:
    """Return secrets of every kind, in every spelling."""
    texts = (
        "correct-horse-battery said the job to correct-horse",
        "pa'ss\"w\\ord<&>%/+ =é and more pa'ss\"w\\ord",
        "日本語のパスワード\U0001f511 is long",
        "aaaaaaaaaaaa aaaaaaaaaaaaaaaaaaa",
        "https://user:hunter22secret@host/db?x=1 was refused",
        "-----BEGIN KEY-----\nabcdefghijkl\nmnopqrstuvwx\n-----END KEY-----\n",
    )
    kinds = range(len(SPELLINGS))
    return [bytes((kind, kind % 4, 15)) + text.encode() for kind in kinds for text in texts]


TARGET = Target(
    "redaction", check, mutate, seeds, limit_s=2.0
)  # fmt: skip
