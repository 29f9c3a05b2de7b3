"""The ways in which a secret may be spelled.

A spelling is a sequence of bytes; text is compared as UTF-8.  Every spelling here is one that
ordinary code produces on the way into a log or an error.  It may come from a header, a URL, a JSON
body, a page, a command, or the `repr` of an exception.  A job can also deceive with endless other
spellings (reversed, encrypted, one character at a time), which are not searched for.
"""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Final, Literal
from urllib.parse import quote, quote_plus

from engine.reporting.redaction.markup import markup_spellings, numeric_spellings, usual_markup
from engine.reporting.redaction.needles import MIN_SECRET_CHARACTERS
from protocol.events import REDACTED

_BASE64_LINE_BYTES: Final = 57
"""Bytes in a line of 76 characters, in MIME and in the output of ``base64``; RFC 2045, 6.8."""

_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")

_PERCENT_SAFE: Final = (
    "", "/", "!'()*~", "!#$%&'()*+,/:;=?@[]~", "!$&'()*+,;=:", "!$'()*,/:?@~",
)  # fmt: skip
"""Characters that are not encoded by, in this order: quote(safe=""), quote, encodeURIComponent,
encodeURI and requests, RFC 3986 in the userinfo of a URL, and yarl in a query."""

_NORMAL_FORMS: Final[tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...]] = (
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
)

_PLAIN: Final = re.compile(rb"[A-Za-z0-9_.\-]+")
"""A secret that is not changed by quoting or escaping, except by styles that change every
character."""

LONG_PART_BYTES: Final = 4096
"""A longer part, such as a bundle of certificates, is searched for in a few spellings only, because
each takes its length in memory."""

_SHELL_QUOTED: Final = re.compile(r"([^\w@%+=:,./\-])", re.ASCII)
_SHELL_IN_QUOTES: Final = re.compile(r"([\"$`\\])")


def spellings(secret: str | bytes) -> set[bytes]:
    """Return every form in which *secret* is searched for, itself included."""
    return {form for part in parts_of(secret) for form in spellings_of_part(part)}


def parts_of(secret: str | bytes) -> list[bytes]:
    """Return the parts of a secret to search for: the whole, and each line of several.

    A key of several lines is seldom printed in one piece.  Text comes in all normal forms of
    Unicode.
    """
    wholes = [_encoded(secret) if isinstance(secret, str) else secret]
    if isinstance(secret, str) and not secret.isascii():
        wholes += [_encoded(unicodedata.normalize(form, secret)) for form in _NORMAL_FORMS]
    parts: dict[bytes, None] = {}
    for whole in wholes:
        for part in (whole, whole.strip(), *(line.strip() for line in whole.splitlines())):
            if _characters(part) >= MIN_SECRET_CHARACTERS and _may_be_hidden(part):
                parts[part] = None
    return list(parts)


def spellings_of_part(part: bytes) -> set[bytes]:
    """Return every form in which a part is searched for, itself included."""
    if len(part) > LONG_PART_BYTES:
        forms = _few_spellings(part)
    elif _PLAIN.fullmatch(part):
        forms = set(_spellings_of_bytes(part))
        forms.update(map(str.encode, numeric_spellings(part.decode())))
        forms.add(re.escape(part))
    else:
        forms = set(_spellings_of_bytes(part)) | set(_spellings_of_text(part))
    return {form for form in forms if len(form) >= MIN_SECRET_CHARACTERS and _may_be_hidden(form)}


def _may_be_hidden(form: bytes) -> bool:
    """Whether ``[redacted]`` in its place hides *form*, which must not be a part of that word."""
    return form not in REDACTED.encode()


def _few_spellings(part: bytes) -> set[bytes]:
    forms = {part, quote(part).encode(), quote(part, safe="").encode(), quote_plus(part).encode()}
    forms |= _bytes_escapes(part)
    for before in range(3):
        form = _core_of_base64(part, before)
        forms |= {form, form.translate(_URL_SAFE)}
    try:
        text = part.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return forms
    compact = json.dumps(text)[1:-1]
    forms |= {compact.encode(), _encoded(json.dumps(text, ensure_ascii=False)[1:-1])}
    return forms | {_encoded(repr(text)[1:-1])}


def _spellings_of_bytes(part: bytes) -> Iterator[bytes]:
    yield part
    yield part.hex().encode()
    yield part.hex().upper().encode()
    yield from _percent(part)
    yield from _bytes_escapes(part)
    yield from _base64(part)


def _spellings_of_text(part: bytes) -> Iterator[bytes]:
    try:
        text = part.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return
    escapes = _text_escapes(text)
    for escaped in escapes:
        yield _encoded(escaped)
        # Escaped twice, as in a JSON body that is quoted in a JSON error.
        yield from map(_encoded, _text_escapes(escaped))
    yield from map(_encoded, markup_spellings(text) | numeric_spellings(text))
    for form in _json(text) | {text}:
        yield from map(_encoded, _quoted(form) | usual_markup(form))
    for command in _in_shell(text):  # in the text of an exception
        yield from map(_encoded, _text_escapes(command))
    for url in {quote(part, safe=safe) for safe in _PERCENT_SAFE}:  # in a link of a page
        yield from map(_encoded, usual_markup(url))
    # A JSON body, or a token that contains one, in base64.
    for escaped in _json(text) - {text}:
        yield from _base64(_encoded(escaped))
    # Basic authentication is often encoded in Latin-1.
    if not text.isascii():
        try:
            latin = text.encode("latin-1")
        except UnicodeEncodeError:
            return
        yield from _spellings_of_bytes(latin)


def _json(text: str) -> set[str]:
    return {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}


def _quoted(text: str) -> set[str]:
    """Return *text* as quoted in CSV, SQL and YAML, in a shell, and in a pattern."""
    return {
        *_in_shell(text),
        text.replace('"', '""'),
        text.replace("'", "''"),
        _SHELL_QUOTED.sub(r"\\\1", text),
        _SHELL_IN_QUOTES.sub(r"\\\1", text),
        re.escape(text),
    }


def _in_shell(text: str) -> set[str]:
    """Return *text* as `shlex.quote` and bash write it inside single quotes."""
    return {text.replace("'", "'\"'\"'"), text.replace("'", "'\\''")} - {text}


def _text_escapes(text: str) -> set[str]:
    """Return *text* as it is inside the quotes of JSON and of Python's repr."""
    compact = json.dumps(text)[1:-1]
    readable = json.dumps(text, ensure_ascii=False)[1:-1]
    # repr chooses its quotes by the rest of the string, so both choices are possible.
    bare = repr(text + "'\"")[1:-4].replace("\\'", "'")
    ascii_bare = ascii(text + "'\"")[1:-4].replace("\\'", "'")
    forms = {text, compact, readable, bare, ascii_bare}
    forms |= {form.replace("'", "\\'") for form in (bare, ascii_bare)}
    forms |= {form.replace("/", "\\/") for form in (compact, readable)}  # as PHP writes JSON
    forms |= {form.translate(_SAFE_IN_HTML) for form in (compact, readable)}  # as Go writes it
    forms |= {form.translate(_SAFE_WITH_QUOTE) for form in (compact, readable)}
    forms |= {_upper_unicode(form) for form in (*forms,) if "\\u" in form}
    return forms


_SAFE_IN_HTML: Final = {ord(char): f"\\u{ord(char):04x}" for char in "<>&"}
_SAFE_WITH_QUOTE: Final = _SAFE_IN_HTML | {ord("'"): "\\u0027"}


def _bytes_escapes(part: bytes) -> set[bytes]:
    """Return *part* as it is inside the quotes of the repr of bytes."""
    bare = repr(part + b"'\"")[2:-4].replace("\\'", "'")
    return {bare.encode(), bare.replace("'", "\\'").encode()}


def _percent(part: bytes) -> set[bytes]:
    """Return *part* percent-encoded, once and twice."""
    forms = {quote(part, safe=safe).encode() for safe in _PERCENT_SAFE}
    forms.add(quote_plus(part).encode())
    forms |= {_lower_percent(form) for form in forms}
    # A URL as a parameter of another one: the percent signs are encoded, and perhaps the rest.
    twice = {form.replace(b"%", b"%25") for form in forms}
    twice |= {quote(form, safe="").encode() for form in forms}
    return forms | twice | {_lower_percent(form) for form in twice}


def _base64(part: bytes) -> Iterator[bytes]:
    """Yield the forms of *part* in base64, at any place of the encoded text.

    Three bytes become four characters, so a part looks different behind 0, 1 and 2 other bytes.  In
    each case the search uses the characters that depend on the part only.
    """
    whole = base64.b64encode(part)
    forms = [whole, whole.rstrip(b"="), *(_core_of_base64(part, before) for before in range(3))]
    for form in forms:
        in_url = quote(form, safe="").encode()
        yield from (form, form.translate(_URL_SAFE), in_url, _lower_percent(in_url))
    if len(part) > _BASE64_LINE_BYTES:
        yield from base64.encodebytes(part).split()


def _core_of_base64(part: bytes, before: int) -> bytes:
    """Return the base64 characters that depend on *part* only, behind *before* other bytes."""
    encoded = base64.b64encode(bytes(before) + part)
    first = -(-before * 8 // 6)
    last = (before + len(part)) * 8 // 6
    return encoded[first:last]


def _lower_percent(form: bytes) -> bytes:
    return re.sub(rb"%[0-9A-F]{2}", lambda match: match[0].lower(), form)


def _upper_unicode(form: str) -> str:
    return re.sub(r"\\u[0-9a-f]{4}", lambda match: match[0][:2] + match[0][2:].upper(), form)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _characters(part: bytes) -> int:
    """Return the number of characters of a part that is text; otherwise the number of bytes."""
    try:
        return len(part.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        return len(part)
