"""How a secret may be spelled.

A spelling is a sequence of bytes; text is compared as UTF-8.  Every spelling here is one that
ordinary code gives a value on its way into a log or an error: a header, a URL, a JSON body, the
`repr` of an exception.  What a job computes in order to deceive (reversed, encrypted, one
character at a time) has no end, and is not looked for.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, quote_plus

from engine.redaction.needles import MIN_SECRET_CHARACTERS
from protocol.events import REDACTED

_BASE64_LINE_BYTES: Final = 57
"""Bytes per line of 76 characters in MIME and in the output of ``base64``; RFC 2045, 6.8."""

_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")

_PERCENT_SAFE: Final = ("", "/", "!'()*~", "!#$%&'()*+,/:;=?@[]~", "!$&'()*+,;=:")
"""What is left as it is by: quote(safe=""), quote, encodeURIComponent, encodeURI and requests,
and by RFC 3986 in the userinfo of a URL."""


def spellings(secret: str | bytes) -> set[bytes]:
    """Return every form in which *secret* is looked for, itself included.

    A multi-line secret is looked for line by line as well: nobody prints a key in one piece.
    """
    whole = _encoded(secret) if isinstance(secret, str) else secret
    found: set[bytes] = set()
    for part in {whole, whole.strip(), *(line.strip() for line in whole.splitlines())}:
        if _characters(part) >= MIN_SECRET_CHARACTERS:
            found.update(_spellings_of_part(part))
    # What occurs in "[redacted]" cannot be hidden by writing that.
    mark = REDACTED.encode()
    return {form for form in found if len(form) >= MIN_SECRET_CHARACTERS and form not in mark}


def plain_spelling(secret: str | bytes) -> set[bytes]:
    """Return only the form in which *secret* is written in the configuration."""
    whole = _encoded(secret) if isinstance(secret, str) else secret
    return {whole} - {REDACTED.encode()}


def _spellings_of_part(part: bytes) -> Iterator[bytes]:
    yield part
    yield part.hex().encode()
    yield part.hex().upper().encode()
    yield from _percent(part)
    yield from _bytes_escapes(part)
    yield from _base64(part)
    try:
        text = part.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return
    for escaped in _text_escapes(text):
        yield _encoded(escaped)
        # Twice: a JSON body that is quoted in a JSON error.
        yield from map(_encoded, _text_escapes(escaped))
    # A JSON body, or a token that contains one, in base64.
    for ascii_only in (True, False):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        if escaped != text:
            yield from _base64(_encoded(escaped))


def _text_escapes(text: str) -> set[str]:
    """Return *text* inside the quotes of JSON and of Python's repr."""
    compact = json.dumps(text)[1:-1]
    readable = json.dumps(text, ensure_ascii=False)[1:-1]
    # repr chooses its quotes by what else is in the string, so both choices are possible.
    bare = repr(text + "'\"")[1:-4].replace("\\'", "'")
    ascii_bare = ascii(text + "'\"")[1:-4].replace("\\'", "'")
    forms = {text, compact, readable, bare, ascii_bare}
    forms |= {form.replace("'", "\\'") for form in (bare, ascii_bare)}
    forms |= {form.replace("/", "\\/") for form in (compact, readable)}  # as PHP writes JSON
    forms |= {_upper_unicode(form) for form in (compact, ascii_bare)}
    return forms


def _bytes_escapes(part: bytes) -> set[bytes]:
    """Return *part* inside the quotes of the repr of bytes."""
    bare = repr(part + b"'\"")[2:-4].replace("\\'", "'")
    return {bare.encode(), bare.replace("'", "\\'").encode()}


def _percent(part: bytes) -> set[bytes]:
    forms = {quote(part, safe=safe).encode() for safe in _PERCENT_SAFE}
    forms.add(quote_plus(part).encode())
    return forms | {_lower_percent(form) for form in forms}


def _base64(part: bytes) -> Iterator[bytes]:
    """Yield what *part* is in base64, wherever it stands in what was encoded.

    Three bytes become four characters, so a part looks different behind 0, 1 and 2 bytes.  In
    each case the characters that depend on nothing but the part are searched for.
    """
    whole = base64.b64encode(part)
    forms = [whole, whole.rstrip(b"=")]
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + part)
        first = -(-before * 8 // 6)
        last = (before + len(part)) * 8 // 6
        forms.append(encoded[first:last])
    for form in forms:
        in_url = quote(form, safe="").encode()
        yield from (form, form.translate(_URL_SAFE), in_url, _lower_percent(in_url))
    if len(part) > _BASE64_LINE_BYTES:
        yield from base64.encodebytes(part).split()


def _lower_percent(form: bytes) -> bytes:
    return re.sub(rb"%[0-9A-F]{2}", lambda match: match[0].lower(), form)


def _upper_unicode(form: str) -> str:
    return re.sub(r"\\u[0-9a-f]{4}", lambda match: match[0][:2] + match[0][2:].upper(), form)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _characters(part: bytes) -> int:
    """Count characters, not bytes, of what is text; a bytes secret counts its bytes."""
    try:
        return len(part.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        return len(part)
