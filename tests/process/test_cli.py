"""`jobcell run` and `jobcell validate` as a process with files and a terminal, like a user's."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import pytest
from warm import WarmProcess, heard, run_warm

from protocol.events import AnyEvent

COMMAND = [sys.executable, "-m", "jobcell"]

ENDLESS = """
def main(state):
    print("armed")
    while True:
        pass
"""

ADD_ONE = "def main(state):\n    return {'data': state.data + 1}\n"


@pytest.fixture
def write(tmp_path):
    def write(name: str, content) -> Path:
        file = tmp_path / name
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            file.write_text(content if isinstance(content, str) else json.dumps(content))
        return file

    return write


def jobcell(*arguments, stdin="", stdout="", env=None, cwd=None):
    """Run the command; other tests here start its interpreter as well."""
    return run_warm(None, *arguments, stdin=stdin, stdout=stdout, env=env, cwd=cwd)


def chain(**expressions):
    names = list(expressions)
    steps = [
        {"id": name, "expression": expression, "next": following}
        for (name, expression), following in zip(
            expressions.items(), [*names[1:], None], strict=True
        )
    ]
    return {"workflow": {"steps": steps}}


def test_a_single_job_runs_and_its_state_is_printed(write):
    """Standard output has only the state, and standard error has the progress."""
    done = jobcell("run", write("job.py", ADD_ONE), "--state", write("state.json", '{"data": 41}'))

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"data": 42}
    assert "[job-1] done in " in done.stderr
    assert done.stderr.splitlines()[-1].startswith("success after ")


def test_the_state_may_come_from_standard_input(write):
    """Programs in a pipe have the state on standard input."""
    done = jobcell("run", write("job.py", ADD_ONE), "--state", "-", stdin='{"data": 1}')

    assert json.loads(done.stdout) == {"data": 2}, done.stderr


def test_a_plan_names_its_job_files_and_the_outputs_are_files(write, tmp_path):
    """The command looks for jobs beside the plan, and not in the working directory."""
    write("add.py", ADD_ONE)
    plan = write("plan.json", chain(a="add.py", b="add.py", c="add.py"))
    output, events = tmp_path / "out.json", tmp_path / "events.jsonl"

    done = jobcell(
        *("run", plan, "--state", write("state.json", '{"data": 0}'), "--start", "b"),
        *("--output", output, "--events", events),
        cwd="/",
    )

    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert json.loads(output.read_text()) == {"data": 2}
    read = [msgspec.json.decode(line, type=AnyEvent) for line in events.read_bytes().splitlines()]
    assert [event.seq for event in read] == list(range(1, len(read) + 1))
    assert (read[0].type, read[-1].type) == ("workflow-start", "workflow-complete")


def test_end_is_where_the_run_is_over(write):
    """The option `--end` wins over the end in the plan."""
    plan = write("plan.json", chain(a=ADD_ONE, b=ADD_ONE, c=ADD_ONE))

    done = jobcell("run", plan, "--state", write("s.json", '{"data": 0}'), "--end", "b")

    assert json.loads(done.stdout) == {"data": 2}, done.stderr


def test_json_gives_every_event_and_the_result(write):
    """Standard output has one line of JSON for each event, and nothing else."""
    done = jobcell(
        "run",
        write("job.py", "def main(state):\n    print('hi')\n    return {'n': 2 ** 99}"),
        "--json",
    )

    assert done.returncode == 0, done.stderr
    *events, result = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "workflow-complete"
    assert events[-1]["state"] == {"n": 2**99}
    assert [event["message"] for event in events if event["type"] == "log"] == ["hi"]
    assert (result["type"], result["reason"], result["error"]) == ("result", "success", None)


@pytest.mark.parametrize(
    ("source", "options", "code", "message"),
    [
        pytest.param(
            "def main(state):\n    return state['nope']\n",
            [],
            1,
            "RuntimeError in step 'job-1', line 2, column 12",
            id="fail",
        ),
        pytest.param(
            "def main(state:\n", [], 3, "RuntimeCrash in step 'job-1', line 1", id="crash"
        ),
        pytest.param(ENDLESS, ["--timeout", "1"], 4, "TimeoutError", id="kill"),
    ],
)
def test_the_exit_code_says_how_the_run_ended(write, source, options, code, message):
    """The code is for shells and CI; standard error has the reason in words."""
    done = jobcell("run", write("job.py", source), *options)

    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert sum(message in line for line in done.stderr.splitlines()) <= 2
    assert "Traceback" not in done.stderr


def test_a_failed_run_still_gives_its_state(write):
    """The state contains the error of the failed job, so that a later program can use it."""
    done = jobcell("run", write("job.py", "def main(state):\n    return 1 / 0\n"))

    assert json.loads(done.stdout)["errors"]["job-1"]["subtype"] == "ZeroDivisionError"


def test_a_killed_run_leaves_the_output_as_it_was(write):
    """A killed run has no final state, so it does not replace the file of yesterday."""
    output = write("out.json", "yesterday")

    jobcell("run", write("job.py", ENDLESS), "--timeout", "0.5", "--output", output)

    assert output.read_text() == "yesterday"


@pytest.mark.parametrize(
    ("signal_number", "code", "name"),
    [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")],
)
def test_an_interrupt_cancels_the_run_and_says_so(write, signal_number, code, name):
    """Even a job that never returns gives the terminal back."""
    with heard("run", write("job.py", ENDLESS)) as (process, errors):
        seen = []
        for line in errors:
            seen.append(line)
            if "armed" in line:
                process.send_signal(signal_number)
        process.wait(timeout=20)
    said = "".join(seen)

    assert process.returncode == code, said
    assert "Cancelled" in said
    assert f"interrupted by {name}" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["nowhere.json"], "nowhere.json: cannot be read: No such file", id="no-plan"),
        pytest.param(
            ["."], ".: is a directory; give a plan (.json, .yaml) or a job (.py)", id="directory"
        ),
        pytest.param(["bad.json"], "bad.json: is not JSON: ", id="not-json"),
        pytest.param(
            ["list.json"], "list.json: must be an object with a workflow", id="wrong-type"
        ),
        pytest.param(["empty.json"], "empty.json: workflow.steps: is empty; a", id="empty-plan"),
        pytest.param(["binary.py"], "binary.py: is not text: byte 5 is not UTF-8", id="binary"),
        pytest.param(["nul.py"], "expression: has a NUL at character 3", id="nul"),
        pytest.param(["empty.py"], "empty.py: is empty; a job has operations", id="empty-job"),
        pytest.param(
            ["job.txt"], "job.txt: must be a plan (.json, .yaml) or a job (.py)", id="suffix"
        ),
        pytest.param(["ok.py", "--state", "no.json"], "no.json: cannot be read: No", id="no-state"),
        pytest.param(["ok.py", "--state", "bad.json"], "bad.json: is not JSON", id="bad-state"),
        pytest.param(
            ["ok.py", "--state", "."], ".: cannot be read: Is a directory", id="state-dir"
        ),
        pytest.param(
            ["ok.py", "--start", "x"], "--start: no step has the id or name 'x'", id="start"
        ),
        pytest.param(["ok.py", "--end", "x"], "--end: no step has the id or name 'x'", id="end"),
        pytest.param(
            ["ok.py", "--timeout", "-1"], "--timeout: must be a finite number", id="timeout"
        ),
        pytest.param(["ok.py", "--timeout", "nan"], "--timeout: must be a finite number", id="nan"),
        pytest.param(["ok.py", "--memory", "0"], "--memory: must be a finite number", id="memory"),
        pytest.param(["ok.py", "--memory", "lots"], "--memory", id="not-a-number"),
        pytest.param(["ok.py", "--repo", "no"], "no: does not exist; --repo takes", id="no-repo"),
        pytest.param(["ok.py", "--repo", "."], "jobcell repo init .", id="empty-repo"),
        pytest.param(["ok.py", "-o", "no/out"], "no/out: cannot be written: No such", id="output"),
        pytest.param(
            ["ok.py", "--events", "."], ".: cannot be written: Is a directory", id="events"
        ),
        pytest.param(
            ["ok.py", "--events", "new", "-o", "./new"],
            "new: is the file of --output as well; give --events another file",
            id="one-file-for-both",
        ),
        pytest.param(
            ["ok.py", "-o", "../{here}/ok.py"],
            "ok.py: is the plan or job as well; give --output another file",
            id="output-over-the-job",
        ),
        pytest.param(
            ["ok.py", "--state", "list.json", "--events", "list.json"],
            "list.json: is the file of --state as well; give --events another file",
            id="events-over-the-state",
        ),
        pytest.param(["ok.py", "--credentials", "bad.json"], "bad.json: is not JSON", id="secrets"),
        pytest.param(["ok.py", "--adaptr", "x"], "No such option", id="option"),
        pytest.param([], "Missing argument", id="nothing"),
    ],
)
def test_bad_input_is_told_in_a_line(write, tmp_path, arguments, message):
    """The line has problem, place and right form; the exit code is 2 without a traceback."""
    write("bad.json", "{'a': 1}")
    write("list.json", "[]")
    write("empty.json", {"workflow": {"steps": []}})
    write("binary.py", b"\x7fELF\x80\x00")
    write("nul.py", b"x \x00")
    write("empty.py", "\n")
    write("job.txt", "x")
    write("ok.py", ADD_ONE)

    arguments = [argument.replace("{here}", tmp_path.name) for argument in arguments]
    done = jobcell("run", *arguments, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert message in done.stderr.splitlines()[-1]
    assert len(done.stderr.splitlines()) <= 4


def test_the_final_state_may_replace_the_initial_one(write, tmp_path):
    """The file of the initial state is read before the run starts; a device may be named twice."""
    write("ok.py", ADD_ONE)
    state = write("state.json", {"data": 1})

    done = jobcell("run", "ok.py", "--state", "state.json", "-o", "state.json", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert json.loads(state.read_text())["data"] == 2
    null = ["-o", "/dev/null", "--events", "/dev/null"]
    assert jobcell("run", "ok.py", "--state", "state.json", *null, cwd=tmp_path).returncode == 0


def test_a_job_file_that_cannot_be_read_is_one_problem(write):
    """The path of the file is not taken for the source of a job."""
    plan = write("plan.json", {"workflow": {"steps": [{"id": "a", "expression": "nowhere.py"}]}})

    done = jobcell("validate", plan)

    assert done.stderr.splitlines() == [
        f"error: {plan}: workflow.steps[0].expression: nowhere.py cannot be read: No such file or directory"
    ]


def test_validate_prints_every_problem(write):
    """Each problem is a line with file and path, as a compiler prints it."""
    plan = write(
        "plan.json",
        {
            "workflow": {
                "steps": [
                    {"id": "a", "expression": ADD_ONE, "next": {"z": True, "b": "statee"}},
                    {"id": "b", "expression": "eval('1')", "next": "a", "adapter": "rest"},
                ]
            }
        },
    )

    done = jobcell("validate", plan)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"error: {plan}: workflow.steps[1].adapter: unknown key; did you mean 'adaptor'?",
        f"error: {plan}: workflow.steps[0].next.z: no step has the id 'z'; did you mean 'b'?",
        f"error: {plan}: workflow.steps[1].next: closes a cycle: a -> b -> a",
        f"error: {plan}: workflow.steps[0].next.b (step 'a', line 1, column 1): the condition 'statee': the name 'statee' is not defined (did you mean state?)",
        f"error: {plan}: workflow.steps[1].expression (step 'b', line 1, column 1): eval does not exist in a job: it runs text as code, which no check can see (for data use json.loads; for a choice use a dict of functions)",
    ]
    assert json.loads(jobcell("validate", plan, "--json").stdout)["ok"] is False


def test_validate_and_run_name_keys_that_are_ignored(write):
    """`validate` prints a line; `run` uses standard error, because its output is the state."""
    steps = [{"id": "a", "expression": ADD_ONE, "openfn": {"uuid": "u"}}]
    plan = write("plan.json", {"workflow": {"steps": steps}, "meta": {"origin": "test"}})

    checked = jobcell("validate", plan)
    ran = jobcell("run", plan, "--state", write("state.json", '{"data": 1}'))

    lines = [line for line in checked.stdout.splitlines() if line.startswith("warning: ")]
    assert [line.split("'")[1] for line in lines] == ["meta", "openfn"]
    assert checked.stdout.splitlines()[-1].startswith(f"{plan}: ok (")
    assert [line for line in ran.stderr.splitlines() if line.startswith("warning: ")] == lines
    assert (checked.returncode, ran.returncode, checked.stderr) == (0, 0, "")
    assert json.loads(ran.stdout) == {"data": 2}
    found = json.loads(jobcell("validate", plan, "--json").stdout)
    assert found == {
        "ok": True,
        "problems": [],
        "warnings": [one.removeprefix("warning: ") for one in lines],
    }


def test_validate_and_run_compare_the_permissions_of_steps_with_those_of_the_run(write, tmp_path):
    """The same rules give the same problem; without rules `validate` says that it has not compared."""
    wide = {"id": "a", "expression": ADD_ONE, "permissions": {"net": ["api.example.org:443"]}}
    plan = write("plan.json", {"workflow": {"steps": [wide]}})
    place = (
        f"error: {plan}: workflow.steps[0].permissions.net[0]: 'api.example.org:443' is not among"
    )
    narrow = ("--net", "127.0.0.1:80")

    refused = [
        jobcell("validate", plan, *narrow),
        jobcell("run", plan, *narrow, "--journal", tmp_path / "j"),
        jobcell("run", plan, "--journal", tmp_path / "j"),
    ]

    for done, rules in zip(refused, ["'127.0.0.1:80'", "'127.0.0.1:80'", "none"], strict=True):
        assert (done.returncode, done.stdout) == (2, "")
        own = f"the permissions of the run (net: {rules}); a step can only narrow them"
        assert done.stderr.splitlines() == [f"{place} {own}"]
    assert not (tmp_path / "j").exists()
    assert jobcell("validate", plan, "--net", "*.example.org").returncode == 0
    unknown = jobcell("validate", plan)
    assert unknown.returncode == 0
    assert unknown.stdout.splitlines()[0] == (
        f"warning: {plan}: the permissions of step 'a' are not compared with those of the run;"
        " give --net, --read, --scratch, --ca-file and --collection as for jobcell run"
    )
    wrong = jobcell("validate", plan, "--net", "http://x")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: --net: ")


def test_a_run_may_read_what_the_command_allows_and_a_step_only_its_part(write, tmp_path):
    """`--read` gives a path to the run; a step without it cannot open the file."""
    home = tmp_path / "data"
    home.mkdir()
    (home / "rows.txt").write_text("7")
    (tmp_path / "repo" / "files").mkdir(parents=True)
    (tmp_path / "repo" / "files" / "files.py").write_text(
        "from pathlib import Path\n"
        "def take(path):\n    return lambda state: {'data': Path(path).read_text()}\n"
    )
    entry = {"name": "files", "version": "1.0.0", "path": "files", "module": "files"}
    (tmp_path / "repo" / "repo.json").write_text(json.dumps({"adaptors": [entry]}))
    step = {"id": "a", "adaptor": "files", "expression": f"take({str(home / 'rows.txt')!r})"}
    plan = write("plan.json", {"workflow": {"steps": [step]}})
    closed = write("c.json", {"workflow": {"steps": [{**step, "permissions": {"read": []}}]}})
    wide = write("w.json", {"workflow": {"steps": [{**step, "permissions": {"read": ["/srv"]}}]}})
    options = ("--repo", "repo", "--read", "data")

    assert json.loads(jobcell("run", plan, *options, cwd=tmp_path).stdout) == {"data": "7"}
    for refused in (
        jobcell("run", plan, "--repo", "repo", cwd=tmp_path),
        jobcell("run", closed, *options, cwd=tmp_path),
    ):
        assert refused.returncode == 1
        assert "rows.txt" in refused.stderr
    for command in ("validate", "run"):
        done = jobcell(command, wide, *options, cwd=tmp_path)
        assert done.returncode == 2
        assert "'/srv' is not among the permissions of the run (read: '" in done.stderr
    started = jobcell("run", plan, *options, "--journal", "j", cwd=tmp_path)
    resumed = jobcell("resume", "j", cwd=tmp_path)
    assert (started.returncode, resumed.returncode) == (0, 0)
    assert f"options of the journal: --read '{home}'" in resumed.stderr


def test_validate_is_content_with_a_good_plan(write):
    """The command prints a summary of the plan."""
    plan = write("plan.json", chain(a=ADD_ONE, b=ADD_ONE))

    done = jobcell("validate", plan)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{plan}: ok (2 steps, 1 edge, starts with 'a')\n"


def test_a_reader_that_goes_away_is_no_error(write):
    """`jobcell run ... --json | head -1` ends quietly."""
    chatty = "def main(state):\n    while True:\n        print('x' * 1000)\n"
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as errors:
        streams = (errors.fileno(), writing, errors.fileno())
        process = WarmProcess(None, "run", write("job.py", chatty), "--json", streams=streams)
        os.close(writing)
        with os.fdopen(reading) as lines:
            assert lines.readline()
        process.wait(20)
        errors.seek(0)
        said = errors.read()

    assert process.returncode == 141, said
    assert said == b""


@pytest.mark.parametrize("words", [["schema"], ["completion", "zsh"], ["run", "--help"]])
def test_every_command_says_that_its_reader_has_gone(words):
    """The library that calls our commands would end them with 1, which means that a job failed."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as output, tempfile.TemporaryFile() as errors:
        if words == ["schema"]:  # the end of a real interpreter has nothing to say either
            code = subprocess.run(
                [*COMMAND, *words], stdout=output, stderr=errors, check=False
            ).returncode
        else:
            streams = (errors.fileno(), output.fileno(), errors.fileno())
            process = WarmProcess(None, *words, streams=streams)
            code = process.wait(60)
        errors.seek(0)
        assert (code, errors.read()) == (141, b"")


def test_a_terminal_shows_the_steps(write):
    """If standard error is a terminal it shows a table, which log lines cannot control."""
    noisy = "def main(state):\n    print('\\x1b]0;title\\x07')\n    return state\n"
    plan = write("plan.json", chain(first=noisy, second=noisy))
    process, leader = in_foreground("run", plan)
    shown = _read_terminal(leader)
    process.wait(20)

    assert process.returncode == 0, shown
    assert "first" in shown
    assert "second" in shown
    assert "done" in shown
    assert "success after" in shown
    assert "\x1b]0;title" not in shown


def _read_terminal(leader: int) -> str:
    parts = []
    try:
        while part := os.read(leader, 65536):
            parts.append(part)
    except OSError:  # EIO: the last process with the other end open has closed it, see pty(7).
        pass
    finally:
        os.close(leader)
    return b"".join(parts).decode()


def test_without_the_sandbox_every_run_says_so(write):
    """A user who turns the wall off is reminded in each run."""
    done = jobcell(
        "run", write("job.py", ADD_ONE), "--state", "-", "--no-sandbox", stdin='{"data":1}'
    )

    assert done.returncode == 0, done.stderr
    assert "NO SANDBOX" in done.stderr


def test_credentials_are_resolved_by_id(write):
    """The plan has the id of a credential and the file its value; the final state has neither."""
    job = "def main(state):\n    return {'data': len(state.configuration.password)}\n"
    plan = {"workflow": {"steps": [{"id": "a", "expression": job, "configuration": "crm"}]}}
    credentials = write("credentials.json", {"crm": {"password": "correct horse"}})

    done = jobcell("run", write("plan.json", plan), "--credentials", credentials)
    assert json.loads(done.stdout) == {"data": 13}, done.stderr

    done = jobcell("run", write("plan.json", plan), "--credentials", write("c.json", {"other": {}}))
    assert done.returncode == 3
    assert "CredentialLoadError" in done.stderr


TERMINAL = {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"}


def in_foreground(*arguments):
    """Start the command on a terminal; return its process and the other end of the terminal."""
    leader, follower = pty.openpty()
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123 - a device
        streams = (follower, nothing.fileno(), follower)
        env = os.environ | TERMINAL
        process = WarmProcess(None, *arguments, streams=streams, env=env, terminal=True)
    os.close(follower)
    return process, leader


@pytest.mark.parametrize("delay_ms", [4_900, 60_000], ids=["the child waits", "no child is left"])
def test_a_terminal_counts_down_to_the_next_attempt_and_ctrl_c_ends_the_wait(write, delay_ms):
    """The table shows the error, the attempt and the time that is left; no attempt follows Ctrl-C."""
    step = {
        "id": "fetch",
        "expression": "def main(state): raise ValueError('busy')",
        "retry": {"attempts": 3, "delay": delay_ms, "on": ["RuntimeError"]},
    }
    plan = write("plan.json", {"workflow": {"steps": [step]}})
    process, leader = in_foreground("run", plan, "--timeout", "600")
    shown = b""
    left = []
    while len(set(left)) < 2:  # the number has changed
        shown += os.read(leader, 65536)
        left = re.findall(rb"RuntimeError, attempt 2 of 3 in ([0-9.]+) s", shown)
    os.write(leader, b"\x03")
    rest = _read_terminal(leader)
    process.wait(20)

    counted = [float(seconds) for seconds in left]
    assert counted == sorted(counted, reverse=True)
    assert counted[0] > counted[-1]
    assert process.returncode == 130, rest
    assert "interrupted by Ctrl-C" in rest
    assert "running, attempt 2" not in rest
    assert "Traceback" not in rest


@pytest.mark.parametrize("mode", ["exec", "zygote"])
def test_ctrl_c_on_a_terminal_reaches_the_command_alone(write, mode):
    """The terminal signals every process in the foreground; our other processes must survive."""
    process, leader = in_foreground("run", "--start-mode", mode, write("job.py", ENDLESS))
    shown = b""
    while b"armed" not in shown:
        shown += os.read(leader, 65536)
    os.write(leader, b"\x03")
    rest = _read_terminal(leader)
    process.wait(timeout=20)

    assert process.returncode == 130, rest
    assert "interrupted by Ctrl-C" in rest
    assert "Traceback" not in rest


def without(module: str) -> str:
    """Return the program of the command where *module* cannot be imported."""
    return f"import sys; sys.modules[{module!r}] = None; from jobcell.cli import main; main()"


def test_without_its_packages_the_command_says_which(write):
    """A program that embeds the engine does not need these packages; a user of the command does."""
    command = [sys.executable, "-c", without("typer"), "run", str(write("job.py", ADD_ONE))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: the command line needs more packages: pip install 'jobcell[cli]'\n"
    )


def test_a_broken_command_does_not_break_the_others(write):
    """Each command is loaded when it is called; a bug of ours is reported in one line as well."""
    program = without("jobcell.desk.doctor")
    done = run_warm(program, "doctor", kind="commands")
    assert done.returncode == 5
    assert "this is a bug in jobcell" in done.stderr
    assert "Traceback" not in done.stderr

    job = write("job.py", ADD_ONE)
    assert run_warm(program, "validate", job, kind="commands", borrows=True).returncode == 0


STREAMS = {
    "closed": (">&-", 2),
    "closed, as JSON": ("--json >&-", 2),
    "full": (">/dev/full", 5),
    "full, as JSON": ("--json >/dev/full", 5),
    "full file": ("-o /dev/full", 5),
    "full record": ("--events /dev/full >/dev/null", 5),
    "closed, with a file": ("-o out.json >&-", 0),
    "errors closed": ("2>&-", 0),
    "all closed": (">&- 2>&- <&-", 2),
    "input closed": ("<&-", 0),
}
REAL_STARTS = {"errors closed", "all closed"}
"""Cases in which an interpreter starts with closed streams."""


@pytest.mark.parametrize("how", STREAMS)
def test_output_that_goes_nowhere_ends_with_a_line(write, tmp_path, how):
    """The line does not speak of a bug and has no traceback; the exit code is not a job's."""
    write("job.py", ADD_ONE.replace("state.data + 1", "7"))
    redirection, code = STREAMS[how]
    if how in REAL_STARTS:
        line = f"{' '.join(COMMAND)} run job.py {redirection}"
        env = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    else:
        options, _, output = redirection.partition(">")
        closed = [number for number, end in enumerate(["<&-", ">&-", "2>&-"]) if end in redirection]
        words = [word for word in options.split() if "&" not in word]
        output = "" if "&" in output else output
        done = run_warm(None, "run", "job.py", *words, cwd=tmp_path, stdout=output, closed=closed)

    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "bug in jobcell" not in done.stderr
    told = [text for text in done.stderr.splitlines() if text.startswith("error: ")]
    assert len(told) == (0 if code == 0 or "2>&-" in redirection else 1)


def test_the_repo_is_that_of_the_variable_or_the_one_beside(write, tmp_path):
    """The rule is that of `jobcell repo`; without a repo the error names the option."""
    job = write("job.py", "value(3)\n")
    directory = tmp_path / "repo"
    (directory / "tool_1").mkdir(parents=True)
    code = "def value(n):\n    return lambda state: {'data': n}\n"
    (directory / "tool_1" / "tool.py").write_text(code)
    entry = {"name": "tool", "version": "1", "path": "tool_1"}
    (directory / "repo.json").write_text(json.dumps({"adaptors": [entry]}))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    clean = {key: value for key, value in os.environ.items() if key != "JOBCELL_REPO"}
    clean["PYTHONPATH"] = str(Path.cwd())
    command = ("run", job, "--adaptor", "tool")

    beside = jobcell(*command, cwd=tmp_path, env=clean)
    named = jobcell(*command, cwd=elsewhere, env={**clean, "JOBCELL_REPO": str(directory)})
    without = jobcell(*command, cwd=elsewhere, env=clean)

    assert json.loads(beside.stdout) == json.loads(named.stdout) == {"data": 3}
    assert without.returncode == 2
    assert "--repo" in without.stderr
    assert "JOBCELL_REPO" in without.stderr
    assert "repo_dir" not in without.stderr


@pytest.mark.parametrize(
    ("source", "options", "said", "unsaid"),
    [
        (
            "def main(state):\n    while True: pass\n",
            ("--timeout", "0.5"),
            "(--timeout)",
            "timeout_s",
        ),
        ("def main(state):\n    return {'x': bytearray(10**9)}\n", (), "(--memory)", "memory_mb"),
    ],
    ids=["timeout", "memory"],
)
def test_an_error_speaks_of_the_options_of_the_command(write, source, options, said, unsaid):
    """The error does not mention the Python interface, which the reader may never have seen."""
    done = jobcell("run", write("job.py", source), *options)

    assert said in done.stderr
    assert unsaid not in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--timeout", "-1"), "error: --timeout: must be a finite number above 0, not -1.0"),
        (("--memory", "1e300"), "error: --memory: must be at most "),
        (
            ("--net", "https://x"),
            "error: --net: the network rule 'https://x' is a URL; write 'x:443'",
        ),
        (("--net", "x:https"), "in place of a port; write 'x:443'"),
        (("--ca-file", "/none.pem"), "error: --ca-file: '/none.pem', which does not exist; name a"),
    ],
)
def test_a_wrong_option_is_named(write, options, message):
    """The error is one line, and nothing was started."""
    done = jobcell("run", write("job.py", ADD_ONE), *options)

    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_help_lists_every_exit_code():
    """A supervisor of the command sees 143 after SIGTERM."""
    text = " ".join(jobcell("run", "--help").stdout.split())
    for code in (
        "0 success",
        "1 a job",
        "2 bad",
        "3 crash",
        "4 killed",
        "5 not",
        "130",
        "141",
        "143",
    ):
        assert code in text
