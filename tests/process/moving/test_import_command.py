"""`jobcell import` writes plans that are valid, and lists the rest."""

from __future__ import annotations

import json

import pytest
from modes import let_everybody_in
from warm import run_warm
from web import Web, as_json
from wheels import make_wheels

from jobcell.repo import add, initialise

PROJECT = """\
name: clinic
collections:
  visits:
    name: visits
credentials:
  ann@example.org-api:
    name: api
    owner: ann@example.org
workflows:
  sync-patients:
    name: Sync patients
    jobs:
      Fetch-patients:
        name: Fetch patients
        adaptor: '@openfn/language-http@7.2.0'
        credential: ann@example.org-api
        body: |
          get('/patients', { query: { since: $.cursor } });
          fn(state => ({ ...state, adults: state.data.filter(p => p.age >= 18) }));
      Send:
        name: Send
        adaptor: '@openfn/language-http@6.5.1'
        credential: ann@example.org-api
        body:
          path: send.js
      Alarm:
        name: Alarm
        adaptor: '@openfn/language-common@latest'
        body: |
          fn(state => ({ ...state, alarm: true }));
    triggers:
      webhook:
        type: webhook
        enabled: false
      cron:
        type: cron
        enabled: true
        cron_expression: 00 * * * *
    edges:
      webhook->Fetch-patients:
        source_trigger: webhook
        target_job: Fetch-patients
        condition_type: always
        enabled: true
      cron->Fetch-patients:
        source_trigger: cron
        target_job: Fetch-patients
        condition_type: js_expression
        condition_expression: true
        enabled: true
      Fetch-patients->Send:
        source_job: Fetch-patients
        target_job: Send
        condition_type: js_expression
        condition_expression: state.adults.length > 0 && !state.errors
        condition_label: has adults
        enabled: true
      Fetch-patients->Alarm:
        source_job: Fetch-patients
        target_job: Alarm
        condition_type: on_job_failure
        enabled: false
"""
SEND = """\
each($.adults, post('/visits', { body: { name: $.data.name, at: `${$.data.age} years` } }));
fn(({ adults, response, references, ...rest }) => ({ ...rest, sent: adults.length }));
"""


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    """A repo with the adaptors that the plans need."""
    root = tmp_path_factory.mktemp("moving")
    let_everybody_in(root)
    wheels = make_wheels(root / "wheels", "httpx[http2]", "brotli")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", "")
        initialise(root / "repo")
        add(root / "repo", ["common", "http", "javascript"], find_links=[str(wheels)])
    return root / "repo"


@pytest.fixture
def project(tmp_path):
    """A project in a directory of its own."""
    (tmp_path / "project.yaml").write_text(PROJECT)
    (tmp_path / "send.js").write_text(SEND)
    return tmp_path


def jobcell(directory, *words, expect=0):
    """Run a command; return what it printed."""
    done = run_warm(None, *words, cwd=directory, timeout_s=120)
    assert done.returncode == expect, (words, done.stdout, done.stderr)
    return done


def test_a_project_becomes_a_plan_that_runs(project, repo):
    """The requests are those of the scripts, and so is the final state."""
    jobcell(project, "import", "project.yaml", "-o", "out", expect=1)
    plan = project / "out" / "sync-patients" / "plan.json"
    jobcell(project, "validate", plan, "--repo", repo)
    people = [{"name": "Ada", "age": 36}, {"name": "Tim", "age": 7}, {"name": "Ben", "age": 18}]
    with Web({"/patients": lambda _: as_json(people)}) as web:
        credentials = {"ann@example.org|api": {"base_url": web.url}}
        (project / "credentials.json").write_text(json.dumps(credentials))
        (project / "state.json").write_text(json.dumps({"cursor": "2026-01-01"}))
        done = jobcell(
            project, "run", plan, "--repo", repo, "--state", "state.json",
            "--credentials", "credentials.json", "--net", f"127.0.0.1:{web.port}",
        )  # fmt: skip
        seen = [(one.method, one.path, dict(one.query), one.body) for one in web.seen]
    assert seen[0] == ("GET", "/patients", {"since": "2026-01-01"}, b"")
    assert [(method, path, json.loads(body)) for method, path, _, body in seen[1:]] == [
        ("POST", "/visits", {"name": "Ada", "at": "36 years"}),
        ("POST", "/visits", {"name": "Ben", "at": "18 years"}),
    ]
    state = json.loads(done.stdout)
    assert state["sent"] == 2
    assert state["cursor"] == "2026-01-01"
    assert "adults" not in state


def test_each_job_passes_the_check_by_itself(project, repo):
    """A job of the plan needs nothing but its adaptors."""
    jobcell(project, "import", "project.yaml", "-o", "out", expect=1)
    for job in sorted((project / "out" / "sync-patients").glob("*.py")):
        words = ("--adaptor", "http", "--adaptor", "common", "--adaptor", "javascript")
        done = jobcell(project, "check", job, *words, "--repo", repo)
        assert done.stderr == ""


def test_edges_triggers_and_credentials_are_kept(project):
    """The states of disabled parts are kept, too."""
    jobcell(project, "import", "project.yaml", "-o", "out", expect=1)
    plan = json.loads((project / "out" / "sync-patients" / "plan.json").read_text())
    steps = {step["id"]: step for step in plan["workflow"]["steps"]}
    assert plan["workflow"]["start"] == "cron"
    assert steps["webhook"]["enabled"] is False
    assert steps["cron"]["cron"] == "00 * * * *"
    assert steps["cron"]["next"] == {"fetch-patients": {"condition": True}}
    assert steps["fetch-patients"]["configuration"] == "ann@example.org|api"
    assert steps["fetch-patients"]["next"] == {
        "send": {
            "condition": '(len(state.get("adults")) if isinstance(state.get("adults"), (list, str))'
            ' else state.get("adults").get("length", -1)) > 0 and state.get("errors") in (None, 0, "")',
            "label": "has adults",
        },
        "alarm": {"condition": "on_job_failure", "disabled": True},
    }
    assert (project / "out" / "sync-patients" / "send.js").read_text() == SEND


def test_the_list_of_work_is_printed_and_written(project):
    """Each line has a place, and the command that adds a schedule can be copied."""
    done = jobcell(project, "import", "project.yaml", "-o", "out", "--json", expect=1)
    told = json.loads(done.stdout)
    assert told["untranslated"] == 0
    assert told["plans"] == ["sync-patients/plan.json"]
    assert told["adaptors"] == ["common", "http", "javascript"]
    lines = PROJECT.splitlines()
    for item in told["todo"]:
        file, line, _ = item["where"].split(":")
        assert file == "project.yaml"
        word = {
            "trigger": "type: webhook",
            "schedule": "cron_expression",
            "credential": "adaptor",
            "other": "collections",
        }[item["topic"]]
        assert word in lines[int(line) - 1], item
    todo = (project / "out" / "TODO.md").read_text()
    for item in told["todo"]:
        assert f"- [ ] {item['where']}: {item['text']}" in todo
    command = "jobcell schedule add sync-patients --cron '00 * * * *' --carry-state sync-patients/plan.json"
    assert command in todo


def test_a_job_with_a_rest_does_nothing_until_it_is_written(project, repo):
    """A request before the part that is left must not be sent."""
    script = (
        "post('/visits', { body: { a: 1 } });\nfn(state => { state.data.sort(); return state; });\n"
    )
    (project / "send.js").write_text(script)
    done = jobcell(project, "import", "project.yaml", "-o", "out", expect=1)
    assert (
        "sync-patients/send.js:2: script: not translated: sort(...) by something else than a difference"
        in done.stdout
    )
    job = project / "out" / "sync-patients" / "send.py"
    with Web() as web:
        done = jobcell(
            project, "run", job, "--repo", repo, "--adaptor", "common", "--adaptor", "http",
            "--net", f"127.0.0.1:{web.port}", expect=1,
        )  # fmt: skip
        assert web.seen == []
    assert "send.js is not translated in full" in done.stderr
    # The twin: without its first operation the job sends what it can.
    text = job.read_text()
    assert text.count("fn(unfinished)") == 1
    job.write_text(text.replace("fn(unfinished)", ""))
    with Web() as web:
        (project / "c.json").write_text(json.dumps({"configuration": {"base_url": web.url}}))
        done = jobcell(
            project, "run", job, "--repo", repo, "--adaptor", "common", "--adaptor", "http",
            "--state", "c.json", "--net", f"127.0.0.1:{web.port}", expect=1,
        )  # fmt: skip
        assert [one.path for one in web.seen] == ["/visits"]
    assert (
        "send.js:2: sort(...) by something else than a difference is not translated" in done.stderr
    )


def test_files_are_replaced_only_with_force(project):
    """Without it, nothing at all is written."""
    jobcell(project, "import", "project.yaml", "-o", "out", expect=1)
    job = project / "out" / "sync-patients" / "send.py"
    job.write_text("mine")
    (project / "out" / "TODO.md").unlink()
    done = jobcell(project, "import", "project.yaml", "-o", "out", expect=2)
    assert "is there already; give another directory with -o, or --force" in done.stderr
    assert job.read_text() == "mine"
    assert not (project / "out" / "TODO.md").exists()
    jobcell(project, "import", "project.yaml", "-o", "out", "--force", expect=1)
    assert job.read_text() != "mine"


def test_a_link_in_the_way_is_not_followed(project):
    """With --force neither: a file elsewhere stays as it is."""
    jobcell(project, "import", "project.yaml", "-o", "out", expect=1)
    other = project / "other"
    other.write_text("mine")
    job = project / "out" / "sync-patients" / "send.py"
    job.unlink()
    job.symlink_to(other)
    done = jobcell(project, "import", "project.yaml", "-o", "out", "--force", expect=2)
    assert "is a symbolic link" in done.stderr
    assert other.read_text() == "mine"


def test_a_workflow_without_a_rest_has_exit_code_0(tmp_path, repo):
    """The list says that nothing is left."""
    steps = [
        {"id": "a", "adaptor": "common", "expression": "fn(s => ({ ...s, n: s.n + 1 }))", "next": {"b": "state.n > 1"}},
        {"id": "b", "expression": "./b.js"},
    ]  # fmt: skip
    (tmp_path / "b.js").write_text("fn(state => ({ ...state, b: true }));")
    (tmp_path / "workflow.json").write_text(json.dumps({"workflow": {"steps": steps}}))
    jobcell(tmp_path, "import", "workflow.json", "-o", "out")
    assert "Nothing is left to do by hand." in (tmp_path / "out" / "TODO.md").read_text()
    (tmp_path / "s.json").write_text('{"n": 1}')
    done = jobcell(tmp_path, "run", "out/workflow/plan.json", "--repo", repo, "--state", "s.json")
    assert json.loads(done.stdout) == {"n": 2, "b": True, "data": {}}
