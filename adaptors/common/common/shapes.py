"""Functions that change the form of values; they read the state only for lazy arguments."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .errors import ArgumentError, kind
from .flow import State
from .references import ABSENT, is_reference, lazily, reference_to, without_absent


def field(key: str, value: Any) -> tuple[str, Any]:
    """Return a key and a value as a pair, for `fields`.

    Example:
        `field("name", data_value("name"))`

    """
    return (key, value)


def fields(*pairs: Any) -> dict[str, Any]:
    """Return a dict of pairs, or of a list of pairs.

    If a value is a reference, the dict is also a reference: a verb gets it with its values resolved.  A
    key is left out if `source_value`, `data_value`, `last_reference_value`, `json_value` or `index` finds
    nothing for it.  A value of None that is there stays.

    Example:
        `fields(field("a", 1), field("b", 2))` is `{"a": 1, "b": 2}`

    """
    if len(pairs) == 1 and all(isinstance(pair, list | tuple) for pair in pairs[0]):
        pairs = tuple(pairs[0])
    made = dict(pairs)
    return Fields(made) if any(map(is_reference, made.values())) else made


class Fields(dict[str, Any]):
    """A dict with references in it, which is a reference to the resolved dict."""

    def __call__(self, state: State) -> dict[str, Any]:
        """Return the dict for *state*, without the keys that are absent."""
        return without_absent(state, self)


def index() -> Callable[[State], int | None]:
    """Return a reference to the index (from 0) of the current item of `each`.

    Example:
        `each("$.data[*]", post("rows", fields(field("row", index()))))`

    """
    return reference_to(lambda state: state.get("index", ABSENT))


@lazily
def array_to_string(values: Iterable[Any], separator: str = ",") -> str:
    """Return *values* as one text, with *separator* between them.

    Example:
        `array_to_string([1, 2, 3], ", ")` is `"1, 2, 3"`

    """
    return separator.join("" if value is None else str(value) for value in values)


@lazily
def to_array(value: Any) -> list[Any]:
    """Return *value* as a list: itself, or a list with *value* as its only item.

    Example:
        `to_array("a")` is `["a"]`

    """
    return list(value) if isinstance(value, list | tuple) else [value]


@lazily
def chunk(values: Sequence[Any], size: int) -> list[list[Any]]:
    """Return *values* cut into lists of at most *size* items.

    Raises:
        ArgumentError: *size* is not a whole number of at least 1.

    Example:
        `chunk([1, 2, 3, 4, 5], 2)` is `[[1, 2], [3, 4], [5]]`

    """
    if not isinstance(size, int) or size < 1:
        raise ArgumentError(f"chunk: the size must be at least 1, not {size!r}", size=size)
    return [list(values[start : start + size]) for start in range(0, len(values), size)]


@lazily
def split_keys(record: dict[str, Any], keys: Iterable[str]) -> list[dict[str, Any]]:
    """Return two dicts: *record* without *keys*, and *record* with only these keys.

    Example:
        `split_keys({"a": 1, "b": 2}, ["b"])` is `[{"a": 1}, {"b": 2}]`

    """
    wanted = set(keys)
    without = {key: value for key, value in record.items() if key not in wanted}
    return [without, {key: value for key, value in record.items() if key in wanted}]


@lazily
def human_proper(text: str) -> str:
    """Return *text* with spaces for underscores and every word capitalised.

    Example:
        `human_proper("first_name")` is `"First Name"`

    """
    words = text.replace("_", " ").split(" ")
    return " ".join(word[:1].upper() + word[1:].lower() for word in words)


_EMOJI = re.compile("[\U0001f000-\U0001faff\U00002600-\U000027bf\U00002b00-\U00002bff\ufe0f]")


@lazily
def scrub_emojis(text: str | None, replacement: str = "\ufffd") -> str | None:
    """Return *text* with every emoji replaced; an empty text or None stays.

    Example:
        `scrub_emojis("a star \u2b50", "")` is `"a star "`

    """
    return _EMOJI.sub(replacement, text) if text else text


@lazily
def encode(data: Any) -> str:
    """Return text, bytes or, as JSON, any other value in base64.

    Example:
        `encode("hello")` is `"aGVsbG8="`

    """
    if isinstance(data, bytes):
        return base64.b64encode(data).decode("ascii")
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    return base64.b64encode(text.encode()).decode("ascii")


@lazily
def decode(text: str, *, parse_json: bool = False) -> Any:
    """Return the text that a base64 text encodes.

    Args:
        text: The base64 text.
        parse_json: Whether to parse the text as JSON and return the value.

    Raises:
        ArgumentError: *text* is not base64 of a text, or the text is not JSON.

    Example:
        `decode("aGVsbG8=")` is `"hello"`

    """
    try:
        plain = base64.b64decode(text, validate=True).decode()
        return json.loads(plain) if parse_json else plain
    except (ValueError, TypeError) as error:
        raise ArgumentError(f"decode: {error}", got=kind(text)) from None
