"""The names of a script, and the names that they get in Python."""

from __future__ import annotations

import builtins
import itertools
import keyword
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from jobcell.moving.script.code import is_identifier, quoted
from jobcell.moving.script.tree import Node, UntranslatedError, named, text_of

Kind = Literal["module", "function", "block", "inner"]

_TAKEN: Final = frozenset(
    {*keyword.kwlist, *keyword.softkwlist, *dir(builtins)}
    | {"js", "javascript", "state", "main", "operations", "execute", "unfinished", "error", "beta"}
    | {"as_", "combine", "dataPath", "dataValue", "each", "field", "fields", "fn", "fnIf", "log"}
    | {"delete", "get", "merge", "patch", "post", "put", "request", "lastReferenceValue"}
    | {"sourceValue"}
)
_LINE_NAME: Final = "line_"


@dataclass(frozen=True)
class Name:
    """What a name of the script means in Python.

    Attributes:
        python: The name, or an expression that gives its value.
        kind: As for `Code`; or `date`, of which the Python name has the milliseconds, `error` or `broken`.
        parameters: The number of parameters, if it is a function of the script.
        fixed: Whether the script may not assign to it.
        clean: Whether it cannot have a key that is undefined.

    """

    python: str
    kind: str = "any"
    parameters: int | None = None
    fixed: bool = False
    clean: bool = False


@dataclass
class Scope:
    """The names that are known at a place.

    Attributes:
        kind: A module, a function, a block in one of these, or an expression with names of its own.
        parent: The scope around it.
        taken: Python names that are in use in the function, and in those around it.

    """

    kind: Kind
    parent: Scope | None = None
    taken: set[str] = field(default_factory=set)
    names: dict[str, Name] = field(default_factory=dict)

    def below(self, kind: Kind) -> Scope:
        """Return a new scope inside this one."""
        return Scope(kind, self, self.taken if kind == "block" else set(self.taken))

    def find(self, name: str) -> Name | None:
        """Return the meaning of a name, or None if the script does not define it."""
        return next((scope.names[name] for scope in self.outward() if name in scope.names), None)

    def outward(self) -> Iterator[Scope]:
        """Yield this scope and those around it."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def is_own(self, name: str) -> bool:
        """Return whether a name belongs to the innermost function, and can be assigned to there."""
        for scope in self.outward():
            if name in scope.names:
                return True
            if scope.kind in ("function", "inner"):
                return False
        return False

    def declare(self, node: Node, *, parameters: int | None = None, kind: str = "any") -> str:
        """Add a name of a declaration; return its Python name.

        Raises:
            UntranslatedError: A name around this scope is the same, which Python would mix up.

        """
        name = text_of(node)
        if name in self.names and self.kind == "module":
            return self.names[name].python
        if self.find(name) is not None:
            raise UntranslatedError(f"the name {name} hides another {name}", node)
        python = self.fresh(name)
        self.names[name] = Name(python, kind, parameters=parameters)
        return python

    def declare_first(self, node: Node, parameters: int | None) -> None:
        """Add a name of the top of the script before its declaration is read."""
        name = text_of(node)
        if name not in self.names:
            self.names[name] = Name(self.fresh(name), parameters=parameters)

    def give_up(self, node: Node) -> None:
        """Note that the declaration of a name has no translation."""
        name = text_of(node)
        known = self.names.get(name)
        self.names[name] = Name(known.python if known else name, "broken")

    def bind(
        self,
        name: str,
        python: str | None = None,
        *,
        kind: str = "any",
        fixed: bool = False,
        clean: bool = False,
    ) -> str:
        """Add a parameter, which may hide a name around it; return its Python name."""
        python = python or self.fresh(name)
        self.names[name] = Name(python, kind, fixed=fixed, clean=clean)
        return python

    def fresh_for_line(self, line: int) -> str:
        """Return a name for the function of an operation in a line."""
        python, number = f"{_LINE_NAME}{line}", 1
        while python in self.taken:
            number += 1
            python = f"{_LINE_NAME}{line}_{number}"
        self.taken.add(python)
        return python

    def fresh(self, name: str) -> str:
        """Return a Python name that has no other meaning in the function."""
        base = name.replace("$", "").strip("_")
        if not base or base[0].isdigit() or not is_identifier(base):
            base = "value"
        if base in _TAKEN or base.startswith(_LINE_NAME):
            base += "_js"
        python, number = base, 1
        while python in self.taken:
            number += 1
            python = f"{base}_{number}"
        self.taken.add(python)
        return python


def taken_apart(pattern: Node, value: str) -> Iterator[tuple[Node, str]]:
    """Yield each name of an object pattern, with the Python expression of its value.

    Args:
        pattern: `{ a, b: c, ...rest }`.
        value: The Python expression of the object.

    Raises:
        UntranslatedError: The pattern has another form.

    """
    if pattern.type == "array_pattern":
        yield from _items_apart(pattern, value)
        return
    if pattern.type != "object_pattern":
        raise UntranslatedError(f"taking apart with {pattern.type.replace('_', ' ')}", pattern)
    keys: list[str] = []
    for part in named(pattern):
        if part.type == "shorthand_property_identifier_pattern":
            key, name = text_of(part), part
        elif part.type == "pair_pattern" and part.children[0].type == "property_identifier":
            key, name = text_of(part.children[0]), named(part)[-1]
        elif part.type == "rest_pattern":
            name = named(part)[0]
            taken = "".join(f", {quoted(key)}" for key in keys)
            yield _only_name(name), f"js.rest({value}{taken})"
            continue
        else:
            raise UntranslatedError("a default or a pattern inside of a pattern", part)
        keys.append(key)
        yield _only_name(name), f"js.get({value}, {quoted(key)})"


def _items_apart(pattern: Node, value: str) -> Iterator[tuple[Node, str]]:
    signs = [child.type for child in pattern.children]
    if any(sign == "," and before in (",", "[") for before, sign in itertools.pairwise(signs)):
        raise UntranslatedError("holes in [ ]", pattern)
    for place, part in enumerate(named(pattern)):
        if part.type == "rest_pattern":
            yield _only_name(named(part)[0]), f'js.call(js.items({value}), "slice", {place})'
        else:
            yield _only_name(part), f"js.item({value}, {place})"


def _only_name(node: Node) -> Node:
    if node.type not in ("identifier", "shorthand_property_identifier_pattern"):
        raise UntranslatedError("a default or a pattern inside of a pattern", node)
    return node
