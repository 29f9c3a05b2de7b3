"""Translates statements that change a variable or a part of a value."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from jobcell.moving.script.around import Around
from jobcell.moving.script.expressions import Expressions
from jobcell.moving.script.tree import Node, UntranslatedError, field, inner, text_of

_CHANGES: Final = {"+=": "add", "-=": "minus", "*=": "times", "/=": "divide", "%=": "remainder"}


class Changes:
    """The part of `Statements` that translates assignments."""

    def __init__(self, expressions: Expressions) -> None:
        """Take the translator of the expressions in the statements."""
        self._expressions = expressions

    def _is_date(self, name: Node, value: Node, around: Around) -> bool:
        """Write `const day = new Date(...)` as its milliseconds; return whether it is this."""
        value = inner(value)
        # A function may use a name of the top before its declaration is read.
        if value.type != "new_expression" or around.scope.kind == "module":
            return False
        if name.type != "identifier" or text_of(field(value, "constructor")) != "Date":
            return False
        moment = self._expressions.time_of(value, around.place)
        around.writer.write(f"{around.scope.declare(name, kind='date')} = {moment}")
        return True

    def _assign(self, left: Node, value: str, around: Around) -> None:
        left = inner(left)
        if left.type == "identifier":
            around.writer.write(f"{self._own_name(left, around)} = {value}")
            return
        target, key = self._target(left, around)
        if key[0] in "\"'" and "__" not in key:
            around.writer.write(f"{target}[{key}] = {value}")
        else:
            around.writer.write(f"js.put({target}, {key}, {value})")

    def _target(self, node: Node, around: Around) -> tuple[str, str]:
        """Return the object and the key of a member that is changed."""
        if node.type not in ("member_expression", "subscript_expression"):
            raise UntranslatedError("an assignment to this", node)
        base, path = self._expressions.chain(node, around.place)
        if "js.maybe" in path or not path:
            raise UntranslatedError("an assignment to a part with ?.", node)
        if len(path) == 1:
            return base.text, path[0]
        return f"js.get({', '.join([base.text, *path[:-1]])})", path[-1]

    def _own_name(self, node: Node, around: Around) -> str:
        name = text_of(node)
        found = around.scope.find(name)
        if found is None or found.fixed or found.parameters is not None or found.kind == "date":
            raise UntranslatedError(f"an assignment to {name}", node)
        if not around.scope.is_own(name):
            raise UntranslatedError(f"an assignment to {name} of another function", node)
        return found.python

    def _change(self, node: Node, around: Around) -> None:
        operator, left = text_of(field(node, "operator")), field(node, "left")
        before = self._expressions.translate(left, around.place)
        if operator in _CHANGES:
            value = self._expressions.translate(field(node, "right"), around.place)
            self._assign(left, f"js.{_CHANGES[operator]}({before.text}, {value.text})", around)
            return
        tests = {
            "??=": f"js.nullish({before.text})",
            "||=": f"not js.truthy({before.text})",
            "&&=": f"js.truthy({before.text})",
        }
        if operator not in tests:
            raise UntranslatedError(f"the operator {operator}", node)
        around.writer.write(f"if {tests[operator]}:")
        inside = around.block()
        value = self._expressions.translate(field(node, "right"), replace(inside.place, write=None))
        self._assign(left, value.text, inside)

    def _count_on(self, node: Node, around: Around) -> None:
        target = field(node, "argument")
        before = self._expressions.translate(target, around.place)
        number = f"js.number({before.text})"
        name = "add" if operator_of(node) == "++" else "minus"
        self._assign(target, f"js.{name}({number}, 1)", around)


def operator_of(node: Node) -> str:
    """Return the operator of an expression."""
    return text_of(field(node, "operator"))
