"""Translates expressions.

An expression is translated only if its Python gives what JavaScript gives, or raises an error.  The
functions of `js` do at run time what depends on the types of values.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from jobcell.moving.script.calls import Calls
from jobcell.moving.script.code import Code, call, listed, literal, mapped, quoted
from jobcell.moving.script.objects import is_date
from jobcell.moving.script.place import Place
from jobcell.moving.script.tree import (
    MAX_DEPTH,
    Node,
    UntranslatedError,
    field,
    fragments_value,
    inner,
    named,
    number_value,
    parameters_of,
    string_value,
    text_of,
)

UNDEFINED: Final = Code("js.undefined")
_ARITHMETIC: Final = {"-": "minus", "*": "times", "/": "divide", "%": "remainder"}
_A: Final = {"date": "a date", "error": "an error"}
_LOGIC: Final = {"&&": "both", "||": "either", "??": "coalesce"}


class Expressions(Calls):
    """Translates expressions of one script."""

    def __init__(self, verbs: frozenset[str]) -> None:
        """Take the names of the verbs, which are no functions for values."""
        super().__init__(verbs)
        self._known: dict[int, Code] = {}
        """Parts of chains that have a name, by the number of their node."""
        self._certain: set[int] = set()
        """Parts with `?.` whose object has been tested."""

    def translate(self, node: Node, place: Place) -> Code:
        """Return the Python of an expression.

        Raises:
            UntranslatedError: A part of it has no translation that is certain.

        """
        node = inner(node)
        if place.depth > MAX_DEPTH:
            raise UntranslatedError(f"expressions nested more than {MAX_DEPTH} deep", node)
        method = getattr(self, f"_{node.type}", None)
        if method is None:
            raise UntranslatedError(_described(node), node)
        known = self._known.get(node.id)
        if known is not None:
            return known
        place = replace(place, depth=place.depth + 1)
        link = self._optional_before_call(node)
        code: Code = method(node, place) if link is None else self._chained(node, link, place)
        return code

    def _optional_before_call(self, node: Node) -> Node | None:
        """Return the first `?.` of a chain after which there is a call, which may not happen then."""
        found, called = None, False
        while node.type in ("call_expression", "member_expression", "subscript_expression"):
            if node.type == "call_expression":
                called = True
                node = field(node, "function")
                continue
            if called and self._is_optional(node):
                found = node
            node = field(node, "object")
        return found

    def _is_optional(self, node: Node) -> bool:
        optional = any(child.type == "optional_chain" for child in node.children)
        return optional and node.id not in self._certain

    def _chained(self, node: Node, link: Node, place: Place) -> Code:
        """Return a chain whose part after a `?.` is a function of the part before it."""
        before = inner(field(link, "object"))
        value = self.translate(before, place)
        inside = place.inside()
        name = inside.scope.fresh("found")
        self._known[before.id] = Code(name)
        self._certain.add(link.id)
        code = self.translate(node, inside)
        return call("js.chained", [value.text, f"lambda {name}: {code.text}"])

    def truth(self, node: Node, place: Place) -> Code:
        """Return the Python of an expression that is only tested."""
        node = inner(node)
        if node.type == "binary_expression":
            operator = text_of(field(node, "operator"))
            if operator in ("&&", "||"):
                word = "and" if operator == "&&" else "or"
                place = replace(place, depth=place.depth + 1)
                if place.depth > MAX_DEPTH:
                    raise UntranslatedError(f"expressions nested more than {MAX_DEPTH} deep", node)
                # A line that the right side writes would always run.
                left = self.truth(field(node, "left"), place)
                right = self.truth(field(node, "right"), replace(place, write=None))
                text = f"{left.part()} {word} {right.part()}"
                return Code(text, "bool", undefined=False, whole=False)
        if node.type == "unary_expression" and text_of(field(node, "operator")) == "!":
            below = replace(place, depth=place.depth + 1)
            argument = inner(field(node, "argument"))
            if argument.type == "unary_expression" and text_of(field(argument, "operator")) == "!":
                return self.truth(field(argument, "argument"), below)
            code = self.truth(argument, below)
            return Code(f"not {code.part()}", "bool", undefined=False, whole=False)
        code = self.translate(node, place)
        if code.kind == "bool":
            return code
        return call("js.truthy", [code.text], "bool", undefined=False)

    def _string(self, node: Node, _: Place) -> Code:
        return literal(string_value(node))

    def _number(self, node: Node, _: Place) -> Code:
        return literal(number_value(node))

    def _true(self, _: Node, __: Place) -> Code:
        return literal(value=True)

    def _false(self, _: Node, __: Place) -> Code:
        return literal(value=False)

    def _null(self, _: Node, __: Place) -> Code:
        return literal(None)

    def _undefined(self, _: Node, __: Place) -> Code:
        return UNDEFINED

    def name(self, node: Node, place: Place) -> Code:
        """Return the Python of a name."""
        name = text_of(node)
        found = place.scope.find(name)
        if found is None and name == "undefined":
            return UNDEFINED
        if found is None and name == "$" and place.lazy:
            return Code("state", "dict", undefined=False)
        if found is None:
            raise UntranslatedError(f"{name} is not defined in this script", node)
        if found.parameters is not None:
            raise UntranslatedError(f"the function {name} is used as a value", node)
        if found.kind in ("date", "error", "broken"):
            why = "is not translated" if found.kind == "broken" else f"is {_A[found.kind]}"
            raise UntranslatedError(f"{name}, which {why}, is used as a value", node)
        return Code(found.python, found.kind, undefined=not found.clean)

    _identifier = name

    def _arrow_function(self, node: Node, place: Place) -> Code:
        """Translate a function among the values of an argument, which verbs call with the state."""
        body, parameters = field(node, "body"), parameters_of(node) if place.lazy else []
        if not place.lazy or body.type == "statement_block" or len(parameters) > 1:
            raise UntranslatedError(_described(node), node)
        scope = place.scope.below("inner")
        for parameter in parameters:
            if parameter.type != "identifier":
                raise UntranslatedError("a function of the state that takes it apart here", node)
            scope.bind(text_of(parameter), "state", kind="dict", clean=True)
        return self.translate(body, place.inside(scope))

    def _template_string(self, node: Node, place: Place) -> Code:
        pieces: list[str] = []
        text: list[Node] = []
        for child in node.named_children:
            if child.type == "template_substitution":
                pieces += self._fragment(text)
                text = []
                pieces.append(self.translate(named(child)[0], place).text)
            elif child.type != "comment":
                text.append(child)
        pieces += self._fragment(text)
        if all(child.type != "template_substitution" for child in node.named_children):
            return literal(string_value(node))
        return call("js.template", pieces, "text", undefined=False)

    def _fragment(self, nodes: list[Node]) -> list[str]:
        return [quoted(fragments_value(nodes))] if nodes else []

    def _array(self, node: Node, place: Place) -> Code:
        if any(
            one.type == "," and other.type in (",", "[")
            for other, one in zip(node.children, node.children[1:], strict=False)
        ):
            raise UntranslatedError("an array with holes", node)
        items = []
        undefined = False
        for child in named(node):
            is_spread = child.type == "spread_element"
            code = self.spread(child, place) if is_spread else self.translate(child, place)
            items.append(code.text)
            undefined |= code.undefined
        return listed(items, undefined=undefined)

    def _object(self, node: Node, place: Place) -> Code:
        items = []
        undefined = False
        for child in named(node):
            if child.type == "spread_element":
                code = self.translate(named(child)[0], place)
                items.append(
                    f"**{code.part() if code.kind == 'dict' else f'js.parts({code.text})'}"
                )
            elif child.type == "shorthand_property_identifier":
                code = self.name(child, place)
                items.append(f"{quoted(text_of(child))}: {code.text}")
            elif child.type == "pair":
                key = self._key(field(child, "key"), place)
                code = self.translate(field(child, "value"), place)
                items.append(f"{key}: {code.text}")
            else:
                raise UntranslatedError(_described(child), child)
            undefined |= code.undefined
        return mapped(items, undefined=undefined)

    def _key(self, node: Node, place: Place) -> str:
        if node.type == "property_identifier":
            name = text_of(node)
        elif node.type == "string":
            name = string_value(node)
        elif node.type == "number":
            value = number_value(node)
            if not isinstance(value, int):
                raise UntranslatedError("a key with a point", node)
            name = str(value)
        elif node.type == "computed_property_name":
            code = self.translate(named(node)[0], place)
            return code.text if code.kind == "text" else f"js.text({code.text})"
        else:
            raise UntranslatedError(_described(node), node)
        if name == "__proto__":
            raise UntranslatedError("the key __proto__", node)
        return quoted(name)

    def _member_expression(self, node: Node, place: Place) -> Code:
        base, path = self.chain(node, place)
        if not path:
            return base
        return call("js.get", [base.text, *path])

    _subscript_expression = _member_expression

    def chain(self, node: Node, place: Place) -> tuple[Code, list[str]]:
        """Return the beginning of `a.b[c]?.d`, and its keys as arguments of `js.get`."""
        if node.type not in ("member_expression", "subscript_expression"):
            return self.translate(node, place), []
        if place.depth > MAX_DEPTH:
            raise UntranslatedError(f"expressions nested more than {MAX_DEPTH} deep", node)
        base, path = self.chain(field(node, "object"), replace(place, depth=place.depth + 1))
        maybe = ["js.maybe"] if self._is_optional(node) else []
        if node.type == "member_expression":
            name = field(node, "property")
            if name.type != "property_identifier":
                raise UntranslatedError("a private name", name)
            return base, [*path, *maybe, quoted(text_of(name))]
        index = inner(field(node, "index"))
        return base, [*path, *maybe, self.translate(index, place).text]

    def _unary_expression(self, node: Node, place: Place) -> Code:
        operator, argument = text_of(field(node, "operator")), field(node, "argument")
        if operator == "!":
            return self.truth(node, place)
        if operator == "-" and inner(argument).type == "number":
            value = number_value(inner(argument))
            return Code(f"-{value!r}" if value else "0", "number", undefined=False, whole=False)
        names = {"-": "negative", "+": "number", "typeof": "typeof"}
        if operator not in names:
            raise UntranslatedError(f"the operator {operator}", node)
        kind = "text" if operator == "typeof" else "number"
        code = self.translate(argument, place)
        return call(f"js.{names[operator]}", [code.text], kind, undefined=False)

    def _binary_expression(self, node: Node, place: Place) -> Code:
        operator = text_of(field(node, "operator"))
        if operator in _LOGIC:
            return self._logic(node, operator, place)
        sides = [inner(field(node, side)) for side in ("left", "right")]
        has_date = any(side.type == "new_expression" or is_date(side, place) for side in sides)
        if operator in ("<", "<=", ">", ">=", "-") and has_date:
            one, other = (self._subtracted(side, place) for side in sides)
            if operator == "-":
                return call("js.minus", [one, other], "number", undefined=False)
            return call("js.compare", [one, quoted(operator), other], "bool", undefined=False)
        left, right = (self.translate(side, place) for side in sides)
        if operator in ("===", "!==", "==", "!="):
            return _equality(left, operator, right)
        if operator in ("<", "<=", ">", ">="):
            arguments = [left.text, quoted(operator), right.text]
            return call("js.compare", arguments, "bool", undefined=False)
        if operator == "+":
            kind = "text" if "text" in (left.kind, right.kind) else "any"
            return call("js.add", [left.text, right.text], kind, undefined=False)
        if operator not in _ARITHMETIC:
            raise UntranslatedError(f"the operator {operator}", node)
        name = f"js.{_ARITHMETIC[operator]}"
        return call(name, [left.text, right.text], "number", undefined=False)

    def _logic(self, node: Node, operator: str, place: Place) -> Code:
        left = self.translate(field(node, "left"), place)
        right = self.translate(field(node, "right"), replace(place, write=None))
        if operator != "??" and left.kind == right.kind == "bool":
            word = "and" if operator == "&&" else "or"
            text = f"{left.part()} {word} {right.part()}"
            return Code(text, "bool", undefined=False, whole=False)
        undefined = left.undefined or right.undefined
        return call(
            f"js.{_LOGIC[operator]}", [left.text, f"lambda: {right.text}"], undefined=undefined
        )

    def _ternary_expression(self, node: Node, place: Place) -> Code:
        condition = self.truth(field(node, "condition"), place)
        place = replace(place, write=None)
        one = self.translate(field(node, "consequence"), place)
        other = self.translate(field(node, "alternative"), place)
        return Code(
            f"{one.part()} if {condition.part()} else {other.part()}",
            one.kind if one.kind == other.kind else "any",
            undefined=one.undefined or other.undefined,
            whole=False,
        )


def _equality(left: Code, operator: str, right: Code) -> Code:
    negated = "!" if operator[0] == "!" else ""
    if UNDEFINED.text in (left.text, right.text) or "None" in (left.text, right.text):
        value, other = (left, right) if right.text in (UNDEFINED.text, "None") else (right, left)
        if len(operator) == 2:
            code = call("js.nullish", [value.text], "bool", undefined=False)
            return replace(code, text=f"not {code.text}", whole=False) if negated else code
        word = "is not" if negated else "is"
        return Code(f"{value.part()} {word} {other.text}", "bool", undefined=False, whole=False)
    if len(operator) == 3 and "text" in (left.kind, right.kind):
        # A text equals texts only, in both languages.
        text = f"{left.part()} {'!=' if negated else '=='} {right.part()}"
        return Code(text, "bool", undefined=False, whole=False)
    name = "js.same" if len(operator) == 3 else "js.loose"
    code = call(name, [left.text, right.text], "bool", undefined=False)
    return replace(code, text=f"not {code.text}", whole=False) if negated else code


def _described(node: Node) -> str:
    words = {
        "await_expression": "await",
        "class": "a class",
        "function_expression": "a function as a value",
        "arrow_function": "a function as a value",
        "method_definition": "a method in an object",
        "new_expression": f"new {text_of(node)[4:24]}",
        "regex": "a regular expression",
        "sequence_expression": "the operator ,",
        "this": "this",
        "assignment_expression": "an assignment inside an expression",
        "augmented_assignment_expression": "an assignment inside an expression",
        "update_expression": "++ or -- inside an expression",
        "yield_expression": "yield",
    }
    return words.get(node.type, node.type.replace("_", " "))
