"""The HTTP interface does for a manager in any language what `engine` and `jobcell.Store` do in Python."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from serving import COUNT, FAIL, WAIT, Client, plan_of, serve, served

import jobcell
from jobcell.server import EngineBackend, StoreBackend
from jobcell.server.security import loopback_hosts

EXAMPLE = Path(__file__).parents[3] / "examples" / "sidecar" / "client.mjs"


@pytest.fixture(scope="module")
def client():
    """A server with an engine of its own."""
    with served(
        EngineBackend(jobcell.Engine(max_runs=2)), hosts=loopback_hosts("127.0.0.1")
    ) as port:
        yield Client(port)


def start(client, plan, **more):
    status, body = client.post("/api/v1/runs", {"plan": plan, **more})
    assert status == 201, body
    return body["id"]


def finish(client, run_id):
    status, result = client.get(f"/api/v1/runs/{run_id}/result?wait_s=60")
    assert status == 200, result
    return result


def test_a_run_is_started_and_its_result_read(client):
    """The result is that of `engine.to_json`."""
    run_id = start(client, plan_of(COUNT, COUNT), state={"n": 1})
    result = finish(client, run_id)
    assert (result["reason"], result["state"]["n"]) == ("success", 3)
    assert jobcell.result_from_json(json.dumps(result)).reason == "success"
    assert client.get(f"/api/v1/runs/{run_id}")[1]["state"] == "done"


def test_a_server_without_collections_says_so_at_once(client):
    """A run that may use them would fail at its first request, perhaps after hours."""
    options = {"permissions": {"collections": ["visits"]}}
    status, body = client.post("/api/v1/runs", {"plan": plan_of(COUNT), "options": options})
    assert status == 400, body
    assert "this server has no collections" in body["message"]
    assert "jobcell serve --engine --collection NAME" in body["message"]


def test_events_are_read_by_cursor(client):
    """Pages have one order and no gap, and `over` comes with the last event."""
    run_id = start(client, plan_of(COUNT))
    finish(client, run_id)
    _, page = client.get(f"/api/v1/runs/{run_id}/events")
    numbers = [event["seq"] for event in page["events"]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert page["over"]
    assert page["events"][-1]["type"] == "workflow-complete"
    _, rest = client.get(f"/api/v1/runs/{run_id}/events?after={numbers[-2]}")
    assert rest["events"] == page["events"][-1:]
    _, none = client.get(f"/api/v1/runs/{run_id}/events?after={numbers[-1]}")
    assert none == {"events": [], "over": True}


def test_a_state_that_json_lacks_has_the_form_of_to_json(client):
    """Bytes and large integers come through the events as `engine.event_from_json` reads them."""
    text = "def main(state): return {**state, 'b': b'hi', 'i': 2 ** 70}"
    run_id = start(client, plan_of(text))
    finish(client, run_id)
    _, page = client.get(f"/api/v1/runs/{run_id}/events")
    events = [jobcell.event_from_json(json.dumps(event)) for event in page["events"]]
    assert events[-1].state["b"] == b"hi"
    assert events[-1].state["i"] == 2**70


def stream(client, path, **headers):
    """Yield the server-sent events of a path as id, event and data."""
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
    connection.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    message = {}
    for raw in answer:
        line = raw.decode().rstrip("\r\n")
        if line:
            key, _, value = line.partition(": ")
            message[key] = value
        elif message:
            yield message.get("id"), message.get("event"), json.loads(message.get("data", "null"))
            if message.get("event") == "end":
                break
            message = {}
    connection.close()


def test_events_come_as_they_happen(client):
    """A stream gives each event while the run goes on, and ends after the last one."""
    run_id = start(client, plan_of(COUNT, WAIT), options={"timeout_s": 60})
    messages = stream(client, f"/api/v1/runs/{run_id}/stream")
    seen = []
    for number, kind, _ in messages:
        seen.append((int(number), kind))
        if (
            seen.count((int(number), "job-start"))
            and len([k for _, k in seen if k == "job-start"]) == 2
        ):
            break
    assert client.post(f"/api/v1/runs/{run_id}/cancel", {"reason": "enough"})[0] == 202
    rest = list(messages)
    assert rest[-1][1] == "end"
    assert rest[-2][1] == "workflow-error"
    assert rest[-2][2]["error"]["name"] == "Cancelled"
    numbers = [number for number, _ in seen] + [int(number) for number, _, _ in rest[:-1]]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_stream_goes_on_after_a_lost_connection(client):
    """With `Last-Event-ID` a client gets only what it has not seen."""
    run_id = start(client, plan_of(COUNT, COUNT))
    finish(client, run_id)
    everything = list(stream(client, f"/api/v1/runs/{run_id}/stream"))
    again = list(stream(client, f"/api/v1/runs/{run_id}/stream", Last_Event_ID="4"))
    assert again == everything[4:]


def test_a_run_without_an_end_has_no_result_yet(client):
    """409 says that the run goes on; a cancelled run has a result, and cannot be cancelled again."""
    run_id = start(client, plan_of(WAIT))
    assert client.get(f"/api/v1/runs/{run_id}/result")[0] == 409
    assert client.post(f"/api/v1/runs/{run_id}/retry")[0] == 409
    assert client.post(f"/api/v1/runs/{run_id}/cancel")[0] == 202
    assert finish(client, run_id)["reason"] == "cancelled"
    assert client.post(f"/api/v1/runs/{run_id}/cancel")[0] == 409


def test_a_run_is_started_again(client):
    """The new run has the plan and the state of the old one, and an id of its own."""
    run_id = start(client, plan_of(FAIL, id="first"), state={"n": 5})
    assert finish(client, run_id)["reason"] == "fail"
    status, made = client.post(f"/api/v1/runs/{run_id}/retry")
    assert status == 201
    assert made["id"] != "first"
    assert finish(client, made["id"])["reason"] == "fail"


def test_the_same_id_again_is_the_same_run(client):
    """A client may repeat a request whose answer it has lost; another plan is a conflict."""
    first = start(client, plan_of(COUNT), id="once")
    assert start(client, plan_of(COUNT), id="once") == first == "once"
    status, body = client.post("/api/v1/runs", {"plan": plan_of(FAIL), "id": "once"})
    assert (status, body["error"]) == (409, "Conflict")


def test_credentials_reach_the_step_and_stay_out_of_the_events(client):
    """A manager gives credentials with the run; events have them redacted."""
    step = {
        "id": "a",
        "configuration": "login",
        "expression": "def main(state): return {'t': state.configuration.token}",
    }
    plan = {"workflow": {"steps": [step]}}
    run_id = start(client, plan, credentials={"login": {"token": "sesame-4711-x"}})
    assert finish(client, run_id)["reason"] == "success"
    _, page = client.get(f"/api/v1/runs/{run_id}/events")
    assert "sesame" not in json.dumps(page)
    _, report = client.get(f"/api/v1/runs/{run_id}/report")
    assert "sesame" not in json.dumps(report)


def test_the_list_is_read_in_pages(client):
    """Each run is in one page, the newest first."""
    made = [start(client, plan_of(COUNT), tenant="pages") for _ in range(5)]
    for run_id in made:
        finish(client, run_id)
    found, before = [], ""
    while True:
        _, page = client.get(f"/api/v1/runs?tenant=pages&limit=2{before}")
        found += [run["id"] for run in page["runs"]]
        if not page["more"]:
            break
        before = f"&before={found[-1]}"
    assert found == made[::-1]
    assert client.get("/api/v1/runs?tenant=pages&state=running")[1]["runs"] == []


def test_a_plan_is_checked_and_nothing_runs(client):
    """All problems have their path and line."""
    status, body = client.post("/api/v1/plans/check", {"plan": plan_of("x =", "y = unknown_name")})
    assert status == 200
    assert {p["step_id"] for p in body["problems"]} == {"s0", "s1"}
    assert body["problems"][0]["line"] == 1
    assert client.post("/api/v1/plans/check", {"plan": plan_of(COUNT)}) == (200, {"problems": []})


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({"plan": {"workflow": {"steps": []}}}, "workflow.steps"),
        ({"plan": 1}, "plan"),
        ({}, "plan"),
        ({"plan": {}, "zebra": 1}, "zebra"),
        ({"plan": plan_of(COUNT), "options": {"zebra": 1}}, "unknown field 'zebra'"),
        ({"plan": plan_of(COUNT), "options": {"timeout_s": -1}}, "timeout_s must be"),
        ({"plan": plan_of(COUNT), "options": {"permissions": {"net": ["https://x"]}}}, "https://x"),
        ({"plan": plan_of(COUNT), "not_before": 5.0}, "needs a store"),
    ],
)
def test_bad_input_is_one_clear_error(client, body, part):
    """The status is 400, and the body names what is wrong."""
    status, answer = client.post("/api/v1/runs", body)
    assert status == 400, answer
    assert part in json.dumps(answer)
    assert set(answer) <= {"error", "message", "problems"}


@pytest.mark.parametrize("path", ["", "/events", "/result", "/report", "/stream"])
def test_an_unknown_run_is_not_found(client, path):
    """Each path of a run says so in the same form."""
    status, body = client.get(f"/api/v1/runs/nothing{path}")
    assert (status, body["error"]) == (404, "UnknownRun")
    assert "'nothing'" in body["message"]


def test_pages_of_other_sites_get_no_answer(client):
    """A foreign host name (DNS rebinding) and a foreign origin are refused; twins with our own pass."""
    assert client.get("/api/v1/runs", Host="evil.example")[0] == 403
    assert client.get("/api/v1/runs", Host=f"localhost:{client.port}")[0] == 200
    body = {"plan": plan_of(COUNT)}
    own = f"http://127.0.0.1:{client.port}"
    assert client.post("/api/v1/runs", body, Origin="http://evil.example")[0] == 403
    assert client.post("/api/v1/runs", body, Sec_Fetch_Site="cross-site")[0] == 403
    assert client.post("/api/v1/runs", body, Origin=own)[0] == 201
    # A form of another site cannot send JSON.
    assert client.post("/api/v1/runs", body, Content_Type="text/plain")[0] == 415


def test_answers_have_a_policy(client):
    """Pages load and run nothing of other sites, and no other site may frame them."""
    for path in ("/", "/runs/x", "/api/v1/runs"):
        headers = client.ask("GET", path)[2]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"


def test_a_token_is_required_where_there_is_one():
    """Only paths without a secret are open; a cookie of the login serves a browser."""
    backend = EngineBackend(jobcell.Engine(max_runs=1))
    with served(backend, token="open-sesame-4711") as port:
        client = Client(port)
        assert client.get("/api/v1/runs")[0] == 401
        assert client.get("/")[0] == 401
        assert client.get("/metrics")[0] == 401
        assert client.get("/livez")[0] == 200
        assert client.get("/login")[0] == 200
        assert "This server needs its token." in client.get("/login")[1]
        assert "This is not the token of the server." in client.get("/login?wrong=1")[1]
        assert client.get("/openapi/openapi.json")[0] == 401
        assert client.get("/api/v1/runs", Authorization="Bearer wrong-token-0000")[0] == 401
        assert client.get("/api/v1/runs", Authorization="Bearer open-sesame-4711")[0] == 200
        form = {"Content_Type": "application/x-www-form-urlencoded"}
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for token, location in (("no", "/login?wrong=1"), ("open-sesame-4711", "/")):
            connection.request(
                "POST", "/login", f"token={token}", {"Content-Type": form["Content_Type"]}
            )
            answer = connection.getresponse()
            answer.read()
            assert (answer.status, answer.headers["Location"]) == (303, location)
        cookie = answer.headers["Set-Cookie"]
        connection.close()
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert client.get("/api/v1/runs", Cookie=cookie.partition(";")[0])[0] == 200


def test_the_server_says_how_it_is(client):
    """Health and figures are those that Kubernetes and Prometheus read."""
    assert client.get("/livez") == (200, "alive\n")
    assert client.get("/readyz") == (200, "ready\n")
    status, text = client.get("/metrics")
    assert status == 200
    assert 'jobcell_runs_now{state="running"}' in text


def test_the_interface_describes_itself(client):
    """The document names every path, and the forms of plans and results."""
    _, document = client.get("/api/v1/openapi.json")
    assert document["openapi"].startswith("3.1")
    assert {"/api/v1/runs", "/api/v1/runs/{run_id}/stream", "/api/v1/plans/check"} <= set(
        document["paths"]
    )
    assert "RunResult" in json.dumps(document["components"]["schemas"])


@pytest.fixture(params=["tcp", "unix"])
def address(request, client, tmp_path):
    """The address of a server, for a client in another language."""
    if request.param == "tcp":
        yield f"http://127.0.0.1:{client.port}"
        return
    path = tmp_path / "jobcell.sock"
    with serve(tmp_path, "--engine", "--uds", str(path)) as process:
        assert "jobcell serves on" in process.stderr.readline()  # from now on it takes connections
        yield f"unix:{path}"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)


def test_a_client_in_javascript_runs_a_plan(address, tmp_path):
    """The example starts a run, prints its events and its result; a wrong plan is an error with its reason."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node (Debian: apt-get install nodejs)")

    def run(plan):
        (tmp_path / "plan.json").write_text(json.dumps(plan))
        return subprocess.run(
            [node, EXAMPLE, address, "plan.json", "state.json"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    (tmp_path / "state.json").write_text('{"n": 1}')
    job = "def main(state):\n    print('h\u00ef')\n    return {**state, 'n': state.n + 1}"
    done = run(plan_of(job))
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[0].startswith("1 workflow-start")
    assert any("log s0 h\u00ef" in line for line in lines)
    assert json.loads(lines[-1]) == {"reason": "success", "state": {"data": {}, "n": 2}}
    refused = run({"workflow": {"steps": []}})
    assert refused.returncode == 1
    assert "steps" in refused.stderr


def test_runs_of_a_store_are_served(store_url):
    """With a store the server lists, queues and cancels runs that workers carry out."""
    pytest.importorskip("dbos")
    store = jobcell.Store.open(store_url)
    with served(StoreBackend(store)) as port:
        client = Client(port)
        run_id = start(client, plan_of(COUNT), id="stored", tenant="served")
        assert client.get("/api/v1/runs?tenant=served")[1]["runs"][0]["id"] == run_id
        assert client.get(f"/api/v1/runs/{run_id}")[1]["state"] == "queued"
        assert client.get(f"/api/v1/runs/{run_id}/events")[1] == {"events": [], "over": False}
        _, report = client.get(f"/api/v1/runs/{run_id}/report")
        assert [step["id"] for step in report["steps"]] == ["s0"]
        status, body = client.post(
            "/api/v1/runs", {"plan": plan_of(COUNT), "credentials": {"a": 1}}
        )
        assert (status, "workers load them" in body["message"]) == (400, True)
        assert client.post(f"/api/v1/runs/{run_id}/cancel")[0] == 202
        assert finish(client, run_id)["reason"] == "cancelled"
        _, page = client.get(f"/api/v1/runs/{run_id}/events")
        assert page["over"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/runs/nope"),
        ("GET", "/nope"),
        ("GET", "/api/v1/runs?limit=x"),
        ("PUT", "/api/v1/runs"),
        ("OPTIONS", "/"),
        ("HEAD", "/"),
        ("POST", "/api/v1/runs"),
    ],
)
def test_an_error_has_the_policy_as_well(client, method, path):
    """Each answer has the headers that keep a browser from running or loading anything of others."""
    headers = client.ask(method, path)[2]
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"]


@pytest.mark.parametrize(
    "path", ["/", "/livez", "/readyz", "/metrics", "/api/v1/runs", "/runs/x", "/static/page.css"]
)
def test_head_is_answered_like_get_without_a_body(client, path):
    """A load balancer may ask with HEAD."""
    status, body, headers = client.ask("HEAD", path)
    assert (status, body) == (200, "")
    assert headers["Content-Type"] == client.ask("GET", path)[2]["Content-Type"]


def test_head_of_a_stream_ends_at_once(client):
    """The answer has the type of a stream, and does not wait for the end of the run."""
    run_id = start(client, plan_of(WAIT))
    status, body, headers = client.ask("HEAD", f"/api/v1/runs/{run_id}/stream")
    assert (status, body) == (200, "")
    assert headers["Content-Type"].startswith("text/event-stream")
    assert client.get(f"/api/v1/runs/{run_id}")[1]["state"] in {"queued", "running"}
    client.post(f"/api/v1/runs/{run_id}/cancel")


def test_a_body_that_is_nested_too_deeply_is_bad_input(client):
    """It is not an error of the server."""
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
    body = b'{"plan": {"workflow": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    connection.request("POST", "/api/v1/runs", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["message"]) == (
        400,
        "the body is nested too deeply",
    )
    connection.close()


@pytest.mark.parametrize("run_id", ["a/b", ".", "..", "x" * 501])
@pytest.mark.parametrize("is_of_plan", [True, False])
def test_an_id_that_no_address_can_name_is_refused(client, run_id, is_of_plan):
    """Otherwise a client could start a run, and could not read or end it."""
    plan = plan_of(COUNT)
    body = {"plan": {**plan, "id": run_id}} if is_of_plan else {"plan": plan, "id": run_id}
    status, answer = client.post("/api/v1/runs", body)
    assert status == 400
    assert "cannot be a part of an address" in answer["message"]


def test_a_wrong_parameter_has_the_name_that_the_client_has_used(client):
    """The message says which parameter is wrong, and what would be right."""
    status, body = client.get("/api/v1/runs?state=nope")
    assert (status, body["message"]) == (400, "state: Invalid enum value 'nope'")
    status, body = client.get("/api/v1/runs/x/stream", Last_Event_ID="x")
    assert status == 400
    assert body["message"].startswith("Last-Event-ID: ")


def test_an_error_of_the_server_says_nothing_of_its_inside(caplog):
    """The client gets a body like that of other errors; the log of the server has the reason."""

    class Broken(EngineBackend):
        def counts(self):
            raise RuntimeError("the inside of the server")

    with served(Broken(jobcell.Engine(max_runs=1))) as port:
        status, body = Client(port).get("/api/v1/counts")
    assert (status, body["error"]) == (500, "InternalError")
    assert "inside" not in json.dumps(body)
    assert "the inside of the server" in caplog.text
