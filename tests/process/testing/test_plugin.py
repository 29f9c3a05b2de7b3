"""The plugin of pytest runs jobs in the sandbox, and says clearly why a test failed."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from warm import run_warm

EXAMPLE = Path(__file__).parents[3] / "examples" / "tested_jobs"

# Each run with the adaptor rest imports its libraries for 0.15 s of a processor. So only tests about a fake in the place of a
# real adaptor use it. The fakes of the others, and of the YAML file, are not in the place of any adaptor.
TESTS = '''
import pytest
from jobcell import Permissions, RunOptions
from jobcell.testing import ANY, JobFailedError, assert_state, raises, replies

FETCH = """
get("/people", query={"q": state.q})
fn(lambda state: {**state, "n": len(state.data)})
"""


def test_text(run_job):
    state = run_job("def main(state): return {**state, 'n': state.n + 1}", {"n": 1})
    assert state == {"n": 2, "data": {}} and state.result.reason == "success"
    assert state.steps == ["job-1"] and state.error is None


def test_real_walls(run_job):
    with pytest.raises(JobFailedError, match="ImportError|SecurityError"):
        run_job("import os\\nfn(lambda state: state)", {}, adaptor="common")


def test_failing_job_fails_the_test(run_job):
    run_job("def main(state):\\n    print('before')\\n    return 1 / state.n", {"n": 0})


def test_unchecked(run_job):
    state = run_job("def main(state): return 1 / 0", {}, check=False)
    assert state.error.subtype == "ZeroDivisionError"


def test_fake_data(run_job, fake_adaptor):
    rest = fake_adaptor("rest", get=[{"id": 1}, {"id": 2}])
    state = run_job(FETCH, {"q": "ada", "data": "old"}, adaptor=["rest", "common"])
    assert_state(state, {"n": 2, "references": ["old"]})
    assert rest.calls == state.calls
    assert repr(state.calls) == "[rest.get('/people', query={'q': 'ada'})]"
    assert state.logs == []


def test_fake_verb_in_a_module(run_job, fake_adaptor):
    fake = fake_adaptor("collections", get={"n": 1})
    state = run_job('collections.get("visits", "k")', {}, adaptor="collections")
    assert state["data"] == {"n": 1}
    assert repr(fake.calls) == "[collections.get('visits', 'k')]"


def test_collections(run_job, collections):
    collections["visits"] = {"a": 1, "b": {"n": 2}}
    job = """
collections.set("visits", "c", [3])
collections.remove("visits", "a", created_after="2000")
collections.remove("visits", "b", created_before="2000")
collections.get("visits", "*", page_size=1)
"""
    state = run_job(job, {}, adaptor="collections")
    assert [item["key"] for item in state["data"]] == ["b", "c"]
    assert collections == {"visits": {"b": {"n": 2}, "c": [3]}}
    allowed = RunOptions(permissions=Permissions(collections=["visits:read"]))
    with pytest.raises(JobFailedError, match="may not write the collection"):
        run_job(job, {}, adaptor="collections", options=allowed)


def test_other_verbs_stay(run_job, fake_adaptor):
    fake_adaptor("rest", get=1)
    with pytest.raises(JobFailedError, match="base_url|refused|whole URL|network"):
        run_job("post('/people')", {}, adaptor="rest")


def test_fake_function(run_job, fake_adaptor):
    known = {"ada": 36}
    fake_adaptor("clinic", get=lambda path, query: [known[query["q"]], path])
    assert run_job(FETCH, {"q": "ada"}, adaptor=["clinic", "common"])["data"] == [36, "/people"]


def test_fake_error(run_job, fake_adaptor):
    error = raises("UnreachableError", "no answer", retryable=False, host="x")
    fake_adaptor("rest", get=error)
    with pytest.raises(JobFailedError, match="no answer") as caught:
        run_job(FETCH, {"q": "ada"}, adaptor=["rest", "common"])
    assert caught.value.error.subtype == "UnreachableError"
    assert caught.value.error.details["host"] == "x"


def test_fake_replies(run_job, fake_adaptor):
    fake_adaptor("clinic", get=replies([1], ValueError("second"), [3]))
    job = "get('/a')\\nget('/b')"
    with pytest.raises(JobFailedError, match="second"):
        run_job(job, {}, adaptor="clinic")
    fake_adaptor("clinic", get=replies([1]))
    with pytest.raises(JobFailedError, match="has 1 replies, and this is call 2"):
        run_job(job, {}, adaptor="clinic")


def test_fake_of_unknown_adaptor(run_job, fake_adaptor):
    clinic = fake_adaptor("clinic", patients=[1])
    assert run_job("patients(state.x)", {"x": 5}, adaptor="clinic")["data"] == [1]
    assert clinic.calls[0].args == (5,)


def test_fakes_end_with_the_test(run_job):
    with pytest.raises(JobFailedError, match="clinic"):
        run_job("patients()", {}, adaptor="clinic")


def test_large_call(run_job, fake_adaptor):
    clinic = fake_adaptor("clinic", post=1)
    run_job("post('/a', body=state.text)", {"text": "x" * 2_000_000}, adaptor="clinic")
    body = clinic.calls[0].kwargs["body"]
    assert body.startswith("'xxx") and len(body) == 1000


def test_secret_in_call(run_job, fake_adaptor):
    clinic = fake_adaptor("clinic", post=1)
    run_job("post('/a', body=state.configuration.token)", {}, adaptor="clinic",
            configuration="login", credentials={"login": {"token": "sesame-4711"}})
    assert len(clinic.calls) == 1 and "sesame" not in repr(clinic.calls)


def test_missing_credential(run_job):
    with pytest.raises(JobFailedError, match="login"):
        run_job("def main(state): return state", {}, configuration="login", credentials={})


def test_plan(run_plan):
    steps = [{"id": "a", "expression": "def main(state): return {'n': 1}", "next": "b"},
             {"id": "b", "expression": "def main(state): return {'n': state.n + 1}"}]
    state = run_plan({"workflow": {"steps": steps}})
    assert state["n"] == 2 and state.steps == ["a", "b"]


def test_file_that_is_missing(run_job):
    run_job("nowhere.py")


@pytest.mark.parametrize("verbs", [{"a b": 1}, {"_x": 1}, {"class": 1}])
def test_bad_verb(fake_adaptor, verbs):
    with pytest.raises(ValueError, match="is not the name of a verb"):
        fake_adaptor("rest", **verbs)


def test_verb_that_is_not_there(run_job, fake_adaptor):
    fake_adaptor("rest", gett=1)
    with pytest.raises(JobFailedError, match="'rest'.: the adaptor has no verb 'gett'; did you mean 'get'"):
        run_job(FETCH, {"q": 1}, adaptor=["rest", "common"])


def test_arguments_of_another_type(run_job):
    with pytest.raises(TypeError, match="options: takes jobcell.RunOptions(.*), not dict"):
        run_job("def main(state): return state", options={"timeout_s": 1})
    with pytest.raises(TypeError, match="adaptor: takes a name or a list of names, not int"):
        run_job("def main(state): return state", adaptor=5)
    with pytest.raises(TypeError, match="takes the path or the text of a job, not dict"):
        run_job({"workflow": {}})
    with pytest.raises(JobFailedError, match="no credential 'login'; give it with 'credentials'"):
        run_job("def main(state): return state", configuration="login")


def test_reply_that_cannot_travel(fake_adaptor):
    with pytest.raises(TypeError, match="cannot be given to the child"):
        fake_adaptor("rest", get=(i for i in ()))
'''

YAML = """
job: |
  get("/people")
adaptor: clinic
fakes: {clinic: {get: [1]}}
cases:
  - name: good
    expect: {state: {data: [1]}, calls: [{call: clinic.get, args: [/people]}], steps: [job-1]}
  - name: wrong
    expect: {state: {data: [2]}, exact: true, calls: []}
  - name: fails
    fakes: {clinic: {get: {raises: ResponseError, message: gone, status: 404}}}
    expect: {error: {name: ResponseError, message: go+ne}}
  - name: succeeds
    expect: {error: {name: ResponseError}}
"""


def run_pytest(folder, *words):
    environment = {name: value for name, value in os.environ.items() if name != "JOBCELL_REPO"}
    report = folder / "report.xml"
    done = run_warm(
        "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))",
        *("-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", "."),
        *(f"--junitxml={report}", "-p", "jobcell.testing.plugin", *words),
        cwd=folder,
        env=environment,
        timeout_s=300,
        kind="commands",
        borrows=True,
    )
    cases = ET.parse(report).getroot().iter("testcase")
    found = {case.get("name"): case.find("failure") for case in cases}
    return done, {
        n: None if f is None else (f.get("message") or "") + (f.text or "")
        for n, f in found.items()
    }


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Run all tests above in one session of pytest; return the failures by test."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "test_jobs.py").write_text(TESTS)
    (folder / "people.job.yaml").write_text(YAML)
    _, found = run_pytest(folder, ".")
    return found


EXPECTED_FAILURES = {
    "test_failing_job_fails_the_test",
    "test_file_that_is_missing",
    "wrong",
    "succeeds",
}


def test_all_other_tests_pass(outcomes):
    """The fixtures do what each test above expects."""
    failed = {name: text for name, text in outcomes.items() if text is not None}
    assert {n: t for n, t in failed.items() if n not in EXPECTED_FAILURES} == {}
    assert set(failed) == EXPECTED_FAILURES
    assert len(outcomes) == TESTS.count("\ndef test_") + 2 + 4


def test_a_failed_job_shows_the_line_of_its_author(outcomes):
    """The message has the error, the marked line, and the log; it has no frame of the plugin."""
    text = outcomes["test_failing_job_fails_the_test"]
    assert "ZeroDivisionError: division by zero" in text
    assert "3 |     return 1 / state.n" in text
    assert "before" in text
    assert "runner.py" not in text


def test_a_file_without_python_names_what_differs(outcomes):
    """Each difference of a case is a line."""
    assert "state.data[0]: expected 2, but it is 1" in outcomes["wrong"]
    assert "state.references: not expected, but it is [{}]" in outcomes["wrong"]
    assert "call 1: not expected, but it is clinic.get('/people')" in outcomes["wrong"]
    assert "expected ResponseError, but the run succeeded" in outcomes["succeeds"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("job: a: b", ":1:7: is not YAML: mapping values are not allowed"),
        ("jobs: a.py", ":1:1: Object contains unknown field `jobs`"),
        ("expect: {}", ": must have either 'job' (a path or a text) or 'plan' (a path)"),
        ("job: a.py", ": has no 'expect', so it cannot fail"),
        ("job: a.py\nexpect:\n  calls:\n    - {verb: x}", ":4:8: Object contains unknown field"),
        ("job: a.py\nexpect:\n  calls:\n    - {}", ":4:7: Object missing required field `call`"),
        ("job: a.py\nexpect: {exact: no}", ":2:17: Expected `bool`, got `str`"),
        ("job: a.py\nfakes: {rest: 5}", ":2:8: Expected `object`, got `int`"),
        ("job: a.py\njob: b.py", ":2:1: has the same key 'job' twice in one object"),
        (
            "job: a.py\nexpect: {}\nfakes:\n  rest:\n    get: {raises: 5}",
            ":5:10: fakes.rest.get: raises() takes the name of a class, such as 'ResponseError', not 5",
        ),
        (
            "job: a.py\nexpect: {}\nfakes: {rest: {get: {replies: {}}}}",
            ":3:21: fakes.rest.get: replies takes a list",
        ),
        (
            "job: a.py\nexpect: {}\nfakes: {rest: {get: {replies: []}}}",
            ":3:21: fakes.rest.get: replies() needs at least one reply",
        ),
        (
            "job: a.py\nexpect: {logs: ['(']}",
            ":2:17: expect.logs[0]: '(' is not a regular expression: missing ), unterminated",
        ),
        (
            "job: a.py\ncases:\n  - expect: {error: {message: '['}}",
            ":3:31: cases[0].expect.error.message: '[' is not a regular expression: unterminated",
        ),
        ("state: &s {}\nfakes: {a: *s}", ":2:12: has an alias 's'; write the value again"),
        ("job: !!python/object/apply:os.system [id]", ":1:6: has a tag"),
        ("job: a.py\nexpect:\n\tstate: 1", ":3:1: is not YAML: found character"),
        ("job: Zo\xeb", ": is not text: byte 8 is not UTF-8"),
    ],
)
def test_a_bad_file_is_one_clear_error(tmp_path, text, message):
    """The session ends with an error that names the file, the line and the problem."""
    from jobcell.testing.yaml_tests import read

    file = tmp_path / "bad.job.yaml"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(pytest.Collector.CollectError) as caught:
        read(file)
    assert str(caught.value).startswith(f"{file}{message}")
    assert "\n" not in str(caught.value)


def test_a_state_in_yaml_is_that_of_the_command(tmp_path):
    """The words for no and a date are text, as in `--state state.yaml`; YAML 1.1 has other values."""
    from jobcell.input.inputs import read_data_file
    from jobcell.testing.yaml_tests import read

    state = "{country: no, on: 2026-11-29, time: 12:30:45, octal: 010}"
    (tmp_path / "state.yaml").write_text(state)
    (tmp_path / "a.job.yaml").write_text(f"job: a.py\nstate: {state}\nexpect: {{}}")
    wanted = {"country": "no", "on": "2026-11-29", "time": "12:30:45", "octal": 10}
    assert read(tmp_path / "a.job.yaml").state == wanted
    assert read_data_file(tmp_path / "state.yaml") == wanted


def test_the_example_passes_with_the_command(tmp_path, monkeypatch):
    """`jobcell test` runs the tests of the example, without the server of its cassette."""
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", raising=False)  # as a user has it
    # The plugins of other packages take more time than the tests.
    plugins = {found.name for found in entry_points(group="pytest11")}
    assert "jobcell.testing.plugin" in plugins
    others = ["cacheprovider", *sorted(plugins - {"jobcell.testing.plugin"})]
    words = [word for name in others for word in ("--pytest=-p", f"--pytest=no:{name}")]
    done = run_warm(None, "test", *words, "--pytest=-q", ".", cwd=EXAMPLE, timeout_s=300)
    assert (done.returncode, "8 passed" in done.stdout) == (0, True), done.stdout


def test_the_command_refuses_a_place_that_is_not_there(tmp_path):
    """A wrong path is one line, and the exit code 2."""
    done = run_warm(None, "test", "nowhere", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "error: nowhere: does not exist\n")
