"""The adaptors of OpenFn that have a counterpart here."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_SPECIFIER: Final = re.compile(
    r"(?:@openfn/)?(?:language-)?([a-z0-9][a-z0-9_.-]*?)(?:@([^@\s=]+))?(?:=.*)?"
)

COUNTERPARTS: Final[dict[str, str]] = {
    "collections": "collections",
    "common": "common",
    "fhir-4": "fhir",
    "http": "http",
    "postgresql": "postgresql",
}
"""The name after `@openfn/language-`, and the adaptor of ours."""

TRANSLATED: Final[frozenset[str]] = frozenset({"common", "http"})
"""Adaptors of ours whose operations are translated."""


class Adaptor(NamedTuple):
    """An adaptor of a project."""

    given: str
    name: str | None
    """The adaptor of ours, or None."""
    major: int | None
    """The major version of OpenFn's adaptor; None: the newest."""


def adaptor_of(specifier: str) -> Adaptor:
    """Return what is known about an adaptor such as `@openfn/language-http@6.5.1`."""
    found = _SPECIFIER.fullmatch(specifier.strip())
    if found is None:
        return Adaptor(specifier, None, None)
    major = re.match(r"[v^~]?(\d{1,6})", found[2] or "")
    return Adaptor(specifier, COUNTERPARTS.get(found[1]), int(major[1]) if major else None)
