"""Count the marks of prose that has to be read twice: ``python -m prose [PATH ...]``.

Without a path the whole repository is read, and a kind of text that is over its budget is an error
with each of its sentences.  With paths their sentences are printed, and nothing is an error.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from prose.rules import BUDGETS, GOAL, LONG, LONG_WORDS, MARKS, OPENING
from prose.sentences import MESSAGE, Sentence, of_markdown, of_python

if TYPE_CHECKING:
    from collections.abc import Iterable

SKIPPED = {"build", "dist", "node_modules", "corpus", "jobs"}
"""Directories without prose of ours: generated files, and jobs written as hostile examples."""


@dataclass
class Kind:
    """The figures of one kind of text."""

    sentences: int = 0
    marks: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)

    def per_thousand(self, count: int) -> float:
        """Return how many of 1,000 sentences *count* would be."""
        return 1000 * count / max(1, self.sentences)

    @property
    def figures(self) -> tuple[float, float, float]:
        """Marks, bare openings and long sentences for each 1,000 sentences."""
        marks = sum(self.marks.values()) - self.marks[LONG]
        return (
            self.per_thousand(marks),
            self.per_thousand(self.marks[OPENING]),
            self.per_thousand(self.marks[LONG]),
        )


def main() -> int:
    """Print the figures; return 1 if a kind of text is over its budget."""
    parser = argparse.ArgumentParser(prog="prose", description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, help="files or directories to list")
    parser.add_argument("--kind", help="list the sentences of this kind of text only")
    parser.add_argument("--count", action="store_true", help="print the sentences of each file")
    arguments = parser.parse_args()
    files = sorted(_files(arguments.paths or [Path()]))
    if arguments.count:
        for path in files:
            print(f"{len(read(path)):6} {path}")
        return 0
    kinds = measure(files)
    over = [name for name in kinds if _over(name, kinds[name])]
    listed = over
    if arguments.paths or arguments.kind:
        listed = [name for name in kinds if arguments.kind in {None, name}]
    for name in listed:
        print(*kinds[name].found, sep="\n")
    print(f"{'for 1,000 sentences':20}{'sentences':>10}{'marks':>14}{'openings':>14}{'long':>14}")
    for name, kind in sorted(kinds.items()):
        budget = BUDGETS.get(name, GOAL)
        limits = (budget.marks, budget.openings, budget.long)
        cells = (f"{it:.0f} of {at:g}" for it, at in zip(kind.figures, limits, strict=True))
        print(f"{name:20}{kind.sentences:10}" + "".join(f"{cell:>14}" for cell in cells))
    if arguments.paths:
        return 0
    for name in over:
        print(f"prose: {name} are over their budget in tests/support/prose/rules.py")
    return 1 if over else 0


def measure(files: Iterable[Path]) -> dict[str, Kind]:
    """Return the figures of each kind of text in *files*."""
    kinds: dict[str, Kind] = {}
    for path in files:
        for sentence in read(path):
            kind = kinds.setdefault(kind_of(path, sentence), Kind())
            kind.sentences += 1
            for mark in marks_of(sentence):
                kind.marks[mark] += 1
                kind.found.append(f"{path}:{sentence.line}: {mark}: {sentence.text}")
    return kinds


def read(path: Path) -> list[Sentence]:
    """Return the sentences of a Markdown or Python file."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return of_markdown(source)
    # Users do not read the errors of a test.
    found = of_python(source)
    return [it for it in found if it.part != MESSAGE] if "tests" in path.parts else found


def marks_of(sentence: Sentence) -> list[str]:
    """Return the name of each mark of a sentence."""
    marks = [name for name, pattern in MARKS.items() if pattern.search(sentence.plain)]
    if sentence.words > LONG_WORDS:
        marks.append(LONG)
    return marks


def kind_of(path: Path, sentence: Sentence) -> str:
    """Return the kind of text, by which the budget is found."""
    if path.suffix == ".md":
        return "decisions" if "adr" in path.parts else "documents"
    if "tests" in path.parts:
        return f"test {sentence.part}s"
    return f"{sentence.part}s"


def _over(name: str, kind: Kind) -> bool:
    budget = BUDGETS.get(name, GOAL)
    marks, openings, long = kind.figures
    return marks > budget.marks or openings > budget.openings or long > budget.long


def _files(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        if path.is_file():
            yield path
            continue
        for found in (*path.rglob("*.md"), *path.rglob("*.py")):
            parts = found.relative_to(path).parts
            if not any(part in SKIPPED or part.startswith(".") for part in parts):
                yield found


if __name__ == "__main__":
    sys.exit(main())
