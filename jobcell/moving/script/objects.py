"""Translates what JavaScript does with objects of its own: regular expressions, dates, and functions that compare."""

from __future__ import annotations

from typing import Final

from jobcell.moving.script.code import Code, call, quoted
from jobcell.moving.script.patterns import pattern_of
from jobcell.moving.script.place import Place
from jobcell.moving.script.tree import (
    Node,
    UntranslatedError,
    arguments_of,
    field,
    inner,
    parameters_of,
    text_of,
)

OF_DATE: Final = {"getTime": "time_ms", "toISOString": "iso", "toJSON": "iso"}
"""Method of a date to the function of `js`; the others depend on the time zone of the machine."""


class Objects:
    """The part of `Expressions` for these."""

    def translate(self, node: Node, place: Place) -> Code:
        """Return the Python of an expression."""
        raise NotImplementedError

    def _plain_arguments(self, node: Node, place: Place) -> list[Code]:
        raise NotImplementedError

    def _known_function(self, function: Node, place: Place) -> tuple[str, int]:
        raise NotImplementedError

    def _tested(self, node: Node, expression: Node, place: Place) -> Code:
        """Return `/a/.test(x)`; a new expression begins at the start of the text, with g as well."""
        found, given = pattern_of(expression), self._plain_arguments(node, place)
        if len(given) != 1:
            raise UntranslatedError(f"test(...) with {len(given)} arguments", node)
        texts = [quoted(found.text), given[0].text, *(["wide=True"] if found.wide else [])]
        return call("js.matches", texts, "bool", undefined=False)

    def _searched(self, node: Node, name: str, base: Code, place: Place) -> Code:
        """Return `x.replace(/a/g, y)` or `x.split(/a/)`."""
        given = arguments_of(node)
        found = pattern_of(given[0])
        wide = ["wide=True"] if found.wide else []
        is_split, is_all = name == "split", name == "replaceAll"
        count = 1 if is_split else 2
        if name not in ("replace", "replaceAll", "split") or len(given) != count:
            raise UntranslatedError(f"{name}(...) with a regular expression", node)
        if is_all and not found.every:
            raise UntranslatedError("replaceAll(...) with a regular expression without g", node)
        if found.least == 0 and (is_split or found.every):
            raise UntranslatedError("a regular expression that matches nothing", given[0])
        if is_split:
            if found.groups:
                raise UntranslatedError("split(...) with groups", given[0])
            texts = [base.text, quoted(found.text), *wide]
            return call("js.split_at", texts, "list", undefined=False)
        new = self._new_text(given[1], place)
        texts = [
            base.text,
            quoted(found.text),
            new,
            *(["every=True"] if found.every else []),
            *wide,
        ]
        return call("js.replaced", texts, "text", undefined=False)

    def _new_text(self, node: Node, place: Place) -> str:
        """Return the second argument of `replace`: a text, or a function of what was found."""
        if node.type in ("arrow_function", "function_expression"):
            parameters = parameters_of(node)
            if len(parameters) != 1 or any(child.type == "async" for child in node.children):
                raise UntranslatedError("these parameters of replace", node)
            if node.type == "arrow_function" and field(node, "body").type != "statement_block":
                if parameters[0].type != "identifier":
                    raise UntranslatedError("these parameters of replace", node)
                scope = place.scope.below("inner")
                name = scope.bind(text_of(parameters[0]), kind="text", clean=True)
                body = self.translate(field(node, "body"), place.inside(scope))
                return f"lambda {name}: {body.text}"
            return self._known_function(node, place)[0]
        return self.translate(node, place).text

    def _of_date(self, name: str, target: Node, place: Place) -> Code:
        """Return `new Date(x).toISOString()` and the like."""
        kind = "number" if name == "getTime" else "text"
        return call(f"js.{OF_DATE[name]}", [self._moment(target, place)], kind, undefined=False)

    def _moment(self, node: Node, place: Place) -> str:
        """Return the value of which `new Date(...)` makes a date, or the milliseconds of a date with a name."""
        found = place.scope.find(text_of(node))
        if found is not None and is_date(node, place):
            return found.python
        name = field(node, "constructor")
        if text_of(name) != "Date" or place.scope.find("Date") is not None:
            raise UntranslatedError(f"new {text_of(name)[:20]}(...)", node)
        given = arguments_of(node) if node.child_by_field_name("arguments") else []
        if len(given) > 1 or any(one.type == "spread_element" for one in given):
            raise UntranslatedError(
                "new Date(...) with several parts, which are in local time", node
            )
        return self.translate(given[0], place).text if given else "js.now_ms()"

    def time_of(self, node: Node, place: Place) -> str:
        """Return the milliseconds of `new Date(...)`."""
        moment = self._moment(node, place)
        return moment if moment == "js.now_ms()" else f"js.time_ms({moment})"

    def _sorted(self, node: Node, base: Code, place: Place) -> Code:
        """Return `x.sort((a, b) => f(a) - f(b))`, whose order does not depend on the way of sorting."""
        given = arguments_of(node)
        function = given[0] if len(given) == 1 else node
        body = field(function, "body") if function.type == "arrow_function" else node
        body = inner(body)
        names = parameters_of(function) if function.type == "arrow_function" else []
        if (
            body.type != "binary_expression"
            or text_of(field(body, "operator")) != "-"
            or [one.type for one in names] != ["identifier"] * 2
        ):
            raise UntranslatedError("sort(...) by something else than a difference", node)
        sides = [inner(field(body, side)) for side in ("left", "right")]
        used = [_names_in(side) & {text_of(one) for one in names} for side in sides]
        if sorted(map(len, used)) != [1, 1] or used[0] == used[1]:
            raise UntranslatedError("sort(...) by a difference of other values", node)
        keys = []
        row = place.scope.below("inner").fresh("row")
        for side, one in zip(sides, used, strict=True):
            scope = place.scope.below("inner")
            scope.bind(min(one), row)
            keys.append(self._subtracted(side, place.inside(scope)))
        if keys[0] != keys[1]:
            raise UntranslatedError("sort(...) by a difference of two kinds", node)
        falling = ["falling=True"] if used[0] == {text_of(names[1])} else []
        return call("js.sorted_by", [base.text, f"lambda {row}: {keys[0]}", *falling], "list")

    def _subtracted(self, node: Node, place: Place) -> str:
        """Return one side of a difference; a date counts in milliseconds."""
        if node.type == "new_expression" or is_date(node, place):
            return self._of_date("getTime", node, place).text
        return self.translate(node, place).text


def is_date(node: Node, place: Place) -> bool:
    """Return whether an expression is a name that `const day = new Date(...)` gives."""
    found = place.scope.find(text_of(node)) if node.type == "identifier" else None
    return found is not None and found.kind == "date"


def _names_in(node: Node) -> set[str]:
    """Return the names in an expression; names of its own count as well."""
    found, waiting = set(), [node]
    while waiting:
        one = waiting.pop()
        if one.type in ("identifier", "shorthand_property_identifier"):
            found.add(text_of(one))
        waiting += one.named_children
    return found
