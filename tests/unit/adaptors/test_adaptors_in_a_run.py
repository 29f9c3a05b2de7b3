"""The adaptors work in a confined run as in a test: lazy state, logs, errors, network."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from bundled_repo import make_bundled_repo

import engine

pytestmark = pytest.mark.slow

JOB = """
fn(lambda state: {**state, "seen": []})
each(
    state.data.rows,
    fn(lambda state: {**state, "seen": [*state["seen"], state["data"]["n"]]}),
    restore_data=True,
)
each(
    chunk(state.data.rows, 2),
    fn(lambda state: {**state, "parts": state.get("parts", 0) + 1}),
    restore_data=True,
)
fn_if(len(state.seen) > 1, combine(log("many"), debug(state.seen)))
as_("sums", map_(state.data.rows, lambda row: row["n"] + state.base))
as_("groups", group_by(state.data.rows, lambda row: "odd" if row["n"] % 2 else "even"))
cursor(state.cursor, default=state.seen[0], format=lambda value: value + state.base)
"""


@pytest.fixture(scope="module")
def eng(tmp_path_factory):
    """An engine with the adaptors of this project."""
    root = tmp_path_factory.mktemp("repo")
    make_bundled_repo(root, "common", "rest")
    with engine.Engine(repo_dir=root) as made:
        yield made


@pytest.fixture
def server():
    """A server whose answer is the path of the request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(self.path).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            """Write no log."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}).start()
    yield f"127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def run(eng, expression, state, *, net=(), events=None, **step):
    """Run one step; return its state."""
    plan = {"workflow": {"steps": [{"id": "a", "expression": expression, **step}]}}
    options = engine.RunOptions(permissions=engine.Permissions(net=net))
    handle = eng.execute(plan, state, options=options)
    result = handle.result(60)
    assert result.state is not None, result.error
    if events is not None:
        events += handle.poll(after=0)
    return result.state


def test_the_example_of_the_readme_of_common_runs(eng):
    """With the state that the page gives."""
    text = (Path(__file__).parents[3] / "adaptors" / "common" / "README.md").read_text()
    found = re.search(r"<!-- test: run, with state (.*?) -->\n```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    state = run(eng, found[2], json.loads(found[1]), adaptor="common")
    assert state["seen"] == [1, 2]
    assert state["cursor"].endswith("T00:00:00.000Z")


def test_verbs_work_with_lazy_state(eng):
    """Nested verbs, plain functions and functions of items get their state when they run."""
    events = []
    rows = [{"n": 1}, {"n": 2}, {"n": 3}]

    state = run(eng, JOB, {"data": {"rows": rows}, "base": 10}, events=events, adaptor="common")

    assert state == {
        "data": {"rows": rows},
        "base": 10,
        "seen": [1, 2, 3],
        "parts": 2,
        "sums": [11, 12, 13],
        "groups": {"odd": [{"n": 1}, {"n": 3}], "even": [{"n": 2}]},
        "cursor": 11,
    }
    logs = [(e.level, e.source, e.message) for e in events if isinstance(e, engine.Log)]
    assert logs[:2] == [("info", "adaptor", "many"), ("debug", "adaptor", "[1, 2, 3]")]


def test_functions_that_use_the_state_work_in_every_verb(eng):
    """In a function as argument, `state` is that of the verb; in `each`, that of the item."""
    job = """
rows = [{"k": "a", "n": 1}, {"k": "b", "n": 2}]
as_("groups", group_by(rows, lambda row: row["k"] == state.data.y))
as_("nested", group_by(rows, lambda row: (lambda k: k + state.data.y)(row["k"])))
as_("by_path", group_by(rows, state.data.path))
as_("mapped", map_(rows, lambda row: row["k"] + state.data.y))
as_("indexed", map_(rows, lambda row, i: [row["n"] + i, state.data.y]))
as_("three", map_(rows, lambda row, i, s: s["data"]["y"] + state.data.y))
as_("comprehension", map_(rows, lambda row: [y + row["k"] for y in state.data.y]))
as_("async", map_(rows, double(state.data.y)))
fn(lambda s: {**s, "made": state.data.y})
fn_if(lambda s: s["made"] == state.data.y, fn(lambda s: {**s, "taken": state.data.y}))
each(rows, fn(lambda s: {**s, "last": state.data.k}), restore_data=True)
each(lambda s: [state.data.y], fn(lambda s: {**s, "once": s["data"]}), restore_data=True)
combine(fn(lambda s: {**s, "combined": state.data.y}))
alter_state(lambda s: {**s, "altered": state.data.y})
assert_(lambda s: s["data"]["y"] == state.data.y, lambda s: state.data.y)
as_(lambda s: "key_" + state.data.y, map_(rows, lambda row: row["n"]))
cursor("now", key="at", format=lambda when: state.data.y)
as_("merged", fn(lambda s: {**s, "data": merge([{}], {"y": lambda s: state.data.y})(s)}))
as_("csv", parse_csv("a,b\\n1,2", {"columns": lambda names: [n + state.data.y for n in names]}))
as_("expanded", fn(lambda s: {**s, "data": expand_references([1, 2], lambda v: v == state.data.y)(s)}))
""".replace("\\\\n", "\\n")
    helpers = (
        "def double(y):\n    async def twice(row):\n        return row['k'] + y\n    return twice\n"
    )
    plan = {
        "workflow": {
            "globals": helpers,
            "steps": [{"id": "a", "adaptor": "common", "expression": job}],
        }
    }
    state = eng.execute(plan, {"data": {"y": "b", "path": "k"}}).result(60).state

    a, b = {"k": "a", "n": 1}, {"k": "b", "n": 2}
    assert "errors" not in state, state["errors"]
    assert state["groups"] == {False: [a], True: [b]}
    assert state["nested"] == {"ab": [a], "bb": [b]}
    assert state["by_path"] == {"a": [a], "b": [b]}
    assert state["mapped"] == ["ab", "bb"]
    assert state["indexed"] == [[1, "b"], [3, "b"]]
    assert state["three"] == ["bb", "bb"]
    assert state["comprehension"] == [["ba"], ["bb"]]
    assert state["async"] == ["ab", "bb"]
    assert state["csv"] == [{"ab": "1", "bb": "2"}]
    assert state["merged"] == [{"y": "b"}]
    named = ("made", "taken", "last", "once", "combined", "altered", "at")
    assert [state[name] for name in named] == ["b"] * len(named)
    assert state["key_b"] == [1, 2]


def test_a_failed_verb_is_an_adaptor_error_at_its_call(eng):
    """The report has the data of the exception, and the line of the job."""
    state = run(eng, 'fn(lambda s: s)\nassert_(state.n > 1, "too few")', {"n": 1}, adaptor="common")

    report = state["errors"]["a"]
    assert (report["name"], report["message"]) == ("AdaptorError", "too few")
    assert (report["position"]["line"], report["operation"]["name"]) == (2, "assert_")
    assert report["details"]["value"] is False


def test_a_request_needs_the_permission(eng, server):
    """With the permission, the credential is used; without it, the error names the permission."""
    configured = {"adaptor": "rest", "configuration": {"base_url": f"http://{server}"}}
    job = 'get("patients", query={"since": state.since})'

    allowed = run(eng, job, {"since": 3}, net=(server,), **configured)
    refused = run(eng, job, {"since": 3}, **configured)

    assert allowed["data"] == "/patients?since=3"
    assert refused["errors"]["a"]["subtype"] == "UnreachableError"
    assert "net permissions do not include it" in refused["errors"]["a"]["message"]
