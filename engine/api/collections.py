"""Collections: values under keys that workflows share, and the rules that open them to a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple, Protocol

from engine.api.errors import EngineError
from protocol.collection import (
    NAME_RULE,
    CollectionItem,
    CollectionPage,
    CollectionQuery,
    is_name,
)
from protocol.suggestion import shorten

Right = Literal["read", "write"]

_RIGHTS: Final[tuple[Right, ...]] = ("read", "write")
_MOST_RULES: Final = 1_000


class CollectionsError(EngineError):
    """A request for a collection cannot be carried out; the author of the job sees the text.

    Args:
        message: The reason.
        fix: The change that would help, if it is known.
        retryable: Whether another attempt may succeed.

    """

    def __init__(self, message: str, *, fix: str | None = None, retryable: bool = False) -> None:
        super().__init__(message)
        self.fix = fix
        self.retryable = retryable


class Collections(Protocol):
    """Keeps values under keys, for the runs of one user.

    The engine calls it outside of the supervisor's thread, for one request of a run at a time.  It has
    checked names, keys, patterns and sizes, and that the run may do this.  A `CollectionsError` is
    for the author of the job, who sees its text; of another exception the author sees class and text.
    """

    def get(self, name: str, query: CollectionQuery) -> CollectionPage:
        """Return the values of a collection that a query finds, in the order of their keys.

        A page has at most ``query.limit`` values and `MAX_PAGE_BYTES` bytes, but at least one value if
        there is one.  A collection without values need not exist.
        """
        ...

    def set(self, name: str, items: Sequence[CollectionItem]) -> int:
        """Set values, all of them or none, and return their number.

        A key that exists gets the new value.  Every key occurs once.
        """
        ...

    def remove(
        self, name: str, query: CollectionQuery, *, dry_run: bool = False
    ) -> tuple[int, Sequence[str]]:
        """Remove all values that a query finds, or none; return their number, and their keys.

        ``limit`` and ``cursor`` of the query have no effect.

        Args:
            name: The collection.
            query: The values.
            dry_run: The values stay.  Only then the keys matter, of which the first
                ``query.limit`` are enough.

        """
        ...


class CollectionRule(NamedTuple):
    """A parsed rule of `Permissions.collections`."""

    name: str
    """The name of a collection, or ``*`` for all."""
    rights: frozenset[Right]

    def __str__(self) -> str:
        return (
            self.name
            if len(self.rights) == len(_RIGHTS)
            else f"{self.name}:{next(iter(self.rights))}"
        )


def parse_collection_rule(text: str) -> CollectionRule:
    """Return the rule that a text means: ``NAME``, ``NAME:read`` or ``NAME:write``.

    Raises:
        ValueError: The text is not a rule; the message quotes it and says what is right.

    """
    name, colon, right = text.partition(":")
    if colon and right not in _RIGHTS:
        example = name if is_name(name) else "visits"
        raise ValueError(
            f"{shorten(text)} is not a rule for a collection; write {example!r},"
            f" '{example}:read' or '{example}:write'"
        )
    if name != "*" and not is_name(name):
        hint = "'*' alone means all collections" if "*" in name else NAME_RULE
        raise ValueError(
            f"{shorten(text)} is not a rule for a collection, such as 'visits' or 'visits:read'; {hint}"
        )
    rights: tuple[Right, ...] = ("read" if right == "read" else "write",) if colon else _RIGHTS
    return CollectionRule(name, frozenset(rights))


def parse_collection_rules(texts: Iterable[str]) -> tuple[CollectionRule, ...]:
    """Return the rules that texts mean.

    Raises:
        ValueError: A text is not a rule, or there are too many.

    """
    rules = tuple(map(parse_collection_rule, texts))
    if len(rules) > _MOST_RULES:
        raise ValueError(f"{len(rules)} rules for collections; allowed: {_MOST_RULES}")
    return rules


def allows(rules: Iterable[CollectionRule], name: str, right: Right) -> bool:
    """Return whether rules open a collection; the name ``*`` asks for all collections."""
    return any(right in rule.rights and rule.name in (name, "*") for rule in rules)


def is_covered(rule: CollectionRule, allowed: Iterable[CollectionRule]) -> bool:
    """Return whether *allowed* rules together open all that *rule* opens."""
    outer = tuple(allowed)
    return all(allows(outer, rule.name, right) for right in rule.rights)


__all__ = [
    "CollectionItem",
    "CollectionPage",
    "CollectionQuery",
    "CollectionRule",
    "Collections",
    "CollectionsError",
    "Right",
    "allows",
    "is_covered",
    "parse_collection_rule",
    "parse_collection_rules",
]
