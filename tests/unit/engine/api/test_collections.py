"""Rules for collections are read strictly, and narrowed by steps."""

from __future__ import annotations

import pytest

from engine import Permissions, PlanError, RunOptions
from engine.api import is_covered, parse_collection_rule
from engine.plan import load_plan


@pytest.mark.parametrize(
    "text", ["visits", "visits:read", "visits:write", "*", "*:read", "2024", "a.b-c_D", "a" * 100]
)
def test_a_rule_is_read(text):
    """The text of a rule is that from which it was read."""
    assert str(parse_collection_rule(text)) == text
    assert Permissions(collections=[text]).collections == (text,)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "a name has letters"),
        ("visits:", "write 'visits', 'visits:read' or 'visits:write'"),
        ("visits:all", "write 'visits', 'visits:read' or 'visits:write'"),
        ("visits:READ", "'visits:read'"),
        ("visits*", "'*' alone means all collections"),
        ("a/b", "a name has letters"),
        (".hidden", "begins with a letter or a digit"),
        ("a b", "a name has letters"),
        ("é", "a name has letters"),
        ("visits\n", "a name has letters"),
        ("a" * 101, "at most 100 characters"),
        (":read", "a name has letters"),
    ],
)
def test_anything_else_is_an_error_that_quotes_it(text, hint):
    """The error says what would be right."""
    with pytest.raises(ValueError, match="is not a rule for a collection") as caught:
        Permissions(collections=[text])
    assert hint in str(caught.value)
    assert repr(text)[:20].strip("'") in str(caught.value)


def test_a_text_in_place_of_a_list_is_an_error():
    """Its letters would be the names of collections."""
    with pytest.raises(TypeError, match=r"write collections=\['visits'\]"):
        Permissions(collections="visits")
    with pytest.raises(ValueError, match="1001 rules for collections; allowed: 1000"):
        Permissions(collections=["a"] * 1001)


@pytest.mark.parametrize(
    ("rule", "run", "covered"),
    [
        ("visits:read", ["visits"], True),
        ("visits", ["visits"], True),
        ("visits", ["visits:read", "visits:write"], True),
        ("visits", ["*:read", "visits:write"], True),
        ("visits", ["*"], True),
        ("*:read", ["*"], True),
        ("visits", ["visits:read"], False),
        ("visits:write", ["visits:read"], False),
        ("visits", ["other"], False),
        ("*", ["visits"], False),
        ("*", ["*:read"], False),
        ("visits:read", [], False),
    ],
)
def test_a_step_can_only_narrow_the_rules_of_its_run(rule, run, covered):
    """The plan is refused before anything is started, with the path of the rule."""
    assert is_covered(parse_collection_rule(rule), map(parse_collection_rule, run)) is covered
    step = {"id": "a", "expression": "x()", "permissions": {"collections": [rule]}}
    permissions = Permissions(collections=run)
    if covered:
        plan = load_plan({"workflow": {"steps": [step]}}, permissions=permissions)
        assert plan.workflow.steps[0].permissions.collections == (rule,)
        return
    with pytest.raises(PlanError) as caught:
        load_plan({"workflow": {"steps": [step]}}, permissions=permissions)
    [problem] = caught.value.problems
    assert problem.path == "workflow.steps[0].permissions.collections[0]"
    assert f"{rule!r} is not among the permissions of the run" in problem.message


def test_a_wrong_rule_in_a_plan_is_a_problem_with_its_path():
    """The same text as for `Permissions`."""
    step = {"id": "a", "expression": "x()", "permissions": {"collections": ["a/b"]}}
    with pytest.raises(PlanError) as caught:
        load_plan({"workflow": {"steps": [step]}})
    [problem] = caught.value.problems
    assert problem.path == "workflow.steps[0].permissions.collections[0]"
    assert "'a/b' is not a rule for a collection" in problem.message


@pytest.mark.parametrize("value", [0, -1, 1.5, "3"])
def test_the_limit_of_requests_is_a_whole_number_above_zero(value):
    """As all other limits."""
    with pytest.raises((TypeError, ValueError), match="max_collection_requests"):
        RunOptions(max_collection_requests=value)
