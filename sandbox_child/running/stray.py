"""Logs warnings and errors that no code catches, without paths or lines of the engine.

Python writes them to standard error with the files and source lines of all frames below.  Those
contain lines of the engine and paths of the host.  This module is imported only when such a report
is due.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

from sandbox_child.language import encodable, exception_text, globals_texts, own_frames

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.words import LogLevel, LogSource

_JOB = ("<job ", "<globals>", "<condition>")
_MAX_CHARS = 2_000


class _Logs(Protocol):
    def add(self, level: LogLevel, source: LogSource, message: str) -> None: ...


class LogOwner(Protocol):
    """The parts of a run that a report needs."""

    @property
    def logs(self) -> _Logs:
        """Takes the report."""

    @property
    def adaptor_directories(self) -> Mapping[str, str]:
        """For each directory, the adaptor in it."""


def tell_warning(
    run: LogOwner, message: Warning | str, category: type[Warning], filename: str, line: int
) -> None:
    """Log a warning; show its place only if that is in the author's text."""
    place = f" (line {line})" if filename.startswith(_JOB) else ""
    text = encodable(f"{category.__name__}: {str(message)[:_MAX_CHARS]}{place}")
    run.logs.add("warning", "job" if place else "runtime", text)


def tell_error(run: LogOwner, what: str, error: BaseException | None) -> None:
    """Log an error that has no caller.

    Args:
        run: The run.
        what: The place where it was raised, in words: ``in the thread Thread-1``.
        error: The error; None if Python has lost it.

    """
    if error is None:
        run.logs.add("warning", "runtime", f"an error {what} was lost")
        return
    lines = [f"error {what}: {type(error).__name__}: {_without_paths(run, exception_text(error))}"]
    for frame in own_frames(error.__traceback__, run.adaptor_directories, globals_texts)[-10:]:
        told = frame.told()
        lines.append(f"  {told.module}, line {told.line}, in {told.function}: {told.source or ''}")
    run.logs.add("warning", "runtime", encodable("\n".join(lines)))


def _without_paths(run: LogOwner, text: str) -> str:
    for directory, adaptor in run.adaptor_directories.items():
        text = text.replace(directory, f"<{adaptor}>")
    for directory in {sys.prefix, sys.base_prefix}:
        if len(directory) > 1:
            text = text.replace(directory, "<python>")
    return text


def name_of(owner: Any) -> str:
    """Return a name for the source of an unraisable error, without calling ``repr``."""
    name = getattr(type(owner), "__qualname__", "object")
    if name in {"function", "method", "builtin_function_or_method", "method_descriptor"}:
        return str(getattr(owner, "__qualname__", name))[:200]
    return f"a {name[:200]}"
