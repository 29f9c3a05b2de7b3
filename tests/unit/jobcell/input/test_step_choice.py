"""A step is found by its id, its name, or the beginning of either; doubt is one clear error."""

import pytest

from engine.plan import load_plan
from jobcell.input.errors import BadInputError
from jobcell.input.step_choice import choose_step

NAMES = {
    "load-visits": "Load visits",
    "load-people": "Load people",
    "s3": "load-visits",  # the name of one step is the id of another
    "Report": None,
    "REPORT": None,
    "mail": "Mail the report",
    "k": "Straße 5",
    "twin-1": "Twin",
    "twin-2": "Twin",
}
PLAN = load_plan(
    {
        "workflow": {
            "steps": [
                {"id": step_id, "expression": "def main(state): return state"}
                | ({} if name is None else {"name": name})
                for step_id, name in NAMES.items()
            ]
        }
    }
)


@pytest.mark.parametrize(
    ("wanted", "step_id", "is_said"),
    [
        ("load-visits", "load-visits", False),  # an id counts before a name
        ("Load visits", "load-visits", False),
        ("Mail the report", "mail", False),
        ("Report", "Report", False),
        ("REPORT", "REPORT", False),
        ("load people", "load-people", True),
        ("LOAD_PEOPLE", "load-people", True),
        ("  Load   people ", "load-people", True),
        ("mail the", "mail", True),
        ("Load p", "load-people", True),
        ("STRASSE", "k", True),
    ],
)
def test_a_step_is_found(wanted, step_id, is_said):
    """The user reads which step was taken, if the text is not an id or a name to the letter."""
    step, note = choose_step("--only", wanted, PLAN)
    assert step.id == step_id
    assert (note is not None) == is_said
    if note is not None:
        assert note.startswith(f"--only: {wanted!r} is taken as {step_id!r}")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            "load",
            (
                "--only: 'load' is the id or name of several steps: 'load-visits' (Load visits),"
                " 'load-people' (Load people), 's3' (load-visits); give the id of one"
            ),
        ),
        ("report", "several steps: 'Report', 'REPORT'; give the id of one"),
        ("Twin", "several steps: 'twin-1' (Twin), 'twin-2' (Twin)"),
        ("Lod visits", "no step has the id or name 'Lod visits'; did you mean 'Load visits'?"),
        ("male", "did you mean 'mail'?"),
        ("zzz", "no step has the id or name 'zzz'; there are: 'load-visits', 'load-people', 's3'"),
        ("", "no step has the id or name ''"),
        (" - ", "no step has the id or name ' - '"),
    ],
)
def test_doubt_is_one_error(wanted, message):
    """The error lists the steps that may be meant, or suggests the nearest."""
    with pytest.raises(BadInputError) as raised:
        choose_step("--only", wanted, PLAN)
    (line,) = raised.value.lines
    assert message in line


def test_a_long_list_of_candidates_is_cut():
    """A plan may have thousands of steps."""
    steps = [{"id": f"s-{n}", "expression": "x = 1"} for n in range(3000)]
    with pytest.raises(BadInputError) as raised:
        choose_step("--from", "s", load_plan({"workflow": {"steps": steps}}))
    assert "'s-9', and 2990 more; give the id of one" in raised.value.lines[0]
