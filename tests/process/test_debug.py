"""`jobcell run --debug` on a real terminal: a person stops a step, looks, changes, and goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import termios
import time
from pathlib import Path

import psutil
import pytest
import yaml
from terminal import COMMAND, Person
from warm import run_warm

LOOP = """\
def grow(n):
    more = 2
    return n + more


def main(state):
    total = 0
    for n in state.data:
        breakpoint()
        total = total + grow(n)
        print("total", total)
    return {"data": total}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a file into the directory in which commands run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JOBCELL_REPO", raising=False)

    def to(name: str, content: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return to


@pytest.fixture
def debug(tmp_path):
    """Starts `jobcell run ... --debug` on a terminal."""
    people: list[Person] = []

    def start(*arguments: object, environment: dict[str, str] | None = None) -> Person:
        person = Person("run", *arguments, "--debug", cwd=tmp_path, environment=environment or {})
        people.append(person)
        return person

    yield start
    for person in people:
        person.__exit__()


def begin(debug, write, job: str, data: object = None, *more: object) -> Person:
    """Debug a job in a file up to its first prompt."""
    write("state.json", {"data": data})
    write("job.py", job)
    person = debug("job.py", "--state", "state.json", *more)
    person.wait_for("(Pdb) ")
    return person


# --- stopping and going on ---


def test_the_warning_comes_first_and_breakpoint_stops_at_its_line(debug, write):
    """Before anything of the job runs, the author reads that the wall is off; then sees the own line."""
    person = begin(debug, write, LOOP, [1, 2])
    assert "WITHOUT THE KERNEL WALL" in person.shown
    assert "credentials" in person.shown
    assert person.shown.index("KERNEL WALL") < person.shown.index("> job.py(9)main()")
    assert "-> breakpoint()" in person.shown
    assert person.command("p n, state.data[1]").splitlines()[-1] == "(1, 2)"
    listed = person.command("l")
    assert "  6  \tdef main(state):" in listed
    assert "  9  ->\t        breakpoint()" in listed


def test_a_changed_variable_reaches_the_final_state(debug, write):
    """The author steps, changes a variable and goes on; the run is a success with that value."""
    person = begin(debug, write, LOOP, [1])
    assert "job.py(10)main()" in person.command("n")
    assert "--Call--" in person.command("s")
    assert "n = 1" in person.command("a")
    assert "job.py(2)grow()" in person.command("s")
    assert "job.py(3)grow()" in person.command("n")
    person.command("more = 40")
    assert "job.py(3)grow()->41" in person.command("n")
    frames = person.command("w")
    assert [line for line in frames.splitlines() if "(" in line and "->" not in line[:3]] == [
        "  job.py(10)main()",
        "> job.py(3)grow()->41",
    ]
    assert "job.py(10)main()" in person.command("u")
    assert person.command("p total").splitlines()[-1] == "0"
    person.type("c")
    code, output = person.end()
    assert (code, json.loads(output)) == (0, {"data": 41})
    assert "info: total 41" in person.shown
    assert "success after" in person.shown


def test_state_is_read_and_changed_as_in_a_job(debug, write):
    """`state.data.x` works at the prompt, also within a lambda, in a condition, and as a target."""
    job = """\
def main(state):
    limit = 2
    breakpoint()
    for n in state.data.rows:
        last = n
    return {"data": [state.data.rows, state.extra, last]}
"""
    person = begin(debug, write, job, {"rows": [1, 2, 3]})
    assert person.command("state.data.rows").splitlines()[-1] == "[1, 2, 3]"
    assert person.command("p [n for n in state.data.rows if n > limit]").splitlines()[-1] == "[3]"
    assert person.command("pp type(state)").splitlines()[-1] == "<class 'dict'>"
    assert "AttributeError" in person.command("p limit.nothing")
    assert "SyntaxError" in person.command("for")
    person.command("state.extra = 'added'")
    assert "Breakpoint 1 at job.py:5" in person.command("b 5, state.data.rows[1] == n")
    assert "stop only if state.data.rows[1] == n" in person.command("b")
    person.command("c")
    assert person.command("p n").splitlines()[-1] == "2"
    person.command("cl 1")
    person.type("c")
    code, output = person.end()
    assert (code, json.loads(output)["data"]) == (0, [[1, 2, 3], "added", 3]), person.shown


def test_a_step_does_not_go_into_guards(debug, write):
    """A job is full of calls of guards; `s` passes over them, and stops in functions of the job."""
    job = """\
class Box:
    def __init__(self, n):
        self._n = n


def main(state):
    breakpoint()
    box = Box(state.data.n)
    text = "{}".format(box._n)
    rows = sorted([3, 1], key=lambda row: -row)
    return {"data": [text, rows]}
"""
    person = begin(debug, write, job, {"n": 7})
    seen = []
    while "job.py(11)main()" not in person.shown:
        for line in person.command("s").splitlines():
            if line.startswith("> "):
                seen.append(line.partition("->")[0])
    assert "> job.py(3)__init__()" in seen
    assert "> job.py(10)<lambda>()" in seen
    assert all(line.startswith("> job.py(") for line in seen)
    person.type("c")
    assert json.loads(person.end()[1]) == {"data": ["7", [3, 1]]}


def test_without_a_breakpoint_the_first_line_of_the_first_operation_stops(debug, write):
    """Definitions and imports are passed over."""
    job = "import json\n\nSIZE = 3\n\n\ndef main(state):\n    return {'data': SIZE}\n"
    person = begin(debug, write, job)
    assert "> job.py(7)main()" in person.shown
    assert "(Pdb)" in person.command("until") or "--Return--" in person.shown
    person.type("c")
    assert person.end()[0] == 0


def test_a_breakpoint_between_two_operations_of_a_script(debug, write):
    """At top level of a script `breakpoint()` is an operation; a state that is set there goes on."""
    job = """\
from common import fn

fn(lambda state: {"data": 1})
breakpoint()
fn(lambda state: {"data": [state.data, fn.__name__]})
"""
    write("empty.json", {})
    run_warm(None, "repo", "init", "repo").check_returncode()
    run_warm(None, "repo", "add", "common", "--repo", "repo").check_returncode()
    person = begin(debug, write, job, None, "--adaptor", "common")
    assert "> job.py(4)<lambda>()" in person.shown
    assert "-> breakpoint()" in person.shown
    assert person.command("p state").splitlines()[-1] == "{'data': 1}"
    person.command("state = {'data': 5}")
    person.type("c")
    code, output = person.end()
    assert (code, json.loads(output)["data"]) == (0, [5, "fn"]), person.shown


def test_a_breakpoint_in_a_lambda_and_in_a_coroutine(debug, write):
    """An operation may be any function; the engine awaits a coroutine."""
    job = """\
import asyncio


async def wait(n):
    await asyncio.sleep(0)
    breakpoint()
    return n + 1


async def second(state):
    return {"data": await wait(state.data)}


operations = [lambda state: breakpoint() or {"data": state.data + 1}, second]
"""
    person = begin(debug, write, job, 1)
    assert "> job.py(14)<lambda>()" in person.shown
    assert "> job.py(6)wait()" in person.command("c")
    person.command("!n = 10")
    person.type("c")
    code, output = person.end()
    assert (code, json.loads(output)) == (0, {"data": 11}), person.shown


# --- the end ---


def test_quit_ends_the_step_and_nothing_more_of_it_runs(debug, write):
    """The job cannot catch it; the error is one sentence with the author's line."""
    job = """\
def main(state):
    try:
        breakpoint()
    except BaseException:
        print("caught")
    finally:
        print("finally")
    return {"data": "went on"}
"""
    person = begin(debug, write, job)
    person.type("q")
    code, output = person.end()
    assert (code, output) == (3, b"")
    assert "the step was ended in the debugger (q)" in person.shown
    assert "caught" not in person.shown
    assert "info: finally" not in person.shown
    assert "Traceback" not in person.shown
    assert "breakpoint()" in person.shown.partition("ExitError")[2]


def test_ctrl_d_is_quit(debug, write):
    """The end of the input ends the step in the same way."""
    person = begin(debug, write, LOOP, [1])
    person.press(b"\x04")
    assert person.end()[0] == 3
    assert "the step was ended in the debugger" in person.shown


def test_an_exception_stops_at_the_authors_line(debug, write):
    """The names of the frame can be read; the step fails as it would have without the debugger."""
    job = """\
def half(n):
    rest = n % 2
    return n // rest


def main(state):
    return {"data": half(state.data)}
"""
    write("state.json", {"data": 4})
    write("job.py", job)
    person = debug("job.py", "--state", "state.json")
    person.wait_for("> job.py(7)main()")  # it has no breakpoint(), so it stops at its first line
    person.wait_for("(Pdb) ")
    shown = person.command("c")
    assert "not caught: ZeroDivisionError: integer division or modulo by zero" in shown
    assert "> job.py(3)half()" in shown
    assert "-> return n // rest" in shown
    assert person.command("p n, rest").splitlines()[-1] == "(4, 0)"
    assert "job.py(7)main()" in person.command("u")
    person.type("q")
    code, output = person.end()
    assert code == 1
    assert json.loads(output)["errors"]["job-1"]["position"]["line"] == 3
    assert "Traceback" not in person.shown


def test_an_exception_of_an_adaptor_is_shown_at_the_jobs_line(debug, write):
    """The frame of the adaptor is one `d` away."""
    add_adaptor(write, "broken", "def fail(n):\n    part = n + 1\n    raise ValueError(part)\n")
    job = "from broken import fail\n\n\ndef main(state):\n    breakpoint()\n    return fail(1)\n"
    person = begin(debug, write, job, None, "--adaptor", "broken")
    shown = person.command("c")
    assert "not caught: ValueError: 2" in shown
    assert "> job.py(6)main()" in shown
    assert "fail()" in person.command("d")
    assert person.command("p part").splitlines()[-1] == "2"
    person.type("q")
    assert person.end()[0] == 1


def test_a_breakpoint_of_an_adaptor_stops_in_the_adaptor(debug, write):
    """Its author debugs it in the same way, and can step there."""
    source = "def grow(n):\n    breakpoint()\n    m = n + 1\n    return m\n"
    add_adaptor(write, "grower", source)
    job = "from grower import grow\n\n\ndef main(state):\n    return {'data': grow(state.data)}\n"
    person = begin(debug, write, job, 1, "--adaptor", "grower")
    assert "-> return {'data': grow(state.data)}" in person.shown
    assert "-> breakpoint()" in person.command("c")
    assert "-> m = n + 1" in person.command("n")
    person.command("!n = 5")
    person.type("c")
    code, output = person.end()
    assert (code, json.loads(output)) == (0, {"data": 6})


def add_adaptor(write, name: str, source: str) -> None:
    """Make an adaptor of one module, and a repo with it."""
    write(f"{name}/{name}.py", source)
    write(
        f"{name}/pyproject.toml",
        f'[project]\nname = "{name}"\nversion = "1.0.0"\n'
        f'[tool.setuptools]\npy-modules = ["{name}"]\n'
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n',
    )
    directory = Path("repo", f"{name}-1.0.0")
    run_warm(None, "repo", "init", "repo").check_returncode()
    done = run_warm(None, "repo", "add", f"./{name}", "--repo", "repo")
    assert done.returncode == 0, (done.stderr, directory)


# --- Ctrl-C ---


def test_ctrl_c_at_the_prompt_gives_up_the_line(debug, write):
    """The step waits as before."""
    person = begin(debug, write, LOOP, [1])
    person.press(b"p to")
    person.wait_for("p to")
    # CPython's readline misses a signal that comes just before its select(2).
    assert any(person.press(b"\x03") or person.shows("--KeyboardInterrupt--", 5) for _ in range(4))
    person.wait_for("--KeyboardInterrupt--")
    person.wait_for("(Pdb) ")
    assert person.command("p total").splitlines()[-1] == "0"
    person.type("c")
    assert person.end()[0] == 0


def test_ctrl_c_stops_a_job_that_runs(debug, write):
    """The loop stops at a line of its own, and can be ended by a changed variable."""
    job = """\
def main(state):
    on = True
    breakpoint()
    n = 0
    while on:
        n = n + 1
    return {"data": n > 0}
"""
    person = begin(debug, write, job)
    person.type("print('goes on') ;; c")
    person.wait_for("goes on\n")
    wait_until_busy(person)
    person.press(b"\x03")
    person.wait_for("stops at the next line of the job")
    person.wait_for("(Pdb) ")
    person.command("on = False")
    person.type("c")
    code, output = person.end()
    assert (code, json.loads(output)) == (0, {"data": True}), person.shown


def test_a_second_ctrl_c_breaks_off_a_call_that_waits(debug, write):
    """The prompt is at the line of the job that has waited; the step has failed."""
    add_adaptor(write, "waiter", "import time\n\n\ndef wait():\n    time.sleep(1000)\n")
    job = "from waiter import wait\n\n\ndef main(state):\n    breakpoint()\n    wait()\n"
    person = begin(debug, write, job, None, "--adaptor", "waiter")
    person.type("print('goes on') ;; c")
    person.wait_for("goes on\n")
    while not person.shows("once more breaks off", 0.5):
        person.press(b"\x03")  # the prompt is not left yet
    person.press(b"\x03")
    person.wait_for("KeyboardInterrupt")
    person.wait_for("-> wait()")
    person.wait_for("(Pdb) ")
    assert "not caught: KeyboardInterrupt" in person.command("c")
    person.type("q")
    assert person.end()[0] == 1


def test_ctrl_c_three_times_cancels_a_job_that_is_in_c_code(debug, write):
    """No line of the job follows, so the command cancels the run."""
    person = begin(debug, write, "def main(state):\n    breakpoint()\n    sum(range(10**15))\n")
    person.type("print('goes on') ;; c")
    person.wait_for("goes on\n")
    wait_until_busy(person)
    person.press(b"\x03")
    person.press(b"\x03")
    # Two signals of one kind that wait together are one.
    while not person.shows("Ctrl-C once more cancels the run", 0.5):
        person.press(b"\x03")
    person.press(b"\x03")
    code, output = person.end()
    assert (code, output) == (130, b""), person.shown


def wait_until_busy(person: Person) -> None:
    """Wait until the debugged child uses a processor: it does not wait at a prompt any more."""
    (child,) = psutil.Process(person.process.pid).children()
    before = child.cpu_times().user
    while child.cpu_times().user < before + 0.3:
        time.sleep(0.02)


def test_sigterm_cancels_the_run_at_a_prompt_and_leaves_the_terminal_in_order(debug, write):
    """The child is gone, and the terminal echoes again."""
    person = begin(debug, write, LOOP, [1])
    (child,) = psutil.Process(person.process.pid).children()
    person.process.terminate()
    person.process.wait(60)
    assert not child.is_running()
    assert termios.tcgetattr(person.leader)[3] & termios.ECHO
    assert person.process.returncode == 143


# --- the plan ---


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


# --- the walls ---

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


# --- what is not possible ---


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
