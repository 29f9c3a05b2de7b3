"""Translates calls inside expressions: methods of values, and the global functions of JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from jobcell.moving.script.code import Code, call, quoted
from jobcell.moving.script.objects import OF_DATE, Objects, is_date
from jobcell.moving.script.place import Place
from jobcell.moving.script.scope import Scope, taken_apart
from jobcell.moving.script.tree import (
    Node,
    UntranslatedError,
    arguments_of,
    field,
    inner,
    named,
    parameters_of,
    string_value,
    text_of,
)

_GLOBALS: Final = {
    "Array.isArray": ("is_list", "bool", 1),
    "JSON.parse": ("parse", "any", 1),
    "JSON.stringify": ("stringify", "any", 1),
    "Math.abs": ("absolute", "number", 1),
    "Math.ceil": ("ceil", "number", 1),
    "Math.floor": ("floor", "number", 1),
    "Math.max": ("largest", "number", None),
    "Math.min": ("smallest", "number", None),
    "Math.round": ("round", "number", 1),
    "Number": ("number", "number", 1),
    "Object.assign": ("assign", "any", None),
    "Object.entries": ("entries", "list", 1),
    "Object.keys": ("keys", "list", 1),
    "Object.values": ("values", "list", 1),
    "String": ("text", "text", 1),
}
"""Function to its name in `js`, the type of its value, and its number of arguments."""

_METHODS: Final = {
    **dict.fromkeys(("endsWith", "includes", "startsWith"), "bool"),
    **dict.fromkeys(("indexOf", "push", "unshift"), "number"),
    **dict.fromkeys(
        [
            "charAt",
            "join",
            "padEnd",
            "padStart",
            "replace",
            "replaceAll",
            "substr",
            "substring",
            "toLowerCase",
            "toString",
            "toUpperCase",
            "trim",
            "trimEnd",
            "trimStart",
        ],
        "text",
    ),
    **dict.fromkeys(("flat", "reverse", "split"), "list"),
    **dict.fromkeys(("at", "concat", "pop", "shift", "slice"), "any"),
}
"""Method to the type of its value."""

_ANY_NUMBER: Final = frozenset({"concat", "push", "unshift"})
"""Methods that take any number of arguments, and so also `...items`."""

_CALLED_WITH_ITEMS: Final = {"Boolean": "js.truthy", "Number": "js.number", "String": "js.text"}
"""Functions such as that of `items.map(Number)`, which look at their first argument only."""

_LOOPS: Final = frozenset({"every", "filter", "find", "findIndex", "flatMap", "map", "some"})

REFERENCES: Final[frozenset[str]] = frozenset({"dataValue", "lastReferenceValue", "sourceValue"})
_KEY: Final = r"[A-Za-z_]\w*(?:[-/]\w+)*"
_PATH: Final = re.compile(rf"[$.]*({_KEY}(?:\[\d+\])*(?:\.{_KEY}(?:\[\d+\])*)*)", re.ASCII)
_PART: Final = re.compile(rf"{_KEY}|\d+", re.ASCII)


class Calls(Objects):
    """The part of `Expressions` that translates calls."""

    def __init__(self, verbs: frozenset[str]) -> None:
        """Take the names of the verbs, which are no functions for values."""
        self._verbs = verbs
        self.define: Callable[[Node, Place, str], tuple[str, int]] | None = None
        """Writes the definition of a function before the statement; returns its name and the number of its
        parameters."""

    def translate(self, node: Node, place: Place) -> Code:
        """Return the Python of an expression."""
        raise NotImplementedError

    def truth(self, node: Node, place: Place) -> Code:
        """Return the Python of an expression that is only tested."""
        raise NotImplementedError

    def _call_expression(self, node: Node, place: Place) -> Code:
        function = inner(field(node, "function"))
        if any(child.type == "optional_chain" for child in node.children):
            raise UntranslatedError("a call with ?.()", node)
        if function.type == "identifier":
            return self._function(node, text_of(function), place)
        if function.type == "member_expression":
            return self._method(node, function, place)
        if function.type == "call_expression":
            return self._called_reference(node, function, place)
        raise UntranslatedError("a call of this expression", node)

    def _function(self, node: Node, name: str, place: Place) -> Code:
        found = place.scope.find(name)
        if found is None:
            if name in REFERENCES and place.lazy:
                return self.reference(node)
            if name in self._verbs:
                raise UntranslatedError(f"{name}(...) is an operation inside an expression", node)
            return self._global(node, name, place)
        if found.kind == "broken":
            raise UntranslatedError(f"{name}, which is not translated, is called", node)
        if found.parameters is None:
            raise UntranslatedError(f"{name} is called, and is not a function of this script", node)
        given = self._plain_arguments(node, place)
        missing = found.parameters - len(given)
        if missing < 0:
            raise UntranslatedError(f"{name}(...) has more arguments than parameters", node)
        texts = [code.text for code in given] + ["js.undefined"] * missing
        return call(found.python, texts)

    def _plain_arguments(self, node: Node, place: Place) -> list[Code]:
        found = []
        for argument in arguments_of(node):
            if argument.type == "spread_element":
                raise UntranslatedError("... among the arguments of a call", argument)
            found.append(self.translate(argument, place))
        return found

    def _any_arguments(self, node: Node, place: Place) -> list[str]:
        """Return the arguments of a function that takes any number of them."""
        texts = []
        for argument in arguments_of(node):
            if argument.type == "spread_element":
                texts.append(self.spread(argument, place).text)
            else:
                texts.append(self.translate(argument, place).text)
        return texts

    def spread(self, node: Node, place: Place) -> Code:
        """Return the Python of `...items` in a list, or among arguments."""
        items = inner(named(node)[0])
        if self._is_set(items, place):
            code = self._unique(arguments_of(items), items, place)
        else:
            code = self.translate(items, place)
        text = code.text if code.kind == "list" else f"js.spread({code.text})"
        return Code(f"*{text}", undefined=code.undefined)

    def _is_set(self, node: Node, place: Place) -> bool:
        """Return whether an expression is `new Set(items)`, of which only the items are used here."""
        return (
            node.type == "new_expression"
            and text_of(field(node, "constructor")) == "Set"
            and place.scope.find("Set") is None
            and node.child_by_field_name("arguments") is not None
        )

    def _unique(self, given: list[Node], node: Node, place: Place) -> Code:
        """Return the different items of a list, in the order in which a set keeps them."""
        if len(given) == 1 and self._is_set(given[0], place):
            given = arguments_of(given[0])
        if len(given) != 1 or given[0].type == "spread_element":
            raise UntranslatedError(f"a set of {len(given)} arguments", node)
        code = self.translate(given[0], place)
        return call("js.unique", [code.text], "list", undefined=code.undefined)

    def _global(self, node: Node, name: str, place: Place) -> Code:
        if name == "Array.from" and any(self._is_set(one, place) for one in arguments_of(node)):
            return self._unique(arguments_of(node), node, place)
        if name in _GLOBALS and _GLOBALS[name][2] is None:
            texts = self._any_arguments(node, place)
        elif name in ("Boolean", "parseInt", *_GLOBALS):
            texts = [code.text for code in self._plain_arguments(node, place)]
        else:
            texts = []
        if name == "Boolean" and len(texts) == 1:
            return self.truth(arguments_of(node)[0], place)
        if name == "parseInt" and (len(texts) == 1 or texts[1:] == ["10"]):
            return call("js.whole", texts[:1], "number", undefined=False)
        if name == "JSON.stringify" and len(texts) == 3 and texts[1] == "None":
            return call("js.stringify", [texts[0], texts[2]])
        python, kind, count = _GLOBALS.get(name, ("", "any", 0))
        if not python or (count is not None and len(texts) != count):
            raise UntranslatedError(f"{name}(...)", node)
        undefined = kind in ("any", "list")
        return call(f"js.{python}", texts, kind, undefined=undefined)

    def _method(self, node: Node, function: Node, place: Place) -> Code:
        target, name = inner(field(function, "object")), text_of(field(function, "property"))
        whole = f"{text_of(target)}.{name}"
        if target.type == "regex" and name == "test":
            return self._tested(node, target, place)
        if name in OF_DATE and (target.type == "new_expression" or is_date(target, place)):
            return self._of_date(name, target, place)
        if target.type == "identifier" and place.scope.find(text_of(target)) is None:
            if whole == "Date.now" and not arguments_of(node):
                return call("js.now_ms", [], "number", undefined=False)
            if whole in (*_GLOBALS, "Array.from"):
                return self._global(node, whole, place)
            if text_of(target) != "$":
                raise UntranslatedError(f"{whole}(...)", node)
        if place.lazy and _begins_with_dollar(target):
            raise UntranslatedError(f"a method of $, which becomes a function: {name}(...)", node)
        base = self.translate(target, place)
        if name in _LOOPS:
            return self._loop(node, name, base, place)
        if name == "reduce":
            return self._reduced(node, base, place)
        if name == "sort":
            return self._sorted(node, base, place)
        if name not in _METHODS:
            raise UntranslatedError(f"the method {name}(...)", node)
        if [one.type for one in arguments_of(node)[:1]] == ["regex"]:
            return self._searched(node, name, base, place)
        if name in _ANY_NUMBER:
            given = self._any_arguments(node, place)
        else:
            given = [code.text for code in self._plain_arguments(node, place)]
        kind = _METHODS[name]
        undefined = kind in ("any", "list")
        return call("js.call", [base.text, quoted(name), *given], kind, undefined=undefined)

    def _loop(self, node: Node, name: str, base: Code, place: Place) -> Code:
        given = arguments_of(node)
        if len(given) != 1:
            raise UntranslatedError(f"{name}(...) with {len(given)} arguments", node)
        return self._looped(name, base.text, given[0], place)

    def _reduced(self, node: Node, base: Code, place: Place) -> Code:
        given = arguments_of(node)
        if len(given) != 2:
            raise UntranslatedError("reduce(...) without a first value", node)
        function = given[0]
        start = self.translate(given[1], place)
        if any(child.type == "async" for child in function.children):
            raise UntranslatedError("an async function inside an expression", function)
        if function.type == "arrow_function" and field(function, "body").type != "statement_block":
            scope = place.scope.below("inner")
            parameters = parameters_of(function)
            if len(parameters) != 2 or any(one.type != "identifier" for one in parameters):
                raise UntranslatedError("these parameters of reduce", function)
            names = ", ".join([scope.bind(text_of(one)) for one in parameters])
            body = self.translate(field(function, "body"), place.inside(scope))
            python = f"lambda {names}: {body.text}"
        else:
            python, count = self._known_function(function, place)
            if count != 2:
                raise UntranslatedError("these parameters of reduce", function)
        return call("js.reduce", [base.text, python, start.text])

    def _looped(self, name: str, items: str, function: Node, place: Place) -> Code:
        if name in ("map", "flatMap"):
            clause, _, body = self._each(items, function, place, test=False)
            text = f"[{body.text} {clause}]"
            if name == "map":
                return Code(text, "list", undefined=body.undefined)
            return call("js.call", [text, '"flat"'], "list", undefined=body.undefined)
        clause, item, body = self._each(items, function, place, test=True)
        if name == "filter":
            return Code(f"[{item} {clause} if {body.text}]", "list")
        if name == "find":
            return Code(f"next(({item} {clause} if {body.text}), js.undefined)")
        if name == "findIndex":
            return Code(f"js.first_place({body.text} {clause})", "number", undefined=False)
        word = "any" if name == "some" else "all"
        return Code(f"{word}({body.text} {clause})", "bool", undefined=False)

    def _each(
        self, items: str, function: Node, place: Place, *, test: bool
    ) -> tuple[str, str, Code]:
        """Return `for item in items`, the name of the item, and the result of a function of it."""
        scope = place.scope.below("inner")
        source = f"js.items({items})"
        if any(child.type == "async" for child in function.children):
            raise UntranslatedError("an async function inside an expression", function)
        if function.type == "arrow_function" and field(function, "body").type != "statement_block":
            parameters = parameters_of(function)
            if len(parameters) > 2:
                raise UntranslatedError("a third parameter of a function for items", function)
            item, apart = self._item(parameters, scope)
            source = f"js.taken({items})" if apart else source
            index = scope.bind(text_of(parameters[1])) if len(parameters) == 2 else None
            inside = place.inside(scope)
            body = field(function, "body")
            code = self.truth(body, inside) if test else self.translate(body, inside)
        else:
            item, index = scope.fresh("item"), None
            python, count = self._known_function(function, place)
            if count > 2:
                raise UntranslatedError("a third parameter of a function for items", function)
            index = scope.fresh("index") if count == 2 else None
            code = call(python, [item, *([index] if index else [])][:count])
            if test and python != "js.truthy":
                code = call("js.truthy", [code.text], "bool")
        clause = f"for {item} in {source}"
        if index is not None:
            clause = f"for {index}, {item} in enumerate({source})"
        return clause, item, code

    def _item(self, parameters: Sequence[Node], scope: Scope) -> tuple[str, bool]:
        if not parameters:
            return scope.fresh("item"), False
        if parameters[0].type == "identifier":
            return scope.bind(text_of(parameters[0])), False
        item = scope.fresh("item")
        for name, value in taken_apart(parameters[0], item):
            scope.bind(text_of(name), value, fixed=True)
        return item, True

    def _known_function(self, function: Node, place: Place) -> tuple[str, int]:
        if function.type == "identifier":
            found = place.scope.find(text_of(function))
            if found is not None and found.parameters is not None:
                return found.python, found.parameters
            if found is None and text_of(function) in _CALLED_WITH_ITEMS:
                return _CALLED_WITH_ITEMS[text_of(function)], 1
        elif function.type in ("arrow_function", "function_expression"):
            if place.write is None or self.define is None:
                raise UntranslatedError("a function with statements inside an expression", function)
            return self.define(function, place, "for_item")
        raise UntranslatedError("a function that is not of this script", function)

    def _called_reference(self, node: Node, function: Node, place: Place) -> Code:
        callee = inner(field(function, "function"))
        given = arguments_of(node)
        of_state = len(given) == 1 and given[0].type == "identifier"
        if text_of(callee) not in REFERENCES or not of_state or place.scope.find(text_of(callee)):
            raise UntranslatedError("a call of the result of a call", node)
        found = self.translate(given[0], place)
        if found.text != "state":
            raise UntranslatedError(
                "a reference that is called with another value than state", node
            )
        return self.reference(function)

    def reference(self, node: Node) -> Code:
        """Return the value of `dataValue("a.b")` and the like, in a place that has a state."""
        name, given = text_of(field(node, "function")), arguments_of(node)
        if len(given) != 1 or given[0].type != "string":
            raise UntranslatedError(f"{name}(...) with a path that is not a text", node)
        found = _PATH.fullmatch(string_value(given[0]))
        keys = _PART.findall(found[1]) if found else []
        if not keys or "length" in keys:
            raise UntranslatedError(f"the path {string_value(given[0])!r}", node)
        before = {"dataValue": ['"data"'], "lastReferenceValue": ['"references"', "0"]}.get(
            name, []
        )
        path = [key if key.isdigit() else quoted(key) for key in keys]
        return call("js.find", ["state", *before, *path])


def _begins_with_dollar(node: Node) -> bool:
    while node.type in ("member_expression", "subscript_expression"):
        node = inner(field(node, "object"))
    return node.type == "identifier" and text_of(node) == "$"
