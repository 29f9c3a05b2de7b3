"""The adaptors do in a confined run what they do in a test: lazy state, logs, errors, network."""

from __future__ import annotations

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import engine

ADAPTORS = Path(__file__).parents[3] / "adaptors"

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
def repo(tmp_path_factory):
    """A repo with the adaptors of this project."""
    root = tmp_path_factory.mktemp("repo")
    entries = []
    for name in ("common", "rest"):
        shutil.copytree(ADAPTORS / name / name, root / f"{name}_1.0.0" / name)
        entries.append({"name": name, "version": "1.0.0", "path": f"{name}_1.0.0", "module": name})
    (root / "repo.json").write_text(json.dumps({"adaptors": entries}))
    return root


@pytest.fixture
def server():
    """A server that tells which path it was asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(self.path).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            """Say nothing."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}).start()
    yield f"127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def run(repo, expression, state, *, net=(), events=None, **step):
    plan = {"workflow": {"steps": [{"id": "a", "expression": expression, **step}]}}
    options = engine.RunOptions(permissions=engine.Permissions(net=net))
    return engine.run(
        plan,
        state,
        repo_dir=repo,
        options=options,
        on_event=events.append if events is not None else None,
    )


def test_verbs_work_with_lazy_state(repo):
    """Nested verbs, plain functions and functions of items get their state when they run."""
    events = []
    rows = [{"n": 1}, {"n": 2}, {"n": 3}]

    state = run(repo, JOB, {"data": {"rows": rows}, "base": 10}, events=events, adaptor="common")

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


def test_a_failed_verb_is_an_adaptor_error_at_its_call(repo):
    """The report carries what the exception carries, and the line of the job."""
    state = run(
        repo, 'fn(lambda s: s)\nassert_(state.n > 1, "too few")', {"n": 1}, adaptor="common"
    )

    report = state["errors"]["a"]
    assert (report["name"], report["message"]) == ("AdaptorError", "too few")
    assert (report["position"]["line"], report["operation"]["name"]) == (2, "assert_")
    assert report["details"]["value"] is False


def test_a_request_needs_the_permission(repo, server):
    """With it, the request is made and the credential used; without it, the error says so."""
    configured = {"adaptor": "rest", "configuration": {"base_url": f"http://{server}"}}
    job = 'get("patients", query={"since": state.since})'

    allowed = run(repo, job, {"since": 3}, net=(server,), **configured)
    refused = run(repo, job, {"since": 3}, **configured)

    assert allowed["data"] == "/patients?since=3"
    assert refused["errors"]["a"]["subtype"] == "UnreachableError"
    assert "net permissions do not include it" in refused["errors"]["a"]["message"]
