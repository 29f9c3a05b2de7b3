"""Job text into the compiler: code that keeps to the language, or a `LanguageError` with a report.

The first byte of an input chooses the kind of the text; the rest is the text.
"""

from __future__ import annotations

import ast
import copy
import dis
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from restricted_oracle import refused_by_default

from fuzzing.mutation import mutate_bytes
from fuzzing.target import Target
from protocol.report import SEVERITY_BY_NAME, ErrorReport
from sandbox_child.language import (
    LanguageError,
    compile_condition,
    compile_globals,
    compile_job,
)
from sandbox_child.language.guards import names

JOBS = Path(__file__).parents[2] / "jobs"
GLOBALS, CONDITION, UNCHECKED, WATCH, ADAPTOR, ORACLE = (1 << n for n in range(6))
"""The choices in the first byte; the default is a job that is checked."""

ADAPTOR_NAMES = frozenset({"fn", "get", "post", "each", "fields", "field"})
GUARDS = frozenset(
    value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)
)
"""Names that the compiler puts in; an author may not bind them."""

_SYNTAX = (
    "state state.data lambda def class async await yield match case try except* finally with global"
    " nonlocal import from type return raise del assert super() __class__ __init__ __dict__ __x _x"
    " self cls _attr_ _write_ _operations_ f_globals gi_frame mro format *args **kw := -> @ \\N{DASH}"
    " f'{x!r:>{y}}' b'' ''' # ( ) [ ] { } : , ; . \t 0x 1e 1_0 \u00aa \ufb01 \u200b \f \r \x1a"
)
WORDS = (
    *(word.encode() for word in _SYNTAX.split(" ")),
    *(b"\n", b"\n    ", b"\\\n", b"\0", b"(" * 100, b"-" * 300, b"x." * 200, b"9" * 5000),
)


def check(data: bytes) -> None:
    """Compile one text, without running it."""
    flags = data[0] if data else 0
    source = data[1:].decode("utf-8", "surrogateescape")
    language = not flags & UNCHECKED
    watch = bool(flags & WATCH)
    try:
        if flags & GLOBALS:
            code = compile_globals(source, language=language, watch=watch)
        elif flags & CONDITION:
            code = compile_condition(source, language=language).code
        else:
            adaptor_names = ADAPTOR_NAMES if flags & ADAPTOR else frozenset()
            job = compile_job(
                source, step_id="a", language=language, adaptor_names=adaptor_names, watch=watch
            )
            code = job.code
            for site in job.operations:
                _check_position(site.position, source)
    except LanguageError as error:
        _check_report(error.report, source)
        return
    if language:
        _check_code(code)
        _check_bindings(source, condition=flags & (CONDITION | GLOBALS) == CONDITION)
        if flags & ORACLE and not flags & CONDITION:
            _ask_the_oracle(source)


def _check_report(report: ErrorReport, source: str) -> None:
    assert report.severity == SEVERITY_BY_NAME[report.name]
    assert report.message
    assert report.position is None or _check_position(report.position, source)
    assert len(msgspec.msgpack.encode(report)) <= 200_000 + 8 * len(source)
    if report.name == "SecurityError":
        assert report.details, "a refusal lists each place"


def _check_position(position: Any, source: str) -> bool:
    lines = source.count("\n") + source.count("\r") + source.count("\f") + 2
    assert 1 <= position.line <= lines
    assert position.column is None or 1 <= position.column <= len(source) + 2
    assert position.end_line is None or position.line <= position.end_line <= lines
    assert position.end_column is None or 1 <= position.end_column <= len(source) + 2
    return True


def _check_code(code: types.CodeType) -> None:
    """Assert that no instruction reaches an attribute that leads to frames, code or tracebacks."""
    for inner in _codes(code):
        for instruction in dis.get_instructions(inner):
            if "ATTR" in instruction.opname or "METHOD" in instruction.opname:
                name = instruction.argval
                assert name not in names.DENIED_ATTRIBUTES, f"reaches .{name} unguarded"


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _check_bindings(source: str, *, condition: bool) -> None:
    """Assert that the author does not bind a name that the compiler puts in."""
    text = source.removeprefix("\ufeff")
    tree = _parsed(f"(\n{text}\n)" if condition else text)
    for node in ast.walk(tree) if tree else ():
        for field in ("id", "name", "arg", "asname", "rest"):
            name = getattr(node, field, None)
            assert name not in GUARDS, f"the text says {name}"
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            assert GUARDS.isdisjoint(node.names)


def _parsed(text: str) -> ast.AST | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _ask_the_oracle(source: str) -> None:
    """Assert that RestrictedPython's default policy refuses only the listed additions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            refused = refused_by_default(source.removeprefix("\ufeff"))
        except (ValueError, RecursionError, MemoryError):
            return
    assert not refused, refused


def mutate(data: bytes, rng: Random) -> bytes:
    """Change the choice, a line, a node of the tree, or any byte."""
    kind = rng.randrange(10)
    head, body = data[:1] or b"\0", data[1:]
    if kind == 0:
        return rng.randbytes(1) + body
    if kind <= 2:
        return head + mutate_bytes(body, rng, WORDS)
    if kind <= 4:
        return head + _with_other_line(body, rng)
    grown = _with_other_node(body.decode("utf-8", "replace"), rng)
    return head + (mutate_bytes(body, rng, WORDS) if grown is None else grown.encode())


def _with_other_line(body: bytes, rng: Random) -> bytes:
    lines = body.split(b"\n")
    place = rng.randrange(len(lines))
    other = rng.choice(_seeds())[1:].split(b"\n") if rng.randrange(2) else lines
    lines[place : place + rng.randrange(2)] = [rng.choice(other)]
    return b"\n".join(lines)


def _with_other_node(source: str, rng: Random) -> str | None:
    """Replace a node by another one of the same kind, from this text or from another."""
    tree = _parsed(source)
    other = (
        _parsed(rng.choice(_seeds())[1:].decode("utf-8", "replace")) if rng.randrange(2) else tree
    )
    if tree is None or other is None:
        return None
    kind = rng.choice((ast.expr, ast.expr, ast.stmt))
    donors = [node for node in ast.walk(other) if isinstance(node, kind)]
    places = [
        (holder, field, index)
        for holder in ast.walk(tree)
        for field, value in ast.iter_fields(holder)
        for index, node in enumerate(value if isinstance(value, list) else [value])
        if isinstance(node, kind)
    ]
    if not donors or not places:
        return None
    holder, field, index = rng.choice(places)
    value = getattr(holder, field)
    try:
        donor = copy.deepcopy(rng.choice(donors))
        if isinstance(value, list):
            value[index : index + rng.randrange(2)] = [donor]
        else:
            setattr(holder, field, donor)
        return ast.unparse(tree)
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError):
        return None  # the tree nests too deep, or the node is not allowed at this place


_SEEDS: list[bytes] = []


def _seeds() -> list[bytes]:
    if not _SEEDS:
        jobs = sorted(JOBS.glob("*/*.py"))
        _SEEDS.extend(b"\x20" + text for job in jobs if len(text := job.read_bytes()) < 3000)
        _SEEDS.extend(flag + condition for flag in (b"\x02", b"\x0a") for condition in CONDITIONS)
        _SEEDS.extend(
            b"\x01" + text for text in (b"X = 1\n", b"import json\ndef f(x):\n    return x\n")
        )
    return _SEEDS


CONDITIONS = (
    b"state.data.n > 1",
    b"not state.errors",
    b"len(state.data.good) > 0 and\n  state.data.get('x')",
    b"[x for x in state.data if x.ok]",
)


def seeds() -> list[bytes]:
    """Return the jobs of the tests, honest and hostile, and a few conditions and globals."""
    return list(_seeds())


TARGET = Target(
    "jobs", check, mutate, seeds, limit_s=2.0
)  # fmt: skip
