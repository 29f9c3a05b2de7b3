"""Translates loops and `switch`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from jobcell.moving.script.around import Around
from jobcell.moving.script.changes import Changes
from jobcell.moving.script.code import Code, call
from jobcell.moving.script.module import FUNCTIONS
from jobcell.moving.script.tree import Node, UntranslatedError, field, inner, named, text_of

_LEAVES: Final = frozenset({"return_statement", "throw_statement"})
_LOOPS: Final = frozenset({"do_statement", "for_in_statement", "for_statement", "while_statement"})


class Flow(Changes):
    """The part of `Statements` for these."""

    def all(self, statements: Sequence[Node], around: Around) -> None:
        """Write all statements of a block."""
        raise NotImplementedError

    def one(self, node: Node, around: Around) -> None:
        """Write one statement."""
        raise NotImplementedError

    def _body(self, node: Node, around: Around) -> None:
        raise NotImplementedError

    def _take_apart(self, pattern: Node, value: str, around: Around) -> None:
        raise NotImplementedError

    def _while_statement(self, node: Node, around: Around) -> None:
        inside = around.block(loop=True)
        # A line before the condition would run once.
        condition = self._expressions.truth(
            field(node, "condition"), replace(around.place, write=None)
        )
        around.writer.write(f"while {condition.text}:")
        self._body(field(node, "body"), inside)

    def _for_statement(self, node: Node, around: Around) -> None:
        """Write `for (let i = 0; i < n; i++)` as a `while` whose last statement counts on."""
        first, test = field(node, "initializer"), field(node, "condition")
        step, body = node.child_by_field_name("increment"), field(node, "body")
        if first.type not in ("lexical_declaration", "variable_declaration"):
            raise UntranslatedError("a loop over a variable from outside", first)
        if step is None or test.type == "empty_statement":
            raise UntranslatedError("a loop without an end or a step", node)
        if has_own(body, {"continue_statement"}, _LOOPS):
            raise UntranslatedError("continue in a loop that counts", node)
        outer = replace(around, scope=around.scope.below("block"))
        self.one(first, outer)
        inside = outer.block(loop=True)
        tested = named(test)[0] if test.type == "expression_statement" else test
        condition = self._expressions.truth(tested, replace(outer.place, write=None))
        outer.writer.write(f"while {condition.text}:")
        self._body(body, inside)
        self._step(inner(step), inside)

    def _step(self, node: Node, around: Around) -> None:
        if node.type == "update_expression":
            self._count_on(node, around)
        elif node.type == "augmented_assignment_expression":
            self._change(node, around)
        else:
            raise UntranslatedError("a step of this form in a loop", node)

    def _for_in_statement(self, node: Node, around: Around) -> None:
        if any(child.type == "await" for child in node.children):
            raise UntranslatedError("a loop with await", node)
        if node.child_by_field_name("kind") is None:
            raise UntranslatedError("a loop over a variable from outside", node)
        left, body = field(node, "left"), field(node, "body")
        values = self._expressions.translate(field(node, "right"), around.place)
        if text_of(field(node, "operator")) == "in":
            if left.type != "identifier":
                raise UntranslatedError("for ... in that takes its keys apart", node)
            self._loop(left, None, f"js.names({values.text})", body, around)
            return
        source = values.text if values.kind == "list" else f"js.spread({values.text})"
        self._loop(left, None, source, body, around)

    def _loop(
        self, item: Node | None, index: Node | None, source: str, body: Node, around: Around
    ) -> None:
        inside = around.block(loop=True)
        patterned = item is not None and item.type != "identifier"
        name = (
            around.scope.fresh("item") if item is None or patterned else inside.scope.declare(item)
        )
        clause = f"for {name} in {source}:"
        if index is not None:
            clause = f"for {inside.scope.declare(index)}, {name} in enumerate({source}):"
        around.writer.write(clause)
        if item is not None and patterned:
            self._take_apart(item, name, inside)
        self._body(body, inside)

    def _switch_statement(self, node: Node, around: Around) -> None:
        """Write `switch` as `if` and `elif`; each case must end, and `default` must be the last one."""
        value = self._expressions.translate(field(node, "value"), around.place)
        name = around.scope.fresh("chosen")
        around.writer.write(f"{name} = {value.text}")
        place = replace(around.place, write=None)
        word, tests = "if", list[str]()
        cases = named(field(node, "body"))
        for number, case in enumerate(cases):
            is_last = number == len(cases) - 1
            statements = case_body(case)
            if case.type == "switch_case":
                wanted = self._expressions.translate(field(case, "value"), place)
                tests.append(_equals(name, wanted))
            elif not is_last or tests:
                raise UntranslatedError("default before or beside other cases", case)
            if not statements and not is_last:
                continue
            if not is_last and not ends(statements):
                raise UntranslatedError("a case that goes on into the next one", case)
            if statements and statements[-1].type == "break_statement":
                statements = statements[:-1]
            if any(
                has_own(one, {"break_statement"}, _LOOPS | {"switch_statement"})
                for one in statements
            ):
                raise UntranslatedError("break inside of a case", case)
            is_default = case.type == "switch_default"
            if is_default and word == "if":
                raise UntranslatedError("switch with default only", case)
            around.writer.write("else:" if is_default else f"{word} {' or '.join(tests)}:")
            word, tests = "elif", []
            inside = around.block()
            before = len(around.writer.lines)
            self.all(statements, inside)
            if len(around.writer.lines) == before:
                inside.writer.write("pass")


def _equals(name: str, wanted: Code) -> str:
    if wanted.kind == "text":
        return f"{name} == {wanted.part()}"  # a text equals texts only, in both languages
    return call("js.same", [name, wanted.text], "bool").text


def case_body(case: Node) -> list[Node]:
    """Return the statements of a case; a block around all of them is taken off."""
    found = [one for one in case.children_by_field_name("body") if one.type != "comment"]
    if len(found) == 1 and found[0].type == "statement_block":
        return named(found[0])
    return found


def ends(statements: Iterable[Node]) -> bool:
    """Return whether a case ends with break, return or throw."""
    *_, last = statements
    return last.type == "break_statement" or last.type in _LEAVES


def has_own(node: Node, types: set[str], around: frozenset[str]) -> bool:
    """Return whether one of these statements is in a block, and not in a function or one of *around* in it."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        if found.type in types:
            return True
        if found.type not in (*FUNCTIONS, "function_declaration", *around):
            waiting += found.named_children
    return False
