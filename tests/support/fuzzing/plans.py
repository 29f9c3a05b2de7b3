"""Plan JSON into the reader: a plan, or a `PlanError` with the place of each problem.

The first byte of an input chooses the form of the plan; the rest is its text.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from engine import RunOptions
from engine.api.errors import PlanError, Problem
from engine.confinement.policy import Policy
from engine.plan.validation import load_plan
from engine.running.preparation import prepare
from fuzzing.mutation import VALUES, mutate_bytes, mutate_value
from fuzzing.target import Target
from protocol.codec import decode_to_child
from protocol.messages import Start

ROOT = Path(__file__).parents[3]
OPTIONS = RunOptions()
REQUEST = Policy().request(options=OPTIONS, read_paths=[])
_NAMES = (
    "workflow steps jobs id name start end next condition expression adaptor adaptors configuration"
    " state options timeout step_timeout stepTimeout timeoutMs globals credentials meta cursor disabled"
    " enabled on_job_success on_job_failure always label edges triggers code body"
)
KEYS = _NAMES.split()
PARTS = (*'{}[]",:', "\\", "\\ud800", "\\u0000", "1e999", "NaN", "\ufeff", "1" * 5000, "[" * 500)
WORDS = tuple(word.encode() for word in (*KEYS, *PARTS))
PLAN_VALUES = (
    *(value for value in VALUES if not isinstance(value, bytes)), *KEYS, "\ud800", 10**30, "a b", " ",
    "fn(state)", "state.n > 1", "x ===", "common@1.0.0", "common@", "../x", "job-1", "job-2", "A",
    {"id": "a", "expression": "fn(state)"}, {"a": True, "b": "always", "c": {"condition": False}},
)  # fmt: skip


def check(data: bytes) -> None:
    """Read one plan, and read an accepted plan again; then make the order for a run of it."""
    how, body = data[:1], data[1:]
    source: bytes | str = body
    if how[:1] > b"\x7f":
        source = body.decode("utf-8", "surrogateescape")
    elif how[:1] > b"\x3f":
        source = body.decode("utf-8", "replace")
    ends = ("a", "b") if how and how[0] & 1 else (None, None)
    ignored: list[str] = []
    try:
        plan = load_plan(source, start=ends[0], end=ends[1], warn=ignored.append)
        order = prepare(plan, {}, options=OPTIONS, request=lambda _: REQUEST, repo_dir=None)
    except PlanError as error:
        _check_problems(error.problems, data)
        return
    assert all(sentence.isprintable() for sentence in ignored)
    ids = [step.id for step in plan.workflow.steps]
    assert len(set(ids)) == len(ids) > 0
    assert plan.start in ids
    assert plan.options.end is None or plan.options.end in ids
    assert all(target in ids for step in plan.workflow.steps for target in step.next)
    assert plan.id == order.run_id
    again = load_plan(plan, warn=ignored.append)
    assert repr(again) == repr(plan), "a loaded plan is another one when it is loaded again"
    assert isinstance(decode_to_child(order.start), Start)


def _check_problems(problems: tuple[Problem, ...], data: bytes) -> None:
    assert problems, "a plan was refused without a reason"
    for problem in problems:
        assert isinstance(problem.path, str)
        assert problem.path, f"no path: {problem}"
        assert problem.message, f"no message: {problem}"
        assert str(problem).isprintable(), f"cannot be printed: {str(problem)!r}"
        str(problem).encode()
    size = sum(len(str(problem)) for problem in problems)
    assert size <= 5_000 + 500 * len(data), f"{size} characters are said of {len(data)} bytes"


def mutate(data: bytes, rng: Random) -> bytes:
    """Change a value in the plan, or any byte."""
    if rng.randrange(20) == 0:
        return rng.randbytes(1) + data[1:]
    if rng.randrange(3):
        try:
            plan = mutate_value(json.loads(data[1:]), rng, PLAN_VALUES)
            return data[:1] + json.dumps(plan, ensure_ascii=bool(rng.randrange(2))).encode()
        except (ValueError, RecursionError):
            pass
    return data[:1] + mutate_bytes(data[1:], rng, WORDS)


def seeds() -> list[bytes]:
    """Return the plan of the example, and small plans in every spelling."""
    example = (ROOT / "examples/clinic/plan.json").read_bytes()
    job = {"id": "a", "expression": "fn(state)", "next": {"b": {"condition": "state.n > 1"}}}
    spelled = [
        {"workflow": {"steps": [job, {"id": "b", "expression": "fn(state)"}]}},
        {"workflow": {"steps": [job, {"id": "b", "expression": "x", "next": "a"}]}},
        {"jobs": [job, {"id": "b", "code": "x", "adaptor": "common@latest"}], "start": "a"},
        {"id": "p", "options": {"timeout": 1, "end": "b"}, "steps": [job, {"id": "b", "state": {}}]},
        {"workflow": {"id": "w", "name": "n", "globals": "X = 1", "credentials": {"k": "v"}, "steps":
            [{"expression": "x", "configuration": "cred", "state": "s"}, {"adaptors": ["a@1", "b@2"]}]}},
        {"workflow": {"steps": []}, "meta": {"x": 1}, "cursor": 1},
    ]  # fmt: skip
    return [
        b"\0" + example,
        *(b"\x01" + json.dumps(plan).encode() for plan in spelled),
        b"\xfffn(state)",
    ]


TARGET = Target("plans", check, mutate, seeds, limit_s=1.0)
