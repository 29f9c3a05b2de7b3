"""Translates functions and the statements in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from jobcell.moving.script.around import Around, Writer
from jobcell.moving.script.calls import REFERENCES
from jobcell.moving.script.changes import operator_of
from jobcell.moving.script.code import Code, quoted
from jobcell.moving.script.expressions import Expressions
from jobcell.moving.script.flow import Flow, case_body
from jobcell.moving.script.module import FUNCTIONS
from jobcell.moving.script.place import Place
from jobcell.moving.script.scope import Scope, taken_apart
from jobcell.moving.script.tree import (
    MAX_DEPTH,
    Node,
    UntranslatedError,
    arguments_of,
    field,
    inner,
    named,
    parameters_of,
    text_of,
)

_LOGS: Final = frozenset({"debug", "error", "info", "log", "warn"})


class Statements(Flow):
    """Translates the functions of one script."""

    def __init__(self, expressions: Expressions) -> None:
        """Take the translator of the expressions in the statements."""
        super().__init__(expressions)
        expressions.define = self._define_for_items
        self.operation: Callable[[Node, Scope, Writer], str] | None = None
        """Writes an operation; see `carried_out`."""

    def _define_for_items(self, function: Node, place: Place, hint: str) -> tuple[str, int]:
        assert place.write is not None
        name = place.scope.fresh(hint)
        writer = Writer()
        count = self.define(function, name, place.scope, writer)
        place.write("\n".join(writer.lines))
        return name, count

    def define(
        self, function: Node, name: str, scope: Scope, writer: Writer, roles: Sequence[str] = ()
    ) -> int:
        """Write the definition of a function; return the number of its parameters.

        Args:
            function: The function of the script.
            name: Its name in Python.
            scope: The names around it.
            writer: Where the definition goes.
            roles: What an operation gets, `state` or `error` and `state`; empty for other functions.

        Raises:
            UntranslatedError: It has no translation that is certain.

        """
        if any(child.type == "*" for child in function.children):
            raise UntranslatedError("a generator", function)
        within = scope.below("function")
        deeper = writer.deeper()
        parameters = parameters_of(function)
        if roles and len(parameters) > len(roles):
            raise UntranslatedError("an operation with more parameters than it gets", function)
        names, apart = [], []
        for number, parameter in enumerate(parameters):
            python = roles[number] if roles else None
            if parameter.type == "identifier":
                kind = {"state": "dict", "error": "error"}.get(python or "", "any")
                names.append(within.bind(text_of(parameter), python, kind=kind))
            else:
                names.append(python or within.fresh("given"))
                apart.append((parameter, names[-1]))
        if not names and len(roles) == 1:
            names = ["state"]
        if writer.lines:
            writer.write("")
        writer.write(f"def {name}({', '.join(names)}):")
        operation = bool(roles)
        around = Around(within, deeper, operation=operation)
        for pattern, value in apart:
            self._take_apart(pattern, value, around)
        body = field(function, "body")
        if body.type != "statement_block":
            carried = self.carried_out(body, within, deeper) if operation else None
            code = None if carried else self._expressions.translate(body, around.place)
            if code is not None:
                carried = returned(code) if operation else code.text
            deeper.write(f"return {carried}")
            return len(parameters)
        statements = named(body)
        self.all(statements, around)
        if not always_leaves(statements):
            if operation:
                raise UntranslatedError(
                    "a function that does not always return the state", function
                )
            deeper.write("return js.undefined")
        return len(parameters)

    def carried_out(self, node: Node, scope: Scope, writer: Writer) -> str | None:
        """Return the Python of `post(...)(state)` or `await post(...)(state)`, whose value is a state; None for others.

        In JavaScript it is a state without `await` only at the end of an operation; see `_value`.
        """
        node = inner(node)
        if node.type == "await_expression":
            node = inner(named(node)[0])
        if node.type != "call_expression" or self.operation is None:
            return None
        callee, given = inner(field(node, "function")), arguments_of(node)
        if callee.type != "call_expression" or [one.type for one in given] != ["identifier"]:
            return None
        found = scope.find(text_of(given[0]))
        if found is None or (found.python, found.kind) != ("state", "dict"):
            return None
        if text_of(field(callee, "function")) in REFERENCES:
            return None
        return f"{self.operation(callee, scope, writer)}(state)"

    def _value(self, node: Node, around: Around) -> Code:
        """Return the value of a statement, which may be `await post(...)(state)`."""
        if inner(node).type == "await_expression":
            carried = self.carried_out(node, around.scope, around.writer)
            if carried is not None:
                return Code(carried, "dict", undefined=False)
        return self._expressions.translate(node, around.place)

    def all(self, statements: Sequence[Node], around: Around) -> None:
        """Write all statements of a block."""
        if around.depth > MAX_DEPTH:
            raise UntranslatedError(f"blocks nested more than {MAX_DEPTH} deep", statements[0])
        for statement in statements:
            if statement.type == "function_declaration":
                self._declare_function(statement, around)
        for statement in statements:
            if statement.type != "function_declaration":
                self.one(statement, around)

    def one(self, node: Node, around: Around) -> None:
        """Write one statement.

        Raises:
            UntranslatedError: It has no translation that is certain.

        """
        method = getattr(self, f"_{node.type}", None)
        if method is None:
            raise UntranslatedError(node.type.replace("_", " "), node)
        method(node, around)

    def function_at_top(self, node: Node, around: Around) -> None:
        """Write a function declaration."""
        self._declare_function(node, around)

    def _declare_function(self, node: Node, around: Around) -> None:
        if around.loop:
            raise UntranslatedError("a function that is made in a loop", node)
        count = len(parameters_of(node))
        name = around.scope.declare(field(node, "name"), parameters=count)
        if any(child.type == "async" for child in node.children):
            raise UntranslatedError("an async function", node)
        self.define(node, name, around.scope, around.writer)

    def _empty_statement(self, _: Node, __: Around) -> None:
        pass

    def _statement_block(self, node: Node, around: Around) -> None:
        self.all(
            named(node), replace(around, scope=around.scope.below("block"), depth=around.depth + 1)
        )

    def _lexical_declaration(self, node: Node, around: Around) -> None:
        for declarator in named(node):
            name, value = field(declarator, "name"), declarator.child_by_field_name("value")
            if name.type == "identifier" and value is not None and inner(value).type in FUNCTIONS:
                self._function_value(name, inner(value), around)
                continue
            if value is None:
                around.writer.write(f"{around.scope.declare(name)} = js.undefined")
                continue
            if self._is_date(name, value, around):
                continue
            code = self._value(value, around)
            if name.type == "identifier":
                around.writer.write(f"{around.scope.declare(name)} = {code.text}")
                continue
            self._take_apart(name, code.text, around)

    _variable_declaration = _lexical_declaration

    def _function_value(self, name: Node, function: Node, around: Around) -> None:
        if around.loop:
            raise UntranslatedError("a function that is made in a loop", function)
        if any(child.type == "async" for child in function.children):
            raise UntranslatedError("an async function", function)
        python = around.scope.declare(name, parameters=len(parameters_of(function)))
        self.define(function, python, around.scope, around.writer)

    def _take_apart(self, pattern: Node, value: str, around: Around) -> None:
        if not value.isidentifier():
            name = around.scope.fresh("whole")
            around.writer.write(f"{name} = {value}")
            value = name
        found = list(taken_apart(pattern, value))
        if not found:
            raise UntranslatedError("an empty pattern { }", pattern)
        for name_node, part in found:
            around.writer.write(f"{around.scope.declare(name_node)} = {part}")

    def _return_statement(self, node: Node, around: Around) -> None:
        values = named(node)
        if not values:
            if around.operation:
                raise UntranslatedError("an operation that returns nothing", node)
            around.writer.write("return js.undefined")
            return
        if around.operation:
            carried = self.carried_out(values[0], around.scope, around.writer)
            if carried is not None:
                around.writer.write(f"return {carried}")
                return
        code = self._expressions.translate(values[0], around.place)
        around.writer.write(f"return {returned(code) if around.operation else code.text}")

    def _throw_statement(self, node: Node, around: Around) -> None:
        thrown = inner(named(node)[0])
        if thrown.type == "identifier":
            found = around.scope.find(text_of(thrown))
            if found is not None and found.kind == "error":
                around.writer.write("raise")
                return
        if thrown.type == "new_expression" and text_of(field(thrown, "constructor")) == "Error":
            given = arguments_of(thrown) if thrown.child_by_field_name("arguments") else []
            if len(given) > 1:
                raise UntranslatedError("new Error(...) with a cause", thrown)
            code = self._expressions.translate(given[0], around.place) if given else None
        elif thrown.type in ("string", "template_string"):
            code = self._expressions.translate(thrown, around.place)
        else:
            raise UntranslatedError("throw of another value than an Error or a text", node)
        around.writer.write(f"raise js.Error({_as_text(code)})")

    def _if_statement(self, node: Node, around: Around, word: str = "if") -> None:
        place = around.place if word == "if" else replace(around.place, write=None)
        condition = self._expressions.truth(field(node, "condition"), place)
        around.writer.write(f"{word} {condition.text}:")
        self._body(field(node, "consequence"), around.block())
        otherwise = node.child_by_field_name("alternative")
        if otherwise is None:
            return
        statement = named(otherwise)[0]
        if statement.type == "if_statement":
            if around.depth > MAX_DEPTH:
                raise UntranslatedError(f"more than {MAX_DEPTH} times else if", node)
            self._if_statement(statement, replace(around, depth=around.depth + 1), "elif")
            return
        around.writer.write("else:")
        self._body(statement, around.block())

    def _body(self, node: Node, around: Around) -> None:
        before = len(around.writer.lines)
        self.all(named(node) if node.type == "statement_block" else [node], around)
        if len(around.writer.lines) == before:
            around.writer.write("pass")

    def _break_statement(self, node: Node, around: Around) -> None:
        self._jump("break", node, around)

    def _continue_statement(self, node: Node, around: Around) -> None:
        self._jump("continue", node, around)

    def _jump(self, word: str, node: Node, around: Around) -> None:
        if named(node) or not around.loop:
            raise UntranslatedError(f"{word} to a label", node)
        around.writer.write(word)

    def _expression_statement(self, node: Node, around: Around) -> None:
        self._effect(inner(named(node)[0]), around)

    def _effect(self, expression: Node, around: Around) -> None:
        """Write an expression whose value is not used."""
        if expression.type == "call_expression":
            self._call(expression, around)
        elif expression.type == "await_expression":
            around.writer.write(self._value(expression, around).text)
        elif expression.type == "assignment_expression":
            code = self._value(field(expression, "right"), around)
            self._assign(field(expression, "left"), code.text, around)
        elif expression.type == "augmented_assignment_expression":
            self._change(expression, around)
        elif expression.type == "update_expression":
            self._count_on(expression, around)
        elif expression.type == "unary_expression" and operator_of(expression) == "delete":
            target, key = self._target(inner(field(expression, "argument")), around)
            around.writer.write(f"js.remove({target}, {key})")
        elif expression.type != "string":  # "use strict"
            raise UntranslatedError("an expression whose value is not used", expression)

    # The body of `rows.forEach(row => out.push(row))` is such an expression.
    _call_expression = _assignment_expression = _effect
    _augmented_assignment_expression = _update_expression = _effect

    def _call(self, node: Node, around: Around) -> None:
        function = inner(field(node, "function"))
        if function.type == "member_expression":
            target, name = inner(field(function, "object")), text_of(field(function, "property"))
            of_console = text_of(target) == "console" and around.scope.find("console") is None
            if of_console and name in _LOGS:
                given = [self._shown(argument, around) for argument in arguments_of(node)]
                around.writer.write(f"print({', '.join(given)})")
                return
            if name == "forEach":
                self._for_each(node, target, around)
                return
        code = self._expressions.translate(node, around.place)
        around.writer.write(code.text)

    def _shown(self, node: Node, around: Around) -> str:
        found = around.scope.find(text_of(node)) if node.type == "identifier" else None
        if found is not None and found.kind == "error":
            return found.python
        return self._expressions.translate(node, around.place).text

    def _for_each(self, node: Node, target: Node, around: Around) -> None:
        given = arguments_of(node)
        items = self._expressions.translate(target, around.place)
        function = given[0] if len(given) == 1 else node
        if any(c.type == "optional_chain" for c in field(node, "function").children):
            raise UntranslatedError("?.forEach(...)", node)
        if function.type not in FUNCTIONS:
            raise UntranslatedError("forEach(...) with a function from elsewhere", node)
        if any(child.type == "async" for child in function.children):
            raise UntranslatedError("an async function in forEach", function)
        parameters, body = parameters_of(function), field(function, "body")
        if len(parameters) > 2 or (len(parameters) == 2 and parameters[1].type != "identifier"):
            raise UntranslatedError("these parameters of forEach", function)
        if body.type == "statement_block" and _has_return(body):
            raise UntranslatedError("forEach with return", function)
        body = inner(body)
        if not hasattr(self, f"_{body.type}"):
            raise UntranslatedError("forEach with a value that is not used", function)
        item, index = (*parameters, None, None)[:2]
        self._loop(item, index, f"js.items({items.text})", body, around)


def returned(code: Code) -> str:
    """Return the Python of the value of an operation or of an argument, without undefined keys."""
    return f"js.plain({code.text})" if code.undefined else code.text


def _as_text(code: Code | None) -> str:
    if code is None:
        return quoted("")
    return code.text if code.kind == "text" else f"js.text({code.text})"


def always_leaves(statements: Iterable[Node]) -> bool:
    """Return whether a block ends with return or throw on every path."""
    for statement in statements:
        if statement.type in ("return_statement", "throw_statement"):
            return True
        if statement.type == "statement_block" and always_leaves(named(statement)):
            return True
        if statement.type == "switch_statement" and _every_case_leaves(statement):
            return True
        if statement.type == "if_statement":
            otherwise = statement.child_by_field_name("alternative")
            parts = [field(statement, "consequence"), *(named(otherwise) if otherwise else ())]
            if len(parts) == 2 and all(always_leaves([part]) for part in parts):
                return True
    return False


def _every_case_leaves(node: Node) -> bool:
    cases = named(field(node, "body"))
    bodies = [case_body(case) for case in cases]
    is_whole = bool(cases) and cases[-1].type == "switch_default" and bool(bodies[-1])
    return is_whole and all(always_leaves(body) for body in bodies if body)


def _has_return(node: Node) -> bool:
    """Return whether a block has a return of its own function."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        if found.type == "return_statement":
            return True
        waiting += [child for child in found.named_children if child.type not in FUNCTIONS]
    return False
