"""`jobcell run --watch` runs a plan again at each change of one of its files."""

from __future__ import annotations

import json
import os
import signal
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from warm import heard, run_warm
from workers import wait_for

JOB = "def main(state):\n    print('job', {!r})\n    return state\n"
HANG = "def main(state):\n    print('armed')\n    while True: pass\n"


@pytest.fixture
def folder(tmp_path):
    steps = [{"id": "a", "expression": "jobs/a.py", "state": "a.yaml"}]
    (tmp_path / "plan.json").write_text(json.dumps({"workflow": {"steps": steps}}))
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "a.py").write_text(JOB.format(1))
    (tmp_path / "a.yaml").write_text("data: 1\n")
    (tmp_path / "state.json").write_text("{}")
    return tmp_path


class Watching:
    """A command that watches, and what it has said."""

    def __init__(self, process, errors):
        self.process = process
        self.errors = errors

    def until(self, part):
        """Return the lines up to the first with a text."""
        lines = []
        for line in self.errors:
            lines.append(line.rstrip())
            if part in line:
                return lines
        raise AssertionError("\n".join(lines))

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.process.wait(20)


@contextmanager
def watching(folder, *words, **variables):
    environment = {**os.environ, **variables}
    with heard("run", *words, "--watch", cwd=folder, env=environment) as (process, errors):
        # A text that never comes fails the test.
        alarm = threading.Timer(60, process.send_signal, [signal.SIGKILL])
        alarm.start()
        try:
            yield Watching(process, errors)
        finally:
            alarm.cancel()


def replace(path, text):
    """Write a file as many editors do: a new file takes the place of the old one."""
    new = path.with_name(f"{path.name}~")
    new.write_text(text)
    new.replace(path)


def test_each_file_of_a_plan_counts(folder):
    """The job, the state of a step, the initial state and the plan; a broken plan is waited for."""
    with watching(folder, "plan.json", "--state", "state.json") as command:
        first = command.until("waits for a change")
        assert any("job 1" in line for line in first)
        assert first[-1].startswith("watch: success after ")
        assert first[-1].endswith("waits for a change of 4 files (Ctrl-C ends)")
        for place, content in (
            ("jobs/a.py", JOB.format(2)),
            ("a.yaml", "data: 2\n"),
            ("state.json", '{"data": 3}'),
        ):
            replace(folder / place, content)
            lines = command.until("waits for a change")
            assert lines[0] == f"watch: {place} has changed; runs again"
            assert any("job 2" in line for line in lines)
        (folder / "plan.json").write_text("{")
        broken = command.until("waits for a change")
        assert broken[1].startswith("error: plan.json: is not JSON")
        assert broken[-1].startswith("watch: not run after")
        step = {"id": "b", "expression": JOB.format("new")}
        (folder / "plan.json").write_text(json.dumps({"workflow": {"steps": [step]}}))
        assert any("job new" in line for line in command.until("waits for a change"))
        assert command.end() == 130


def test_other_files_do_not_count(folder):
    """The command's own output in the same directory would make it run for ever."""
    with watching(folder, "plan.json", "-o", "out.json", "--events", "e.jsonl") as command:
        command.until("waits for a change")
        (folder / "notes.txt").write_text("x")
        replace(folder / "jobs" / "a.py", JOB.format(2))
        lines = command.until("waits for a change")
        assert [line for line in lines if "has changed" in line] == [
            "watch: jobs/a.py has changed; runs again"
        ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_in_progress_is_cancelled_by_a_change_and_ended_by_a_signal(folder, number):
    """The old run does not go on with an old job."""
    (folder / "jobs" / "a.py").write_text(HANG)
    with watching(folder, "plan.json") as command:
        command.until("armed")
        replace(folder / "jobs" / "a.py", HANG.replace("armed", "armed again"))
        lines = command.until("armed again")
        assert "watch: jobs/a.py has changed; runs again" in lines
        assert any(line.startswith("cancelled after") for line in lines), lines
        assert command.end(number) == 128 + number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_the_end_of_a_run_ends_the_command(folder, number):
    """The run is over, and cannot be cancelled. Nobody reads what it has printed, so the command still shows it."""
    (folder / "jobs" / "a.py").write_text(
        "def main(state):\n    for n in range(5000): print('x' * 100)\n    return state\n"
    )
    with watching(folder, "plan.json", "--plain") as command:
        command.until("started")
        wait_for(lambda: not children_of(command.process.pid))
        command.process.send_signal(number)
        rest = command.errors.read()
        assert command.process.wait(20) == 128 + number, rest[-500:]
    assert "waits for a change" not in rest


def children_of(pid):
    """Return the processes that a process has started and not yet waited for."""
    return [
        one
        for task in Path(f"/proc/{pid}/task").iterdir()
        for one in (task / "children").read_text().split()
    ]


def test_an_adaptor_in_the_repo_counts(folder):
    """Also a file that is new in it."""
    for words in (("init", "repo"), ("add", "common", "--repo", "repo")):
        assert run_warm(None, "repo", *words, cwd=folder).returncode == 0
    step = {"id": "a", "expression": "fn(lambda state: state)", "adaptors": ["common"]}
    (folder / "plan.json").write_text(json.dumps({"workflow": {"steps": [step]}}))
    with watching(folder, "plan.json", JOBCELL_REPO="repo") as command:
        command.until("waits for a change")
        source = next(folder.glob("repo/common_*/common/__init__.py"))
        source.with_name("extra.py").write_text("")
        assert "extra.py has changed" in command.until("has changed")[-1]
        command.until("waits for a change")
        with source.open("a") as file:
            file.write("# changed\n")
        assert "__init__.py has changed" in command.until("has changed")[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plan.json", "--state", "-"], "--state is standard input; name a file"),
        (["plan.json", "--journal", "j"], "a journal keeps one run"),
        (["plan.json", "--only", "a"], "--only: needs the input of the step"),
        (["plan.json", "--from", "a"], "--from: needs the journal of an earlier run"),
        (["plan.json", "--no-cache"], "--no-cache: has a meaning only with --cache-steps"),
        (["plan.json", "--timeout", "-1"], "--timeout: must be a finite number above 0, not -1.0"),
        (["plan.json", "--net", "https://x"], "--net: "),
        (["plan.json", "--state", "state.json", "-o", "state.json"], "so it would never end"),
    ],
)
def test_options_that_do_not_go_with_it_are_refused(folder, words, message):
    """Nothing runs."""
    done = run_warm(None, "run", *words, "--watch", cwd=folder)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert message in done.stderr
