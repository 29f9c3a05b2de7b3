"""`sql` takes a text that the job has as a literal, and refuses a text that was put together."""

from __future__ import annotations

from typing import Any

import pytest
from postgresql import InterpolatedQueryError, sql

pytestmark = pytest.mark.slow

NAMED = "select 'at the top level'"
DATA = "x' or '1'='1"


def accept(query: Any) -> None:
    """Resolve the text without a server."""
    assert sql(query, execute=False)({"data": DATA}) == {"data": DATA}


def written_in_a_function() -> str:
    return "select 'in a helper'"


def test_a_text_that_stands_in_the_job_is_accepted():
    """As a literal, by name, from a helper, or as a choice between literals."""
    local = "select 'a local'"
    sql("select 1", execute=False)({})
    accept("select" + " 'folded'")
    accept(f"select 'without a value'")  # noqa: F541
    accept(local)
    accept(NAMED)
    accept(lambda state: "select 'a'" if state["data"] else "select 'b'")
    for query in ("select 'one of'", "select 'a tuple'"):
        accept(query)

    def nested() -> None:
        accept("select 'nested'")

    nested()


JOINED = [
    lambda value: f"select '{value}'",
    lambda value: "select '%s'" % value,  # noqa: UP031 - one of the ways
    lambda value: "select '{}'".format(value),  # noqa: UP032, PLW0108 - another one
    lambda value: "select '" + value + "'",
    lambda value: "".join(["select '", value, "'"]),  # noqa: FLY002 - another one
    lambda value: "select 'X'".replace("X", value),
]


@pytest.mark.parametrize("join", JOINED, ids=["f", "percent", "format", "plus", "join", "replace"])
def test_a_text_that_was_put_together_is_refused(join: Any):
    """At the call, or when the state is known; the hint shows both remedies."""
    with pytest.raises(InterpolatedQueryError) as caught:
        sql(join(DATA), execute=False)
    assert "values=[state.data.id]" in str(caught.value)
    assert "identifiers={" in str(caught.value)
    assert caught.value.retryable is False
    operation = sql(lambda state: join(state["data"]), execute=False)
    with pytest.raises(InterpolatedQueryError):
        operation({"data": DATA})


def test_the_text_of_the_state_is_refused():
    """A query that comes with the data is not one of the job's author."""
    with pytest.raises(InterpolatedQueryError):
        sql(lambda state: state["query"], execute=False)(
            {"query": "select 'from the state'[1:]"[:-4]}
        )


def test_what_cannot_be_detected_is_known():
    """A text of the top level counts as written, also if it was put together from other texts there."""
    scope: dict[str, Any] = {"sql": sql}
    exec("part = 'b'\nquery = f'select {part}'\noperation = sql(query, execute=False)", scope)
    assert scope["operation"]({}) == {}
    with pytest.raises(InterpolatedQueryError):
        exec("def main():\n    part = 'b'\n    return sql(f'select {part}')\nmain()", scope)
