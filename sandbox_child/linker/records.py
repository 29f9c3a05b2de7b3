"""Turns lines that adaptors and libraries write with `logging` and `warnings` into log events."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from protocol.words import LogLevel
from sandbox_child.linker.callers import calling_realm
from sandbox_child.pipes import streams

Log = Callable[[Any, Any, str], None]
"""``(level, source, message)``."""

FOR_AUTHOR: Final = "for_author"
"""Attribute of a record that a verb makes at the request of the job's author."""

NUMBERS: Final[dict[LogLevel, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
"""The numbers of these levels in `logging`."""


def capture(module: str, log: Log, lowest: LogLevel) -> None:
    """Attach to a standard module that a realm has imported, if it writes lines.

    Args:
        module: The name of the module.
        log: Takes the lines.
        lowest: The least important level; records below it are not made, or are dropped.

    """
    attach = _ATTACH.pop(module, None)
    if attach is not None:
        attach(log, NUMBERS[lowest])


def _attach_logging(log: Log, lowest: int) -> None:
    import logging

    class Handler(logging.Handler):
        """Passes records on without the traceback, which has paths of the host."""

        def emit(self, record: logging.LogRecord) -> None:
            ours = calling_realm(sys._getframe(1)) is not None  # noqa: SLF001 - who is asking
            # Lines of the standard library itself count only from warnings on.
            least = lowest if ours else max(lowest, logging.WARNING)
            if record.levelno < least and not getattr(record, FOR_AUTHOR, False):
                return
            try:
                text = record.getMessage()
                if record.exc_info and record.exc_info[1] is not None:
                    error = record.exc_info[1]
                    text += f" ({type(error).__name__}: {error})"
            except Exception as error:  # noqa: BLE001 - a bad format must not end the job
                text = f"{record.msg} (cannot be formatted: {type(error).__name__})"
            log(_level(record.levelno), "adaptor", text)

    root = logging.getLogger()
    root.addHandler(Handler())
    root.setLevel(lowest)
    # Also for a logger with a level of its own: records are not even made, so they cost no time.
    logging.disable(lowest - 1)
    _watch_handlers(lowest)


def _watch_handlers(lowest: int) -> None:
    """Let handlers of an adaptor work as in Python, but write to the log of the run.

    A handler that writes to a standard stream keeps the lowest level.  Any other handler gets all
    records that its loggers pass, so records below the lowest level are made from then on.
    """
    import logging

    add = logging.Logger.addHandler

    def addHandler(self: logging.Logger, hdlr: logging.Handler) -> None:  # noqa: N802 - Python's name
        if isinstance(hdlr, logging.StreamHandler) and streams.is_own(hdlr.stream):
            hdlr.addFilter(lambda record: record.levelno >= lowest)
        elif not isinstance(hdlr, logging.NullHandler) and logging.root.manager.disable < lowest:
            logging.disable(logging.NOTSET)
        add(self, hdlr)

    logging.Logger.addHandler = addHandler  # type: ignore[method-assign]


def _level(number: int) -> LogLevel:
    if number >= NUMBERS["error"]:
        return "error"
    if number >= NUMBERS["warning"]:
        return "warning"
    return "info" if number >= NUMBERS["info"] else "debug"


def _attach_warnings(log: Log, lowest: int) -> None:
    import warnings

    original = warnings.showwarning

    def showwarning(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        asks = calling_realm(sys._getframe(1))  # noqa: SLF001 - who is asking
        if file is not None or asks is None or not streams.is_own(sys.stderr):
            original(message, category, filename, lineno, file, line)
        elif lowest <= NUMBERS["warning"]:
            log("warning", "adaptor", f"{category.__name__}: {message}")

    warnings.showwarning = showwarning


def _attach_traceback(_log: Log, _lowest: int) -> None:
    """Leave the engine's frames out of the stacks that an adaptor prints."""
    import traceback

    walk_stack, walk_tb = traceback.walk_stack, traceback.walk_tb

    def visible_stack(f: Any) -> Iterator[tuple[Any, int]]:
        found = walk_stack(sys._getframe(1) if f is None else f)  # noqa: SLF001 - as Python does
        return ((frame, line) for frame, line in found if not _is_of_engine(frame))

    def visible_traceback(tb: Any) -> Iterator[tuple[Any, int]]:
        return ((frame, line) for frame, line in walk_tb(tb) if not _is_of_engine(frame))

    traceback.walk_stack = visible_stack
    traceback.walk_tb = visible_traceback


_OF_ENGINE: Final = frozenset(("sandbox_child", "protocol", "__main__", "runpy"))
"""Top-level names of the child's modules; an adaptor is never the main module."""


def _is_of_engine(frame: Any) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in _OF_ENGINE


_ATTACH: dict[str, Callable[[Log, int], None]] = {
    "logging": _attach_logging,
    "traceback": _attach_traceback,
    "warnings": _attach_warnings,
}
