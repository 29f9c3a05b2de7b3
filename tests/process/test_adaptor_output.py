"""The output of adaptors is not lost, goes where their code sends it, and belongs to its step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs import QUICK, finish, make_engine

from engine import Engine, Event, Policy

LOUD = r"""
import contextlib
import ctypes
import io
import os
import sys
import threading
import warnings


def verb(function):
    def operation(state):
        return {**state, "data": function()}
    return lambda: operation


C = ctypes.CDLL(None)


@verb
def native():
    C.printf(b"whole line\n")
    C.printf(b"in ")
    C.printf(b"parts")


@verb
def raw():
    sys.stdout.write("text\n")
    sys.stdout.buffer.write(b"bytes\n")
    os.write(1, b"not UTF-8: \xff\n")
    sys.stderr.write("without a line break")


@verb
def parts():
    for number in range(3):
        print(number, end=" ")
    print()
    print("no line break", end="")


@verb
def captured():
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        print("to out")
        print("to err", file=sys.stderr)
        warnings.warn("to err, too")
    print("after it")
    before, sys.stdout = sys.stdout, io.StringIO()
    try:
        print("replaced")
        replaced = sys.stdout.getvalue()
    finally:
        sys.stdout = before
    return [out.getvalue(), "to err, too" in err.getvalue(), err.getvalue()[:7], replaced]


@verb
def leaves_a_replacement():
    sys.stdout = io.StringIO()
    print("into the void")


@verb
def leaves_a_wrapper():
    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
    print("held back by a wrapper")


@verb
def closes():
    sys.stdout.close()


@verb
def detaches():
    sys.stderr.detach()


@verb
def has_none():
    sys.stdout = None
    print("nowhere, as in Python")


@verb
def both_in_parts():
    print("out 1", end=" ")
    print("err 1", end=" ", file=sys.stderr)
    print("out 2")
    print("err 2", file=sys.stderr)
    print("out 3", end="")
    print("err 3", end="", file=sys.stderr)


@verb
def says():
    print("printed")
    print("on stderr", file=sys.stderr)
    sys.stdout.write("written\n")


def last_words():
    for number in range(10):
        print("line", number)
    print("no line break", end="")
    sys.stdout.write("written")
    C.printf(b", in C")


@verb
def leaves():
    last_words()
    os._exit(7)


@verb
def crashes():
    for number in range(10):
        print("line", number)
    sys.stdout.write("written")
    C.printf(b", in C")
    ctypes.string_at(1)


started, go = threading.Event(), threading.Event()


def late():
    started.set()
    go.wait()
    print("from a thread of the step before")
    done.set()


done = threading.Event()


@verb
def begins_thread():
    threading.Thread(target=late, daemon=True).start()
    started.wait()


@verb
def hears_thread():
    go.set()
    done.wait()
"""

MODES = ["zygote", "exec"]


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repo with an adaptor that writes in every way."""
    root = tmp_path_factory.mktemp("repo")
    for name, text in (
        ("loud", LOUD),
        ("broken", "print('last', end=' ')\nprint('words', end='')\n1/0\n"),
    ):
        (root / f"{name}_1").mkdir()
        (root / f"{name}_1" / f"{name}.py").write_text(text)
    entries = [
        {"name": n, "version": "1", "path": f"{n}_1", "module": n} for n in ("loud", "broken")
    ]
    (root / "repo.json").write_text(json.dumps({"adaptors": entries}))
    return root


@pytest.fixture(scope="module", params=MODES)
def shared(request: pytest.FixtureRequest, repo: Path) -> Iterator[Engine]:
    """All tests of this file share an engine of each start mode."""
    with make_engine(request.param, repo_dir=repo, options=QUICK) as made:
        yield made


@pytest.fixture(autouse=True)
def no_leak() -> None:
    """The engine outlives the single test."""


def run(engine: Engine, *expressions: str, adaptor: str = "loud") -> list[Event]:
    """Run steps ``s0``, ``s1``, ... one after another; return all events."""
    steps = [
        {"id": f"s{n}", "adaptor": adaptor, "expression": text, "next": {f"s{n + 1}": True}}
        for n, text in enumerate(expressions)
    ]
    del steps[-1]["next"]
    return finish(engine.execute({"workflow": {"steps": steps}}))


def logs(events: list[Event]) -> list[tuple[str, str, str | None]]:
    """Return source, message and step of each log line."""
    return [(e.source, e.message, e.step_id) for e in events if e.type == "log"]  # type: ignore[attr-defined]


def data(events: list[Event]) -> object:
    """Return the data of the final state."""
    assert events[-1].type == "workflow-complete", events[-1]
    return events[-1].state["data"]  # type: ignore[attr-defined]


def test_what_native_code_prints_is_not_lost(shared: Engine):
    """The code calls printf without fflush, with and without a line break."""
    assert logs(run(shared, "native()")) == [
        ("stdout", "whole line", "s0"),
        ("stdout", "in parts", "s0"),
    ]


def test_what_goes_past_print_is_not_lost(shared: Engine):
    """The adaptor writes to sys.stdout, its buffer and the descriptor. Some bytes are not UTF-8,
    and a line has no end.
    """
    assert sorted(logs(run(shared, "raw()"))) == [
        ("stderr", "without a line break", "s0"),
        ("stdout", "bytes", "s0"),
        ("stdout", "not UTF-8: \N{REPLACEMENT CHARACTER}", "s0"),
        ("stdout", "text", "s0"),
    ]


def test_a_line_that_is_printed_in_parts_is_one_event(shared: Engine):
    """A line whose end never comes is one event, too."""
    assert logs(run(shared, "parts()")) == [
        ("adaptor", "0 1 2 ", "s0"),
        ("adaptor", "no line break", "s0"),
    ]


def test_lines_of_both_streams_do_not_mix(shared: Engine):
    """A print to standard error is a warning, in the same way as a write to it."""
    said = [
        (event.level, event.source, event.message)
        for event in run(shared, "both_in_parts()")
        if event.type == "log"
    ]
    assert said == [
        ("info", "adaptor", "out 1 out 2"),
        ("warning", "adaptor", "err 1 err 2"),
        ("info", "adaptor", "out 3"),
        ("warning", "adaptor", "err 3"),
    ]


def test_replaced_streams_capture_print_and_warnings(shared: Engine):
    """After redirect_stdout, redirect_stderr and an assignment, print writes to the log again."""
    events = run(shared, "captured()")
    assert data(events) == ["to out\n", True, "to err\n", "replaced\n"]
    assert logs(events) == [("adaptor", "after it", "s0")]


SAID = [("adaptor", "on stderr"), ("adaptor", "printed"), ("stdout", "written")]


@pytest.mark.parametrize(
    "damage", ["leaves_a_replacement", "leaves_a_wrapper", "closes", "detaches", "has_none"]
)
def test_no_step_damages_the_streams_of_the_next(shared: Engine, damage: str):
    """A step may replace, close or detach its streams, and the next step still has good ones."""
    events = run(shared, f"{damage}()", "says()")
    assert sorted(line[:2] for line in logs(events) if line[2] == "s1") == SAID


def test_a_replacement_that_swallows_text_is_reported(shared: Engine):
    """Text is never lost in silence, and text that a wrapper held back is written."""
    ((source, message, step),) = logs(run(shared, "leaves_a_replacement()"))
    assert (source, step) == ("runtime", "s0")
    assert "sys.stdout was left replaced by a _io.StringIO" in message

    assert logs(run(shared, "leaves_a_wrapper()")) == [("stdout", "held back by a wrapper", "s0")]


def test_output_belongs_to_the_step_that_wrote_it(shared: Engine):
    """Even if steps follow each other very fast, each line has the id of its own step."""
    for _ in range(5):
        events = run(shared, *["says()", "native()"] * 4)
        for number in range(8):
            mine = sorted(line[:2] for line in logs(events) if line[2] == f"s{number}")
            native = [("stdout", "in parts"), ("stdout", "whole line")]
            assert mine == (native if number % 2 else SAID), number


@pytest.mark.parametrize("death", ["leaves", "crashes"])
def test_what_was_written_before_a_death_is_not_lost(shared: Engine, death: str):
    """os._exit does not flush in Python, and a segmentation fault does not flush at all."""
    events = run(shared, f"{death}()")
    assert events[-1].error.name == "ExitError"  # type: ignore[attr-defined]
    expected = [("adaptor", f"line {n}", "s0") for n in range(10)]
    expected += [("adaptor", "no line break", "s0")] * (death == "leaves")
    assert [line for line in logs(events) if line[0] == "adaptor"] == expected
    assert ("stdout", "written, in C", "s0") in logs(events)


def test_an_adaptor_that_cannot_be_imported_leaves_its_output(shared: Engine):
    """The output before the error helps to find the error."""
    events = run(shared, "fn(lambda state: state)", adaptor="broken")
    assert events[-1].error.name == "ImportError"  # type: ignore[attr-defined]
    assert logs(events) == [("adaptor", "last words", "s0")]


def test_a_thread_may_print_after_its_step(shared: Engine):
    """The line belongs to the step that runs at that time."""
    events = run(shared, "begins_thread()", "hears_thread()")
    assert logs(events) == [("adaptor", "from a thread of the step before", "s1")]


def test_a_job_without_the_language_wall_loses_nothing_either(repo: Path):
    """The job may replace the streams itself, without any adaptor."""
    replaces = (
        "import io, sys\ndef main(state):\n    sys.stdout = io.StringIO()\n    return state\n"
    )
    writes = "import sys\ndef main(state):\n    sys.stdout.write('x')\n    return state\n"
    steps = [{"id": "a", "expression": replaces, "next": "b"}, {"id": "b", "expression": writes}]
    with make_engine("exec", policy=Policy(language=False), options=QUICK) as made:
        events = finish(made.execute({"workflow": {"steps": steps}}))
    assert ("stdout", "x", "b") in logs(events)
