"""Ctrl-C and SIGTERM while a step is in the debugger."""

from __future__ import annotations

import json
import termios
import time

import psutil
from debugged import LOOP, add_adaptor, begin
from terminal import Person


def test_ctrl_c_at_the_prompt_gives_up_the_line(debug, write):
    """The step waits as before."""
    person = begin(debug, write, LOOP, [1], real_start=True)
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
    person = begin(debug, write, LOOP, [1], real_start=True)
    (child,) = psutil.Process(person.process.pid).children()
    person.process.terminate()
    person.process.wait(60)
    assert not child.is_running()
    assert termios.tcgetattr(person.leader)[3] & termios.ECHO
    assert person.process.returncode == 143
