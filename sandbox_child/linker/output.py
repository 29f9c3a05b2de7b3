"""What adaptors say: `print`, `logging` and `warnings` become log events of the run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from sandbox_child.linker.worlds import calling_realm

Log = Callable[[Any, Any, str], None]
"""``(level, source, message)``."""


def make_print(log: Log) -> Callable[..., None]:
    """Return the `print` of one realm."""

    def print(  # noqa: A001 - it is what its users know it as
        *values: object,
        sep: str | None = None,
        end: str | None = None,
        file: Any = None,
        flush: bool = False,
    ) -> None:
        text = (" " if sep is None else sep).join(map(str, values))
        if file is not None and file is not sys.stdout and file is not sys.stderr:
            file.write(text + ("\n" if end is None else end))
            if flush:
                file.flush()
            return
        log("info", "adaptor", text + ("" if end is None else end.removesuffix("\n")))

    return print


def capture(module: str, log: Log) -> None:
    """Attach to a standard module that a realm has imported, if it is one that talks."""
    attach = _ATTACH.pop(module, None)
    if attach is not None:
        attach(log)


def _attach_logging(log: Log) -> None:
    import logging

    class Handler(logging.Handler):
        """Passes records on, without the traceback: it holds paths of the host."""

        def emit(self, record: logging.LogRecord) -> None:
            ours = calling_realm(sys._getframe(1)) is not None  # noqa: SLF001 - who is asking
            if not ours and record.levelno < logging.WARNING:
                return  # the standard library about itself
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
    # Everything passes: `RunOptions.log_level` says what the run's owner wants to see.
    root.setLevel(logging.DEBUG)


def _level(number: int) -> str:
    if number >= 40:
        return "error"
    if number >= 30:
        return "warning"
    return "info" if number >= 20 else "debug"


def _attach_warnings(log: Log) -> None:
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
        if file is not None or calling_realm(sys._getframe(1)) is None:  # noqa: SLF001 - who is asking
            original(message, category, filename, lineno, file, line)
        else:
            log("warning", "adaptor", f"{category.__name__}: {message}")

    warnings.showwarning = showwarning


_ATTACH: dict[str, Callable[[Log], None]] = {
    "logging": _attach_logging,
    "warnings": _attach_warnings,
}
