"""An exception that came out of a job, told to the job's author.

What an error is called depends on its class and on where it was raised: in the job, or inside
an adaptor.  The text, the frames and the hint are taken without running more of the job than
the ``__str__`` of an exception class that it defined itself.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

from protocol.report import ErrorReport, OperationRef, make_report
from sandbox_child.language.frames import globals_texts, own_frames, stack_of
from sandbox_child.language.hints import error_fix, name_fix
from sandbox_child.language.plain_data import (
    MAX_TEXT_CHARS,
    carried_data,
    encodable,
    exception_text,
)
from sandbox_child.language.refusals import JobImportError, JobSecurityError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.report import Position
    from sandbox_child.language.compiler import CompiledJob
    from sandbox_child.language.frames import OwnFrame

_MAX_LEAVES = 20
_MAX_NOTES = 10
_MEGABYTE = 1_000_000


class RunningOperation(Protocol):
    """The operation that was running when an exception came out of it."""

    @property
    def number(self) -> int:
        """Its place, from 1."""

    @property
    def name(self) -> str:
        """Its name as the author wrote it."""

    @property
    def position(self) -> Position | None:
        """Where it is called in the job."""


def diagnose(
    exc: BaseException,
    *,
    job: CompiledJob | None,
    operation: RunningOperation | None = None,
    adaptors: Mapping[str, str],
    memory_bytes: int | None = None,
) -> ErrorReport:
    """Return the report of an exception that came out of a job.

    Args:
        exc: Anything that was raised.
        job: The job that was running; None for globals.
        operation: The operation that was running, if it had come that far.
        adaptors: Absolute directory of adaptor files to ``name@version``.
        memory_bytes: The memory limit, to be named when it was hit.

    Returns:
        A report without ``step_id``.  Its position is that of the innermost frame in the job,
        or else of the operation's call.

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
        fix=_fix(error, message, in_job, operation.number if operation else None),
    )


def _leaves(exc: BaseException) -> list[BaseException]:
    """Return the exceptions inside of a group, or the one that is no group."""
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
    """Whether a class comes with Python: a job cannot give its own classes such a module."""
    return kind.__module__.partition(".")[0] in sys.stdlib_module_names


def _message(error: BaseException) -> str:
    kind = type(error)
    if isinstance(error, SystemExit):
        return "the job ended the interpreter; a job ends by returning"
    text = exception_text(error)
    if kind is KeyError and len(error.args) == 1:
        text = f"no key {text}"
    elif isinstance(error, RecursionError):
        text = f"too many nested calls: {text}" if text else "too many nested calls"
    return "\n".join([text or kind.__name__, *_notes(error)])


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
    return f"the job needs more than its memory limit of {memory_bytes / _MEGABYTE:.0f} MB"


def _without_paths(message: str, adaptors: Mapping[str, str]) -> str:
    """Take the places of files on this host out of a text."""
    for directory, adaptor in adaptors.items():
        message = message.replace(directory, f"<{adaptor}>")
    for directory in {sys.prefix, sys.base_prefix}:
        if len(directory) > 1:
            message = message.replace(directory, "<python>")
    return message


def _fix(
    error: BaseException, message: str, in_job: list[OwnFrame], operation: int | None
) -> str | None:
    if isinstance(error, JobSecurityError):
        return "use what the object offers under a public name"
    if isinstance(error, SystemExit):
        return "return state, or raise an exception"
    frame = in_job[-1].frame if in_job else None
    if type(error) in (NameError, UnboundLocalError):
        name = error.name  # type: ignore[attr-defined]  # both have one
        known = [*frame.f_locals, *frame.f_globals, *frame.f_builtins] if frame else []
        return name_fix(name, known) if type(name) is str else None
    state = frame.f_locals.get("state") if frame else None
    return error_fix(
        type(error).__name__,
        message,
        operation=operation,
        state_is_empty=type(state) is dict and not state,
    )
