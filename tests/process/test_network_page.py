"""The rules and examples of docs/network.md are what the program accepts, refuses and prints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_type_hints

import pytest

import jobcell
from protocol.net_rules import parse_net_rule

PAGE = (Path(__file__).parents[2] / "docs" / "network.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table with this heading of its first column."""
    table = PAGE.partition(f"| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    assert table
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table]


@pytest.mark.parametrize("rule", [row[0] for row in rows("rule")])
def test_a_rule_of_the_page_is_accepted(rule):
    """Each one is read as it is written."""
    assert parse_net_rule(rule)


@pytest.mark.parametrize(("wrong", "right"), rows("not a rule"))
def test_a_wrong_rule_of_the_page_names_the_right_one(wrong, right):
    """The message has it in quotes."""
    with pytest.raises(ValueError, match=re.escape(repr(right))):
        parse_net_rule(wrong)
    assert parse_net_rule(right)


@pytest.mark.parametrize("name", re.findall(r"<!-- test: (\w+) -->", PAGE))
def test_an_example_of_the_page_runs(name):
    """Its objects can be made."""
    source = PAGE.partition(f"<!-- test: {name} -->\n```python\n")[2].partition("```")[0]
    found: dict[str, object] = {}
    exec(source, found)
    assert {"options", "policy"} & found.keys()


def test_the_options_of_the_page_exist():
    """Each option is one of `jobcell run`."""
    from typer.main import get_command

    from jobcell.commands.app import app

    run = get_command(app).commands["run"]
    known = {name for parameter in run.params for name in parameter.opts}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) <= known


def test_the_fields_of_the_page_exist():
    """Those of the options, and those of the usage."""
    assert {"net_mb", "max_connections"} <= set(jobcell.RunOptions.__struct_fields__)
    assert {"net", "net_proxy"} <= set(jobcell.Policy.__struct_fields__)
    usage = get_type_hints(jobcell.RunResult)["usage"]
    for name in ("connections", "net_sent_bytes", "net_received_bytes"):
        assert f"`{name}`" in PAGE
        assert name in usage.__struct_fields__
