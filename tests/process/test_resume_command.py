"""`jobcell run --journal`, `jobcell resume`, `--from` and `--only`, as a user runs them."""

import json
import os
import signal
import subprocess

import pytest
from warm import heard, run_warm

from engine import FileJournal, JournalError, run
from jobcell.cli import main

KEY = bytes(range(32))
CREDENTIAL = "correct horse battery"

ADD = "def main(state):\n    print('in', {!r})\n    return {{'data': state.data + [{!r}]}}\n"
HANG = (
    "import time\ndef main(state):\n    print('armed')\n    while state.data: time.sleep(0.01)\n"
    "    return state\n"
)


@pytest.fixture(autouse=True)
def no_leak():
    """Each run is a process of its own."""


def add(name, **more):
    return {"id": name, "expression": ADD.format(name, name), **more}


def make_plan(**changes):
    """Return the steps a, b, c and d in a row; a keyword changes the expression of a step."""
    steps = [add(one, next=then) for one, then in zip("abcd", ("b", "c", "d", None), strict=True)]
    for step in steps:
        step["expression"] = changes.get(step["id"], step["expression"])
    return {"workflow": {"steps": steps}}


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        file = tmp_path / name
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return name

    write("s.json", {"data": []})
    return write


@pytest.fixture
def here(capsys):
    """Run the command in this process, which takes less time."""

    def here(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, ended.value.code, said.out, said.err)

    return here


@pytest.fixture
def jobcell(here, tmp_path, monkeypatch):
    """Run the command in the directory of the test."""

    def jobcell(*arguments, **variables):
        monkeypatch.chdir(tmp_path)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return here(*map(str, arguments))

    return jobcell


def interrupt(tmp_path, number, *arguments, **variables):
    """Run the command until a job says that it is armed, then send a signal; return the exit code."""
    environment = {**os.environ, **variables}
    with heard(*arguments, cwd=tmp_path, env=environment) as (process, errors):
        for line in errors:
            if "armed" in line:
                process.send_signal(number)
        return process.wait(30)


def ran(done):
    """Return the ids of the steps that were run, in their order."""
    return [line.rpartition("in ")[2] for line in done.stderr.splitlines() if "info: in " in line]


def check_refused(done, *parts):
    """Check that the command printed one clear error, and ran nothing."""
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: ")
    for part in parts:
        assert part in done.stderr


@pytest.mark.parametrize(
    ("number", "key"),
    [(signal.SIGKILL, None), (signal.SIGTERM, KEY.hex())],
    ids=["killed", "terminated, encrypted"],
)
def test_a_run_that_was_interrupted_goes_on_after_its_last_finished_step(
    write, jobcell, tmp_path, number, key
):
    """The file is enough: the plan and the state may be gone. Finished steps do not run again."""
    write("plan.json", make_plan(c=HANG))
    variables = {} if key is None else {"THE_KEY": key}
    how = () if key is None else ("--journal-key-env", "THE_KEY")
    command = ("run", "plan.json", "--state", "s.json", "--journal", "j", *how, "--timeout", "20")

    code = interrupt(tmp_path, number, *command, **variables)
    assert code == (-9 if number == signal.SIGKILL else 143)
    (tmp_path / "plan.json").unlink()
    (tmp_path / "s.json").unlink()
    done = jobcell("resume", "j", *how, "--step-timeout", "1", **variables)

    assert done.returncode == 4, done.stderr  # c never returns
    assert "2 steps were replayed from the journal" in done.stderr
    assert ran(done) == []
    assert "options of the journal: --timeout 20" in done.stderr


def test_the_final_state_is_that_of_an_undisturbed_run(write, jobcell, tmp_path):
    """The run may have been cut after any of its steps; exactly the rest runs."""
    write("plan.json", make_plan())
    whole = jobcell("run", "plan.json", "--state", "s.json", "--journal", "j")
    assert json.loads(whole.stdout) == {"data": ["a", "b", "c", "d"]}, whole.stderr
    with FileJournal(tmp_path / "j") as journal:
        about, records = journal.about, list(journal.records())
    for kept in (0, 2, 3):
        (tmp_path / "part").unlink(missing_ok=True)
        with FileJournal(tmp_path / "part") as journal:
            journal.describe(about)
            for record in records[:kept]:
                journal.record(record)
        done = jobcell("resume", "part")
        assert (done.returncode, done.stdout) == (0, whole.stdout), done.stderr
        assert ran(done) == list("abcd"[kept:])


def test_events_of_a_resumed_run_say_what_was_replayed(write, jobcell):
    """`--events` and `--json` have the fields for programs."""
    write("plan.json", make_plan())
    jobcell("run", "plan.json", "--state", "s.json", "--journal", "j")
    done = jobcell("resume", "j", "--json", "--events", "e.jsonl")

    first, *_, result = [json.loads(line) for line in done.stdout.splitlines()]
    assert (first["type"], first["replayed"]) == ("workflow-start", 4)
    assert (result["reason"], result["children"]) == ("success", 1)


def test_from_and_only_run_a_part_and_leave_the_journal_as_it_is(write, jobcell, tmp_path):
    """`--from` runs the step and all the rest; `--only` runs the step alone, with its recorded input."""
    write("plan.json", make_plan())
    jobcell("run", "plan.json", "--state", "s.json", "--journal", "j")
    before = (tmp_path / "j").read_bytes()

    rest = jobcell("run", "plan.json", "--journal", "j", "--from", "c")
    alone = jobcell("run", "plan.json", "--journal", "j", "--only", "b")
    first = jobcell("run", "plan.json", "--journal", "j", "--only", "a")

    assert (ran(rest), json.loads(rest.stdout)) == (["c", "d"], {"data": ["a", "b", "c", "d"]})
    assert (ran(alone), json.loads(alone.stdout)) == (["b"], {"data": ["a", "b"]})
    assert (ran(first), json.loads(first.stdout)) == (["a"], {"data": ["a"]})
    assert (tmp_path / "j").read_bytes() == before


def test_only_takes_the_input_of_the_step_from_a_file_as_well(write, jobcell, tmp_path):
    """The step runs alone, with this state and without a journal, and the cache keeps its result."""
    write("plan.json", make_plan())
    write("s.json", {"data": ["x"]})
    words = ("run", "plan.json", "--only", "B", "--state", "s.json")
    cache = {"JOBCELL_CACHE_DIR": str(tmp_path / "cache")}

    done = jobcell(*words)
    assert (ran(done), json.loads(done.stdout)) == (["b"], {"data": ["x", "b"]})
    assert "--only: 'B' is taken as 'b'" in done.stderr
    cached = [jobcell(*words, "--cache-steps", **cache) for _ in range(2)]
    assert [ran(one) for one in cached] == [["b"], []]
    assert [one.stdout for one in cached] == [done.stdout] * 2


def test_a_step_that_ended_the_run_can_be_mended_and_run_from_there(write, jobcell, tmp_path):
    """Only the replayed steps must be the same; the mended step and later ones may differ."""
    credentials = {"credentials": {"password": CREDENTIAL}}
    plan = make_plan(c="def main(state:\n")
    plan["workflow"] |= credentials
    write("plan.json", plan)
    broken = jobcell("run", "plan.json", "--state", "s.json", "--journal", "j")
    assert broken.returncode == 3
    assert broken.stderr.splitlines()[-1] == (
        "go on after the last finished step: jobcell resume j"
    )
    plan = make_plan()
    plan["workflow"] |= credentials
    write("plan.json", plan)

    assert ran(jobcell("run", "plan.json", "--journal", "j", "--only", "c")) == ["c"]
    assert ran(jobcell("run", "plan.json", "--journal", "j", "--from", "c")) == ["c", "d"]
    write("plan.json", make_plan(a=ADD.format("a", "other")))
    done = jobcell("run", "plan.json", "--journal", "j", "--from", "c")
    check_refused(done, "j: is the journal of another plan: its step 'a' is another one")


def test_only_leaves_out_steps_that_would_come_first(write, jobcell):
    """The run of a diamond ended in a branch; the other branch is run alone."""
    crash = "def main(state:\n"
    steps = [
        add("a", next={"b": True, "c": True}),
        {"id": "b", "expression": crash, "next": "d"},
        add("c", next="d"),
        add("d", join="all"),
    ]
    write("plan.json", {"workflow": {"steps": steps}})
    assert jobcell("run", "plan.json", "--state", "s.json", "--journal", "j").returncode == 3

    done = jobcell("run", "plan.json", "--journal", "j", "--only", "c")
    assert (ran(done), json.loads(done.stdout)) == (["c"], {"data": ["a", "c"]}), done.stderr
    joined = jobcell("run", "plan.json", "--journal", "j", "--only", "d")
    check_refused(joined, "--only: j has no input for step 'd'", "'b', 'c'")


CRASH = "def main(state:\n"
YES, NO = "'a' in state.data", "'zz' in state.data"
DIAMOND = {
    "a": {"b": True, "c": True},
    "b": "d",
    "c": "d",
    "d": {"e": True, "f": True},
    "e": {},
    "f": {},
}
BEHIND = {
    "a": {"b": True, "c": True},
    "b": "t",
    "c": "t",
    "t": {"e": YES, "f": NO},
    "e": {},
    "f": {},
}
CHOICE = {"a": "t", "t": {"b": NO, "c": YES}, "b": {}, "c": {}}
PARTS = [
    # The plan, the step that crashed, the option, and the steps that run or a part of the error.
    (CHOICE, "c", "--only c", "c"),
    (CHOICE, "c", "--only b", "do not lead to step 'b'"),
    (CHOICE, "c", "--from b", "do not lead to step 'b'"),
    (CHOICE, "c", "--from c", "c; may: 'b'"),
    ({"t": {"a": NO, "b": True}, "a": {}, "b": {}}, "b", "--only b", "b"),
    ({"t": {"a": NO, "b": True}, "a": {}, "b": {}}, "b", "--only a", "do not lead to step 'a'"),
    (DIAMOND, "b", "--only c", "c"),
    (DIAMOND, "b", "--only d", "has no input for step 'd'"),
    (DIAMOND, "b", "--from c", "bcdef; may: 'b'"),
    (DIAMOND, "e", "--only f", "f"),
    (DIAMOND, "e", "--from e", "ef; may: 'f'"),
    (DIAMOND, None, "--from e", "ef"),
    (DIAMOND, None, "--from f", "f"),
    (DIAMOND, None, "--from c", "cdef"),
    (DIAMOND, None, "--only d", "d"),
    (BEHIND, "c", "--only e", "no whole input for the join 't': step 'c' has no record"),
    (BEHIND, "e", "--only e", "e"),
    (BEHIND, "e", "--from f", "do not lead to step 'f'"),
]


@pytest.mark.parametrize(("edges", "crash", "options", "expected"), PARTS)
def test_a_part_begins_at_its_step_with_the_whole_input_or_not_at_all(
    write, here, monkeypatch, tmp_path, edges, crash, options, expected
):
    """Joins and triggers with conditions lie before the step, and other branches beside it."""

    def plan(crash=None):
        steps = [add(one, next=then) for one, then in edges.items()]
        for step in steps:
            if step["id"] == "t":
                del step["expression"]
            if step["id"] == crash:
                step["expression"] = CRASH
            if step["id"] in "dt" and edges in (DIAMOND, BEHIND):
                step["join"] = "all"
        return {"workflow": {"steps": steps}}

    monkeypatch.chdir(tmp_path)
    write("plan.json", plan(crash))
    assert here("run", "plan.json", "--state", "s.json", "--journal", "j").returncode in {0, 3}
    write("plan.json", plan())

    done = here("run", "plan.json", "--journal", "j", *options.split())

    if len(expected.partition(";")[0]) > len(edges):
        check_refused(done, f"error: {options.split()[0]}: ", expected)
        return
    names, _, others = expected.partition("; may: ")
    assert (done.returncode, "".join(ran(done))) == (0, names), done.stderr
    warned = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    told = f"warning: --from: steps without a record may run as well: {others}"
    assert warned == ([told] if others else [])


def test_a_credential_in_the_plan_is_not_in_the_journal(write, jobcell, tmp_path):
    """A resume reads it from the file of the plan again; with a key the journal may hold it."""
    plan = make_plan()
    plan["workflow"]["steps"][0]["configuration"] = {"password": CREDENTIAL}
    write("plan.json", plan)
    write("s.json", {"data": [], "configuration": {"token": CREDENTIAL}})
    jobcell("run", "plan.json", "--state", "s.json", "--journal", "j")
    assert CREDENTIAL.encode() not in (tmp_path / "j").read_bytes()

    assert jobcell("resume", "j").returncode == 0
    write("plan.json", make_plan(a=HANG))
    check_refused(jobcell("resume", "j"), "was changed since the run began", "PLAN")
    (tmp_path / "plan.json").unlink()
    check_refused(jobcell("resume", "j"), "plan.json: cannot be read")
    write("moved.json", plan)
    assert jobcell("resume", "j", "moved.json").returncode == 0


def test_options_come_from_a_private_journal_only(write, jobcell, tmp_path):
    """A file that others may write does not open the network; the error says which options it has."""
    write("plan.json", make_plan())
    options = ("--net", "127.0.0.1:9", "--memory", "300")
    jobcell("run", "plan.json", "--state", "s.json", "--journal", "j", *options)

    mine = jobcell("resume", "j")
    assert "options of the journal: --net '127.0.0.1:9' --memory 300" in mine.stderr
    (tmp_path / "j").chmod(0o644)
    check_refused(jobcell("resume", "j"), "is not private (mode 0644)", "--net '127.0.0.1:9'")
    assert jobcell("resume", "j", *options).returncode == 0


def test_the_journal_of_a_program_is_resumed_with_its_plan(write, jobcell, tmp_path):
    """Such a file has no plan; the id of the run is that of the journal."""
    plan = make_plan()
    write("plan.json", plan)
    with FileJournal(tmp_path / "j") as journal:
        run(plan, {"data": []}, journal=journal)
        run_id = next(iter(journal.records())).extra["run_id"]

    check_refused(jobcell("resume", "j"), "does not hold the plan", "jobcell resume j PLAN")
    check_refused(
        jobcell("resume", "j", "plan.json"), "the journal is of another plan, or of another"
    )
    done = jobcell("resume", "j", "plan.json", "--state", "s.json", "--json")
    assert json.loads(done.stdout.splitlines()[0])["run_id"] == run_id, done.stderr
    part = jobcell("run", "plan.json", "--state", "s.json", "--journal", "j", "--only", "d")
    assert ran(part) == ["d"], part.stderr
    check_refused(
        jobcell("run", "plan.json", "--journal", "j", "--only", "d"),
        "j: is the journal of another plan",
    )


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Return a directory with a plan, and its journals without and with a key."""
    place = tmp_path_factory.mktemp("kept")
    (place / "plan.json").write_text(json.dumps(make_plan()))
    (place / "s.json").write_text('{"data": []}')
    for name, more in (("j", ()), ("sealed", ("--journal-key-env", "THE_KEY"))):
        words = ("run", "plan.json", "--state", "s.json", "--journal", name, *more)
        done = run_warm(None, *words, cwd=place, env={**os.environ, "THE_KEY": KEY.hex()})
        assert done.returncode == 0, done.stderr
    return place


BAD = {
    "missing": (["resume", "nowhere"], "No such file"),
    "directory": (["resume", "."], "Is a directory"),
    "empty": (["resume", "empty"], "nothing is recorded in it"),
    "foreign": (["resume", "plan.json"], "it is not a journal"),
    "damaged": (["resume", "damaged"], "is damaged"),
    "not begun": (["resume", "torn"], "torn: nothing is recorded in it"),
    "sealed": (["resume", "sealed"], "name the variable that holds its key"),
    "wrong key": (["resume", "sealed", "--journal-key-env", "OTHER"], "the key does not fit"),
    "needless key": (["resume", "j", "--journal-key-env", "OTHER"], "leave out --journal-key-env"),
    "no variable": (["resume", "j", "--journal-key-env", "NOT_SET"], "no variable 'NOT_SET'"),
    "short key": (["resume", "j", "--journal-key-env", "SHORT"], "64 hexadecimal digits"),
    "other plan": (["resume", "j", "other.json"], "the journal is of another plan"),
    "other state": (["resume", "j", "--state", "other.json"], "of another initial state"),
    "used": (["run", "plan.json", "--journal", "j"], "jobcell resume j"),
    "output": (["resume", "j", "-o", "j"], "j: is the journal as well"),
    "from unknown": (
        ["run", "plan.json", "--journal", "j", "--from", "x"],
        "no step has the id or name 'x'",
    ),
    "from damaged": (["run", "plan.json", "--journal", "damaged", "--from", "b"], "is damaged"),
    "from nothing": (
        ["run", "plan.json", "--from", "b"],
        "--start STEP begins with a step without",
    ),
    "only nothing": (["run", "plan.json", "--only", "b"], "--only: needs the input of the step"),
    "only and start": (
        ["run", "plan.json", "--only", "b", "--start", "b", "--state", "s.json"],
        "--only: --start is given as well; the run begins with the step",
    ),
    "only a trigger": (
        ["run", "trigger.json", "--only", "t", "--state", "s.json"],
        "'t' is a trigger, which has nothing to run",
    ),
    "from missing": (["run", "plan.json", "--from", "b", "--journal", "nowhere"], "No such file"),
    "from other": (
        ["run", "other.json", "--journal", "j", "--from", "x"],
        "no step has the id or name 'x'",
    ),
    "pipe": (["resume", "pipe"], "it is not a regular file"),
    "pipe to write": (["run", "plan.json", "--journal", "pipe"], "it is not a regular file"),
    "device": (["run", "plan.json", "--journal", "/dev/null"], "it is not a regular file"),
    "no directory": (["run", "plan.json", "--journal", "no/where"], "No such file"),
    "within a file": (["run", "plan.json", "--journal", "j/x"], "Not a directory"),
    "other plan, from": (
        ["run", "changed.json", "--journal", "j", "--from", "c"],
        "is the journal of another plan: its step 'a' is another one",
    ),
    "not reached": (["run", "far.json", "--journal", "j", "--from", "f"], "no input for step 'f'"),
    "trigger": (["run", "trigger.json", "--journal", "j", "--only", "t"], "'t' is a trigger"),
    "both": (["run", "plan.json", "--from", "b", "--only", "b"], "give one of them"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_journal_that_cannot_be_used_is_one_clear_error(kept, case, monkeypatch, here):
    """Nothing is run, and no file is changed or made."""
    data = (kept / "j").read_bytes()
    (kept / "empty").write_bytes(b"")
    (kept / "torn").write_bytes(data[:60])
    (kept / "damaged").write_bytes(data[:-5] + b"\x00" + data[-4:])
    (kept / "other.json").write_text(json.dumps({"workflow": {"steps": [add("a")]}}))
    far = make_plan()
    far["workflow"]["steps"] += [add("e", next="f"), add("f")]
    (kept / "far.json").write_text(json.dumps(far))
    (kept / "trigger.json").write_text(json.dumps({"workflow": {"steps": [{"id": "t"}]}}))
    (kept / "changed.json").write_text(json.dumps(make_plan(a=ADD.format("a", "other"))))
    if not (kept / "pipe").exists():
        os.mkfifo(kept / "pipe")
    before = {path: path.read_bytes() for path in kept.iterdir() if path.is_file()}
    arguments, message = BAD[case]
    monkeypatch.chdir(kept)
    monkeypatch.setenv("OTHER", bytes(32).hex())
    monkeypatch.setenv("SHORT", "abcd")
    check_refused(here(*arguments), message)
    if case != "not begun":  # opening it to write cuts the torn end off
        assert {path: path.read_bytes() for path in kept.iterdir() if path.is_file()} == before


def _flip(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


DAMAGED = {
    "foreign": (lambda _: b"PK\3\4" * 50, "it is not a journal"),
    "zeros": (lambda data: bytes(len(data)), "it is not a journal"),
    "newer": (lambda data: data[:16] + b"\x02" + data[17:], "version 2 of the format, not 1"),
    "header": (lambda data: _flip(data, 20), "its header is damaged"),
    "description": (lambda data: _flip(data, 100), "the record at byte 32 is damaged"),
    "a length": (lambda data: _flip(data, 36), "it is damaged at byte 32"),
    "last record": (lambda data: _flip(data, -3), "is damaged"),
    "more bytes": (lambda data: data + b"more", "the marker of a record is missing"),
    "a hole": (lambda data: data[:60] + data[90:], "is damaged"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_journal_is_the_same_error_in_every_way_to_use_it(
    kept, damage, here, monkeypatch
):
    """`FileJournal`, and all forms of the command: nothing runs, and the file stays as it is."""
    change, message = DAMAGED[damage]
    data = change((kept / "j").read_bytes())
    (kept / "bad").write_bytes(data)
    monkeypatch.chdir(kept)
    with pytest.raises(JournalError, match=message):
        FileJournal("bad")
    for arguments in (
        ["resume", "bad"],
        ["resume", "bad", "plan.json", "--state", "s.json"],
        ["run", "plan.json", "--journal", "bad"],
        ["run", "plan.json", "--journal", "bad", "--from", "b"],
        ["run", "plan.json", "--journal", "bad", "--only", "b"],
    ):
        check_refused(here(*arguments), "the journal 'bad' cannot be used", message)
    assert (kept / "bad").read_bytes() == data
    (kept / "bad").unlink()


def test_a_journal_that_another_process_writes_is_left_alone(write, here, tmp_path, monkeypatch):
    """All forms of the command are refused while a run uses the file, and the run goes on."""
    write("plan.json", make_plan(c=HANG))
    words = ["run", "plan.json", "--state", "s.json", "--journal", "j", "--timeout", "300"]
    monkeypatch.chdir(tmp_path)
    with heard(*words) as (process, errors):
        assert any("armed" in line for line in errors)
        before = (tmp_path / "j").read_bytes()
        for arguments in (
            ["resume", "j"],
            ["run", "plan.json", "--journal", "j"],
            ["run", "plan.json", "--journal", "j", "--only", "a"],
        ):
            check_refused(here(*arguments), "another run uses it")
        assert process.poll() is None
        assert (tmp_path / "j").read_bytes() == before


def test_a_journal_does_not_switch_the_sandbox_off(jobcell, write):
    """A file may come from somebody else, so its reader must give `--no-sandbox` again."""
    write("p.json", make_plan())
    assert (
        jobcell("run", "p.json", "--state", "s.json", "--journal", "j", "--no-sandbox").returncode
        == 0
    )
    refused = jobcell("resume", "j")
    assert refused.returncode == 2
    assert "j: the run had --no-sandbox, and a file cannot switch the sandbox off" in refused.stderr
    assert "give --no-sandbox again, or --sandbox" in refused.stderr
    for answer in ("--no-sandbox", "--sandbox"):
        assert jobcell("resume", "j", answer).returncode == 0
