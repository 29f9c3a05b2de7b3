"""The body of a request: JSON, text, bytes, a form in either of its two encodings."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import httpx

from .arguments import check_header
from .errors import RequestError
from .laziness import FilePart
from .urls import parameter

CONTENT_TYPES = {
    "json": "application/json",
    "xml": "application/xml",
    "string": "text/plain; charset=utf-8",
    "form": "multipart/form-data",
    "urlencoded": "application/x-www-form-urlencoded",
}


def encoded_body(body: Any, content_type: Any, headers: dict[str, str]) -> bytes | None:
    """Return the bytes of a body, and put its content type into *headers*.

    A dict is a form if *content_type* or the header says that it is one.

    Args:
        body: The body of the call, or None.
        content_type: A key of `CONTENT_TYPES`, or None for `"json"`.
        headers: The headers of the call, with names in lower case.

    Raises:
        RequestError: The body cannot be sent in this way.

    """
    if content_type is not None and content_type not in CONTENT_TYPES:
        raise RequestError(
            f"content_type is one of {', '.join(CONTENT_TYPES)}, not {content_type!r:.100};"
            " write another type as the header Content-Type"
        )
    if body is None:
        return None
    named = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "form" or (named == "multipart/form-data" and isinstance(body, dict)):
        headers.pop("content-type", None)  # the boundary is chosen here
        content, headers["content-type"] = _multipart(body)
        return content
    if content_type == "urlencoded" or (
        named == CONTENT_TYPES["urlencoded"] and isinstance(body, dict)
    ):
        headers.setdefault("content-type", CONTENT_TYPES["urlencoded"])
        return _urlencoded(body)
    usual = CONTENT_TYPES[content_type or "json"]
    if isinstance(body, bytes | bytearray):
        usual = "application/octet-stream" if content_type is None else usual
        headers.setdefault("content-type", usual)
        return bytes(body)
    if isinstance(body, FilePart):
        raise RequestError('file_part is for a field of a form: content_type="form"')
    headers.setdefault("content-type", usual)
    # Text is not encoded again, so that a job can send JSON that it has as text.
    return _as_bytes(body if isinstance(body, str) else encoded_json(body))


def encoded_json(value: Any) -> str:
    """Return *value* as JSON.

    Raises:
        RequestError: *value* has a part that JSON lacks, such as bytes, NaN or a date.

    """
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestError(f"the body cannot be sent as JSON: {error}") from None


def _as_bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise RequestError("the body has half of a surrogate pair, which is not text") from None


def _fields(body: Any) -> list[tuple[str, Any]]:
    """Return the fields of a form; a list in a multipart form is JSON, as in OpenFn's adaptor."""
    if not isinstance(body, dict):
        raise RequestError(f"the body of a form is a dict, not {type(body).__name__}")
    return [(str(name), value) for name, value in body.items() if value is not None]


def _urlencoded(body: Any) -> bytes:
    pairs: list[tuple[str, str | bytes]] = []
    for name, value in _fields(body):
        if isinstance(value, FilePart):
            raise RequestError(f'{name!r} is a file, which needs content_type="form"')
        items = value if isinstance(value, list | tuple) else (value,)
        pairs += [(name, parameter(name, item)) for item in items if item is not None]
    return urlencode(pairs, errors="replace").encode("ascii")


def _multipart(body: Any) -> tuple[bytes, str]:
    """Return a multipart body and its content type."""
    parts: list[tuple[str, Any]] = []
    for name, value in _fields(body):
        if isinstance(value, bytes | bytearray):
            value = FilePart(bytes(value), name, None)  # noqa: PLW2901 - the same field
        if isinstance(value, FilePart):
            parts.append((name, _file(name, value)))
        elif isinstance(value, dict | list | tuple):
            parts.append((name, (None, encoded_json(value).encode())))
        else:
            text = parameter(name, value)
            parts.append((name, (None, text if isinstance(text, bytes) else _as_bytes(text))))
    if not parts:
        raise RequestError("the body of a form has no field")
    made = httpx.Request("POST", "http://form.invalid", files=parts)
    return made.read(), made.headers["content-type"]


def _file(name: str, part: FilePart) -> tuple[str, bytes, str]:
    content = part.content
    if isinstance(content, str):
        content = _as_bytes(content)
    if not isinstance(content, bytes | bytearray):
        raise RequestError(
            f"the content of the file {name!r} is bytes or a text, not {type(content).__name__}"
        )
    filename = name if part.filename is None else str(part.filename)
    content_type = str(part.content_type or "application/octet-stream")
    check_header("Content-Type", content_type)
    return filename, bytes(content), content_type
