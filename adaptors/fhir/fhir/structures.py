"""The elements of resources and of types, read from `structures.txt` when they are first needed."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

_ELEMENT: Final = re.compile(
    r"(?P<name>\w+):(?P<type>\w+)(?P<many>\*?)(?P<required>!?)"
    r"(?:~(?P<choice>\w+)(?P<needed>!?))?(?:=(?P<codes>[^>]+))?(?:>(?P<targets>.+))?"
)


@dataclass(frozen=True)
class Element:
    """An element of a type."""

    name: str
    type: str
    many: bool = False
    required: bool = False
    choice: str | None = None
    """The name of the choice without its type: `value` of `valueQuantity`."""
    choice_required: bool = False
    codes: tuple[str, ...] = ()
    """The codes that are allowed; empty if the set is open."""
    targets: tuple[str, ...] = ()
    """The resources that a reference may name; empty for any."""

    @property
    def is_primitive(self) -> bool:
        """Whether the value is not a dict."""
        return self.type[0].islower()


_EVERYWHERE: Final = (Element("id", "string"), Element("extension", "Extension", many=True))
_OF_RESOURCES: Final = (Element("id", "id"), *_EVERYWHERE[1:])
_MODIFIER: Final = Element("modifierExtension", "Extension", many=True)


@functools.cache
def _table() -> dict[str, str]:
    text = Path(__file__).with_name("structures.txt").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return {name: rest for name, _, rest in (line.partition(" ") for line in lines)}


@functools.cache
def elements_of(kind: str) -> MappingProxyType[str, Element] | None:
    """Return the elements of a type by name; None if the type is not known here."""
    text = _table().get(kind)
    if text is None:
        return None
    found = [_read(part) for part in text.split()]
    is_resource = any(element.name == "implicitRules" for element in found)
    common = _OF_RESOURCES if is_resource else _EVERYWHERE
    whole = [*common, _MODIFIER, *found]
    return MappingProxyType({element.name: element for element in whole})


def is_resource(kind: str) -> bool:
    """Whether *kind* is a resource that is known here."""
    return "implicitRules" in (elements_of(kind) or {})


def resources() -> list[str]:
    """Return the names of the resources that are known here."""
    return sorted(kind for kind in _table() if is_resource(kind))


def choices_of(kind: str) -> dict[str, list[Element]]:
    """Return the choices of a type: the name without a type, and the elements to choose from."""
    found: dict[str, list[Element]] = {}
    for element in (elements_of(kind) or {}).values():
        if element.choice is not None:
            found.setdefault(element.choice, []).append(element)
    return found


def _read(part: str) -> Element:
    match = _ELEMENT.fullmatch(part)
    assert match is not None, part
    got = match.groupdict()
    return Element(
        name=got["name"],
        type=got["type"],
        many=bool(got["many"]),
        required=bool(got["required"]),
        choice=got["choice"],
        choice_required=bool(got["needed"]),
        codes=tuple(got["codes"].split("|")) if got["codes"] else (),
        targets=tuple(got["targets"].split("|")) if got["targets"] else (),
    )
