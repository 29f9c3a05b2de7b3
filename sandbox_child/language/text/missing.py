"""Missing keys in a condition: a dotted chain that begins at `state` gives None for a missing key.

`not state.errors` is True if the state has no errors, and `state.data.age >= 18` is False, with a
warning, if the age is missing.  In a job a missing key stays an error.

A tree that the policy has judged is rewritten once more, so that each read of a chain knows the use
of its value (`_PART` and the names below).  Between the parts of a chain, and as a side of `<`,
`<=`, `>` and `>=`, a missing key is a `Missing`; everywhere else it is None.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from sandbox_child.language.guards.names import STATE_READ
from sandbox_child.language.text.chains import StateRead, begins_at_state, call_guard
from sandbox_child.language.text.spans import place

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_child.language.text.spans import SourceText

    Place = tuple[int, int, int, int]

_END = STATE_READ
"""The last part of a chain."""
_PART = "_state_part_"
"""A part with another part after it."""
_SIDE = "_state_side_"
"""The last part of a chain that is a side of an ordered comparison."""
_CALLED = "_state_called_"
"""The last part of a chain that is called: nearly always a method."""
_HOLD = "_state_hold_"
_RESTORE = "_state_restore_"
"""`(x := state.a) < 3` is `_state_restore_((x := _state_hold_(state.a))) < 3`: x is None."""

_ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_LEAVES = (
    ast.Name,
    ast.Constant,
    ast.expr_context,
    ast.operator,
    ast.boolop,
    ast.unaryop,
    ast.cmpop,
)
_MAX_LABEL_CHARS = 120
_MAX_WARNINGS = 20


def rewrite_condition(tree: ast.Expression) -> None:
    """Make every chain of *tree* give None for a missing key."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                for index, item in enumerate(value):
                    if isinstance(item, ast.AST) and not isinstance(item, _LEAVES):
                        value[index] = _rewrite(item, _reader(node, name, index))
                        waiting.append(value[index])
            elif isinstance(value, ast.AST) and not isinstance(value, _LEAVES):
                new = _rewrite(value, _reader(node, name, 0))
                if new is not value:
                    setattr(node, name, new)
                waiting.append(new)


def _reader(parent: ast.AST, field: str, index: int) -> str:
    """Return the guard for a chain in *field* of *parent*."""
    if isinstance(parent, StateRead):
        reads_method = isinstance(parent.func, ast.Name) and parent.func.id == _CALLED
        return _END if reads_method else _PART
    if isinstance(parent, ast.Call) and field == "func":
        return _CALLED
    if isinstance(parent, ast.Compare):
        place_among_sides = 0 if field == "left" else index + 1
        around = parent.ops[max(place_among_sides - 1, 0) : place_among_sides + 1]
        if field in ("left", "comparators") and any(isinstance(op, _ORDER) for op in around):
            return _SIDE
    return _END


def _rewrite(node: ast.AST, reader: str) -> ast.AST:
    if isinstance(node, ast.NamedExpr) and reader == _SIDE:
        return _hold(node)
    if isinstance(node, ast.Attribute):
        # A method of dict, which jobs read as it is.
        if not isinstance(node.ctx, ast.Load) or not begins_at_state(node.value):
            return node
        key = place(ast.Constant(node.attr), node)
        node = place(
            StateRead(place(ast.Name(reader, ast.Load()), node), [node.value, key], []), node
        )
    elif not isinstance(node, StateRead) or len(node.args) > 2:
        return node
    assert isinstance(node, StateRead)
    assert isinstance(node.func, ast.Name)
    node.func.id = reader
    span = node.lineno, node.col_offset, node.end_lineno, node.end_col_offset
    node.args.append(place(ast.Constant(span), node))  # type: ignore[arg-type]  # a tuple, as the optimizer makes them
    return node


def _hold(node: ast.NamedExpr) -> ast.AST:
    inner = node
    while isinstance(inner.value, ast.NamedExpr):
        inner = inner.value
    chain = _rewrite(inner.value, _SIDE)
    if not isinstance(chain, StateRead):
        return node
    inner.value = call_guard(_HOLD, chain, chain)
    return call_guard(_RESTORE, node, node)


class Missing:
    """The value of a missing key until its use is known; a job never gets such a value.

    An ordered comparison with it is False.  In all other uses it works like None, with Python's
    error messages for None.
    """

    __slots__ = ("compared", "key")

    def __init__(self, key: str) -> None:
        self.key = key
        self.compared: Callable[[], object] | None = None
        """Called when the value is compared; None between the parts of a chain."""

    def _compare(self, other: object) -> bool:
        for side in (self, other):
            if type(side) is Missing and side.compared is not None:
                side.compared()
        return False

    __lt__ = __le__ = __gt__ = __ge__ = _compare

    def __eq__(self, other: object) -> bool:
        return other is None or type(other) is Missing

    def __hash__(self) -> int:
        return hash(None)

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "None"


Missing.__name__ = Missing.__qualname__ = "NoneType"


class MissingKeys:
    """The missing keys that an evaluation of a condition has met."""

    def __init__(self) -> None:
        self.used: dict[Place, str] = {}
        """The places of chains that became None, with the missing key, in the order of
        evaluation."""
        self.compared: dict[Place, str] = {}
        """The same for chains in comparisons that were False for this reason."""

    def readers(self, state_attr: Callable[[Any, str], Any]) -> dict[str, Callable[..., Any]]:
        """Return the guards of a condition; *state_attr* is the guard of a job."""
        used, compared = self.used, self.compared
        held: Missing | None = None

        def part(target: Any, name: str, _place: Place) -> Any:
            kind = type(target)
            if kind is dict:
                if name in target and name not in _DICT_NAMES:
                    return target[name]
                if name not in _DICT_NAMES:
                    return Missing(name)
            elif kind is Missing:
                return target
            elif target is None:
                return Missing(name)
            return state_attr(target, name)

        def end(target: Any, name: str, place: Place) -> Any:
            value = part(target, name, place)
            if type(value) is not Missing:
                return value
            used.pop(place, None)
            used[place] = value.key
            return None

        def called(target: Any, name: str, place: Place) -> Any:
            if target is None:
                raise AttributeError(f"'NoneType' object has no attribute {name!r}")
            return end(target, name, place)

        def side(target: Any, name: str, place: Place) -> Any:
            value = part(target, name, place)
            if type(value) is Missing:
                value.compared = lambda: compared.setdefault(place, value.key)
            return value

        def hold(value: Any) -> Any:
            nonlocal held
            held = value if type(value) is Missing else None
            return value if held is None else None

        def restore(value: Any) -> Any:
            return value if held is None else held

        return {
            _PART: part,
            _END: end,
            _CALLED: called,
            _SIDE: side,
            _HOLD: hold,
            _RESTORE: restore,
        }

    def warnings(self, text: SourceText) -> list[str]:
        """Return a warning for each chain whose comparison was False because a key is missing."""
        sentences = [
            f"the key {_cut(key)!r} is missing, so the comparison of {_label(place, text)} is False"
            for place, key in [*self.compared.items()][:_MAX_WARNINGS]
        ]
        more = len(self.compared) - _MAX_WARNINGS
        return (
            [*sentences, f"the same happened to {more} more comparisons"] if more > 0 else sentences
        )

    def hint(self, text: SourceText) -> str | None:
        """Return a replacement for the chain that was the last to become None."""
        if not self.used:
            return None
        place, key = next(reversed(self.used.items()))
        label = _label(place, text)
        return (
            f"the key {_cut(key)!r} is missing, so {label} is None: write ({label} or a default),"
            f" or test it first: {label} and ..."
        )


def _label(place: Place, text: SourceText) -> str:
    """Return the text at *place*, on one line."""
    line, column, end_line, end_column = place
    lines = [text.line(number) or "" for number in range(line, end_line + 1)]
    encoded = [row.encode("utf-8", "replace") for row in lines]
    encoded[-1] = encoded[-1][:end_column]
    encoded[0] = encoded[0][column:]
    label = " ".join(row.decode("utf-8", "replace").strip() for row in encoded)
    return _cut(label)


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_LABEL_CHARS else f"{text[:_MAX_LABEL_CHARS]}..."


_DICT_NAMES = frozenset(dir(dict))
