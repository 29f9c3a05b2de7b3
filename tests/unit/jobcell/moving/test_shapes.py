"""Each format of OpenFn's files becomes the same kinds of steps and edges."""

from __future__ import annotations

import json

import pytest

from jobcell.input.errors import BadInputError
from jobcell.moving.plans import make_output
from jobcell.moving.project import read_project


def imported(directory, name, text, **others):
    """Write files, and return what becomes of one of them."""
    for path, content in {name: text, **others}.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    return make_output(read_project(directory / name))


def plan(output, path):
    """Return a plan of the output, with its steps by id."""
    made = json.loads(output.files[path])
    return made, {step["id"]: step for step in made["workflow"]["steps"]}


STATE = {
    "id": "p-1",
    "name": "My project",
    "project_credentials": [{"id": "c-1", "name": "api", "owner": "ann@example.org"}],
    "collections": [{"id": "x", "name": "visits"}],
    "workflows": {
        "my-workflow": {
            "id": "w-1",
            "name": "My Workflow",
            "deleted_at": None,
            "jobs": {
                "first": {
                    "id": "j-1", "name": "First job", "body": "fn(s => s)",
                    "adaptor": "@openfn/language-common@latest",
                    "project_credential_id": "c-1", "keychain_credential_id": None,
                },
                "second": {"id": "j-2", "name": "Second", "body": "", "adaptor": "@openfn/language-http@6.0.0"},
            },
            "triggers": {
                "webhook": {"id": "t-1", "type": "webhook", "enabled": True, "webhook_reply": "before_start"}
            },
            "edges": {
                "a": {"id": "e-1", "source_trigger_id": "t-1", "target_job_id": "j-1", "condition_type": "always", "enabled": True},
                "b": {"id": "e-2", "source_job_id": "j-1", "target_job_id": "j-2", "condition_type": "on_job_success", "enabled": False},
            },
        }
    },
}  # fmt: skip


def test_the_state_of_a_project_names_its_parts_by_uuid(tmp_path):
    """Keys, names and uuids mean the same parts."""
    output = imported(tmp_path, "projectState.json", STATE)
    made, steps = plan(output, "my-workflow/plan.json")
    assert made["workflow"]["name"] == "My Workflow"
    assert made["workflow"]["start"] == "webhook"
    assert steps["webhook"]["webhook_reply"] == "before_start"
    assert steps["webhook"]["next"] == {"first-job": {"condition": True}}
    assert steps["first-job"]["configuration"] == "ann@example.org|api"
    assert steps["first-job"]["next"] == {
        "second": {"condition": "on_job_success", "disabled": True}
    }
    assert "expression" not in steps["second"]


def test_lists_mean_the_same_as_maps(tmp_path):
    """A list has an object for each part, or an object with the name of one."""
    workflow = STATE["workflows"]["my-workflow"]
    listed = {
        **STATE,
        "workflows": [
            {
                **workflow,
                "jobs": list(workflow["jobs"].values()),
                "triggers": [{"webhook": workflow["triggers"]["webhook"]}],
                "edges": list(workflow["edges"].values()),
            }
        ],
    }
    one = imported(tmp_path, "projectState.json", STATE)
    other = imported(tmp_path, "list.json", listed)
    assert other.files["my-workflow/plan.json"] == one.files["my-workflow/plan.json"]


PORTABLE = """\
id: my-project
name: My project
schema_version: '4.0'
collections: [visits]
credentials:
  - name: api
    owner: ann@example.org
workflows:
  - id: flow
    name: A flow
    start: cron
    history: [a, b]
    steps:
      - id: cron
        type: cron
        enabled: false
        cron_expression: '0 6 * * *'
        next:
          fetch: {condition: always}
      - id: kafka
        type: kafka
        enabled: true
        openfn:
          kafka: {hosts: ['localhost:9092'], topics: [events]}
        next: fetch
      - id: fetch
        name: Fetch
        adaptors: ['@openfn/language-http@latest']
        configuration: ann@example.org|api
        expression: |
          get('/patients');
        next:
          send:
            condition: |
              !!state.data && state.data.length > 0
            label: Only when there is data
          report: on_job_failure
          never: {disabled: true, condition: "false"}
      - {id: send, expression: "fn(state => state)"}
      - {id: report, expression: "fn(state => state)"}
      - {id: never, expression: "fn(state => state)"}
"""


def test_the_portable_format_has_steps_and_next(tmp_path):
    """Triggers are steps there."""
    output = imported(tmp_path, "project.yaml", PORTABLE)
    made, steps = plan(output, "a-flow/plan.json")
    assert made["workflow"]["start"] == "cron"
    assert steps["cron"] == {
        "id": "cron", "type": "cron", "enabled": False, "cron": "0 6 * * *",
        "next": {"fetch": {"condition": True}},
    }  # fmt: skip
    assert steps["kafka"]["kafka_configuration"]["topics"] == ["events"]
    assert steps["fetch"]["adaptors"] == ["http", "common"]
    following = steps["fetch"]["next"]
    assert following["report"] == {"condition": "on_job_failure"}
    assert following["never"] == {"condition": "False", "disabled": True}
    assert following["send"]["label"] == "Only when there is data"
    assert "the trigger is disabled" in output.files["TODO.md"]


def test_a_workspace_has_workflows_in_files_of_their_own(tmp_path):
    """Paths of scripts are relative to the file of the workflow."""
    workflow = "id: w\nname: w\nsteps:\n  - id: a\n    adaptor: common\n    expression: ./a.js\n"
    output = imported(
        tmp_path,
        "openfn.yaml",
        "project: {id: p}\nworkspace:\n  dirs: {workflows: flows, projects: .projects}\n",
        **{"flows/w/w.yaml": workflow, "flows/w/a.js": "fn(s => s);", "flows/w/notes.json": "[1]"},
    )
    assert output.plans == ["w/plan.json"]
    assert output.files["w/a.js"] == "fn(s => s);"


def test_a_workflow_of_the_command_line_may_name_files(tmp_path):
    """Scripts, states and credentials may be paths; the values of credentials are not copied."""
    workflow = {
        "options": {"start": "b", "timeout": 5000, "stepTimeout": 100},
        "workflow": {
            "steps": [
                {"id": "a", "adaptor": "http", "expression": "a.js", "configuration": {"password": "s3cret"}, "next": "b"},
                {"id": "b", "adaptors": ["common"], "expression": "fn(s => s)", "state": "s.json", "configuration": "c.json"},
            ]
        },
    }  # fmt: skip
    output = imported(
        tmp_path, "workflow.json", workflow,
        **{"a.js": "get('/x')", "s.json": '{"data": 1}', "c.json": '{"token": "s3cret"}'},
    )  # fmt: skip
    made, steps = plan(output, "workflow/plan.json")
    assert made["workflow"]["start"] == "b"
    assert made["options"] == {"timeout": 5000, "step_timeout": 100}
    assert steps["a"]["configuration"] == "a"
    assert steps["b"]["state"] == {"data": 1}
    assert "s3cret" not in "".join(output.files.values())
    assert "move the configuration with 'password'" in output.files["TODO.md"]


OLD = """\
jobs:
  fetch:
    expression: |
      alterState(state => state);
    adaptor: '@openfn/language-http'
    trigger: message
    credential: api
  send: {expression: 'file://send.js', adaptor: '@openfn/language-common', trigger: after-fetch}
  alarm: {expression: 'fn(s => s)', adaptor: '@openfn/language-common', trigger: fetch-failed}
  nightly: {expression: 'fn(s => s)', language_pack: '@openfn/language-common', trigger: night}
credentials:
  api: {user: ann, password: s3cret}
triggers:
  message: {type: message, criteria: '{"b": 5}'}
  after-fetch: {type: success, success: fetch}
  fetch-failed: {failure: fetch}
  night: {cron: '0 2 * * *'}
"""


def test_jobs_of_the_first_platform_name_their_triggers(tmp_path):
    """Jobs that follow one another are one workflow."""
    output = imported(tmp_path, "project.yaml", OLD, **{"send.js": "fn(s => s)"})
    assert output.plans == ["message/plan.json", "night/plan.json"]
    _, steps = plan(output, "message/plan.json")
    assert steps["message"]["next"] == {"fetch": {"condition": True}}
    assert steps["fetch"]["next"] == {
        "send": {"condition": "on_job_success"},
        "alarm": {"condition": "on_job_failure"},
    }
    assert "s3cret" not in "".join(output.files.values())
    assert '{"b": 5}' in output.files["TODO.md"]
    assert "schedule add night --cron '0 2 * * *'" in output.files["TODO.md"]


@pytest.mark.parametrize(
    ("adaptor", "ours", "left"),
    [
        ("@openfn/language-http@7.2.0", ["http", "common"], 0),
        ("@openfn/language-http@latest", ["http", "common"], 0),
        ("http", ["http", "common"], 0),
        ("@openfn/language-http@4.1.0", ["http", "common"], 1),
        ("@openfn/language-common@1.8.1", ["common"], 1),
        ("@openfn/language-dhis2@5.0.1", ["common"], 1),
        ("@openfn/language-http=/home/me/http", ["http", "common"], 0),
    ],
)
def test_the_version_of_an_adaptor_decides_about_its_operations(tmp_path, adaptor, ours, left):
    """The meaning of arguments has changed between versions; old ones are not translated."""
    step = {"id": "a", "adaptor": adaptor, "expression": "post('/x', { a: 1 })"}
    output = imported(tmp_path, "workflow.json", {"steps": [step]})
    _, steps = plan(output, "workflow/plan.json")
    assert steps["a"]["adaptors"] == ours
    assert output.left == left


def test_the_body_of_a_request_moved_with_version_7(tmp_path):
    """Before it, the body was an option, and a callback could follow."""
    step = {"id": "a", "expression": "post('/x', { body: { a: 1 } }, state => state)"}
    for adaptor, text in (
        ("@openfn/language-http@6.5.1", 'post("/x", data={"a": 1}).then(lambda state: state)'),
        ("@openfn/language-http@7.0.0", None),
    ):
        output = imported(tmp_path, "workflow.json", {"steps": [{**step, "adaptor": adaptor}]})
        assert (text in output.files["workflow/a.py"]) if text else output.left == 1


def test_a_second_trigger_has_a_schedule_that_starts_with_it(tmp_path):
    """The plan starts with the first trigger."""
    steps = [
        {"id": "day", "type": "cron", "cron_expression": "0 6 * * *", "next": "a"},
        {"id": "night", "type": "cron", "cron_expression": "0 22 * * *", "next": "a"},
        {"id": "a", "expression": "fn(s => s)"},
    ]
    output = imported(tmp_path, "workflow.json", {"name": "w", "steps": steps})
    assert output.plans == ["w/plan.json"]
    todo = output.files["TODO.md"]
    assert "schedule add w --cron '0 6 * * *' --carry-state w/plan.json`" in todo
    assert (
        "schedule add w-night --cron '0 22 * * *' --carry-state --start night w/plan.json`" in todo
    )


def test_settings_of_the_command_are_no_project(tmp_path):
    """The error names the file that the settings name."""
    with pytest.raises(
        BadInputError, match=r"no project; give the file of the project, such as my\.yaml"
    ):
        imported(
            tmp_path, "config.json", {"endpoint": "https://example.org", "specPath": "my.yaml"}
        )
