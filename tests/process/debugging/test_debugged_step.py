"""The step that `jobcell run --debug` takes, the walls around it, and the options that it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from debugged import add_adaptor
from terminal import COMMAND
from warm import run_warm


def chain() -> dict[str, object]:
    steps = [
        {"id": "load", "name": "Load patients", "expression": "jobs/load.py", "next": "sum"},
        {"id": "sum", "expression": "jobs/sum.py", "timeout": 1, "retry": {"attempts": 3}},
    ]
    return {"workflow": {"steps": steps}, "options": {"timeout": 1}}


@pytest.fixture
def plan(write):
    """A plan of two steps, in JSON and in YAML, whose limits of time are a millisecond."""
    write("jobs/load.py", "def main(state):\n    return {'data': [3, 4]}\n")
    write(
        "jobs/sum.py", "def main(state):\n    breakpoint()\n    return {'data': sum(state.data)}\n"
    )
    write("plan.yaml", yaml.safe_dump(chain()))
    write("state.json", {"data": [1, 2]})
    return write("plan.json", chain())


@pytest.mark.parametrize(("name", "option"), [("plan.json", "--start"), ("plan.yaml", "--only")])
def test_a_step_of_a_plan_is_debugged_alone(debug, plan, name, option):
    """Its state is the one that is given; no other step runs, and no limit of time holds."""
    person = debug(name, option, "Sum", "--state", "state.json", "--events", "events.jsonl")
    person.wait_for("> jobs/sum.py(2)main()")
    person.wait_for("(Pdb) ")
    person.command("p state.data")  # the limits of the plan are a millisecond
    person.type("c")
    code, output = person.end()
    assert (code, json.loads(output)) == (0, {"data": 3}), person.shown
    events = [json.loads(line) for line in Path("events.jsonl").read_text().splitlines()]
    assert [event["step_id"] for event in events if event["type"] == "job-start"] == ["sum"]


def test_the_input_of_an_earlier_run_is_debugged(debug, plan):
    """With a journal, `--only` gives the step the state that it had in that run."""
    write_plan = chain()
    write_plan.pop("options")
    write_plan["workflow"]["steps"][1].pop("timeout")
    plan.write_text(json.dumps(write_plan))
    Path("jobs/sum.py").write_text("def main(state):\n    return {'data': sum(state.data)}\n")
    run_warm(None, "run", "plan.json", "--journal", "run.journal").check_returncode()
    Path("jobs/sum.py").write_text("def main(state):\n    breakpoint()\n    return state.data\n")
    person = debug("plan.json", "--only", "sum", "--journal", "run.journal")
    person.wait_for("(Pdb) ")
    assert person.command("p state.data").splitlines()[-1] == "[3, 4]"
    person.type("c")
    assert person.end()[0] == 0


def test_a_plan_of_several_steps_needs_the_name_of_one(debug, plan):
    """The error lists them, and nothing runs."""
    person = debug("plan.json", "--state", "state.json")
    assert person.end() == (2, b"")
    assert (
        "--debug: runs one step, and the plan has 2; name one with --only STEP: 'load', 'sum'"
        in (person.shown)
    )
    assert "KERNEL WALL" not in person.shown


def test_a_credential_is_seen(debug, write):
    """The warning has said so: the step has its configuration, and the final state has not."""
    step = {"id": "a", "configuration": "crm"}
    job = "def main(state):\n    breakpoint()\n    return state\n"
    write("plan.json", {"workflow": {"steps": [{**step, "expression": job}]}})
    write("credentials.json", {"crm": {"password": "correct horse"}})
    person = debug("plan.json", "--credentials", "credentials.json")
    person.wait_for("> a(2)main()")
    person.wait_for("(Pdb) ")
    assert "correct horse" in person.command("p state.configuration")
    person.type("c")
    code, output = person.end()
    assert (code, b"correct" in output) == (0, False)


READS = "def read(path):\n    return lambda state: {'data': open(path).read()}\n"


def test_the_kernel_wall_is_off_in_the_debugger_and_only_there(debug, write, tmp_path):
    """An adaptor reads a file of the user; the event says that no layer is on.  The twin is walled."""
    add_adaptor(write, "reader", READS)
    secret = write("secret.txt", "of the user")
    job = f"from reader import read\nread({str(secret)!r})\n"
    write("walled.py", job)
    write("job.py", f"{job}breakpoint()\n")
    walled = run_warm(None, "run", "walled.py", "--adaptor", "reader", "--events", "walled.jsonl")
    assert walled.returncode == 1
    assert "PermissionError" in walled.stderr or "FileNotFoundError" in walled.stderr
    person = debug("job.py", "--adaptor", "reader", "--events", "debug.jsonl")
    person.wait_for("(Pdb) ")
    assert "of the user" in person.command("p state.data")
    assert "of the user" in person.command(f"p open({str(secret)!r}).read()")
    person.type("c")
    assert person.end()[0] == 0
    assert layers("walled.jsonl") >= {"seccomp", "landlock", "session"}
    assert layers("debug.jsonl") == {"pdeathsig", "descriptors"}


def layers(file: str) -> set[str]:
    first = json.loads(Path(file).read_text().splitlines()[0])
    return {one["name"] for one in first["confinement"]["layers"] if one["state"] == "on"}


def test_the_language_wall_stays_on(debug, write):
    """A forbidden name is refused in the debugger, too, before the first line of the job."""
    write("job.py", "def main(state):\n    breakpoint()\n    return open('/etc/passwd')\n")
    person = debug("job.py")
    code, _ = person.end()
    assert code == 3
    assert "open does not exist in a job" in person.shown
    assert "(Pdb)" not in person.shown


def test_without_the_option_breakpoint_is_refused(write):
    """The error says what to do; the same for the checks."""
    write("job.py", "def main(state):\n    breakpoint()\n    return state\n")
    for command in ("run", "check"):
        done = run_warm(None, command, "job.py")
        assert done.returncode in (1, 3), done.stderr
        told = done.stderr + done.stdout
        assert "breakpoint does not exist in a job: only a debugger stops at it" in told
        assert "jobcell run --debug" in told


def test_without_a_terminal_nothing_runs(write):
    """The error names the stream that is not a terminal."""
    write("job.py", "def main(state):\n    print('ran')\n    return state\n")
    done = run_warm(None, "run", "job.py", "--debug")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "error: --debug: standard input is not a terminal; run the command in a terminal"
    ]
    piped = subprocess.run(
        [sys.executable, *COMMAND, "run", "job.py", "--debug"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert piped.returncode == 2
    assert "ran" not in piped.stderr


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--json"], "--json"),
        (["--cache-steps"], "--cache-steps"),
        (["--sandbox"], "--sandbox"),
        (["--net-audit"], "--net-audit"),
        (["--journal", "x.journal"], "--journal"),
        (["--start-mode", "zygote"], "--start-mode"),
        (["--end", "a"], "--end"),
        (["--watch"], "--watch"),
        (["--only", "a", "--start", "a"], "--start"),
        (["--from", "a", "--journal", "x.journal"], "--from"),
        (["--state", "-"], "standard input"),
    ],
)
def test_options_that_contradict_it_are_refused(write, options, named):
    """Each is named, before anything runs; a terminal is not even looked for."""
    write("job.py", "def main(state): return state\n")
    done = run_warm(None, "run", "job.py", "--debug", *options)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "--debug" in line
    assert named in line


@pytest.mark.parametrize("key", ["debug", "breakpoints"])
def test_a_plan_cannot_ask_for_the_debugger(write, key):
    """No key of a plan, of its options or of a step leads there."""
    step = {"id": "a", "expression": "def main(state): return breakpoint()", key: True}
    write("plan.json", {"workflow": {"steps": [step]}, "options": {key: True}})
    done = run_warm(None, "run", "plan.json")
    assert done.returncode != 0
    assert "(Pdb)" not in done.stderr
