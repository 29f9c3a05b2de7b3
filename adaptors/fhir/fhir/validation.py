"""Compares a resource with the structures of FHIR R4, and reports every problem with its path.

Checked are names, types, lists, required elements, choices, closed sets of codes, forms of primitive
values, and references.  Profiles, open sets of codes, and most invariants are for the server.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from .errors import ResourceError
from .primitives import is_reference, problem_with
from .structures import Element, choices_of, elements_of, is_resource

_MOST: Final = 50
"""Most problems of one error."""


class Problem(NamedTuple):
    """A fault at one place of a resource."""

    path: str
    message: str
    fix: str | None = None


def check(resource: Any) -> None:
    """Raise an error with all problems of a resource.

    Raises:
        ResourceError: The resource has at least one problem.

    """
    problems = problems_of(resource)
    if not problems:
        return
    first = problems[0]
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    fix = f"; {first.fix}" if first.fix else ""
    raise ResourceError(
        f"{first.path} {first.message}{fix}{more}",
        problems=[
            {key: value for key, value in problem._asdict().items() if value is not None}
            for problem in problems[:_MOST]
        ],
    )


def problems_of(resource: Any) -> list[Problem]:
    """Return the problems of a resource, in the order of its elements."""
    return list(_resource(resource, None))


def _resource(value: Any, path: str | None) -> Iterator[Problem]:
    kind = value.get("resourceType") if isinstance(value, dict) else None
    here = path or (kind if isinstance(kind, str) else "the resource")
    if not isinstance(value, dict):
        yield Problem(here, f"must be a dict, not {_name(value)}")
    elif not isinstance(kind, str):
        yield Problem(here, "has no resourceType", "use a builder, such as b.patient(...)")
    elif is_resource(kind):
        yield from _object(kind, {k: v for k, v in value.items() if k != "resourceType"}, here)
        yield from _rules(kind, value, here)


def _object(kind: str, value: Any, path: str) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield Problem(path, f"must be a dict ({kind}), not {_name(value)}")
        return
    known = elements_of(kind)
    if known is None:
        return
    if not value:
        yield Problem(path, "is empty", "leave it out")
    for key, inner in value.items():
        element = known.get(key)
        extended = known.get(key[1:]) if isinstance(key, str) and key[:1] == "_" else None
        if extended is not None and extended.is_primitive:
            continue  # extensions of a primitive value
        if element is None:
            yield Problem(f"{path}.{key}", f"does not exist in {kind}", _near(str(key), kind))
        else:
            yield from _element(element, inner, f"{path}.{key}")
    for element in known.values():
        if element.required and element.name not in value and f"_{element.name}" not in value:
            yield Problem(f"{path}.{element.name}", "is missing")
    for name, options in choices_of(kind).items():
        given = [option.name for option in options if option.name in value]
        if len(given) > 1:
            yield Problem(f"{path}.{name}[x]", f"has several values: {', '.join(given)}")
        elif not given and options[0].choice_required:
            yield Problem(f"{path}.{name}[x]", "is missing")


def _element(element: Element, value: Any, path: str) -> Iterator[Problem]:
    if not element.many:
        if isinstance(value, list | tuple):
            yield Problem(path, "must be a single value, not a list")
        else:
            yield from _value(element, value, path)
        return
    if not isinstance(value, list | tuple):
        yield Problem(path, f"must be a list, not {_name(value)}")
        return
    if not value:
        yield Problem(path, "is an empty list", "leave it out")
    for number, item in enumerate(value):
        if not (item is None and element.is_primitive):  # its value may be an extension
            yield from _value(element, item, f"{path}[{number}]")


def _value(element: Element, value: Any, path: str) -> Iterator[Problem]:
    if element.type == "Resource":
        yield from _resource(value, path)
    elif not element.is_primitive:
        yield from _object(element.type, value, path)
        if element.type == "Reference" and isinstance(value, dict):
            yield from _reference(element, value, path)
    else:
        wrong = problem_with(element.type, value)
        if wrong is not None:
            yield Problem(path, wrong)
        elif element.codes and value not in element.codes:
            near = difflib.get_close_matches(str(value), element.codes, 1)
            fix = f"did you mean {near[0]!r}?" if near else None
            yield Problem(path, f"must be one of {', '.join(element.codes)}, not {value!r}", fix)


def _reference(element: Element, value: dict[str, Any], path: str) -> Iterator[Problem]:
    text = value.get("reference")
    if not isinstance(text, str):
        return
    if not is_reference(text):
        fix = "write 'Patient/123', a URL, 'urn:uuid:...' or '#id'"
        yield Problem(f"{path}.reference", f"is not a reference: {text!r:.80}", fix)
    target = text.partition("/")[0].partition("?")[0]
    if element.targets and target.isalpha() and target not in element.targets:
        yield Problem(
            f"{path}.reference",
            f"must lead to {' or '.join(element.targets)}, not to {target}",
        )


def _rules(kind: str, value: dict[str, Any], path: str) -> Iterator[Problem]:
    """Yield the violations of the few invariants that are checked here."""
    has_value = any(key.startswith("value") for key in value)
    if kind == "Observation" and "dataAbsentReason" in value and has_value:  # obs-6
        yield Problem(f"{path}.dataAbsentReason", "is there as well as a value")
    if kind == "Bundle":
        entries = value.get("entry")
        for number, entry in enumerate(entries if isinstance(entries, list) else ()):
            where = f"{path}.entry[{number}]"
            wants = value.get("type") in ("transaction", "batch")
            if wants and isinstance(entry, dict) and "request" not in entry:  # bdl-3
                yield Problem(f"{where}.request", f"is missing in a {value['type']}")


def _near(key: str, kind: str) -> str | None:
    names = [*(elements_of(kind) or ()), *choices_of(kind)]
    near = difflib.get_close_matches(key, names, 1)
    return f"did you mean {near[0]!r}?" if near else None


def _name(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
