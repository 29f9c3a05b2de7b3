"""`jobcell run --debug`: one step in a debugger on the user's terminal, without the kernel wall.

The debugger is in the child (`sandbox_child.debugger`), which has the terminal as its standard streams. This
process says what is different, stays silent while the step runs, and puts the terminal back in order.
"""

from __future__ import annotations

import os
import sys
import termios
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from engine import PlanError
from engine.debugging import DebugEngine, Terminal
from engine.plan import read_text_file
from jobcell.input.errors import BadInputError
from jobcell.input.plan_file import read_plan_file
from jobcell.input.step_choice import choose_step
from jobcell.output.views import LineView
from protocol.events import JobComplete, JobError, JobStart, Log, WorkflowStart
from protocol.words import DEBUG_SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from engine import RunOptions, RunResult
    from jobcell.running.choices import Given, PlanChoice
    from protocol.events import Event
    from protocol.plan import Plan, Step

_INPUT: Final = 0
_OUTPUT: Final = 2
"""Standard error: standard output is for the final state, and may be a file."""
_PASSED_ON: Final = ("TERM", "LANG", "LC_ALL", "LC_CTYPE", "HOME", "INPUTRC")
"""Variables that readline needs; the child gets no others of the user."""
_MAX_LISTED: Final = 10
_URGENT: Final = 3
_URGENT_S: Final = 2.0
"""Ctrl-C this many times within this time cancels the run: the job may be busy in C code."""


class Debug:
    """The wish of a user to debug a step, and the terminal for it.

    Args:
        choice: The plan, and the options that name the step.
        given: The other options.

    Raises:
        BadInputError: A standard stream is not a terminal, or another option does not go with ``--debug``.

    """

    def __init__(self, choice: PlanChoice, given: Given) -> None:
        _check_options(choice, given)
        _check_terminal()
        self._alone: str | None = None
        """The step of ``--only``, if its input is the state that is given and not that of an earlier run."""
        if choice.only_step is not None and choice.journal is None:
            self._alone, choice = choice.only_step, choice._replace(only_step=None)
        self.choice = choice
        """The choice, without a step that is run alone."""
        self._step: Step | None = None
        self._is_over = False
        self._interrupts: list[float] = []

    def one_step(self, plan: Plan, repeated: str | None, say: Callable[[str], object]) -> Plan:
        """Return the plan of a run that ends with the step, which has no limits of time.

        Args:
            plan: The plan.
            repeated: The id of the step that ``--only`` names with a journal.
            say: Takes a line about the choice of the step.

        Raises:
            BadInputError: The user does not name a step of a plan with several, or names a trigger.

        """
        step_id = repeated or (None if self.choice.start is None else plan.start)
        start = plan.options.start
        if self._alone is not None:
            chosen, note = choose_step("--only", self._alone, plan)
            step_id = start = chosen.id
            if note is not None:
                say(note)
        self._step = step = _find_step(plan, step_id)
        free = msgspec.structs.replace(step, timeout=None, retry=None)
        steps = tuple(free if one is step else one for one in plan.workflow.steps)
        options = msgspec.structs.replace(
            plan.options, start=start, end=step.id, timeout=None, step_timeout=None
        )
        workflow = msgspec.structs.replace(plan.workflow, steps=steps)
        return msgspec.structs.replace(plan, workflow=workflow, options=options)

    def without_limits(self, options: RunOptions) -> RunOptions:
        """Return options without limits of time: a person thinks while the step waits."""
        return msgspec.structs.replace(
            options, timeout_s=None, step_timeout_s=None, idle_timeout_s=None, cpu_s=None
        )

    def engine(self, repo_dir: Path | None, options: RunOptions) -> DebugEngine:
        """Return the engine for the run."""
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment[DEBUG_SOURCE] = self._source()
        terminal = Terminal(_INPUT, _OUTPUT, environment)
        return DebugEngine(terminal, repo_dir=repo_dir, options=options)

    def view(self, names: Mapping[str, str]) -> DebugView:
        """Return what shows the events of the run."""
        return DebugView(names, self._end)

    def takes_interrupt(self) -> bool:
        """Whether a Ctrl-C is for the debugger, which gets it as well.

        It is from the beginning: the prompt may be there before the news that the step has begun.
        """
        if self._is_over:
            return False
        now = time.monotonic()
        self._interrupts = [one for one in self._interrupts if now - one < _URGENT_S]
        self._interrupts.append(now)
        if len(self._interrupts) == _URGENT - 1:
            # Not by `print`: this is called in a signal handler.
            os.write(_OUTPUT, b"\nCtrl-C once more cancels the run\n")
        return len(self._interrupts) < _URGENT

    @contextmanager
    def on_terminal(self, warn: Callable[[str], object]) -> Iterator[None]:
        """Say what is different, and leave the terminal in the end as it was in the beginning."""
        assert self._step is not None
        warn(
            f"--debug: step {self._step.id!r} runs WITHOUT THE KERNEL WALL: its code can read and change"
            " your files, and use the network as you can"
        )
        warn("--debug: debug only jobs that you trust; all values are shown, also credentials")
        print(
            "no limit of time holds, and a failure is not retried; type help for the commands, q to end",
            file=sys.stderr,
        )
        before = termios.tcgetattr(_INPUT)
        try:
            yield
        finally:
            termios.tcsetattr(_INPUT, termios.TCSADRAIN, before)

    def _end(self) -> None:
        self._is_over = True

    def _source(self) -> str:
        """Return the file of the step, or its id if it is written in the plan."""
        assert self._step is not None
        target = self.choice.target
        if target.suffix == ".py":
            return str(target)
        for path in read_plan_file(target).files:
            if path.suffix != ".py":
                continue
            try:
                text = read_text_file(path)
            except PlanError:  # it has changed since the plan was read
                continue
            if text == self._step.expression:
                return str(path)
        return self._step.id


class DebugView:
    """Shows how the step has ended; until then, the terminal is the debugger's.

    Args:
        names: Step id to the name of the step.
        end: Is called when the step has ended.

    """

    def __init__(self, names: Mapping[str, str], end: Callable[[], object]) -> None:
        self._lines = LineView(sys.stderr, names)
        self._end = end

    def show(self, event: Event) -> None:
        """Show an event that the debugger does not show."""
        if isinstance(event, JobComplete | JobError):
            self._end()
        if not isinstance(event, JobStart | Log | WorkflowStart):
            self._lines.show(event)

    def close(self, result: RunResult | None) -> None:
        """Show how the run has ended."""
        self._lines.close(result)


def _check_options(choice: PlanChoice, given: Given) -> None:
    """Raise BadInputError if another option contradicts the wish."""
    options = given.options
    wrong = {
        "--start": choice.start is not None
        and choice.only_step is not None
        and "both name the step; write --only",
        "--from": choice.from_step is not None and "it runs several steps; write --only",
        "--end": choice.end is not None and "the run ends with the step",
        "--journal": choice.journal is not None
        and choice.only_step is None
        and "a debugged step is not recorded; with --only it gives the input of the step",
        "--cache-steps": choice.cache_steps and "a debugged step always runs",
        "--net-audit": given.net_audit and "without the kernel wall no connection is seen",
        "--sandbox": options.sandbox is True and "the debugger does not have a kernel wall",
        "--start-mode": given.start_mode != "exec" and "the debugger is a new interpreter",
        "--json": given.as_json and "it is for programs; write events with --events FILE",
    }
    for option, reason in wrong.items():
        if reason:
            raise BadInputError([f"--debug: {option} is given as well; {reason}"])
    if str(given.state) == "-" or str(choice.target) == "-":
        raise BadInputError(["--debug: standard input is for the debugger; name a file"])


def _check_terminal() -> None:
    """Raise BadInputError if there is nobody to debug the step."""
    for name, descriptor in (("standard input", _INPUT), ("standard error", _OUTPUT)):
        if not os.isatty(descriptor):
            message = f"--debug: {name} is not a terminal; run the command in a terminal"
            raise BadInputError([message])


def _find_step(plan: Plan, step_id: str | None) -> Step:
    jobs = [step for step in plan.workflow.steps if step.expression is not None]
    if step_id is None and len(jobs) == 1:
        return jobs[0]
    if step_id is None:
        listed = ", ".join(repr(step.id) for step in jobs[:_MAX_LISTED])
        more = f" and {len(jobs) - _MAX_LISTED} more" if len(jobs) > _MAX_LISTED else ""
        message = f"--debug: runs one step, and the plan has {len(jobs)}; name one with --only STEP: {listed}{more}"
        raise BadInputError([message])
    found = next((step for step in jobs if step.id == step_id), None)
    if found is None:
        raise BadInputError(
            [f"--debug: {step_id!r} is a trigger, which has nothing to run; name a job"]
        )
    return found
