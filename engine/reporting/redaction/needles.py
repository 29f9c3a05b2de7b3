"""Finds the values of a configuration that are secrets."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from typing import Any, Final

import msgspec

from engine.reporting.redaction.embedded import secrets_within

MIN_SECRET_CHARACTERS: Final = 6
"""Shorter strings of a configuration are not secrets: they would blank half of every log."""


def secrets_of(configuration: object, public_keys: Collection[str]) -> Iterator[str | bytes]:
    """Yield every secret of a configuration.

    A secret is a string or bytes value of six characters or more, at any depth, except the value of
    a public key.  The password in a URL is also a secret, even in a public value, and so are the
    other parts that `secrets_within` finds.  Keys, numbers and blank strings are not secrets.

    Args:
        configuration: Any value; all types that a state can carry are searched.
        public_keys: The public keys, casefolded.

    """
    pending: list[tuple[Any, bool]] = [(configuration, False)]
    seen: set[int] = set()
    while pending:
        value, public = pending.pop()
        if isinstance(value, (str, bytes)):
            if not public and _is_long(value):
                yield value
            text = value if isinstance(value, str) else value.decode("utf-8", "ignore")
            yield from filter(_is_long, secrets_within(text))
        elif isinstance(value, (bytearray, memoryview)):
            pending.append((bytes(value), public))
        elif value is None or isinstance(value, (int, float)) or id(value) in seen:
            continue
        elif isinstance(value, dict):
            seen.add(id(value))  # a manager may pass a value that contains itself
            pending.extend((item, _named(key, public_keys)) for key, item in value.items())
        elif isinstance(value, (list, tuple, set, frozenset, deque)):
            seen.add(id(value))
            pending.extend((item, False) for item in value)
        else:
            pending.extend((plain, public) for plain in _plain(value))


def _is_long(value: str | bytes) -> bool:
    return len(value) >= MIN_SECRET_CHARACTERS and bool(value.strip())


def _plain(value: Any) -> Iterator[Any]:
    """Yield the plain form of an object for a job: a struct, a dataclass, an enum, a UUID."""
    if isinstance(value, msgspec.Struct):
        yield {name: getattr(value, name) for name in value.__struct_fields__}
    elif not isinstance(value, type) and hasattr(type(value), "__dataclass_fields__"):
        from dataclasses import fields  # it imports `inspect`, in 10 ms

        yield {field.name: getattr(value, field.name, None) for field in fields(value)}
    else:
        try:
            plain = msgspec.to_builtins(value)
        except Exception:  # noqa: BLE001 - the code of a foreign class; a state cannot carry it either
            return
        if plain is not value:
            yield plain


def _named(key: Any, public_keys: Collection[str]) -> bool:
    return isinstance(key, str) and key.casefold() in public_keys
