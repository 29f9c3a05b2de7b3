"""Builders of the types that resources consist of: identifiers, codes, references, extensions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

from .errors import ArgumentError
from .laziness import lazily
from .primitives import problem_with
from .structures import Element, choices_of
from .systems import with_systems

_QUANTITY: Final = frozenset({"unit", "code", "system", "comparator"})
_CAMEL: Final = re.compile(r"_([a-z0-9])")


def camel(name: str) -> str:
    """Return a name in the spelling of FHIR: `birth_date` is `birthDate`."""
    bare = name.rstrip("_") or name  # `class_` is `class`, which is a word of Python
    return bare[0] + _CAMEL.sub(lambda match: match[1].upper(), bare[1:])


def without_none(**values: Any) -> dict[str, Any]:
    """Return the values by the names of FHIR, without those that are None."""
    return {camel(name): value for name, value in values.items() if value is not None}


@lazily
def identifier(value: Any, system: str | None = None, **more: Any) -> Any:
    """Make an Identifier, or a list of them.

    Args:
        value: The text of the identifier, a dict, or a list of either.
        system: The URL of its system, or a short name of `set_system_map`.
        more: Other elements, such as `use` and `type`.  A `type` is a concept (see `concept`).

    Example:
        `b.identifier("123", "http://clinic.example/mrn")` is
        `{"value": "123", "system": "http://clinic.example/mrn"}`

    """
    if isinstance(value, list | tuple):
        return [identifier(item, system, **more) for item in value]
    made = dict(value) if isinstance(value, dict) else {"value": value}
    made = {**made, **without_none(system=system, **more)}
    if made.get("type") is not None:
        made["type"] = concept(made["type"])
    return with_systems(made)


@lazily
def coding(code: Any, system: str | None = None, **more: Any) -> Any:
    """Make a Coding.

    Args:
        code: The code, a dict, or a tuple of code and system, perhaps with a dict of more elements.
        system: The URL of its system, or a short name of `set_system_map`.
        more: Other elements, such as `display`.

    Example:
        `b.coding("8867-4", "http://loinc.org", display="Heart rate")`

    """
    if isinstance(code, list | tuple):
        extra = code[2] if len(code) > 2 else {}
        return coding(code[0], code[1] if len(code) > 1 else system, **extra, **more)
    made = dict(code) if isinstance(code, dict) else {"code": code}
    return with_systems({**made, **without_none(system=system, **more)})


@lazily
def concept(codings: Any, text: str | None = None, **more: Any) -> Any:
    """Make a CodeableConcept.

    Args:
        codings: A coding, a tuple of code and system, a list of these, a text, or a concept.
        text: The text of the concept; without it, the display of the first coding.
        more: Other elements.

    Example:
        `b.concept(("8867-4", "http://loinc.org"), text="Heart rate")`

    """
    if isinstance(codings, dict) and ("coding" in codings or "text" in codings):
        made = dict(codings)
    elif isinstance(codings, str):
        made = {"text": codings}
    else:
        given = [codings] if isinstance(codings, dict | tuple) else codings
        made = {"coding": [coding(item) for item in given]}
    made = {**made, **without_none(text=text, **more)}
    first = next(iter(made.get("coding") or ()), None)
    if "text" not in made and isinstance(first, dict) and first.get("display"):
        made["text"] = first["display"]
    return with_systems(made)


@lazily
def reference(target: Any, **more: Any) -> Any:
    """Make a Reference, or a list of them.

    Args:
        target: A text such as `"Patient/123"`, a resource with an id, a reference, or a list of these.
        more: Other elements, such as `display`.

    Raises:
        ArgumentError: A resource does not have an id.

    Example:
        `b.reference("Patient/123", display="Ada")` is
        `{"reference": "Patient/123", "display": "Ada"}`

    """
    if isinstance(target, list | tuple):
        return [reference(item, **more) for item in target]
    if isinstance(target, dict) and "resourceType" in target:
        if not target.get("id"):
            raise ArgumentError(f"a reference needs the id of the {target['resourceType']}")
        made = {"reference": f"{target['resourceType']}/{target['id']}"}
    else:
        made = dict(target) if isinstance(target, dict) else {"reference": target}
    return {**made, **without_none(**more)}


@lazily
def extension(url: str, value: Any, **more: Any) -> dict[str, Any]:
    """Make an element `extension` with one Extension in it; the type of the value follows from the value.

    Example:
        `{**b.patient(active=True), **b.extension("http://x.example/kind", "new")}`

    """
    return {"extension": [_extension(url, value, more)]}


@lazily
def add_extension(resource: Any, url: str, value: Any) -> dict[str, Any]:
    """Return *resource* with one more Extension.

    Example:
        `b.add_extension(b.patient(active=True), "http://x.example/kind", "new")`

    """
    before = resource.get("extension") or []
    return {**resource, "extension": [*before, _extension(url, value, {})]}


@lazily
def find_extension(resource: Any, url: str) -> Any:
    """Return the first Extension with a URL, or None.

    Example:
        `b.find_extension(state.data, "http://x.example/kind")`

    """
    found = resource.get("extension") or ()
    return next((one for one in found if one.get("url") == url), None)


@lazily
def composite(target: Any, key: str, value: Any) -> dict[str, Any]:
    """Return *target* with a value under the name that has its type: `value` becomes `valueString`.

    Example:
        `b.composite({}, "value", 3)` is `{"valueInteger": 3}`

    """
    return {**target, **typed(key, value, choices_of("Extension")["value"])}


def _extension(url: str, value: Any, more: dict[str, Any]) -> dict[str, Any]:
    return {"url": url, **composite({}, "value", value), **without_none(**more)}


def typed(key: str, value: Any, options: Iterable[Element]) -> dict[str, Any]:
    """Return the value of a choice under the name of the first type that fits and is allowed.

    Raises:
        ArgumentError: No allowed type fits.

    """
    allowed = {option.type: option for option in options}
    for kind in _types_of(value):
        if kind in allowed:
            made: Any = value
            if kind == "Quantity" and not isinstance(value, dict):
                made = {"value": value}
            if kind == "CodeableConcept":
                made = concept(value)
            return {f"{key}{kind[0].upper()}{kind[1:]}": plain(made)}
    shown = f"{value!r:.60}" if isinstance(value, str | int | float) else type(value).__name__
    names = ", ".join(sorted(allowed))
    first = next(iter(allowed.values())).name
    raise ArgumentError(f"{key}: {shown} is not one of the types {names}; or write {first} itself")


def _types_of(value: Any) -> Iterable[str]:  # noqa: C901 - one line for each form
    if isinstance(value, bool):
        return ["boolean"]
    if isinstance(value, int):
        return ["integer", "positiveInt", "unsignedInt", "decimal", "Quantity"]
    if isinstance(value, float | Decimal):
        return ["decimal", "Quantity"]
    if isinstance(value, datetime):
        return ["dateTime", "instant"]
    if isinstance(value, date):
        return ["date", "dateTime"]
    if isinstance(value, time):
        return ["time"]
    if isinstance(value, tuple):
        return ["CodeableConcept"]
    if isinstance(value, str):
        dated = problem_with("dateTime", value) is None and len(value) > 4
        return [*(["dateTime", "date"] if dated else []), "string", "code", "uri", "markdown"]
    if not isinstance(value, dict):
        return []
    keys = value.keys()
    if "coding" in keys:
        return ["CodeableConcept"]
    if "reference" in keys:
        return ["Reference"]
    if {"start", "end"} & keys:
        return ["Period"]
    if {"numerator", "denominator"} & keys:
        return ["Ratio"]
    if {"low", "high"} & keys:
        return ["Range"]
    if {"repeat", "event"} & keys:
        return ["Timing"]
    if "origin" in keys:
        return ["SampledData"]
    if "value" in keys and _QUANTITY & keys:
        return ["Quantity", "Age", "Duration", "Identifier"]
    if "code" in keys:
        return ["Coding"]
    return ["Identifier"] if "value" in keys else ["CodeableConcept"] if "text" in keys else []


def plain(value: Any) -> Any:
    """Return *value* with dates and times as the texts of FHIR.

    Raises:
        ArgumentError: A time does not have a zone.

    """
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ArgumentError(f"the time {value.isoformat()} needs a zone, such as datetime.UTC")
        return value.isoformat()
    return value.isoformat() if isinstance(value, date | time) else value
