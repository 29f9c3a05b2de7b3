"""``str.format`` for jobs: as fast as Python's, but fields cannot read attributes unchecked."""

from __future__ import annotations

from _string import (  # type: ignore[import-not-found]  # what str.format itself parses with
    formatter_field_name_split,
    formatter_parser,
)
from types import BuiltinMethodType
from typing import TYPE_CHECKING, Any

from sandbox_child.language.guards.names import (
    COPIED_ATTRIBUTES,
    DENIED_ATTRIBUTES,
    DYNAMIC_ATTRIBUTES,
)
from sandbox_child.language.guards.refusals import JobSecurityError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["format_method"]

_CONVERSIONS: dict[str | None, Callable[[Any], Any]] = {
    None: lambda value: value,
    "s": str,
    "r": repr,
    "a": ascii,
}
_MAX_DEPTH = 2  # a format specification may hold fields, those may not; as in str.format


def format_method(value: object) -> Callable[..., str] | None:
    """Return the harmless counterpart of *value* if it is ``str.format`` or ``format_map``.

    The method may be bound to a string or not.  The result is None for any other *value*.
    """
    if isinstance(value, BuiltinMethodType) and isinstance(value.__self__, str):
        template = str.__str__(value.__self__)
        if value.__name__ == "format":
            return lambda *args, **fields: _format(template, args, fields)
        if value.__name__ == "format_map":
            format_map = lambda mapping, /: _format_map(template, mapping)  # noqa: E731 - named below
            format_map.__qualname__ = "str.format_map"  # the name in errors
            return format_map
    elif value is _UNBOUND_FORMAT:
        return _unbound_format
    elif value is _UNBOUND_FORMAT_MAP:
        return _unbound_format_map
    return None


_UNBOUND_FORMAT = str.__dict__["format"]
_UNBOUND_FORMAT_MAP = str.__dict__["format_map"]


def _unbound_format(template: object, /, *args: Any, **fields: Any) -> str:
    return _format(_text(template), args, fields)


def _unbound_format_map(template: object, mapping: Mapping[str, Any], /) -> str:
    return _format_map(_text(template), mapping)


# The names in errors.
_unbound_format.__qualname__ = "str.format"
_unbound_format_map.__qualname__ = "str.format_map"


def _text(template: object) -> str:
    if not isinstance(template, str):
        raise TypeError(
            f"descriptor 'format' for 'str' objects doesn't apply to a "
            f"{type(template).__name__!r} object"
        )
    return str.__str__(template)


def _format(template: str, args: tuple[Any, ...], fields: dict[str, Any]) -> str:
    if "." in template and _reads_attributes(template):
        return _expand(template, args, fields, [0], _MAX_DEPTH)
    return template.format(*args, **fields)


def _format_map(template: str, mapping: Mapping[str, Any]) -> str:
    if "." in template and _reads_attributes(template):
        return _expand(template, (), mapping, None, _MAX_DEPTH)
    return template.format_map(mapping)


def _reads_attributes(template: str) -> bool:
    return any("." in field for field in _field_names(template))


def _field_names(template: str) -> Iterator[str]:
    for _, field, spec, _ in formatter_parser(template):
        if field is not None:
            yield field
            if spec and "{" in spec:
                yield from _field_names(spec)


def _expand(
    template: str,
    args: tuple[Any, ...],
    fields: Mapping[str, Any],
    counter: list[int] | None,
    depth: int,
) -> str:
    """Format *template* field by field; *counter* has the next automatic number."""
    if depth < 0:
        raise ValueError("Max string recursion exceeded")
    parts: list[str] = []
    for literal, field, spec, conversion in formatter_parser(template):
        parts.append(literal)
        if field is None:
            continue
        value = _CONVERSIONS[conversion](_lookup(field, args, fields, counter))
        spec = _expand(spec, args, fields, counter, depth - 1) if spec else ""  # noqa: PLW2901
        parts.append(format(value, spec))
    return "".join(parts)


def _lookup(
    field: str, args: tuple[Any, ...], fields: Mapping[str, Any], counter: list[int] | None
) -> Any:
    first, rest = formatter_field_name_split(field)
    if first == "" or isinstance(first, int):
        if counter is None:
            raise ValueError("Format string contains positional fields")
        if first == "":
            first = counter[0]
            counter[0] += 1
        value = args[first]
    else:
        value = fields[first]
    for is_attribute, name in rest:
        if is_attribute:
            if name[:1] == "_" or name.endswith("__roles__") or name in _UNREADABLE:
                raise JobSecurityError(f"a format field cannot read the attribute {name}")
            value = getattr(value, name)
        else:
            value = value[name]
    return value


_UNREADABLE = DENIED_ATTRIBUTES | (DYNAMIC_ATTRIBUTES - COPIED_ATTRIBUTES)
