"""The debugger of jobs: that of the standard library, which sees only the author's code.

The frames of the runtime and of the guards are left out, and a step does not go into them.
"""

from __future__ import annotations

import ast
import linecache
import pdb  # noqa: T100 - this is the debugger
import signal
import sys
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from sandbox_child.debugger.prompt import Condition, compiled, names_of
from sandbox_child.debugger.terminal import say
from sandbox_child.language.breakpoints import BREAKPOINT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType, TracebackType

_RESTART = "the step cannot begin again here; end it with q, and give the command once more"


class Sources(NamedTuple):
    """The texts that the author can see."""

    texts: Mapping[str, list[str]]
    """The lines of the job and of the globals, by the file names of their code."""
    job: str
    """The file name of the code of the job."""
    shown: str
    """The name under which the author knows that file."""
    directories: tuple[str, ...]
    """The directories of adaptors."""

    def is_job(self, frame: FrameType) -> bool:
        """Whether the frame is of the job or of the globals."""
        return frame.f_code.co_filename in self.texts

    def is_seen(self, frame: FrameType) -> bool:
        """Whether the frame is of the job, of the globals or of an adaptor."""
        return self.is_job(frame) or frame.f_code.co_filename.startswith(self.directories)


class JobDebugger(pdb.Pdb):
    """Runs a step, stops at breakpoints and at an exception that nobody catches.

    Args:
        sources: The texts.
        running: Whether an operation of the job runs.
        leave: Ends the step for the given reason, and does not return.

    """

    def __init__(
        self, sources: Sources, running: Callable[[], bool], leave: Callable[[str], NoReturn]
    ) -> None:
        super().__init__(nosigint=True, readrc=False)
        self.stopped = False
        """Whether the debugger has shown a prompt."""
        self._sources = sources
        self._running = running
        self._leave = leave
        self._streams = sys.stdin, sys.stdout
        """The terminal; an adaptor may replace these objects."""
        self._bottom: FrameType | None = None
        self._starts = False
        """Whether the first line of an operation is the next place to stop."""
        self._now: FrameType | None = None
        """The frame that has just called ``breakpoint``."""
        self._in_adaptor = False
        self._prompts = self._interrupted = self._over = False
        for name, lines in sources.texts.items():
            linecache.cache[name] = (sum(map(len, lines)), None, lines, name)

    @property
    def line(self) -> int | None:
        """The line of the job at which the prompt is; None if it is elsewhere."""
        at = self.curframe
        if at is None or at.f_code.co_filename != self._sources.job:
            return None
        return at.f_lineno

    # --- the step ---

    @contextmanager
    def watch(self, bottom: FrameType, *, from_start: bool) -> Iterator[None]:
        """Have this thread watched, with Ctrl-C as the wish to stop.

        Args:
            bottom: The frame that calls this; the job runs above it.
            from_start: Whether to stop at the first line of an operation.

        """
        self._bottom = bottom
        self._restart()
        hook, handler = sys.breakpointhook, signal.signal(signal.SIGINT, self._interrupt)
        sys.breakpointhook = self.make_breakpoint()
        self._starts = from_start
        if from_start:
            sys.settrace(self.trace_dispatch)
        try:
            yield
        finally:
            sys.settrace(None)
            sys.breakpointhook = hook
            signal.signal(signal.SIGINT, handler)
            self._bottom = None

    def make_breakpoint(self, operations: frozenset[int] = frozenset()) -> Callable[..., Any]:
        """Return the function ``breakpoint``.

        Args:
            operations: The lines of a script on which its call is an operation.

        """

        def breakpoint(*_: object, **__: object) -> Any:  # noqa: A001 - it is the job's
            frame = sys._getframe(1)  # noqa: SLF001 - as in `bdb`
            code = frame.f_code
            if code.co_name == "<module>" and frame.f_lineno in operations:
                return _operation(frame)
            if not self._prompts:
                self._stop_in(frame)
            return None

        return breakpoint

    def post_mortem(self, error: BaseException) -> None:
        """Show the prompt where an exception was raised, at the author's line."""
        found = error.__traceback__
        frames = []
        while found is not None:
            frames.append(found.tb_frame)
            found = found.tb_next
        if any(map(self._sources.is_seen, frames)):
            told = traceback.format_exception_only(error)[-1].strip()
            self.message(f"not caught: {told}")
            self._over = True
            self.reset()
            self.interaction(None, error.__traceback__)
            self._over = False

    def _stop_in(self, frame: FrameType) -> None:
        """Stop in *frame* at its next instruction, which is on the same line.

        The stop must be in a trace function: only then changed variables go back into the frame.
        """
        self._restart()
        frame.f_trace_opcodes = True
        self._starts, self._now = False, frame
        self._trace_from(frame)

    def _trace_from(self, frame: FrameType | None) -> None:
        while frame is not None and frame is not self._bottom:
            if self._sources.is_seen(frame):
                frame.f_trace = self.trace_dispatch
            frame = frame.f_back
        sys.settrace(self.trace_dispatch)

    def _interrupt(self, _number: int, frame: FrameType | None) -> None:
        if self._prompts or self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
        self._restart()
        self._trace_from(frame)
        # Last: who reads this may press Ctrl-C at once, and the debugger must stop then as well.
        say("\nCtrl-C: stops at the next line of the job; once more breaks off what it does")

    def _restart(self) -> None:
        """Have the next line of the job be the next place to stop."""
        self.reset()
        self.botframe = self._bottom

    # --- what bdb asks ---

    def trace_dispatch(self, frame: FrameType, event: str, arg: Any) -> Any:
        """Take an event of the interpreter."""
        if event == "opcode" and frame is self._now:
            frame.f_trace_opcodes = False
            self._now = None
            self.interaction(frame, None)
            return self.trace_dispatch
        return super().trace_dispatch(frame, event, arg)

    def stop_here(self, frame: FrameType) -> bool:
        """Whether a step stops in *frame*: not in the runtime, and in an adaptor only if it was there."""
        if not self._sources.is_job(frame) and not (
            self._in_adaptor and self._sources.is_seen(frame)
        ):
            return False
        if self._starts and not self._running():
            return False
        return super().stop_here(frame)

    def break_here(self, frame: FrameType) -> bool:
        """Whether a breakpoint of the prompt is on the line, and its condition holds."""
        if self._sources.is_job(frame):
            for found in self.get_breaks(frame.f_code.co_filename, frame.f_lineno):
                if type(found.cond) is str:
                    found.cond = Condition.of(found.cond)
        return super().break_here(frame)

    def get_stack(
        self, f: FrameType | None, t: TracebackType | None
    ) -> tuple[list[tuple[FrameType, int]], int]:
        """Return the author's frames with their lines, and which of them is shown."""
        whole, at = super().get_stack(f, t)
        seen = [entry for entry in whole if self._sources.is_seen(entry[0])]
        if f is None:  # after an exception: the line of the job, above those of an adaptor
            of_job = [n for n, entry in enumerate(seen) if self._sources.is_job(entry[0])]
            return seen, (of_job or [len(seen) - 1])[-1]
        before = sum(self._sources.is_seen(entry[0]) for entry in whole[: at + 1])
        return seen, max(0, before - 1)

    # --- what pdb does ---

    def user_call(self, frame: FrameType, argument_list: None) -> None:
        """Stop at a call, but not at the one before the first line."""
        if not self._starts:
            super().user_call(frame, argument_list)

    def user_line(self, frame: FrameType) -> None:
        """Stop at a line."""
        self._starts = False
        super().user_line(frame)

    def setup(self, f: FrameType | None, tb: TracebackType | None) -> Any:
        """Get ready for a prompt."""
        left = super().setup(f, tb)
        assert self.curframe is not None
        self._in_adaptor = not self._sources.is_job(self.curframe)
        return left

    def _cmdloop(self) -> None:
        """Take commands from the terminal; while one is typed, Ctrl-C gives it up."""
        replaced = sys.stdin, sys.stdout
        sys.stdin, sys.stdout = self._streams
        self.stopped = self._prompts = True
        self._interrupted = False
        try:
            super()._cmdloop()
        finally:
            self._prompts = False
            sys.stdin, sys.stdout = replaced

    def message(self, msg: str) -> None:
        """Write a line, with the author's name for the file."""
        super().message(msg.replace(self._sources.job, self._sources.shown))

    def lookupmodule(self, filename: str) -> str | None:
        """Return the file name of the code that an author means."""
        shown = self._sources.shown
        if filename in (shown, shown.rpartition("/")[2]):
            return self._sources.job
        return super().lookupmodule(filename)

    def default(self, line: str) -> None:
        """Carry out a statement."""
        assert self.curframe is not None
        own = self.curframe_locals
        hook = sys.displayhook
        sys.displayhook = self.displayhook
        try:
            exec(  # noqa: S102 - the author types it
                compiled(line.removeprefix("!").strip(), "single"),
                names_of(self.curframe, own),
                own,
            )
        except BaseException as error:  # noqa: BLE001 - a typed statement may raise anything
            self._tell(error)
        finally:
            sys.displayhook = hook

    def _getval(self, arg: str) -> Any:
        try:
            return self._value_of(arg)
        except BaseException as error:
            self._tell(error)
            raise

    def _getval_except(self, arg: str, frame: FrameType | None = None) -> Any:
        try:
            return self._value_of(arg, frame)
        except BaseException as error:  # noqa: BLE001 - an expression may raise anything
            return f"** raised {_told(error)} **"

    def _value_of(self, text: str, frame: FrameType | None = None) -> Any:
        at = frame or self.curframe
        assert at is not None
        own = at.f_locals if frame is not None else self.curframe_locals
        return eval(compiled(text.strip(), "eval"), names_of(at, own), own)  # noqa: S307 - as above

    def _tell(self, error: BaseException) -> None:
        self.error(_told(error))

    # --- commands with another meaning than in pdb ---

    def do_quit(self, arg: str) -> bool:  # noqa: ARG002 - as in `pdb`
        """q(uit) | exit | Ctrl-D.

        End the step here. Nothing more of the job runs, and the step has failed.
        """
        if not self._over:
            sys.settrace(None)
            self._leave("q")
        return True

    do_q = do_exit = do_quit

    def do_EOF(self, arg: str) -> bool:  # noqa: N802 - the name that `cmd` gives it
        """Ctrl-D: the same as q."""
        self.message("")
        return self.do_quit(arg)

    def do_run(self, arg: str) -> None:  # noqa: ARG002 - as in `pdb`
        """Not possible: a step begins once."""
        self.error(_RESTART)

    do_restart = do_run

    def do_debug(self, arg: str) -> None:  # noqa: ARG002 - as in `pdb`
        """Not possible: there is one debugger."""
        self.error(
            "not possible here; write breakpoint() into the function, and run the step again"
        )


def calls_breakpoint(source: str) -> bool:
    """Whether a text calls ``breakpoint``; the text was compiled before."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == BREAKPOINT
        for node in ast.walk(ast.parse(source))
    )


def _operation(frame: FrameType) -> Callable[[Any], Any]:
    """Return the operation for a call of ``breakpoint`` at top level of a script.

    Its code has the line of the call, so that the author sees that line.
    """
    tree = ast.parse(f"lambda state: {BREAKPOINT}() or state", mode="eval")
    ast.increment_lineno(tree, frame.f_lineno - 1)
    made: Callable[[Any], Any] = eval(  # noqa: S307 - a constant text
        compile(tree, frame.f_code.co_filename, "eval"), frame.f_globals
    )
    return made


def _told(error: BaseException) -> str:
    return traceback.format_exception_only(error)[-1].strip()
