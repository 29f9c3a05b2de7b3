"""Runs the operations of a job on a state, one after another, and awaits their results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import CodeType
from typing import TYPE_CHECKING, Any

from protocol.report import ErrorReport, OperationRef, Position, make_report
from sandbox_child.language import CompiledJob
from sandbox_child.pipes.channel import Channel, RunCancelledError
from sandbox_child.running.stowaways import find_function

if TYPE_CHECKING:
    from sandbox_child.running.loop import RunLoop

Operation = Callable[[Any], Any]


class PipelineError(Exception):
    """The job does not give a list of operations."""

    def __init__(self, report: ErrorReport) -> None:
        super().__init__(report.message)
        self.report = report


class Pipeline:
    """The operations of a job, in order, and the progress of the job.

    Args:
        job: The compiled job.
        operations: The value that the job gives as its operations.
        execute: A reducer that builds the pipeline, if an adaptor or the job exports one.
        warn: Called with a text when an operation returns None.
        channel: Brings the engine's message that the run must end.
        get_loop: Returns the event loop of the run, for operations that must be awaited.
        names: The globals of the job.

    Raises:
        PipelineError: *operations* is not a list, or one of them cannot be called.

    """

    def __init__(
        self,
        job: CompiledJob,
        operations: object,
        *,
        execute: Callable[..., Any] | None,
        warn: Callable[[str], None],
        channel: Channel,
        get_loop: Callable[[], RunLoop],
        names: dict[str, Any],
    ) -> None:
        if not isinstance(operations, (list, tuple)):
            raise PipelineError(
                make_report(
                    "InputError",
                    f"`operations` must be a list of operations, not {_kind(operations)}",
                    fix="write operations = [first, second]",
                )
            )
        self.current: OperationRef | None = None
        """The operation that is running, or that ran last."""
        self.state: Any = None
        """The input of the current operation."""
        self._job = job
        self._warn = warn
        self._channel = channel
        self._execute = execute
        self._get_loop = get_loop
        self._names = names
        self._loop: RunLoop | None = None
        """The loop, set by the first operation that is awaited."""
        self._stopped: RunCancelledError | None = None
        """Set if an operation did not run because the engine wants the run to end."""
        self._operations = [
            self._tracked(self._checked(operation, number), self._name(operation, number))
            for number, operation in enumerate(operations, 1)
        ]
        self._lines = [_line_of(operation) for operation in operations]
        self._given = operations

    @property
    def position(self) -> Position | None:
        """The position of the current operation's call, if the call is in the job."""
        sites = self._job.operations
        if self.current is None or self.current.number > len(sites):
            return None
        return sites[self.current.number - 1].position

    @property
    def function(self) -> object:
        """The current operation, as the job gave it."""
        return None if self.current is None else self._given[self.current.number - 1]

    def run(self, state: Any) -> Any:
        """Run all operations on *state*; return the result of the last one."""
        self.state = state
        try:
            if self._execute is not None:
                state = self._settle(self._execute(*self._operations)(state))
            else:
                for operation in self._operations:
                    state = self._settle(operation(state))
        finally:
            if self._loop is not None:
                self._loop.end_step(self._names)
        if self._stopped is not None:  # a reducer has caught it, but the job did not complete
            raise self._stopped
        return state

    def let_go(self) -> None:
        """Drop the state and the operations, which refer to this object, after the last one has run."""
        self.state = None
        self._operations = []

    def _tracked(self, operation: Operation, ref: OperationRef) -> Operation:
        """Wrap an operation, to note that it runs and to check that it returns a state."""

        def tracked(state: Any) -> Any:
            if _is_awaitable(state):  # from a reducer that does not wait
                return tracked_later(state)
            self._check_cancelled()
            self.current, self.state = ref, {} if state is None else state
            result = operation(self.state)
            return checked_later(result) if _is_awaitable(result) else check(result)

        async def tracked_later(state: Any) -> Any:
            # Not `tracked` itself: each would keep the other, and with it the job, until a collection.
            result = self._tracked(operation, ref)(await state)
            return await result if _is_awaitable(result) else result

        async def checked_later(result: Any) -> Any:
            return check(await result)

        def check(result: Any) -> Any:
            if result is None:
                self._warn_of_nothing(ref)
            self._refuse_functions(result, ref)
            return result

        return tracked

    def _refuse_functions(self, result: Any, ref: OperationRef) -> None:
        found = find_function(result)
        if found is None:
            return
        from protocol.state_walk import describe, fix_for  # only for an error

        path, value = found
        fix = fix_for(value)
        if path == "state" and not isinstance(value, type):
            fix = "an operation returns a state; call it with the state: post(...)(state)"
        raise PipelineError(
            make_report(
                "StateError",
                f"{path}: cannot carry {describe(value)}, which operation {ref.number} ({ref.name})"
                " has put there",
                operation=ref,
                position=self.position,
                fix=fix,
            )
        )

    def _check_cancelled(self) -> None:
        try:
            self._channel.check_cancelled()
        except RunCancelledError as error:
            self._stopped = error
            raise

    def _warn_of_nothing(self, ref: OperationRef) -> None:
        position = self.position
        number = position.line if position else self._lines[ref.number - 1]
        line = f", line {number}" if number else ""
        self._warn(
            f"operation {ref.number} ({ref.name}{line}) returned None;"
            " an operation should return state"
        )

    def _settle(self, result: Any) -> Any:
        """Return a result; await it first if necessary."""
        if not _is_awaitable(result):
            return result
        if self._loop is None:
            self._loop = self._get_loop()
        return self._loop.run(result)

    def _checked(self, operation: object, number: int) -> Operation:
        if callable(operation):
            return operation
        site = self._job.operations[number - 1] if number <= len(self._job.operations) else None
        name = f" ({site.name})" if site else ""
        fix = "an operation takes state and returns state, like fn(lambda state: state)"
        if site is not None and site.name == "print":
            fix = "put print into an operation, like fn(lambda state: print(state) or state)"
        raise PipelineError(
            make_report(
                "ValidationError",
                f"operation {number}{name} is {_kind(operation)}, not a function of state",
                operation=OperationRef(number, site.name if site else _kind(operation)),
                position=site.position if site else None,
                fix=fix,
            )
        )

    def _name(self, operation: object, number: int) -> OperationRef:
        if number <= len(self._job.operations):
            return OperationRef(number, self._job.operations[number - 1].name)
        name = getattr(operation, "__name__", None)
        return OperationRef(number, name if type(name) is str else type(operation).__name__)


def choose_execute(candidates: Sequence[object]) -> Callable[..., Any] | None:
    """Return the first reducer among the candidates from the job and its adaptors."""
    for candidate in candidates:
        if callable(candidate):
            return candidate
    return None


def _line_of(operation: object) -> int | None:
    code = getattr(operation, "__code__", None)
    return code.co_firstlineno if isinstance(code, CodeType) else None


def _is_awaitable(value: object) -> bool:
    return hasattr(type(value), "__await__")


def _kind(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"
