"""A contract of import-linter: the table of rooms in CONTRIBUTING.md, checked against every import.

A room is a package: its `__init__` and the files directly in it.  The table lists the rooms that a room may
import.  Other rooms import only the `__init__` of a room, its door; `pyproject.toml` lists further doors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import grimp
from importlinter import Contract, ContractCheck, fields, output

_NAME = re.compile(r"`([a-z_.]+)`")


def read_table(document: Path) -> dict[str, frozenset[str]]:
    """Return each room of the table, with the rooms that it may import."""
    rows = (line.split("|") for line in document.read_text().splitlines() if line.startswith("| `"))
    return {
        _NAME.findall(room)[0]: frozenset(_NAME.findall(imports)) for _, room, _, imports, _ in rows
    }


class RoomsContract(Contract):
    """Checks that the table lists every room, and that each room imports what the table lists.

    Options:
        table: A Markdown file with rows of the form ``| `room` | content | `other`, `protocol` |``.
        doors: ``importer -> imported`` for each file besides an `__init__` that other rooms import;
            both sides are patterns.

    """

    type_name = "rooms"

    table = fields.StringField()
    doors = fields.ListField(subfield=fields.StringField())

    def check(self, graph: grimp.ImportGraph, verbose: bool) -> ContractCheck:
        """Return whether the imports are those of the table; *verbose* changes nothing."""
        del verbose
        wrong = sorted(problems(graph, read_table(Path(self.table)), list(self.doors)))
        return ContractCheck(kept=not wrong, metadata={"wrong": wrong})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each import that the table does not allow, and each row that the code does not need."""
        for line in check.metadata["wrong"]:
            output.print_error(f"- {line}", bold=False)
        output.new_line()


def problems(
    graph: grimp.ImportGraph, table: dict[str, frozenset[str]], doors: list[str]
) -> Iterator[str]:
    """Yield a sentence for each difference between the imports and the table."""
    packages = {module.partition(".")[0] for module in graph.modules}
    rooms = {name for name in table if name.partition(".")[0] in packages}
    used: set[tuple[str, str]] = set()
    unlisted: set[str] = set()
    used_doors: set[str] = set()
    for importer in sorted(graph.modules):
        here = room_of(graph, importer)
        if here not in rooms:
            if here not in unlisted:
                yield f"the table does not list {here}, the room of {importer}"
            unlisted.add(here)
            continue
        for imported in sorted(graph.find_modules_directly_imported_by(importer)):
            there = room_of(graph, imported)
            if there == here:
                continue
            used.add((here, there))
            if there not in table[here]:
                yield f"{importer} imports {imported}: the table does not let {here} import {there}"
            elif imported != there:
                opened = {door for door in doors if _opens(door, importer, imported)}
                used_doors |= opened
                if not opened:
                    yield f"{importer} imports {imported}: import the room {there} in its place"
    allowed = {(here, there) for here in rooms for there in table[here]}
    for here, there in sorted(allowed - used):
        yield f"the table lets {here} import {there}, but no file does"
    for door in sorted(set(doors) - used_doors):
        yield f"nothing uses the door {door!r}"


def room_of(graph: grimp.ImportGraph, module: str) -> str:
    """Return the package of a module; a package is its own room."""
    is_package = bool(graph.find_children(module)) or "." not in module
    return module if is_package else module.rpartition(".")[0]


def _opens(door: str, importer: str, imported: str) -> bool:
    patterns = door.split(" -> ")
    return all(map(fnmatchcase, (importer, imported), patterns))
