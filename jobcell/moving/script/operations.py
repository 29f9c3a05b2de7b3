"""Translates the operations of a job: the calls of verbs at its top, and their arguments."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from jobcell.moving.script.around import Writer
from jobcell.moving.script.calls import REFERENCES
from jobcell.moving.script.code import enclosed, quoted
from jobcell.moving.script.expressions import Expressions
from jobcell.moving.script.module import FUNCTIONS
from jobcell.moving.script.place import Place
from jobcell.moving.script.scope import Scope
from jobcell.moving.script.statements import Statements, returned
from jobcell.moving.script.tree import (
    MAX_DEPTH,
    Node,
    UntranslatedError,
    arguments_of,
    field,
    inner,
    line_of,
    named,
    number_value,
    parameters_of,
    string_value,
    text_of,
    walk,
)
from jobcell.moving.script.verbs import PURE, Verb

_KEY: Final = r"\w+(?:[-/]\w+)*"
_SOURCE: Final = re.compile(rf"\$?\.?{_KEY}(?:\[(?:\d+|\*)\]|\.{_KEY}|\.\*)*", re.ASCII)
"""The JSONPaths that the libraries on both sides read in the same way."""

_CHAINED: Final = {"then": ("state",), "catch": ("error", "state")}


class Operations:
    """Translates the operations of one script."""

    def __init__(
        self, expressions: Expressions, statements: Statements, verbs: dict[str, Verb], scope: Scope
    ) -> None:
        """Take the translators of the parts, and the verbs of the job."""
        self._expressions = expressions
        self._statements = statements
        self._verbs = verbs
        self._scope = scope

    def operation(self, node: Node, writer: Writer, depth: int = 0) -> str:
        """Return the Python of an operation; functions that it needs go to *writer*.

        Raises:
            UntranslatedError: A part of it has no translation that is certain.

        """
        node = inner(node)
        if depth > MAX_DEPTH:
            raise UntranslatedError(f"operations nested more than {MAX_DEPTH} deep", node)
        if node.type in FUNCTIONS:
            return self.function(node, writer, ("state",))
        if node.type == "identifier":
            return self._named_function(node)
        if node.type != "call_expression":
            raise UntranslatedError("an operation of this form", node)
        callee = inner(field(node, "function"))
        name = text_of(callee)
        if callee.type == "member_expression" and name not in self._verbs:
            return self._chained(node, callee, writer, depth)
        return self._verb(node, name, writer, depth)

    def _chained(self, node: Node, callee: Node, writer: Writer, depth: int) -> str:
        method, target = text_of(field(callee, "property")), inner(field(callee, "object"))
        if method not in _CHAINED or target.type != "call_expression":
            raise UntranslatedError(f"{text_of(callee)[:40]}(...)", node)
        given = arguments_of(node)
        if len(given) != 1:
            raise UntranslatedError(f"{method}(...) with {len(given)} arguments", node)
        before = self.operation(target, writer, depth + 1)
        return f"{before}.{method}({self._callback(given[0], writer, _CHAINED[method])})"

    def _callback(self, node: Node, writer: Writer, roles: tuple[str, ...]) -> str:
        if node.type in FUNCTIONS:
            return self.function(node, writer, roles)
        if node.type == "identifier" and len(roles) == 1:
            return self._named_function(node)
        raise UntranslatedError("a function of this form", node)

    def _named_function(self, node: Node) -> str:
        found = self._scope.find(text_of(node))
        if (
            found is None
            or found.parameters is None
            or found.kind == "broken"
            or found.parameters > 1
        ):
            raise UntranslatedError(f"{text_of(node)} is not a function of the state", node)
        given = "state" if found.parameters else ""
        return f"lambda state: js.plain({found.python}({given}))"

    def function(self, node: Node, writer: Writer, roles: tuple[str, ...]) -> str:
        """Return a function of the state: a lambda, or the name of a definition."""
        parameters, body = parameters_of(node), field(node, "body")
        simple = all(parameter.type == "identifier" for parameter in parameters)
        if body.type == "statement_block" or not simple or len(roles) > 1:
            name = self._scope.fresh_for_line(line_of(node))
            definition = Writer()
            self._statements.define(node, name, self._scope, definition, roles)
            lines = [""] if writer.lines else []
            for line in [*lines, *definition.lines]:
                writer.write(line)
            return name
        if len(parameters) > 1:
            raise UntranslatedError("an operation with more parameters than it gets", node)
        scope = self._scope.below("inner")
        for parameter in parameters:
            scope.bind(text_of(parameter), "state", kind="dict", clean=True)
        carried = self._statements.carried_out(body, scope, writer)
        if carried is not None:
            return f"lambda state: {carried}"
        code = self._expressions.translate(body, Place(scope))
        if len(returned(code)) > 400:
            name = self._scope.fresh_for_line(line_of(node))
            body_text = returned(code).replace("\n", "\n    ")
            writer.write(f"def {name}(state):\n    return {body_text}")
            return name
        return f"lambda state: {returned(code)}"

    def _verb(self, node: Node, name: str, writer: Writer, depth: int) -> str:
        verb = self._verbs.get(name)
        if verb is None or self._scope.find(name.partition(".")[0]) is not None:
            raise UntranslatedError(f"{name[:40]}(...) is not a verb with a counterpart here", node)
        given = arguments_of(node)
        kinds = list(verb.parameters)
        if verb.repeated:
            kinds += [kinds[-1]] * (len(given) - len(kinds))
        if not verb.least <= len(given) <= len(kinds):
            raise UntranslatedError(f"{name}(...) with {len(given)} arguments", node)
        texts: list[str] = []
        callback = ""
        for kind, argument in zip(kinds, given, strict=False):
            if kind == "options":
                texts += self._options(argument, verb, writer)
            elif kind == "callback":
                callback = f".then({self._callback(argument, writer, ('state',))})"
            elif kind == "operation":
                texts.append(self.operation(argument, writer, depth + 1))
            else:
                texts.append(self._argument(kind, argument, writer))
        return f"{verb.python}{enclosed('(', texts, ')')}{callback}"

    def _argument(self, kind: str, node: Node, writer: Writer) -> str:
        if kind in ("word", "text"):
            if node.type != "string":
                raise UntranslatedError("a name that is not a text", node)
            return quoted(string_value(node))
        if kind == "source":
            return self._source(node, writer)
        if kind == "truth":
            return self._truth(node, writer)
        return self.value(node, writer)

    def _source(self, node: Node, writer: Writer) -> str:
        if node.type == "string":
            if string_value(node) != "$" and not _SOURCE.fullmatch(string_value(node)):
                raise UntranslatedError(f"the path {string_value(node)!r}", node)
            return quoted(string_value(node))
        if node.type == "call_expression" and text_of(field(node, "function")) == "dataPath":
            return self._pure(node)
        if _is_lazy(node, self._scope):
            return self.value(node, writer)
        code = self._expressions.translate(node, Place(self._scope))
        if code.kind != "list":
            raise UntranslatedError("a list of this form", node)
        return returned(code)

    def _truth(self, node: Node, writer: Writer) -> str:
        if node.type in FUNCTIONS and field(node, "body").type == "statement_block":
            return f"lambda state: js.truthy({self.function(node, writer, ('state',))}(state))"
        scope, body = self._lazy_scope(node)
        code = self._expressions.truth(body, Place(scope, lazy=True))
        return f"lambda state: {code.text}"

    def _lazy_scope(self, node: Node) -> tuple[Scope, Node]:
        scope = self._scope.below("inner")
        if node.type not in FUNCTIONS:
            return scope, node
        parameters = parameters_of(node)
        if len(parameters) > 1 or any(p.type != "identifier" for p in parameters):
            raise UntranslatedError("these parameters of a function of the state", node)
        for parameter in parameters:
            scope.bind(text_of(parameter), "state", kind="dict", clean=True)
        return scope, field(node, "body")

    def value(self, node: Node, writer: Writer) -> str:
        """Return the Python of a value, or of a function of the state that gives it."""
        if node.type in FUNCTIONS:
            return self.function(node, writer, ("state",))
        if _is_pure(node, self._scope):
            return self._pure(node)
        if node.type == "identifier":
            found = self._scope.find(text_of(node))
            if found is not None and found.parameters is not None:
                return self._named_function(node)
        scope = self._scope.below("inner")
        code = self._expressions.translate(node, Place(scope, lazy=True))
        if _is_lazy(node, self._scope):
            return f"lambda state: {returned(code)}"
        return returned(code)

    def _options(self, node: Node, verb: Verb, writer: Writer) -> Iterable[str]:
        if node.type != "object":
            raise UntranslatedError("options that are not written as { ... }", node)
        for pair in named(node):
            if pair.type == "shorthand_property_identifier":
                key, value = text_of(pair), pair
            elif pair.type == "pair" and pair.children[0].type in ("property_identifier", "string"):
                first = pair.children[0]
                key = string_value(first) if first.type == "string" else text_of(first)
                value = inner(field(pair, "value"))
            else:
                raise UntranslatedError("an option of this form", pair)
            if key not in verb.options:
                raise UntranslatedError(f"the option {key}", pair)
            yield f"{verb.options[key]}={self._option(key, value, writer)}"

    def _option(self, key: str, node: Node, writer: Writer) -> str:
        if node.type == "shorthand_property_identifier":
            return returned(self._expressions.name(node, Place(self._scope)))
        if key == "errors":
            return _errors(node)
        if key == "parseAs" and (
            node.type != "string" or string_value(node) not in ("json", "text", "base64")
        ):
            raise UntranslatedError("parseAs with this value", node)
        if key == "contentType" and node.type != "string":
            raise UntranslatedError("contentType with this value", node)
        return self.value(node, writer)

    def _pure(self, node: Node) -> str:
        """Return a call of a function that is written in the same way in both languages."""
        if node.type == "string":
            return quoted(string_value(node))
        if node.type != "call_expression":
            return self._expressions.translate(node, Place(self._scope)).text
        name = text_of(field(node, "function"))
        return f"{name}{enclosed('(', [self._pure(given) for given in arguments_of(node)], ')')}"


def _errors(node: Node) -> str:
    if node.type in ("true", "false"):
        return text_of(node).capitalize()
    if node.type != "object":
        raise UntranslatedError("errors of this form", node)
    items = []
    for pair in named(node):
        key, value = pair.children[0], inner(pair.children[-1])
        if (
            pair.type != "pair"
            or key.type != "number"
            or value.type not in ("string", "true", "false")
        ):
            raise UntranslatedError("errors of this form", pair)
        shown = (
            quoted(string_value(value)) if value.type == "string" else text_of(value).capitalize()
        )
        items.append(f"{number_value(key)}: {shown}")
    return enclosed("{", items, "}")


def _is_pure(node: Node, scope: Scope) -> bool:
    """Return whether a call has nothing but texts, numbers and such calls in it."""
    if node.type != "call_expression":
        return False
    name = text_of(field(node, "function"))
    if name not in PURE or scope.find(name) is not None:
        return False
    given = arguments_of(node)
    if PURE[name] not in (None, len(given)):
        return False
    if name in (*REFERENCES, "dataPath", "merge") and not (
        given[0].type == "string" and _SOURCE.fullmatch(string_value(given[0]))
    ):
        return False
    return all(
        argument.type in ("string", "number", "true", "false", "null") or _is_pure(argument, scope)
        for argument in given
    )


def _is_lazy(node: Node, scope: Scope) -> bool:
    """Return whether a value depends on the state."""
    for part in walk(node):
        if part.type == "identifier" and text_of(part) == "$" and scope.find("$") is None:
            return True
        if part.type in FUNCTIONS and not _is_callback(part):
            return True
        if part.type == "call_expression" and text_of(field(part, "function")) in PURE:
            return True
    return False


def _is_callback(function: Node) -> bool:
    parent = function.parent
    return parent is not None and parent.type == "arguments"
