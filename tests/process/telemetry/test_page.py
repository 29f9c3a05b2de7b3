"""docs/telemetry.md says what is exported, and its examples run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from opentelemetry.semconv import attributes as stable
from warm import run_warm

from jobcell.telemetry import measures, names

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "telemetry.md").read_text()


def example(name: str) -> str:
    """Return an example of the page."""
    found = re.search(rf"<!-- test: {re.escape(name)} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def table(heading: str) -> set[str]:
    """Return the names in the first column of the last table of a section."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = section.rpartition("|---|")[2].splitlines()[1:]
    return {
        name
        for row in rows
        for name in re.findall(r"`([^`]+)`", row.split("|")[1:2][0] if "|" in row else "")
    }


def test_the_tables_are_those_of_the_program():
    """Each attribute and each figure is listed, and nothing else."""
    assert table("Spans") == set(names.ALL)
    assert table("Figures") == {measure.name for measure in measures.ALL}


@pytest.mark.parametrize("name", ["error", "exception", "server", "network", "code"])
def test_names_of_others_are_those_of_the_semantic_conventions(name):
    """A name without `jobcell` is one of theirs."""
    module = pytest.importorskip(f"{stable.__name__}.{name}_attributes")
    known = {value for value in vars(module).values() if isinstance(value, str)}
    ours = {one for one in names.ALL if one.startswith(f"{name}.")}
    assert ours
    assert ours <= known


def test_every_other_name_is_ours():
    """They cannot be taken for names of the conventions."""
    of_others = ("error.", "exception.", "server.", "network.", "code.")
    assert all(name.startswith(("jobcell.", *of_others)) for name in names.ALL)


def test_the_example_of_spans():
    """It prints what its comment says."""
    ran = run_warm(example("telemetry-python"))
    assert ran.stdout == "['attempt job-1', 'step job-1', 'run']\n", ran.stderr


def test_the_example_of_logging():
    """The line has the ids."""
    ran = run_warm(example("telemetry-logging"))
    assert "r1 a: hello\n" in ran.stderr
