"""Reads parts of a document with errors that name their places."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from jobcell.input.errors import BadInputError
from jobcell.moving.documents import Document

_PATH: Final = re.compile(r"(?:file://|\.{0,2}/|[\w@.~-]+/)*[\w@. ~-]*\.(?:js|mjs|json)", re.ASCII)
MAX_PARTS: Final = 5_000
"""Most jobs or edges of a project."""


def objects(holder: Document, key: str) -> Iterator[tuple[str | None, Document]]:
    """Yield the objects of a map or a list, each with its name in the map.

    A list may have an object for each item, or an object with one name each.

    Raises:
        BadInputError: The value is neither.

    """
    value = holder.get(key)
    if value is None:
        return
    where = holder.where(key)
    if isinstance(value, Document):
        pairs: list[tuple[str | None, Any]] = list(value.items())
        lines = [value.where(name) for name in value]
    elif isinstance(value, list):
        pairs = [_named(item) for item in value]
        lines = [item.where() if isinstance(item, Document) else where for item in value]
    else:
        raise BadInputError([f"{where}: {key} must be a map or a list, not {kind(value)}"])
    if len(pairs) > MAX_PARTS:
        raise BadInputError([f"{where}: {key} has more than {MAX_PARTS:,} items"])
    for (name, item), line in zip(pairs, lines, strict=True):
        if not isinstance(item, Document):
            shown = f" {name!r}" if name is not None else ""
            raise BadInputError(
                [f"{line}: each item of {key} must be an object;{shown} is {kind(item)}"]
            )
        yield name, item


def _named(item: Any) -> tuple[str | None, Any]:
    if isinstance(item, Document) and len(item) == 1:
        name, value = next(iter(item.items()))
        if isinstance(value, Document):
            return name, value
    return None, item


def text(holder: Document, *keys: str) -> str | None:
    """Return the first of some keys that has a value, as a text.

    Raises:
        BadInputError: The value is not a text or a number.

    """
    for key in keys:
        value = holder.get(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise BadInputError([f"{holder.where(key)}: {key} must be a text, not {kind(value)}"])
        return str(value)
    return None


def flag(holder: Document, key: str, *, otherwise: bool) -> bool:
    """Return a key that is true or false.

    Raises:
        BadInputError: The value is another one.

    """
    value = holder.get(key)
    if value is None:
        return otherwise
    if not isinstance(value, bool):
        raise BadInputError(
            [f"{holder.where(key)}: {key} must be true or false, not {kind(value)}"]
        )
    return value


def is_path(value: str) -> bool:
    """Return whether a text is the path of a script or of JSON, and not a script."""
    return "\n" not in value and _PATH.fullmatch(value.strip()) is not None


def kind(value: object) -> str:
    """Return the word for the type of a value."""
    if value is None:
        return "nothing"
    for types, word in ((bool, "true or false"), ((int, float), "a number"), (str, "a text")):
        if isinstance(value, types):
            return word
    return "a list" if isinstance(value, list) else "an object"
