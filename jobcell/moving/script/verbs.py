"""The operations of OpenFn's adaptors that are translated, and the words of ours for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Kind = Literal["value", "source", "truth", "operation", "text", "word", "options", "callback"]


@dataclass(frozen=True)
class Verb:
    """An operation.

    Attributes:
        python: Its name here.
        parameters: What its arguments are.
        least: The number of arguments that it needs.
        options: The keys of an argument of options, each with the name of ours.
        repeated: Whether the last parameter may come any number of times.

    """

    python: str
    parameters: tuple[Kind, ...]
    least: int = 1
    options: Mapping[str, str] = field(default_factory=dict)
    repeated: bool = False


_COMMON: Final = {
    "alterState": Verb("fn", ("operation",)),
    "as": Verb("as_", ("word", "operation"), 2),
    "beta.each": Verb("beta.each", ("source", "operation"), 2),
    "combine": Verb("combine", ("operation",), repeated=True),
    "each": Verb("each", ("source", "operation"), 2),
    "fn": Verb("fn", ("operation",)),
    "fnIf": Verb("fnIf", ("truth", "operation"), 2),
    "log": Verb("log", ("value",)),
}

_OPTIONS: Final = {
    "contentType": "content_type",
    "errors": "errors",
    "headers": "headers",
    "maxRedirections": "max_redirections",
    "parseAs": "parse_as",
    "query": "query",
    "timeout": "timeout",
}
_WITH_BODY: Final = {**_OPTIONS, "body": "body"}


def _http(*, data: bool) -> dict[str, Verb]:
    last: tuple[Kind, ...] = () if data else ("callback",)
    verbs = {
        "get": Verb("get", ("value", "options", *last), 1, _OPTIONS),
        "del": Verb("delete", ("value", "options", *last), 1, _OPTIONS),
        "request": Verb("request", ("text", "value", "options", *last), 2, _WITH_BODY),
    }
    for name in ("post", "put", "patch"):
        if data:
            verbs[name] = Verb(name, ("value", "value", "options"), 1, _OPTIONS)
        else:
            # The body is an option there; here it is the second argument.
            verbs[name] = Verb(
                name, ("value", "options", "callback"), 1, {**_OPTIONS, "body": "data"}
            )
    return verbs


ALL: Final[frozenset[str]] = frozenset(
    {*_COMMON, *_http(data=True), "fields", "field", "merge", "dataPath", "dataValue"}
    | {"lastReferenceValue", "sourceValue"}
)
"""Names that are verbs or references, and no functions for values."""

PURE: Final[dict[str, int | None]] = {
    "dataPath": 1,
    "dataValue": 1,
    "field": 2,
    "fields": None,
    "lastReferenceValue": 1,
    "merge": 2,
    "sourceValue": 1,
}
"""Functions of language-common that are written in the same way here, with their numbers of arguments."""


def verbs_of(adaptors: Mapping[str, int | None]) -> dict[str, Verb]:
    """Return the operations of a job by name.

    Args:
        adaptors: Name of ours to the major version of OpenFn's adaptor, None for the newest.

    """
    verbs = dict(_COMMON)
    if "http" in adaptors:
        major = adaptors["http"]
        if major is None or major >= 7:
            verbs.update(_http(data=True))
        elif major == 6:
            verbs.update(_http(data=False))
    return verbs
