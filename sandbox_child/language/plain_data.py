"""Turns the data that an exception carries into plain data of bounded size."""

from __future__ import annotations

from typing import Any

from protocol import static
from protocol.state_look import text_types

MAX_TEXT_CHARS = 10_000
_MAX_DEPTH = 6
_MAX_ITEMS = 1_000
_MAX_BYTES = 90_000
"""Limit of all texts together; the engine drops details of more than 100,000 bytes."""


def exception_text(error: BaseException) -> str:
    """Return ``str(error)``, cut, even if its class misbehaves.

    This may run a ``__str__`` of the job, so it must be called while the job's time is counted.
    The result is never a subclass of ``str``.
    """
    try:
        text = str(error)
    except BaseException as second:  # noqa: BLE001 - a job's __str__ may raise anything
        return f"(the text of this {type(error).__name__} cannot be read: {type(second).__name__})"
    text = str.__str__(text)
    if len(text) > MAX_TEXT_CHARS:
        text = f"{text[:MAX_TEXT_CHARS]}... ({len(text)} characters)"
    return encodable(text)


def encodable(text: str) -> str:
    """Return *text* with lone surrogates written as escapes, because UTF-8 cannot carry them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def carried_data(error: BaseException) -> dict[str, Any]:
    """Return class, arguments and public attributes of an exception as plain data."""
    budget = [_MAX_ITEMS, _MAX_BYTES]
    data: dict[str, Any] = {
        "type": static.class_name(type(error)),
        "args": _plain(BaseException.args.__get__(error), budget, 0),  # type: ignore[attr-defined]  # a getset descriptor
    }
    attributes = object.__getattribute__(error, "__dict__")
    for name, value in list(attributes.items())[:_MAX_ITEMS]:
        if type(name) is str and not name.startswith("_"):
            data[encodable(name)] = _plain(value, budget, 0)
    return data


def _plain(value: Any, budget: list[int], depth: int) -> Any:
    """Return *value* as plain data, by its exact type, so that code of its class does not run."""
    kind = type(value)
    budget[0] -= 1
    if kind in (bool, float, type(None)):
        return value
    if kind is int:
        if -(2**63) <= value < 2**64:
            return value
        return f"(an int of {value.bit_length()} bits)"
    if kind is str or kind is bytes or kind in text_types():
        return _cut(value, budget)
    if kind not in (dict, list, tuple, set, frozenset):
        return f"({static.class_name(kind)})"
    if depth >= _MAX_DEPTH or budget[0] <= 0:
        return "(more)"
    if kind is dict:
        return {
            key
            if type(key) in (int, bool)
            else encodable(str(_plain(key, budget, _MAX_DEPTH))): _plain(item, budget, depth + 1)
            for key, item in _first(value.items(), budget)
        }
    return [_plain(item, budget, depth + 1) for item in _first(value, budget)]


def _cut(value: Any, budget: list[int]) -> Any:
    """Return text, bytes, or the text of a date, as far as the budget has room for it."""
    if budget[1] <= 0:
        return "(more)"
    if type(value) is bytes:
        cut: Any = value[:MAX_TEXT_CHARS]
        budget[1] -= len(cut)
        return cut
    try:
        text = encodable(str(value)[:MAX_TEXT_CHARS])
    except Exception:  # noqa: BLE001 - the time zone of a date may be the job's own
        return f"({static.class_name(type(value))})"
    budget[1] -= len(text.encode())
    return text


def _first(items: Any, budget: list[int]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if len(found) >= budget[0]:
            break
        found.append(item)
    return found
