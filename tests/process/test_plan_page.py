"""Every example of docs/plan.md behaves as the page says, and the page has every key of a plan."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import engine
from engine.plan.schema import DESCRIPTIONS, KEYS, plan_schema, spellings
from engine.plan.validation import load_plan
from protocol.plan import Edge, Step, Workflow
from protocol.state import encode_state
from sandbox_child.running.conditions import ConditionError, Conditions, Upstream

PAGE = (Path(__file__).parents[2] / "docs" / "plan.md").read_text()
BLOCK = re.compile(
    r"<!-- example: (\w+)(.*?) -->\n```json\n(.*?)```\n(?:```text\n(.*?)```)?", re.DOTALL
)
EXAMPLES = BLOCK.findall(PAGE)
ROWS = re.findall(
    r"^\| `(\{.*?\})` \| `(.*?)` \| (yes|no|no, with a warning|error) \|$", PAGE, re.MULTILINE
)


@pytest.fixture(scope="module")
def shared():
    with engine.Engine(max_runs=1) as made:
        yield made


@pytest.fixture(autouse=True)
def no_leak():
    """The shared engine stays from one test to the next."""


def marked(kind):
    return [
        pytest.param(*found[1:], id=f"{kind}{n}")
        for n, found in enumerate(EXAMPLES)
        if found[0] == kind
    ]


def test_every_json_block_of_the_page_is_an_example():
    """A test reads every block on the page."""
    assert len(EXAMPLES) == PAGE.count("```json\n") > 8


@pytest.mark.parametrize(("about", "text", "_"), marked("run") + marked("warned"))
@pytest.mark.filterwarnings("ignore::engine.PlanWarning")
def test_an_example_runs_to_the_result_that_the_page_gives(shared, about, text, _):
    """The run starts with the state that the page gives."""
    parts = dict(
        part.split(" ", 1)
        for part in about.strip().removeprefix("; ").split("; ")
        if part[0] in "sr"
    )
    run = shared.execute(text, json.loads(parts["state"]))
    assert run.result(30).reason == "success"
    assert run.result().state == json.loads(parts["result"])


@pytest.mark.parametrize(("about", "text", "_"), marked("warned"))
def test_an_example_warns_of_the_keys_that_the_page_names(about, text, _):
    """Each key has one warning."""
    named = []
    load_plan(text, warn=lambda sentence: named.append(sentence.split("'")[1]))
    assert named == about.partition(";")[0].strip().split(", ")


@pytest.mark.parametrize(("_about", "text", "told"), marked("refused"))
def test_a_refused_example_has_the_problems_of_the_page(_about, text, told):
    """The page quotes the problems of its example word for word."""
    with pytest.raises(engine.PlanError) as caught:
        load_plan(text)
    assert str(caught.value) == told.strip()


@pytest.mark.parametrize(("_about", "text", "_"), marked("checked"))
def test_a_checked_example_is_a_plan(_about, text, _):
    """The example needs a repo to run, so it is only loaded."""
    load_plan(text)


@pytest.mark.parametrize(("state", "condition", "taken"), ROWS)
def test_a_condition_is_taken_as_the_table_says(state, condition, taken):
    """A condition gives a warning exactly where the table has one."""
    edge = Edge(condition)
    logged = []
    workflow = Workflow(steps=(Step(id="a", next={"b": edge}), Step(id="b")))
    conditions = Conditions(workflow, language=True, warn=logged.append)
    upstream = Upstream(encode_state(json.loads(state)), failed=False)
    try:
        found = "yes" if conditions.decide("a", "b", edge, upstream) else "no"
    except ConditionError:
        found = "error"
    assert (found + ", with a warning" if logged else found) == taken


def test_the_table_of_conditions_is_read():
    """The pattern of the test must match every row of the table."""
    table = PAGE.partition("| state | condition | taken |\n|---|---|---|\n")[2].partition("\n\n")[0]
    assert len(ROWS) == len(table.splitlines()) > 10


def test_the_page_has_every_key_in_every_spelling():
    """Each key is in the table of its object, and the schema describes it."""
    tables = [
        set(re.findall(r"^\| `(\w+)` \|", part.partition("\n\n")[0], re.MULTILINE))
        for part in PAGE.split("|---|---|---|\n")[1:]
    ]
    for struct, keys in KEYS.items():
        assert set(keys) in tables, struct
        for key in keys:
            assert DESCRIPTIONS[struct, key]
            assert all(f"`{spelling}`" in PAGE for spelling in spellings(key))


def test_the_schema_is_printed_as_it_is(capsys):
    """`jobcell schema` prints the schema without changes."""
    from jobcell.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["schema"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out) == plan_schema()


@pytest.mark.parametrize("text", [found[2] for found in EXAMPLES if found[0] != "refused"])
def test_the_schema_accepts_every_example(text):
    """An editor that uses the schema accepts every example."""
    jsonschema = pytest.importorskip("jsonschema", reason="a development dependency: make setup")
    jsonschema.validate(json.loads(text), plan_schema())
