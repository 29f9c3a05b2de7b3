"""`jobcell run --debug` on a real terminal: a person stops a step, looks, changes, and goes on."""

from __future__ import annotations

import json
import re

from bundled_repo import make_bundled_repo
from debugged import LOOP, add_adaptor, begin


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


def test_a_breakpoint_between_two_operations_of_a_script(debug, write, tmp_path):
    """At top level of a script `breakpoint()` is an operation; a state that is set there goes on."""
    job = """\
from common import fn

fn(lambda state: {"data": 1})
breakpoint()
fn(lambda state: {"data": [state.data, fn.__name__]})
"""
    write("empty.json", {})
    make_bundled_repo(tmp_path / "repo", "common")
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
    assert re.search(
        "not caught: ZeroDivisionError: (integer )?division (or modulo )?by zero", shown
    )
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
