"""Checks data against a JSON schema.

The module knows the keywords that describe ordinary records, but not `$ref`, `$defs`, conditionals
(`if`/`then`/`else`), `dependentSchemas` and the `unevaluated` family. A schema with an unknown
keyword is refused, because a check that is silently left out does more harm than an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sized
from typing import Any

from .errors import ArgumentError, SchemaError, kind
from .flow import Operation, State
from .paths import find_first
from .references import dereference

_IGNORED = frozenset(
    {
        "$comment",
        "$id",
        "$schema",
        "contentEncoding",
        "contentMediaType",
        "default",
        "deprecated",
        "description",
        "examples",
        "format",
        "readOnly",
        "title",
        "writeOnly",
    }
)
"""Keywords without an effect on validity (`format` is only a note, as in the drafts)."""


def validate(schema: Any = "schema", data: Any = "data") -> Operation:
    """Check data against a JSON schema, and add the errors to `validation_errors`.

    This key has a list of `{"data": the data, "errors": [{"path": "/age", "message": ...,
    "keyword": ...}]}`, with an entry for every call that found an error. If all data is valid, the
    list is empty.

    Args:
        schema: A schema as a dict or bool, a JSONPath into the state, or a function of state.
        data: The data, a JSONPath into the state, or a function of state.

    Raises:
        SchemaError: Raised by the operation: the schema uses an unknown keyword.

    Example:
        `each("$.data[*]", validate(state.schema))`

    """

    def run(state: State) -> State:
        wanted, checked = _look_up(schema, state), _look_up(data, state)
        if not isinstance(wanted, dict | bool):
            raise ArgumentError(
                f"validate: a schema is a dict, not {kind(wanted)}", got=kind(wanted)
            )
        errors = list(check(checked, wanted))
        before = state.get("validation_errors") or []
        found = [{"data": checked, "errors": errors}] if errors else []
        return {**state, "validation_errors": [*before, *found]}

    return run


def _look_up(value: Any, state: State) -> Any:
    meant = dereference(state, value)
    return find_first(state, meant) if isinstance(meant, str) else meant


Problems = Iterator[dict[str, Any]]


def check(value: Any, schema: Any, path: str = "") -> Problems:
    """Yield the errors of *value*: dicts with path (a JSON pointer), message and keyword.

    Raises:
        SchemaError: The schema uses an unknown keyword or type.

    """
    if isinstance(schema, bool):
        if not schema:
            yield _problem(path, "boolean schema is false", "false schema")
        return
    for keyword, argument in schema.items():
        if keyword in _IGNORED:
            continue
        if keyword in _NESTED:
            yield from _NESTED[keyword](value, argument, path, schema)
        elif keyword in _SIMPLE:
            message = _SIMPLE[keyword](value, argument)
            if message:
                yield _problem(path, message, keyword)
        else:
            raise SchemaError(
                f"validate: unknown keyword {keyword!r} in the schema", keyword=keyword
            )


def _problem(path: str, message: str, keyword: str) -> dict[str, Any]:
    return {"path": path, "message": message, "keyword": keyword}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _number(value) and value == value // 1,
    "number": _number,
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list | tuple),
    "object": lambda value: isinstance(value, dict),
}


def _type(value: Any, argument: Any) -> str | None:
    names = argument if isinstance(argument, list) else [argument]
    for name in names:
        if name not in _TYPES:
            raise SchemaError(f"validate: unknown type {name!r} in the schema", type_name=name)
    return None if any(_TYPES[name](value) for name in names) else "must be " + ",".join(names)


def _equal(left: Any, right: Any) -> bool:
    """Return whether both are equal in JSON, where True is not 1."""
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _bound(holds: Callable[[Any, Any], bool], sign: str) -> Callable[[Any, Any], str | None]:
    return lambda value, limit: (
        f"must be {sign} {limit}" if _number(value) and not holds(value, limit) else None
    )


def _size(
    of: type[Sized], holds: Callable[[int, int], bool], text: str
) -> Callable[[Any, Any], str | None]:
    return lambda value, limit: (
        text.format(limit) if isinstance(value, of) and not holds(len(value), limit) else None
    )


def _unique(value: Any, wanted: Any) -> str | None:
    if not wanted or not isinstance(value, list):
        return None
    twice = any(_equal(item, other) for at, item in enumerate(value) for other in value[:at])
    return "must not have duplicate items" if twice else None


def _matches(value: Any, pattern: str) -> str | None:
    broken = isinstance(value, str) and not re.search(pattern, value)
    return f'must match pattern "{pattern}"' if broken else None


def _multiple(value: Any, factor: Any) -> str | None:
    broken = _number(value) and abs(value / factor - round(value / factor)) > 1e-9
    return f"must be multiple of {factor}" if broken else None


_SIMPLE: dict[str, Callable[[Any, Any], str | None]] = {
    "type": _type,
    "enum": lambda value, allowed: (
        None
        if any(_equal(value, one) for one in allowed)
        else "must be equal to one of the allowed values"
    ),
    "const": lambda value, one: None if _equal(value, one) else "must be equal to constant",
    "minimum": _bound(lambda value, limit: value >= limit, ">="),
    "maximum": _bound(lambda value, limit: value <= limit, "<="),
    "exclusiveMinimum": _bound(lambda value, limit: value > limit, ">"),
    "exclusiveMaximum": _bound(lambda value, limit: value < limit, "<"),
    "multipleOf": _multiple,
    "minLength": _size(str, lambda n, m: n >= m, "must NOT have fewer than {} characters"),
    "maxLength": _size(str, lambda n, m: n <= m, "must NOT have more than {} characters"),
    "minItems": _size(list, lambda n, m: n >= m, "must NOT have fewer than {} items"),
    "maxItems": _size(list, lambda n, m: n <= m, "must NOT have more than {} items"),
    "minProperties": _size(dict, lambda n, m: n >= m, "must NOT have fewer than {} properties"),
    "maxProperties": _size(dict, lambda n, m: n <= m, "must NOT have more than {} properties"),
    "pattern": _matches,
    "uniqueItems": _unique,
}


def _properties(value: Any, argument: Any, path: str, _: Any) -> Problems:
    if isinstance(value, dict):
        for name, inner in argument.items():
            if name in value:
                yield from check(value[name], inner, f"{path}/{name}")


def _required(value: Any, argument: Any, path: str, _: Any) -> Problems:
    if isinstance(value, dict):
        for name in argument:
            if name not in value:
                yield _problem(path, f"must have required property '{name}'", "required")


def _pattern_properties(value: Any, argument: Any, path: str, _: Any) -> Problems:
    if isinstance(value, dict):
        for pattern, inner in argument.items():
            for name in value:
                if re.search(pattern, name):
                    yield from check(value[name], inner, f"{path}/{name}")


def _additional_properties(value: Any, argument: Any, path: str, schema: Any) -> Problems:
    if not isinstance(value, dict):
        return
    patterns = schema.get("patternProperties", {})
    for name in value:
        if name in schema.get("properties", {}) or any(re.search(one, name) for one in patterns):
            continue
        if argument is False:
            yield _problem(
                path, f"must NOT have additional property '{name}'", "additionalProperties"
            )
        else:
            yield from check(value[name], argument, f"{path}/{name}")


def _items(value: Any, argument: Any, path: str, schema: Any) -> Problems:
    if isinstance(value, list):
        first = len(schema.get("prefixItems", ()))
        for at, item in enumerate(value[first:], first):
            yield from check(item, argument, f"{path}/{at}")


def _prefix_items(value: Any, argument: Any, path: str, _: Any) -> Problems:
    if isinstance(value, list):
        for at, (item, inner) in enumerate(zip(value, argument, strict=False)):
            yield from check(item, inner, f"{path}/{at}")


def _contains(value: Any, argument: Any, path: str, _: Any) -> Problems:
    if isinstance(value, list) and not any(_fits(item, argument) for item in value):
        yield _problem(path, "must contain at least 1 valid item(s)", "contains")


def _fits(value: Any, schema: Any) -> bool:
    return next(check(value, schema), None) is None


def _all_of(value: Any, argument: Any, path: str, _: Any) -> Problems:
    for inner in argument:
        yield from check(value, inner, path)


def _any_of(value: Any, argument: Any, path: str, _: Any) -> Problems:
    if not any(_fits(value, inner) for inner in argument):
        yield _problem(path, "must match a schema in anyOf", "anyOf")


def _one_of(value: Any, argument: Any, path: str, _: Any) -> Problems:
    if sum(_fits(value, inner) for inner in argument) != 1:
        yield _problem(path, "must match exactly one schema in oneOf", "oneOf")


def _not(value: Any, argument: Any, path: str, _: Any) -> Problems:
    if _fits(value, argument):
        yield _problem(path, "must NOT be valid", "not")


_NESTED: dict[str, Callable[[Any, Any, str, Any], Problems]] = {
    "properties": _properties,
    "required": _required,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "items": _items,
    "prefixItems": _prefix_items,
    "contains": _contains,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
}
