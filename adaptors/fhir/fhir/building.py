"""Completes a resource: names in the spelling of FHIR, single values as lists, short forms of types."""

from __future__ import annotations

from typing import Any, Final

from .datatypes import camel, coding, concept, identifier, plain, reference, typed
from .errors import ArgumentError
from .structures import Element, choices_of, elements_of, is_resource, resources
from .systems import with_systems
from .validation import check

_SHORT: Final = {
    "HumanName": "text",
    "ContactPoint": "value",
    "Address": "text",
    "Annotation": "text",
}
"""The element that a text means, if it is given in place of a type."""


def build(kind: str, given: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """Return a resource from its elements.

    Args:
        kind: The name of the resource.
        given: A dict of elements, or None.
        fields: More elements; they win.

    Raises:
        ArgumentError: *given* is not a dict, or a value fits no type of a choice.
        ResourceError: The resource is wrong; the error has all problems.

    """
    if not is_resource(kind):
        raise ArgumentError(f"no builder for {kind!r:.60}; there are: {', '.join(resources())}")
    if given is not None and not isinstance(given, dict):
        raise ArgumentError(f"the elements of a {kind} are a dict, not a {type(given).__name__}")
    elements = {**(given or {}), **fields}
    elements.pop("resourceType", None)
    complete = {"resourceType": kind, **_complete(kind, elements)}
    made: dict[str, Any] = with_systems(plain(complete))
    check(made)
    return made


def _complete(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    known, choices = elements_of(kind), choices_of(kind)
    assert known is not None
    made: dict[str, Any] = {}
    for name, value in given.items():
        if value is None:
            continue
        key = name if name in known or name in choices else camel(str(name))
        element = known.get(key)
        if element is not None:
            made[key] = _value(element, value)
        elif key in choices:
            made |= _choice(key, value, choices[key])
        else:
            made[name if name[:1] == "_" else key] = value  # the check names it
    return made


def _choice(key: str, value: Any, options: list[Element]) -> dict[str, Any]:
    chosen = typed(key, value, options)
    by_name = {option.name: option for option in options}
    return {name: _value(by_name[name], inner) for name, inner in chosen.items()}


def _value(element: Element, value: Any) -> Any:
    if element.many:
        items = value if isinstance(value, list) else [value]
        return [_single(element, item) for item in items if item is not None]
    return _single(element, value)


def _single(element: Element, value: Any) -> Any:
    kind = element.type
    if kind == "Reference" and not isinstance(value, list):
        return reference(value)
    if kind == "CodeableConcept" and isinstance(value, str | tuple | dict | list):
        value = concept(value)
    elif kind == "Coding":
        value = coding(value)
    elif kind == "Identifier" and not isinstance(value, list):
        value = identifier(value)
    elif kind in _SHORT and isinstance(value, str):
        value = {_SHORT[kind]: value}
    if isinstance(value, dict) and not element.is_primitive and elements_of(kind) is not None:
        return _complete(kind, value)
    return value
