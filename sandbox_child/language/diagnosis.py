"""Describes an exception of a job to the job's author.

The name of an error depends on its class and on the place that raised it: the job or an adaptor.
The text, the frames and the hint are taken with little code of the job.  Only the ``__str__`` of
the job's own exception classes runs.
"""

from __future__ import annotations

import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any, Protocol

from protocol import static
from protocol.report import ErrorReport, OperationRef, make_report, needs_more_memory
from sandbox_child.language.frames import globals_texts, own_frames, stack_of
from sandbox_child.language.guards import JobImportError, JobSecurityError
from sandbox_child.language.plain_data import (
    MAX_TEXT_CHARS,
    carried_data,
    encodable,
    exception_text,
)
from sandbox_child.language.text import ErrorFacts, error_fix, name_fix

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from protocol.report import Position
    from sandbox_child.language.compiler import CompiledJob
    from sandbox_child.language.frames import OwnFrame
    from sandbox_child.language.text import SourceText

_MAX_LEAVES = 20
_MAX_NOTES = 10
_CALLER = "sandbox_child.running.operations"
"""The module that calls operations."""

_COROUTINE = 0x80  # inspect.CO_COROUTINE
_SENTENCES_OF_PYTHON = frozenset({"popitem(): dictionary is empty", "pop from an empty set"})
"""Arguments of a KeyError from built-in methods that are not keys."""


class RunningOperation(Protocol):
    """The operation that has raised an exception."""

    @property
    def number(self) -> int:
        """The number of the operation, from 1."""

    @property
    def name(self) -> str:
        """The name of the operation, as the author wrote it."""

    @property
    def position(self) -> Position | None:
        """The position of its call in the job."""


def diagnose(
    exc: BaseException,
    *,
    job: CompiledJob | None,
    operation: RunningOperation | None = None,
    adaptors: Mapping[str, str],
    memory_bytes: int | None = None,
) -> ErrorReport:
    """Return the report of an exception of a job.

    Args:
        exc: The exception.
        job: The job that was running; None for globals.
        operation: The operation that was running, if one had begun.
        adaptors: For each absolute directory of adaptor files, its ``name@version``.
        memory_bytes: The memory limit, for the message about it.

    Returns:
        A report without ``step_id``.  Its position is that of the innermost frame in the job or,
        without such a frame, of the operation's call.

    """
    leaves = _leaves(exc)
    error = next((leaf for leaf in leaves if isinstance(leaf, JobSecurityError)), leaves[0])
    texts = {**globals_texts, job.filename: job.text} if job else globals_texts
    frames = own_frames(exc.__traceback__, adaptors, texts)
    if error is not exc:
        frames += own_frames(error.__traceback__, adaptors, texts)
    in_job = [frame for frame in frames if frame.adaptor is None]
    position = in_job[-1].position() if in_job else None
    if position is None and operation is not None:
        position = operation.position

    misfit = _misfit(error, operation)
    if misfit is not None:  # the call of the job's function failed
        frames, in_job = [], []
        position = _definition(misfit, job) or position
    name, subtype = _classify(error, frames)
    message = _message(error) if len(leaves) == 1 else _listed(exc, leaves)
    if name == "OOMError":
        message, subtype = _out_of_memory(memory_bytes), None
    details: Any = carried_data(error) if name == "AdaptorError" else None
    if len(leaves) > 1 and name != "SecurityError":
        subtype = type(exc).__name__
        details = [{"type": type(leaf).__name__, "message": _message(leaf)} for leaf in leaves]
    return make_report(
        name,
        _without_paths(message, adaptors),
        subtype=subtype,
        operation=OperationRef(operation.number, operation.name) if operation else None,
        position=position,
        stack=stack_of(frames),
        details=details,
        option="memory_mb" if name == "OOMError" else None,
        fix=_arity_fix(misfit)
        if misfit is not None
        else _fix(error, message, in_job, position, texts, operation, job),
    )


def undescribed(error: BaseException, second: BaseException) -> ErrorReport:
    """Return the report of an exception that cannot be described otherwise.

    Looking at an instance of such a class may itself raise an exception.  This function looks at
    its base classes only, and does not call anything of it.
    """
    kind = type(error)
    name = "JobError" if issubclass(kind, Exception) else "RuntimeError"
    if issubclass(kind, MemoryError):
        name = "OOMError"
    elif issubclass(kind, JobSecurityError):
        name = "SecurityError"
    elif issubclass(kind, JobImportError):
        name = "ImportError"
    elif issubclass(kind, SystemExit):
        name = "ExitError"
    second_name = static.class_name(type(second))
    return make_report(
        name,
        f"{static.class_name(kind)} (it cannot be described: {second_name})",
        subtype=static.class_name(kind),
    )


def _leaves(exc: BaseException) -> list[BaseException]:
    """Return the exceptions inside a group, or the single exception."""
    if not isinstance(exc, BaseExceptionGroup):
        return [exc]
    leaves: list[BaseException] = []
    waiting: list[BaseException] = [exc]
    while waiting and len(leaves) < _MAX_LEAVES:
        current = waiting.pop(0)
        if isinstance(current, BaseExceptionGroup):
            waiting[:0] = current.exceptions
        else:
            leaves.append(current)
    return leaves or [exc]


def _classify(error: BaseException, frames: list[OwnFrame]) -> tuple[str, str | None]:
    """Return the name of the error in the table of errors, and its subtype."""
    kind = type(error)
    own_name = kind.__name__
    if isinstance(error, JobSecurityError):
        return "SecurityError", None
    if isinstance(error, JobImportError):
        return "ImportError", None
    if isinstance(error, MemoryError):
        return "OOMError", None
    if isinstance(error, SystemExit):
        return "ExitError", own_name
    if frames and frames[-1].adaptor is not None:
        return "AdaptorError", own_name
    if isinstance(error, ImportError):
        return "ImportError", own_name
    if not _is_standard(kind):
        return "JobError", own_name
    if isinstance(error, (NameError, SyntaxError)):
        return "RuntimeCrash", own_name
    if kind in (Exception, BaseException):
        return "JobError", None
    return "RuntimeError", own_name


def _is_standard(kind: type) -> bool:
    """Whether a class comes with Python; a job cannot give its own classes such a module."""
    return kind.__module__.partition(".")[0] in sys.stdlib_module_names


def _message(error: BaseException) -> str:
    kind = type(error)
    if isinstance(error, SystemExit):
        return "the job ended the interpreter; a job ends by returning"
    text = exception_text(error)
    if type(error) is KeyError and len(error.args) == 1:
        text = (
            encodable(error.args[0][:MAX_TEXT_CHARS]) if _is_sentence(error) else f"no key {text}"
        )
    elif isinstance(error, RecursionError):
        text = f"too many nested calls: {text}" if text else "too many nested calls"
    return "\n".join([text or kind.__name__, *_notes(error)])


def _is_sentence(error: KeyError) -> bool:
    """Whether the argument of a KeyError is a text for people and not a key.

    A ``raise`` may have either.  If a library passes on a key (``raise KeyError(key) from error``),
    the earlier error has the same key.
    """
    argument = error.args[0] if len(error.args) == 1 else None
    if type(argument) is not str or not any(char.isspace() for char in argument.strip()):
        return False
    if argument in _SENTENCES_OF_PYTHON:
        return True
    before = error.__cause__ or error.__context__
    passed_on = type(before) is KeyError and before.args == error.args
    return _is_raised(error) and not passed_on


def _notes(error: BaseException) -> list[str]:
    notes = object.__getattribute__(error, "__dict__").get("__notes__")
    if type(notes) is not list:
        return []
    return [encodable(note[:MAX_TEXT_CHARS]) for note in notes[:_MAX_NOTES] if type(note) is str]


def _listed(exc: BaseException, leaves: list[BaseException]) -> str:
    told = "; ".join(f"{type(leaf).__name__}: {_message(leaf)}" for leaf in leaves)
    group = exc.args[0] if exc.args and type(exc.args[0]) is str else "several errors"
    return f"{group}: {told}"


def _out_of_memory(memory_bytes: int | None) -> str:
    if memory_bytes is None:
        return "the job ran out of memory"
    return needs_more_memory("the job", memory_bytes)


def _without_paths(message: str, adaptors: Mapping[str, str]) -> str:
    """Remove paths of this host from a text."""
    for directory, adaptor in adaptors.items():
        message = message.replace(directory, f"<{adaptor}>")
    for directory in {sys.prefix, sys.base_prefix}:
        if len(directory) > 1:
            message = message.replace(directory, "<python>")
    return message


def _fix(
    error: BaseException,
    message: str,
    in_job: list[OwnFrame],
    position: Position | None,
    texts: Mapping[str, SourceText],
    operation: RunningOperation | None,
    job: CompiledJob | None,
) -> str | None:
    if isinstance(error, JobSecurityError):
        return "use what the object offers under a public name"
    if isinstance(error, SystemExit):
        return "return state, or raise an exception"
    last = in_job[-1] if in_job else None
    frame = last.frame if last else None
    if type(error) in (NameError, UnboundLocalError):
        name = error.name  # type: ignore[attr-defined]  # both have one
        known = [*frame.f_locals, *frame.f_globals, *frame.f_builtins] if frame else []
        line = position.source if position else None
        column = position.column if position else None
        return name_fix(name, known, line=line, column=column) if type(name) is str else None
    text = texts.get(last.code.co_filename) if last else job.text if job else None
    facts = ErrorFacts(
        message,
        by_interpreter=not (_is_raised(error) or (type(error) is KeyError and _is_sentence(error))),
        in_adaptor=frame is None,
        operation=operation.number if operation else None,
        names={**frame.f_globals, **frame.f_locals} if frame else {},
        text=text,
        position=position,
    )
    return error_fix(error, facts)


def _innermost(error: BaseException) -> TracebackType | None:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback


def _is_raised(error: BaseException) -> bool:
    """Whether a ``raise`` statement has raised *error*, and not the interpreter."""
    traceback = _innermost(error)
    if traceback is None:
        return False
    import opcode  # only after an error

    code, at = traceback.tb_frame.f_code.co_code, traceback.tb_lasti
    return 0 <= at < len(code) and opcode.opname[code[at]] == "RAISE_VARARGS"


def _misfit(error: BaseException, operation: RunningOperation | None) -> FunctionType | None:
    """Return the operation if it could not be called because of its parameters."""
    function = getattr(operation, "function", None)
    if type(error) is not TypeError or type(function) is not FunctionType:
        return None
    traceback = _innermost(error)
    if traceback is None or traceback.tb_frame.f_globals.get("__name__") != _CALLER:
        return None
    from sandbox_child.language.text.passages import takes_state_alone

    return None if takes_state_alone(function) else function


def _definition(function: FunctionType, job: CompiledJob | None) -> Position | None:
    """Return the position of the definition of *function*, if it is in the job."""
    if job is None or function.__code__.co_filename != job.filename:
        return None
    from sandbox_child.language.text.passages import definition

    return definition(job.text, function.__code__)


def _arity_fix(function: FunctionType) -> str:
    name = function.__code__.co_name
    if name == "<lambda>":
        return "an operation is called with the state alone: write lambda state: ..."
    if not function.__code__.co_filename.startswith("<"):  # a verb of an adaptor
        return f"call the verb, which returns an operation: {name}(...)"
    word = "async def" if function.__code__.co_flags & _COROUTINE else "def"
    return f"an operation is called with the state alone: write {word} {name}(state):"
