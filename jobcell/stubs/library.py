"""A standard library for type checkers that has only what a job may use.

A checker has to know far more than a job may import: the stub of `json` needs that of `io`, and so
on.  So each stub is written under a name of its own (`os` becomes `_hidden_os`), and every import
between stubs is rewritten accordingly.  The name that a job knows is a small module, which passes
on the allowed names only.  Types are the real ones.

Some modules must keep their name, because checkers have rules about them (`KEPT`).  Their refused
functions are taken out.  A checker does not flag the import of such a module if jobs may not have
it at all; the engine refuses it when the job is compiled.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

KEPT = frozenset(
    {
        "_collections_abc",
        "_typeshed",
        "abc",
        "builtins",
        "collections",
        "dataclasses",
        "enum",
        "functools",
        "types",
        "typing",
        "typing_extensions",
    }
)
"""Modules that checkers know by name."""

FILTERED = ("builtins", "dataclasses", "functools")
"""Kept modules whose refused functions can be taken out: other stubs do not need them."""

HIDDEN = "_hidden_"

OWN = {
    "jobcell_context": (
        '"""Facts about the running step; nobody can change them."""\n'
        "run_id: str\n"
        "step_id: str\n"
        "attempt: int\n"
        "idempotency_key: str\n"
        "traceparent: str | None\n"
        "tracestate: str | None\n"
    ),
}
"""Stubs of modules that are not Python's."""


class NoTypeshedError(Exception):
    """The stubs of the standard library, from which ours are made, were not found."""


class Typeshed(NamedTuple):
    """The stubs of the standard library, and those that a checker wants beside them."""

    stdlib: Path
    others: Path | None = None


def find_typeshed() -> Typeshed:
    """Return the stubs that come with mypy, else those of typeshed-client; neither is loaded.

    Raises:
        NoTypeshedError: Neither is installed.

    """
    for package, inner in (("mypy", ("typeshed", "stdlib")), ("typeshed_client", ("typeshed",))):
        spec = importlib.util.find_spec(package)
        for location in (spec and spec.submodule_search_locations) or ():
            found = Path(location, *inner)
            if (found / "builtins.pyi").is_file():
                others = found.parent / "stubs"
                return Typeshed(found, others if others.is_dir() else None)
    raise NoTypeshedError(
        "the stubs of the standard library are missing: pip install 'jobcell[stubs]' (or mypy)"
    )


def write_library(
    target: Path,
    *,
    builtins: frozenset[str],
    modules: Mapping[str, frozenset[str]],
    prelude: str,
    needed: Iterable[str] = (),
) -> None:
    """Write the restricted library as a typeshed directory.

    Args:
        target: Must not exist.
        builtins: Built-in names that a job may use.
        modules: For each module, by its full name: the names that a job may use.
        prelude: Source added to the stub of `builtins`: more names that are always in scope.
        needed: More modules that other stubs need (see `hide_imports`); a job does not see them.

    Raises:
        NoTypeshedError: Neither mypy nor typeshed-client is installed.
        OSError: The directory cannot be written.

    """
    typeshed = find_typeshed()
    source, stdlib = typeshed.stdlib, target / "stdlib"
    stdlib.mkdir(parents=True)
    (stdlib / "VERSIONS").write_text("# every module here is for every version\n")
    (stdlib / "sys.pyi").write_text("# a checker insists on it; jobs may not use it\n")
    if typeshed.others is None:
        extensions = target / "stubs" / "mypy-extensions"  # mypy insists on it; jobs may not use it
        extensions.mkdir(parents=True)
        text = "from typing import Any\ndef __getattr__(name: str) -> Any: ...\n"
        (extensions / "mypy_extensions.pyi").write_text(text)
    else:
        shutil.copytree(typeshed.others, target / "stubs")

    wanted, written = [*KEPT, *modules, *needed, "sys"], set[str]()
    while wanted:
        top = wanted.pop().partition(".")[0]
        if top in written:
            continue
        written.add(top)
        allowed = builtins if top == "builtins" else modules.get(top)
        for file in _files(source, top):
            text, found = _rename_imports(file.read_text(encoding="utf-8"))
            wanted += found
            if top in FILTERED and allowed is not None:
                text = ast.unparse(_Remover(allowed).visit(ast.parse(text)))
            place = file.relative_to(source)
            if top not in KEPT:
                place = Path(hidden(place.parts[0]), *place.parts[1:])
            (stdlib / place).parent.mkdir(parents=True, exist_ok=True)
            (stdlib / place).write_text(text + (f"\n{prelude}" if top == "builtins" else "\n"))
    _write_allowed(stdlib, modules)


def hidden(name: str) -> str:
    """Return the name under which the stub of a module is kept out of sight."""
    return name if name.partition(".")[0] in KEPT else HIDDEN + name


def hide_imports(source: str) -> tuple[str, list[str]]:
    """Return the source of a stub with its imports of the standard library rewritten.

    Returns:
        The source, and the modules that it needs.

    """
    known = {path.name.removesuffix(".pyi") for path in find_typeshed().stdlib.iterdir()}
    return _rename_imports(source, frozenset(known))


def _files(source: Path, top: str) -> Iterable[Path]:
    if (source / top).is_dir():
        return sorted((source / top).rglob("*.pyi"))
    return [source / f"{top}.pyi"] if (source / f"{top}.pyi").exists() else []


def _write_allowed(stdlib: Path, modules: Mapping[str, frozenset[str]]) -> None:
    parents = {name.rpartition(".")[0] for name in modules if "." in name}
    for name in sorted({*modules, *parents}):
        if name.partition(".")[0] in KEPT:
            continue
        if name in OWN:
            (stdlib / f"{name}.pyi").write_text(OWN[name])
            continue
        names = sorted(modules.get(name, ()))
        # A submodule is reached by importing it, not by passing it on.
        passed_on = [one for one in names if f"{name}.{one}" not in modules]
        lines = [f"from {hidden(name)} import {one} as {one}\n" for one in passed_on]
        is_package = name in parents
        file = stdlib.joinpath(*name.split("."))
        file = file / "__init__.pyi" if is_package else file.with_suffix(".pyi")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(lines))


def _rename_imports(source: str, only: frozenset[str] | None = None) -> tuple[str, list[str]]:
    """Rewrite imports of hidden modules to the names that they have here; return the modules too.

    Only the imports are written anew.  To write the whole tree takes five times as long.
    """
    found: list[str] = []
    encoded = source.encode()
    parts, done = [], 0
    for begin, end, node in _quick_places(encoded) or _places(encoded):
        new = _renamed(node, found, only)
        if new is not None:
            parts += [encoded[done:begin], new.encode()]
            done = end
    return b"".join([*parts, encoded[done:]]).decode(), found


_Place = tuple[int, int, ast.Import | ast.ImportFrom]
"""Where an import begins and ends in the bytes of a source, and its node."""

_IMPORT = re.compile(rb"^[ \t]*((?:import|from)\b[^\n(]*(?:\([^)]*\)[^\n]*)?)", re.MULTILINE)
_WORD = re.compile(rb"\bimport\b")


def _quick_places(source: bytes) -> list[_Place] | None:
    """Return the imports of a source of which only the lines with imports are parsed; None if this is not safe.

    To parse the whole standard library takes half of the time of the command.
    """
    if b'"""' in source or b"'''" in source:
        return None  # a line may be a part of a text
    places: list[_Place] = []
    for match in _IMPORT.finditer(source):
        try:
            inner = _places(match[1])
        except SyntaxError:
            return None
        at = match.start(1)
        places += [(at + begin, at + end, node) for begin, end, node in inner]
    # The word may also be in a comment or after a colon.
    return places if len(places) == len(_WORD.findall(source)) else None


def _places(source: bytes) -> list[_Place]:
    """Return the imports of a source, in their order."""
    starts = [0, *accumulate(len(line) + 1 for line in source.split(b"\n"))]
    places = []
    for node in _imports(ast.parse(source)):
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        # The columns of a tree count bytes.
        begin = starts[node.lineno - 1] + node.col_offset
        places.append((begin, starts[node.end_lineno - 1] + node.end_col_offset, node))
    return places


def _imports(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """Give the imports in their order; those of an expression do not exist."""
    waiting: list[ast.stmt] = tree.body[::-1]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        for name in ("finalbody", "orelse", "handlers", "body"):
            waiting += getattr(node, name, ())[::-1]


def _renamed(
    node: ast.Import | ast.ImportFrom, found: list[str], only: frozenset[str] | None
) -> str | None:
    """Return the new text of an import, if it changes, and add its modules to those found."""

    def new(name: str) -> str:
        if only is not None and name.partition(".")[0] not in only:
            return name
        found.append(name)
        return hidden(name)

    if isinstance(node, ast.ImportFrom):
        if not node.module or node.level or node.module == "__future__":
            return None
        module = new(node.module)
        return None if module == node.module else ast.unparse(ast.ImportFrom(module, node.names, 0))
    texts = []
    for alias in node.names:
        name, top = new(alias.name), alias.name.partition(".")[0]
        if alias.asname or name == alias.name:
            texts.append(ast.unparse(ast.Import([ast.alias(name, alias.asname)])))
            continue
        # `import os.path` binds `os`, which now means `_hidden_os`.
        texts.append(f"import {hidden(top)} as {top}")
        if name != hidden(top):
            texts.append(f"import {name}")
    return "; ".join(texts)


class _Remover(ast.NodeTransformer):
    """Takes public functions out that are not allowed; classes stay, since types name them."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._allowed = allowed

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef | None:
        return node if node.name in self._allowed or node.name.startswith("_") else None

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign | None:
        name = node.target.id if isinstance(node.target, ast.Name) else "_"
        # Not Ellipsis and NotImplemented: checkers look for them.
        return None if name.islower() and name[0] != "_" and name not in self._allowed else node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        return node  # methods are not looked at

    def visit_If(self, node: ast.If) -> ast.If:
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node
