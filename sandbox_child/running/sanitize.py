"""How a log shows an object: in full, in outline, by its kind, or not at all.

The policies are those of the JavaScript runtime's logger (`@openfn/logger`), with the same names
and the same words.  They decide how much data a log may show.  `engine.reporting.redaction` keeps
secrets out of the log under every policy.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, Literal, get_args

SanitizeMode = Literal["none", "remove", "obfuscate", "summarize"]
"""``none``: the object with its configuration masked; ``remove``: None; ``obfuscate``: ``[object]``
or ``[array]``; ``summarize``: the keys of an object, or the length of an array."""

MASK: Final = "****"
"""The text that replaces each value of a configuration."""

_INDENT: Final = 2
_MAX_DEPTH: Final = 100
_TOO_DEEP: Final = "[...]"
_CIRCULAR: Final = "[Circular]"
_POLICIES: Final = frozenset(get_args(SanitizeMode))


def sanitize(value: object, mode: SanitizeMode = "none", *, stringify: bool = True) -> Any:
    """Return the form of *value* that a log may show under a policy.

    Only objects (dicts) and arrays (lists, tuples, sets) are affected.  A string, a number,
    None, bytes or an exception is returned as it is under every policy.

    Args:
        value: An argument of a log call.
        mode: The policy.
        stringify: Under ``none``, return an object or an array as JSON text, indented by two,
            instead of a value.  It has no effect under the other policies.

    Returns:
        Under ``none`` the object, with each value of its ``configuration`` replaced by
        ``****``; *value* itself is never changed.

    Raises:
        ValueError: The policy does not exist. (The JavaScript logger would use ``none``, which
            shows the most.)

    """
    if mode not in _POLICIES:
        raise ValueError(f"no sanitize policy {mode!r}; there are: {', '.join(sorted(_POLICIES))}")
    is_object = isinstance(value, dict)
    if not is_object and not isinstance(value, (list, tuple, set, frozenset)):
        return value
    if mode == "remove":
        return None
    if mode == "obfuscate":
        return "[object]" if is_object else "[array]"
    if mode == "summarize":
        return _summarize(value)
    shown = _mask_configuration(value) if isinstance(value, dict) else value
    if not stringify:
        return shown
    return json.dumps(_printable(shown, frozenset()), indent=_INDENT, ensure_ascii=False)


def _summarize(value: Any) -> str:
    if isinstance(value, dict):
        if not value:
            return "(empty object)"
        return f"(object with keys {', '.join(sorted(map(_key, value)))})"
    return f"(array with {len(value)} items)" if value else "(empty array)"


def _mask_configuration(value: dict[Any, Any]) -> dict[Any, Any]:
    configuration = value.get("configuration")
    if not configuration:
        return value
    masked = dict.fromkeys(configuration, MASK) if isinstance(configuration, dict) else MASK
    return {**value, "configuration": masked}


def _printable(value: Any, parents: frozenset[int]) -> Any:
    """Return *value* with values that JSON lacks replaced by text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None  # as JSON.stringify has it
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        if id(value) in parents:
            return _CIRCULAR
        if len(parents) >= _MAX_DEPTH:
            return _TOO_DEEP
        inside = parents | {id(value)}
        if isinstance(value, dict):
            return {_key(key): _printable(item, inside) for key, item in value.items()}
        return [_printable(item, inside) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return repr(bytes(value))
    return f"[{type(value).__name__}]"


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, (bool, int, float, bytes, tuple)):
        return repr(key)
    return f"[{type(key).__name__}]"
