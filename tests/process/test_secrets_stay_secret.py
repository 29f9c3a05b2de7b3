"""A credential does not leave the engine, whatever a job does with it by mistake.

Every case runs a real workflow and searches all bytes that came out.  These are events and result
as JSON, their reprs, all output of the process, and the whole output of the command line. The twin
runs the same jobs with a value under a public key: then each of them does show it.
"""

from __future__ import annotations

import base64
import json
import urllib.parse

import msgspec
import pytest
from warm import run_warm

import engine

PASSWORD = "pa55\"w/ö+rd'&x"
HALF = len(PASSWORD) // 2

ADAPTOR = '''
import base64, ctypes, json, logging, os, sys, urllib.error, urllib.parse

def spelled(way):
    """Put the password into data in another spelling, and print it."""
    def operation(state):
        secret = state["configuration"][state["data"]["key"]]
        text = {
            "base64": lambda: base64.b64encode(secret.encode()).decode(),
            "basic": lambda: base64.b64encode(b"user:" + secret.encode()).decode(),
            "urlsafe": lambda: base64.urlsafe_b64encode(b"u:" + secret.encode()).decode(),
            "hex": lambda: secret.encode().hex(),
            "percent": lambda: "https://host/?q=" + urllib.parse.quote(secret),
            "form": lambda: urllib.parse.urlencode({"q": secret}),
            "json": lambda: json.dumps({"q": secret}),
            "unicode": lambda: json.dumps({"q": secret}, ensure_ascii=False),
            "repr": lambda: repr([secret]),
            "bytes": lambda: repr(secret.encode()),
        }[way]()
        print("sending", text)
        return {**state, "data": {"sent": text}}
    return operation

def said(how):
    def operation(state):
        secret = state["configuration"][state["data"]["key"]]
        if how == "print":
            print("login with", secret)
        elif how == "logging":
            logging.getLogger("leaky").warning("login with %s", secret)
        elif how == "fd":
            os.write(1, b"login with " + secret.encode() + b"\\n")
        elif how == "fd in two writes":
            data = secret.encode()
            os.write(1, b"login with " + data[:9])
            os.write(1, data[9:] + b"\\n")
        elif how == "stderr":
            os.write(2, b"login with " + secret.encode())
        elif how == "C":
            data = b"login with " + secret.encode() + b"\\n"
            ctypes.CDLL(None).write(1, data, len(data))
        return state
    return operation

def raised(how):
    def operation(state):
        secret = state["configuration"][state["data"]["key"]]
        if how == "url":
            url = "https://user:" + urllib.parse.quote(secret, safe="") + "@host/path"
            raise urllib.error.HTTPError(url, 401, "401 for " + url, {}, None)
        error = RuntimeError("login failed")
        error.details = {"headers": {"authorization": secret}, "body": secret.encode()}
        error.request = {"password": secret}
        raise error
    return operation
'''

COPY = "def main(state):\n    secret = state['configuration'][state['data']['key']]\n"


def job(*lines):
    return COPY + "".join(f"    {line}\n" for line in lines)


def adaptor_job(call):
    return f"{call}\n"


# The jobs by their use of a value, and whether a value that is not secret would be seen.
LEAKS = {
    "copied into data": job("return {'data': secret}"),
    "nested": job("return {'data': [{'a': {'b': [1, (secret, 'x')]}}]}"),
    "inside a longer text": job("return {'data': f'https://user:{secret}@host'}"),
    "used as a key": job("return {'data': {secret: 1, 'x': {secret: 2}}}"),
    "as bytes": job("return {'data': b'<' + secret.encode() + b'>'}"),
    "as references": job("return {'data': 1, 'references': [secret]}"),
    "in a large state": job(
        "return {'data': [{'n': n, 't': 'x' * 50} for n in range(2000)] + [secret]}"
    ),
    "printed": job("print('the password is', secret)", "return state"),
    "printed in a dict": job("print({'configuration': {'p': secret}})", "return state"),
    "printed as state": job("print(state)", "return state"),
    "thrown": job("raise ValueError(secret)"),
    "in the args of an exception": job("raise ValueError('no', {'sent': [secret]}, 3)"),
    "in an exception of its own": (
        "class LoginError(Exception):\n    pass\n" + job("raise LoginError('bad password ' + secret)")
    ),
    "in the cause of an exception": job(
        "try:", "    raise KeyError(secret)", "except KeyError as e:", "    raise ValueError(str(e)) from e"
    ),
    "as a missing key": job("return {}[secret]"),
    "by an adaptor's print": adaptor_job("said('print')"),
    "by an adaptor's logger": adaptor_job("said('logging')"),
    "on a file descriptor": adaptor_job("said('fd')"),
    "on a file descriptor in two writes": adaptor_job("said('fd in two writes')"),
    "on stderr": adaptor_job("said('stderr')"),
    "by C code": adaptor_job("said('C')"),
    "in an adaptor's URL error": adaptor_job("raised('url')"),
    "in the details of an adaptor's error": adaptor_job("raised('details')"),
    **{
        f"spelled: {way}": adaptor_job(f"spelled({way!r})")
        for way in (
            "base64", "basic", "urlsafe", "hex", "percent", "form", "json", "unicode", "repr", "bytes"
        )
    },
}  # fmt: skip

HIDDEN_ANYWAY = {
    "in a local of the traceback": job("n = 0", "return {'data': len(secret) / n}"),
    "in two prints": job(f"print(secret[:{HALF}])", f"print(secret[{HALF}:])", "return state"),
    "in many prints": job("for c in secret:", "    print(c)", "return state"),
    "in a cause only": job(
        "try:", "    raise KeyError(secret)", "except KeyError as e:", "    raise ValueError('x') from e"
    ),
    "in a context only": job(
        "try:", "    raise KeyError(secret)", "except KeyError:", "    raise ValueError('x')"
    ),
    "in a repr": (
        "class Login:\n    def __init__(self, p):\n        self.p = p\n"
        "    def __repr__(self):\n        return self.p\n"
        + job("return {'data': Login(secret)}")
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_leak():
    """The engine outlives the single test."""


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    repo = tmp_path_factory.mktemp("repo")
    (repo / "leaky_1.0.0").mkdir()
    (repo / "leaky_1.0.0" / "leaky.py").write_text(ADAPTOR)
    entry = {"name": "leaky", "version": "1.0.0", "path": "leaky_1.0.0", "module": "leaky"}
    (repo / "repo.json").write_text(json.dumps({"adaptors": [entry]}))
    return repo


@pytest.fixture(scope="module")
def eng(repo):
    with engine.Engine(repo_dir=repo, max_runs=1) as eng:
        yield eng


def plan(source, key="password", **step):
    """Return a plan of one step that leaks, and a second step that always runs."""
    step = {
        "id": "a",
        "expression": source,
        "adaptor": "leaky",
        "configuration": {key: PASSWORD},
        "state": {"data": {"key": key}},
        "next": {"b": "always"},
        **step,
    }
    after = {"id": "b", "expression": "def main(state): return state"}
    return {"workflow": {"steps": [step, after]}}


def all_output(run):
    """Return every byte that a manager can get out of a run."""
    result = run.result(timeout_s=60)
    events = run.poll(after=0)
    assert events[-1].type in {"workflow-complete", "workflow-error"}
    said = [msgspec.json.encode(result), msgspec.msgpack.encode(result)]
    said += [repr(thing).encode() for thing in (run, result, result.error)]
    return b"\n".join([said_by(events), *said])


def said_by(events):
    """Return every byte that a manager can get out of events."""
    said = [*map(msgspec.json.encode, events), *map(msgspec.msgpack.encode, events)]
    said += [repr(event).encode() for event in events]
    messages = [event.message for event in events if event.type == "log"]
    said += ["".join(messages).encode(), "\n".join(messages).encode()]
    return b"\n".join(said)


def forms():
    """Return the forms of the password that must not appear.

    The test makes them in another way than the engine: each form comes from one ordinary call.
    """
    raw = PASSWORD.encode()
    made = {
        PASSWORD,
        raw.hex(),
        raw.hex().upper(),
        urllib.parse.quote(PASSWORD),
        urllib.parse.quote(PASSWORD, safe=""),
        urllib.parse.quote_plus(PASSWORD),
        json.dumps(PASSWORD)[1:-1],
        json.dumps(PASSWORD, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(PASSWORD))[3:-3],
        repr(PASSWORD)[1:-1],
        repr(raw)[2:-1],
    }
    for before in (b"", b"user:", b"u:"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            made.add(encode(before + raw).decode()[len(before) // 3 * 4 + 4 : -4])
    assert all(len(form) >= 8 for form in made)
    return sorted(form.encode() for form in made)


def shown(output):
    return [form for form in forms() if form in output]


ON_STREAMS = {
    "on a file descriptor",
    "on a file descriptor in two writes",
    "on stderr",
    "by C code",
}
"""The step of bytes on a stream is not defined, so these jobs have runs of their own."""


def leak(eng, key):
    """Do one run with a step for each of the other jobs; return its handle."""
    whole = plan("", key=key)
    [step, after] = whole["workflow"]["steps"]
    ways = [way for way in LEAKS if way not in ON_STREAMS]
    steps = [{**step, "id": way, "expression": LEAKS[way]} for way in ways]
    whole["workflow"]["steps"] = [{"id": "t", "next": dict.fromkeys(ways, True)}, *steps, after]
    run = eng.execute(whole)
    run.result(timeout_s=60)
    return run


@pytest.fixture(scope="module")
def secret_leaks(eng):
    return leak(eng, "password")


@pytest.fixture(scope="module")
def public_leaks(eng):
    return leak(eng, "username")


def output_of(eng, way, key, leaks):
    """Return every byte that a manager can get out of a run about a job."""
    if way in ON_STREAMS:
        return all_output(eng.execute(plan(LEAKS[way], key=key)))
    return said_by([event for event in leaks.poll(after=0) if getattr(event, "step_id", "") == way])


@pytest.mark.parametrize("way", LEAKS)
def test_what_a_job_lets_slip_is_redacted(eng, secret_leaks, way, capfd):
    """The secret is in no event, result, log or repr, in any spelling; a mark shows its place."""
    output = output_of(eng, way, "password", secret_leaks)
    output += "".join(capfd.readouterr()).encode()
    assert shown(output) == []
    assert b"[redacted]" in output


def test_a_run_with_all_of_these_jobs_shows_no_secret(eng, capfd):
    """Nor do the events of the steps after them, and the result."""
    output = all_output(leak(eng, "password"))
    output += "".join(capfd.readouterr()).encode()
    assert shown(output) == []


@pytest.mark.parametrize("way", LEAKS)
def test_the_same_jobs_do_show_a_value_that_is_no_secret(eng, public_leaks, way):
    """The twin: without it, the test above might search for a text that never comes out."""
    output = output_of(eng, way, "username", public_leaks)
    assert shown(output)
    assert b"[redacted]" not in output


@pytest.mark.parametrize("source", HIDDEN_ANYWAY.values(), ids=HIDDEN_ANYWAY.keys())
def test_what_is_not_told_stays_untold(eng, source):
    """Locals, causes and pieces of a credential show nothing of the secret."""
    output = all_output(eng.execute(plan(source)))
    assert shown(output) == []


def test_a_secret_in_two_prints_is_taken_out_of_both(eng):
    """Neither half of the secret can be read."""
    output = all_output(eng.execute(plan(HIDDEN_ANYWAY["in two prints"])))
    assert PASSWORD[:HALF].encode() not in output
    assert PASSWORD[HALF:].encode() not in output


@pytest.mark.parametrize(
    "step",
    [
        pytest.param({"name": f"sync as {PASSWORD}"}, id="in the name of a step"),
        pytest.param(
            {"next": {"b": {"condition": True, "label": PASSWORD}}}, id="in the label of an edge"
        ),
        pytest.param({"next": {"b": f"state != {PASSWORD!r}"}}, id="in a condition"),
        pytest.param({"next": {"b": f"state[{PASSWORD!r}]"}}, id="in a condition that raises"),
        pytest.param({"expression": f"fn(lambda state: [][{PASSWORD!r}])"}, id="in the source"),
        pytest.param({"expression": f"fn({PASSWORD!r}"}, id="in source that does not compile"),
        pytest.param({"expression": f"import os  # {PASSWORD}"}, id="in a refused line"),
        pytest.param({"expression": "fn(lambda state: exit(state))"}, id="by leaving"),
    ],
)
def test_what_the_plan_itself_repeats_is_redacted(eng, step, capfd):
    """Names, labels, conditions and source lines come back in events and errors."""
    source = job("print('x')", "return state")
    output = all_output(eng.execute(plan(source, **step)))
    output += "".join(capfd.readouterr()).encode()
    assert shown(output) == []


CREDENTIAL = {"password": PASSWORD}


@pytest.mark.parametrize(
    ("steps", "resolvers"),
    [
        pytest.param(
            {"configuration": "my-login"},
            engine.Resolvers(credential=lambda _: CREDENTIAL),
            id="resolved",
        ),
        pytest.param(
            {"configuration": "my-login"},
            engine.Resolvers(credential=lambda _: engine.Resolved(CREDENTIAL, ttl_s=60)),
            id="resolved for a minute",
        ),
        pytest.param(
            {"configuration": {}, "state": "my-state"},
            engine.Resolvers(
                state=lambda _: {"data": {"key": "password"}, "configuration": CREDENTIAL}
            ),
            id="in a stored state",
        ),
        pytest.param(
            {
                "configuration": {},
                "state": {"data": {"key": "password"}, "configuration": CREDENTIAL},
            },
            None,
            id="in the state of a step",
        ),
    ],
)
def test_wherever_a_credential_comes_from_it_is_redacted(eng, steps, resolvers):
    """The credential is resolved late, or is a part of a state."""
    source = job("print(secret)", "return {'data': secret}")
    run = eng.execute(plan(source, **steps), resolvers=resolvers)
    output = all_output(run)
    assert shown(output) == []
    assert output.count(b"[redacted]") > 2
    assert PASSWORD not in repr(resolvers)


def test_a_public_key_exempts_neither_what_is_below_it_nor_the_password_in_its_url(eng):
    """The password is hidden as libraries show it: taken out of the URL, and decoded."""
    configuration = {
        "database": {"host": "db.internal", "password": "NestedPw-12345"},
        "url": "postgres://app:p%40ss-w0rd%21x@db.internal:5432/x?sslkey=K3y-98765",
    }
    source = (
        "from urllib.parse import urlsplit, unquote\n"
        "def main(state):\n"
        "    c = state['configuration']\n"
        "    password = urlsplit(c['url']).password\n"
        "    print(c['url'], password, c['database'])\n"
        "    raise ValueError(f'cannot connect as app/{unquote(password)}')\n"
    )
    output = all_output(eng.execute(plan(source, configuration=configuration)))
    for secret in ("NestedPw-12345", "p%40ss-w0rd%21x", "p@ss-w0rd!x", "K3y-98765"):
        assert secret.encode() not in output
    assert b"postgres://app:[redacted]@db.internal:5432/x?sslkey=[redacted]" in output


@pytest.mark.parametrize("where", ["workflow", "input"])
def test_a_credential_for_all_steps_is_redacted(eng, where):
    """The credential is in `workflow.credentials`, or in the configuration of the initial state."""
    data = plan(job("print(secret)", "return {'data': secret}"), configuration={})
    state = None
    if where == "workflow":
        data["workflow"]["credentials"] = CREDENTIAL
    else:
        state = {"configuration": CREDENTIAL}
    output = all_output(eng.execute(data, state))
    assert shown(output) == []
    assert b"[redacted]" in output


def test_the_next_step_receives_the_value_unaltered(eng):
    """Redaction applies to the output of the engine, and not to the state between steps."""
    data = plan(job("return {'data': secret}"))
    data["workflow"]["steps"][1]["expression"] = (
        "def main(state):\n"
        f"    return {{'data': {{'same': state['data'] == {PASSWORD!r}, 'copy': state['data']}}}}\n"
    )
    result = eng.execute(data).result(timeout_s=60)
    assert result.state["data"] == {"same": True, "copy": "[redacted]"}


def test_a_step_that_is_called_like_a_secret_keeps_its_name(eng):
    """The configuration lists tables, and there is a step for each table."""
    trigger = {"id": "t", "next": {"visits": True, "orders": True}}
    jobs = [
        {"id": name, "expression": "def main(state):\n    return {'n': 'visits', 'errors': {}}\n"}
        for name in ("visits", "orders")
    ]
    jobs[1]["expression"] = "def main(state):\n    raise ValueError('no message of orders')\n"
    data = {"workflow": {"steps": [trigger, *jobs], "credentials": {}}}
    data["workflow"]["credentials"] = {"words": ["visits", "orders", "message", "errors"]}
    run = eng.execute(data)
    state = run.result(timeout_s=60).state
    assert state["visits"] == {"n": "[redacted]", "errors": {}}
    report = state["orders"]["errors"]["orders"]
    assert report["message"] == "no [redacted] of [redacted]"
    assert (report["step_id"], report["severity"]) == ("orders", "fail")
    events = run.poll(after=0)
    assert [e.step_id for e in events if e.type == "job-start"] == ["visits", "orders"]
    assert [e.to_step_id for e in events if e.type == "edge-resolved"] == ["visits", "orders"]
    assert next(e for e in events if e.type == "job-error").error.step_id == "orders"


def test_empty_and_short_secrets_do_not_blank_the_log(eng):
    """Values of fewer than six characters are not secrets."""
    configuration = {"a": "", "b": "x", "c": " ", "d": "short", "e": 1234567, "f": "\n" * 8}
    source = "def main(state):\n    print('x marks a short', 1234567)\n    return state\n"
    run = eng.execute(plan(source, configuration=configuration))
    run.result(timeout_s=60)
    messages = [event.message for event in run.poll(after=0) if event.type == "log"]
    assert "x marks a short 1234567" in messages


def test_reprs_of_plan_and_errors_show_no_secret():
    """A traceback of the manager's own program may print these reprs."""
    with pytest.raises(engine.PlanError) as failure:
        engine.run(plan("fn(", configuration={"password": PASSWORD}, next={"nowhere": True}))
    assert shown(repr(failure.value).encode() + str(failure.value).encode()) == []


@pytest.mark.parametrize("form", ["--json", "--plain"])
def test_the_command_line_shows_no_secret(repo, tmp_path, form):
    """The streams and the output files of the command do not contain the secret, which each step lets slip in its way."""
    ways = ["copied into data", "thrown", "spelled: basic", "printed", "on stderr"]
    ids = {way: f"step-{number}" for number, way in enumerate(ways)}
    leaks = plan("", configuration="my-login")
    [leak, after] = leaks["workflow"]["steps"]
    steps = [{**leak, "id": ids[way], "expression": LEAKS[way]} for way in ways]
    trigger = {"id": "t", "next": dict.fromkeys(ids.values(), True)}
    leaks["workflow"]["steps"] = [trigger, *steps, after]
    plan_file, credentials = tmp_path / "plan.json", tmp_path / "credentials.json"
    plan_file.write_text(json.dumps(leaks))
    credentials.write_text(json.dumps({"my-login": CREDENTIAL}))
    events, output = tmp_path / "events.jsonl", tmp_path / "state.json"

    files = ["--credentials", credentials, "--events", events, "--output", output]
    done = run_warm(None, "run", plan_file, form, "--repo", repo, *files)

    lines = events.read_text().splitlines()
    for way, step_id in ids.items():
        of_step = [line for line in lines if json.loads(line).get("step_id") == step_id]
        assert any("[redacted]" in line for line in of_step), (way, done.stderr)
    assert output.exists(), done.stderr
    said = (done.stdout + done.stderr).encode() + events.read_bytes() + output.read_bytes()
    assert shown(said) == []
