"""The line of a job at a limit: only a number is taken from the child, and the rest is its output."""

from __future__ import annotations

import pytest
from session_bench import KILLED, Bench, complete, said

from engine.running.session.effects import ASK_WHERE, KILL
from engine.running.session.snapshot import ANSWER_S, Snapshot
from protocol import messages as m
from protocol.plan import Step, Workflow
from protocol.report import Position, make_report

TEXT = "def slow(n):\n    while True:  \n\tn += 1\n"
WORKFLOW = Workflow(steps=(Step(id="a", expression=TEXT), Step(id="t", expression=None)))
LATE = make_report("TimeoutError", "too long", option="timeout_s")
BEGIN = b"Stack (most recent call first):\n"
OURS = b'  File "/x/sandbox_child/running/step.py", line 9 in run\n'
OUTERMOST = b'  File "<frozen runpy>", line 198 in _run_module_as_main\n'


def frame(line, name=b"<job a>"):
    return b'  File "%s", line %d in slow\n' % (name, line)


def asked(*pieces):
    """Return the report and the output after these pieces of standard error."""
    snapshot = Snapshot(WORKFLOW)
    assert snapshot.can_ask(LATE)
    snapshot.ask(LATE, "a", 10.0)
    output = b"".join(map(snapshot.take, pieces))
    done = snapshot.done
    report, rest = snapshot.close()
    assert not snapshot.can_ask(LATE)  # once for each child
    assert snapshot.take(b"later") == (b"" if BEGIN in b"".join(pieces) else b"later")
    return report, output + rest, done


def test_the_innermost_frame_of_the_job_is_the_place():
    """The source comes from the plan, and the mark is below its text without the blanks."""
    answer = BEGIN + OURS + frame(2) + frame(1) + OUTERMOST
    report, output, done = asked(b"printed" + answer)
    assert report.position == Position(2, 5, 2, 16, "    while True:  ")
    assert (report.step_id, report.message, report.option) == ("a", "too long", "timeout_s")
    assert (output, done) == (b"printed", True)


@pytest.mark.parametrize("size", [1, 7, 31, 32])
def test_an_answer_may_come_in_pieces(size):
    """Text that the job has printed before is output, also if it looks like the beginning of an answer."""
    whole = b"Stack (most\nStack " + BEGIN + OURS + frame(1) + OUTERMOST
    pieces = [whole[i : i + size] for i in range(0, len(whole), size)]
    report, output, done = asked(*pieces)
    assert report.position is not None
    assert report.position.line == 1
    assert output == b"Stack (most\nStack " or output.startswith(b"Stack (most\nStack ")
    assert done


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"just output",
        BEGIN + OURS + OUTERMOST,
        BEGIN + OURS * 100 + b"  ...\n",
        BEGIN + frame(0),
        BEGIN + frame(4),
        BEGIN + frame(999_999_999),
        BEGIN + b'  File "<job a>", line 99999999999999999999 in x\n' + OUTERMOST,
        BEGIN + b'  File "<job a>", line -1 in x\n' + OUTERMOST,
        BEGIN + b'  File "<job a>", line 1\x1b[31m in x\n' + OUTERMOST,
        BEGIN + b"\xff\x00" * 40_000,
    ],
    ids=range(11),
)
def test_a_false_answer_changes_nothing(answer):
    """A hostile job can write what it wants to its standard error."""
    report, output, _ = asked(answer)
    assert report == LATE
    assert output in {b"", answer}


def test_a_hostile_answer_can_only_choose_a_line_of_its_own_step():
    """No text of it is shown; the job could have been at each line of its source anyway."""
    report, _, _ = asked(BEGIN + frame(3, b"<job other secret>"))
    assert report.position == Position(3, 2, 3, 8, "\tn += 1")
    assert "secret" not in str(report)


@pytest.mark.parametrize("name", ["OOMError", "NetLimitError", "ExitError"])
def test_other_limits_do_not_ask(name):
    """They are not about time."""
    assert not Snapshot(WORKFLOW).can_ask(make_report(name, "x"))


@pytest.mark.parametrize("way", ["answer", "silence", "end of the job", "cancelled", "death"])
def test_a_child_is_killed_after_its_answer_or_without_it(way):
    """A run at its limit ends at most a moment later, whatever the child does."""
    bench = Bench(timeout_s=5).start_job().pass_time(5)
    assert bench.check() == ASK_WHERE
    bench.say(said("a line of the log"))
    assert bench.effects == list(ASK_WHERE)
    if way == "answer":
        bench.output("stderr", BEGIN + frame(1) + OUTERMOST)
    elif way == "silence":
        assert bench.pass_time(ANSWER_S - 0.001).check() == ()
        assert bench.pass_time(0.002).check() == KILL
    elif way == "end of the job":
        bench.say(complete())
    elif way == "cancelled":
        bench.take(bench.session.cancel("by hand", bench.now))
        assert not any(isinstance(one, m.Cancel) for one in bench.effects)
    if way != "death":
        assert KILL[0] in bench.effects
    outcome = bench.finish(KILLED)
    assert (outcome.ending.error.name, outcome.ending.reason) == ("TimeoutError", "kill")
    assert (outcome.ending.error.position is not None) == (way == "answer")
