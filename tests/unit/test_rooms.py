"""The contract of the rooms reports each import that differs from the table in CONTRIBUTING.md."""

from pathlib import Path

import grimp
import pytest
from rooms import problems, read_table

ROOT = Path(__file__).parents[2]

TABLE = {
    "house.kitchen": frozenset({"house.cellar"}),
    "house.cellar": frozenset(),
}


def graph_of(*imports):
    graph = grimp.ImportGraph()
    for module in (
        "house.kitchen",
        "house.kitchen.stove",
        "house.cellar",
        "house.cellar.shelf",
        "house.attic",
        "house.attic.box",
    ):
        if module.startswith("house.attic") and not any("attic" in one for one in imports):
            continue
        graph.add_module(module)
    for one in imports:
        importer, imported = one.split(" -> ")
        graph.add_import(importer=importer, imported=imported)
    return graph


@pytest.mark.parametrize(
    ("imports", "doors", "found"),
    [
        pytest.param(["house.kitchen.stove -> house.cellar"], [], None, id="as listed"),
        pytest.param(
            ["house.kitchen.stove -> house.cellar", "house.cellar.shelf -> house.kitchen"],
            [],
            "does not let house.cellar import house.kitchen",
            id="not listed",
        ),
        pytest.param(
            ["house.kitchen.stove -> house.cellar.shelf"],
            [],
            "import the room house.cellar in its place",
            id="not by the door",
        ),
        pytest.param(
            ["house.kitchen.stove -> house.cellar.shelf"],
            ["house.kitchen.* -> house.cellar.shelf"],
            None,
            id="by a further door",
        ),
        pytest.param(
            ["house.kitchen.stove -> house.cellar"],
            ["house.kitchen.* -> house.cellar.shelf"],
            "nothing uses the door",
            id="a door without use",
        ),
        pytest.param([], [], "lets house.kitchen import house.cellar, but", id="a row too long"),
        pytest.param(
            ["house.kitchen.stove -> house.cellar", "house.attic.box -> house.cellar"],
            [],
            "does not list house.attic",
            id="a room without row",
        ),
    ],
)
def test_a_difference_between_imports_and_table_is_reported(imports, doors, found):
    """The report names the file or the row."""
    wrong = list(problems(graph_of(*imports), TABLE, doors))
    if found is None:
        assert wrong == []
    else:
        assert any(found in line for line in wrong), wrong


def test_the_table_is_read_from_the_document():
    """`make imports` checks the document itself, not a copy of it."""
    table = read_table(ROOT / "CONTRIBUTING.md")
    assert table["protocol"] == frozenset()
    assert table["engine.start"] == {"engine.confinement", "protocol"}
    assert "sandbox_child.language.guards" in table["sandbox_child.language.facades"]
