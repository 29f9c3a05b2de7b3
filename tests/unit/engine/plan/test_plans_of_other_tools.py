"""Plans from other tools and from people have white space, ignored keys and misspelt conditions."""

import json
import sys
import warnings

import pytest

import engine
from engine.api.errors import PlanError, PlanWarning
from engine.plan.validation import load_plan

JOB = "fn(lambda state: state)"


def plan_with(condition):
    return {
        "workflow": {
            "steps": [{"id": "a", "expression": JOB, "next": {"b": condition}}, {"id": "b"}]
        }
    }


def problems_of(source):
    with pytest.raises(PlanError) as caught:
        load_plan(source)
    return [str(problem) for problem in caught.value.problems]


def sentences_of(source):
    sentences = []
    plan = load_plan(source, warn=sentences.append)
    return plan, sentences


@pytest.mark.parametrize("wrap", [lambda text: text, lambda text: {"condition": text}])
@pytest.mark.parametrize(
    "text",
    ["on_job_success\n", "  on_job_success", "\r\non_job_success\r\n", "\ufeffon_job_success"],
)
def test_a_named_condition_may_have_white_space_around_it(text, wrap):
    """A block in YAML ends with a line break; the plan keeps only the name."""
    edge = load_plan(plan_with(wrap(text))).workflow.steps[0].next["b"]
    assert edge.condition == "on_job_success"


def test_another_condition_stays_as_it_was_written():
    """Positions in errors are counted from the beginning of the condition as it was written."""
    text = "\n  state.data.n > 1 and\n  not state.errors\n"
    assert load_plan(plan_with(text)).workflow.steps[0].next["b"].condition == text


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("on_job_succes", "on_job_success"),
        ("  on_job_succes\n", "on_job_success"),
        ("on_job_failed", "on_job_fail"),
        ("on_job_failur", "on_job_failure"),
        ("on-job-success", "on_job_success"),
        ("onJobSuccess", "on_job_success"),
        ("ON_JOB_SUCCESS", "on_job_success"),
        ("on_success", "on_job_success"),
        ("Always", "always"),
        ("alway", "always"),
        ("neverr", "never"),
        ("on_upstream_sucess", "on_upstream_success"),
    ],
)
def test_a_misspelt_name_is_found_before_anything_runs(text, meant):
    """The check covers edges that are objects and edges that are not, and also disabled edges."""
    told = f"no condition has the name {text.strip()!r}; did you mean {meant!r}?"
    assert problems_of(plan_with(text)) == [f"workflow.steps[0].next.b: {told}"]
    edge = {"condition": text, "disabled": True}
    assert problems_of(plan_with(edge)) == [f"workflow.steps[0].next.b.condition: {told}"]


@pytest.mark.parametrize(
    "text",
    ["true", "True", "null", "None", "state", "upstream_step_id", "any", "ready", "x", "a-b"],
)
def test_other_names_stay_what_they_are(text):
    """Known names are kept, and so are unknown names that do not resemble a named condition."""
    assert load_plan(plan_with(text)).workflow.steps[0].next["b"].condition == text


@pytest.mark.parametrize("text", ["", " ", "\n\r\n", "\ufeff"])
def test_an_empty_condition_is_refused(text):
    """An empty condition would be neither true nor false."""
    [line] = problems_of(plan_with(text))
    assert line.startswith(
        "workflow.steps[0].next.b: must be true, false, or a condition as text, "
    )


def test_the_warning_about_a_meta_says_whether_the_event_carries_it():
    """The event `workflow-start` carries the `meta` of the plan and the workflow, but not of a step."""
    sentences: list[str] = []
    step = {"id": "a", "expression": JOB}

    load_plan({"workflow": {"steps": [{**step, "meta": {"x": 1}}]}}, warn=sentences.append)
    load_plan({"workflow": {"steps": [step], "meta": {"x": 1}}}, warn=sentences.append)
    load_plan({"jobs": [step], "meta": {"x": 1}}, warn=sentences.append)

    of_step, of_workflow, of_plan = sentences
    assert of_step == (
        "the key 'meta' (workflow.steps[0].meta) is ignored: it has no meaning for a run"
    )
    assert of_workflow.endswith(
        "(workflow.meta) has no meaning for a run; workflow-start carries it"
    )
    assert of_plan == "the key 'meta' has no meaning for a run; workflow-start carries it"


def test_an_edge_object_without_a_condition_is_always_taken():
    """An edge whose condition is null is always taken as well."""
    for edge in ({}, {"label": "x"}, {"condition": None}):
        assert load_plan(plan_with(edge)).workflow.steps[0].next["b"].condition is True


@pytest.mark.parametrize("text", ["", "  ", "\r\n\t", "\ufeff\n", None])
def test_an_empty_expression_is_none(text):
    """A step with an empty expression is a trigger, and may have any key."""
    step = {"id": "t", "expression": text, "type": "webhook", "next": "a"}
    plan = load_plan({"workflow": {"steps": [step, {"id": "a", "expression": JOB}]}})
    assert plan.workflow.steps[0].expression is None
    assert load_plan(plan) == plan


@pytest.mark.parametrize("source", ["", " \n", "\ufeff"])
def test_a_single_job_must_not_be_empty(tmp_path, source):
    """An empty string and an empty file are refused: a run of nothing would be a success."""
    assert problems_of(source) == ["plan: is empty; a job has operations, or a function main"]
    file = tmp_path / "job.py"
    file.write_text(source, encoding="utf-8")
    assert problems_of(file) == [f"{file}: is empty; a job has operations, or a function main"]


OF_OTHERS = {
    "previous": "x",
    "linker": {"a": 1},
    "sourceMap": [1],
    "openfn": {"uuid": 1},
    "history": [],
    "cursor": "today",
    "meta": {"any": {"thing": [1]}},
}


def test_keys_of_the_javascript_tools_are_accepted_and_named_once():
    """These keys are accepted in the plan, in the workflow, and in steps with and without a job."""
    steps = [{"id": "t", "next": "a", **OF_OTHERS}, {"id": "a", "expression": JOB, **OF_OTHERS}]
    source = {"workflow": {"steps": steps, **OF_OTHERS}, **OF_OTHERS}

    plan, sentences = sentences_of(source)

    assert [sentence.split("'")[1] for sentence in sentences] == list(OF_OTHERS)
    bare = load_plan(
        {
            "id": plan.id,
            "workflow": {"steps": [{"id": "t", "next": "a"}, {"id": "a", "expression": JOB}]},
        }
    )
    assert plan.workflow == bare.workflow


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            {"workflow": {"steps": [{"id": "a", "expression": JOB, "openfn": 1}]}},
            "'openfn' (workflow.steps[0].openfn)",
        ),
        ({"workflow": {"steps": [{"id": "a"}], "history": 1}}, "'history' (workflow.history)"),
        ({"jobs": [{"id": "a"}], "previous": 1}, "'previous'"),
        (
            {"workflow": {"steps": [{"id": "a"}]}, "options": {"cursor": 1}},
            "'cursor' (options.cursor)",
        ),
        ({"workflow": {"steps": [{"id": "a"}]}, "source_map": 1}, "'source_map'"),
    ],
)
def test_the_warning_says_where_the_key_is(source, told):
    """The warning gives the path of the first place, except where the path is the key itself."""
    _, [sentence] = sentences_of(source)
    assert sentence == f"the key {told} is ignored: it has no meaning for a run"


def test_of_two_spellings_one_may_be_null():
    """The order does not matter: a key whose value is null counts as a missing key."""
    for keys in ({"steps": None, "jobs": [{}]}, {"jobs": [{}], "steps": None}):
        assert len(load_plan({"workflow": keys}).workflow.steps) == 1


def test_a_null_and_a_plan_that_is_loaded_again_give_no_warning():
    """A null has nothing to ignore, and a loaded plan has already given its warning."""
    source = {"workflow": {"steps": [{"id": "a"}], "meta": {"x": 1}}, "openfn": None}
    plan, sentences = sentences_of(source)
    assert len(sentences) == 1
    assert sentences_of(plan) == (plan, [])


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ({"workflow": {"steps": [{"id": "a"}]}, "options": {"history": 1}}, "options.history"),
        (
            {"workflow": {"steps": [{"id": "a", "next": {"a2": {"meta": 1}}}, {"id": "a2"}]}},
            "workflow.steps[0].next.a2.meta",
        ),
        (
            {"workflow": {"steps": [{"id": "a", "expression": JOB, "queue": {}}]}},
            "workflow.steps[0].queue",
        ),
    ],
)
def test_they_are_unknown_everywhere_else(source, path):
    """The keys are accepted only where the tools write them; other places refuse them as unknown."""
    [line] = problems_of(source)
    assert line.startswith(f"{path}: unknown key")


def test_the_meta_of_the_plan_is_merged_over_that_of_the_workflow():
    """The merge is one level deep, and the plan keeps its meta when it is loaded again."""
    workflow = {"steps": [{"id": "a"}], "meta": {"a": 1, "b": {"x": 1}}}
    plan, _ = sentences_of({"workflow": workflow, "meta": {"b": {"y": 2}, "c": None}})
    assert plan.meta == {"a": 1, "b": {"y": 2}, "c": None}
    workflow["meta"]["a"] = 2
    assert load_plan(plan).meta["a"] == 1
    assert load_plan({"workflow": {"steps": [{"id": "a"}]}}).meta == {}


@pytest.mark.parametrize(
    ("meta", "line"),
    [
        ([1], "meta: must be an object, not a list"),
        ("x", "meta: must be an object, not text"),
        ({1: 1}, "meta: must have text as keys, not a number"),
        ({"f": print}, "meta.f: cannot carry"),
    ],
)
def test_a_meta_that_no_event_can_carry_is_refused(meta, line):
    """The error gives the path of the value."""
    [found] = problems_of({"workflow": {"steps": [{"id": "a"}]}, "meta": meta})
    assert found.startswith(line) or (line.startswith("meta.f") and "meta.f" in found)


def test_python_warns_where_the_engine_was_called():
    """A `PlanWarning` points to the line of the caller, and not into the engine."""
    source = json.dumps({"workflow": {"steps": [{"id": "a"}]}, "openfn": 1})
    with (
        warnings.catch_warnings(record=True) as caught,
        engine.Engine(max_runs=1, start_mode="exec") as one,
    ):
        warnings.simplefilter("always")
        line = sys._getframe().f_lineno + 1
        load_plan(source)
        with pytest.raises(PlanError):
            one.execute({"openfn": 1})
        one.execute(source).cancel()

    assert [w.category for w in caught] == [PlanWarning, PlanWarning]
    assert issubclass(engine.PlanWarning, UserWarning)
    assert {w.filename for w in caught} == {__file__}
    assert caught[0].lineno == line
