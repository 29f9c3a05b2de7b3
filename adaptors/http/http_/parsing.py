"""The body of a response as the value that a job wants."""

from __future__ import annotations

import base64
import codecs
import json
from email.message import Message
from typing import Any

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is a prefix of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def parse(body: bytes, content_type: str, parse_as: str) -> Any:
    """Return *body* in the form *parse_as*; `"auto"` means JSON if the server says so, or text.

    An empty body is None, or the empty value of the wanted form.

    Raises:
        ValueError: The body is not JSON, or not text in its charset.
        LookupError: The charset is unknown.

    """
    if parse_as == "bytes":
        return body
    if parse_as == "base64":
        return base64.b64encode(body).decode("ascii")
    if not body:
        return "" if parse_as == "text" else None
    named = content_type.partition(";")[0].strip().lower()
    is_json = parse_as == "json" or (
        parse_as == "auto" and (named.endswith(("/json", "+json")) or named == "text/x-json")
    )
    text = _decoded(body, content_type, is_json=is_json)
    try:
        return json.loads(text) if is_json else text
    except RecursionError:
        raise ValueError("its lists and dicts are nested too deeply") from None


def _decoded(body: bytes, content_type: str, *, is_json: bool) -> str:
    """Return a body as text, without the byte order mark that some servers put before it.

    A byte order mark wins over the header.  JSON without a charset may be UTF-16 or UTF-32.
    """
    message = Message()
    message["content-type"] = content_type or "text/plain"
    charset = message.get_content_charset()
    if charset is None and is_json:
        charset = json.detect_encoding(body)
    for mark, coding in _MARKS:
        if body.startswith(mark):
            charset = coding
            break
    return body.decode(charset or "utf-8")
