"""Loggers of a job: a tree of names whose loggers all write to the log of the run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sandbox_child.language.guards import cut

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LEVELS", "Logger", "Loggers"]

LEVELS = {"NOTSET": 0, "DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
_NAMES = {number: name for name, number in LEVELS.items()}


def _number(level: Any) -> int:
    if isinstance(level, str):
        if level not in LEVELS:
            raise ValueError(f"Unknown level: {level!r}")
        return LEVELS[level]
    if not isinstance(level, int):
        raise TypeError(f"Level not an integer or a valid string: {level!r}")
    return int(level)


def _log_level(number: int) -> str:
    if number >= LEVELS["ERROR"]:
        return "error"
    if number >= LEVELS["WARNING"]:
        return "warning"
    return "info" if number >= LEVELS["INFO"] else "debug"


class Loggers:
    """All loggers of a scope, by name."""

    def __init__(
        self, log: Callable[[str, str], None], tell: Callable[[BaseException], str]
    ) -> None:
        self._write = log
        self._tell = tell
        self._by_name: dict[str, Logger] = {}
        self._root = Logger("root", None, self._emit)

    def get(self, name: str | None = None) -> Logger:
        """Return the logger *name*; the root logger without a name."""
        if not name or name == "root":
            return self._root
        if type(name) is not str:
            raise TypeError("A logger name must be a string")
        if name not in self._by_name:
            above = name.rpartition(".")[0]
            self._by_name[name] = Logger(name, self.get(above or None), self._emit)
        return self._by_name[name]

    @staticmethod
    def level_name(level: Any) -> Any:
        """Return the name of a number, or the number of a name."""
        return _NAMES.get(level, LEVELS.get(level, f"Level {level}"))

    def _emit(self, level: int, message: Any, args: tuple[Any, ...], error: Any) -> None:
        text = str.__str__(str(message))  # its class may have its own `%`
        if args:
            try:
                # A single mapping may fill named fields, as in Python.
                text %= args[0] if len(args) == 1 and isinstance(args[0], dict) else args
            except Exception as problem:  # noqa: BLE001 - logging never ends a job
                text = f"{text} {args!r} ({type(problem).__name__}: {problem})"
        if error is True:
            error = sys.exception()
        if isinstance(error, BaseException):
            text = f"{text}\n{self._tell(error)}".rstrip("\n")
        self._write(_log_level(level), cut(text))


class Logger:
    """A logger; it drops messages below its level, or below that of the loggers above it."""

    __slots__ = ("_above", "_emit", "_level", "disabled", "name", "propagate")

    def __init__(self, name: str, above: Logger | None, emit: Callable[..., None]) -> None:
        self.name = name
        self.disabled = False
        self.propagate = True
        self._above = above
        self._emit = emit
        self._level = 0

    def __repr__(self) -> str:
        return f"<Logger {self.name}>"

    @property
    def level(self) -> int:
        """The level that was set for this logger; 0 if none was set."""
        return self._level

    @property
    def parent(self) -> Logger | None:
        """The logger above."""
        return self._above

    @property
    def handlers(self) -> tuple[()]:
        """An empty tuple, because the log of the run is the only target."""
        return ()

    def setLevel(self, level: int | str) -> None:  # noqa: N802 - Python's name
        """Drop messages below *level*."""
        self._level = _number(level)

    def getEffectiveLevel(self) -> int:  # noqa: N802 - Python's name
        """Return the level that decides about messages of this logger."""
        if self._level or self._above is None:
            # The engine decides which lines are kept (RunOptions.log_level); by default, all.
            return self._level
        return self._above.getEffectiveLevel()

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - Python's name
        """Whether a message of *level* would be written."""
        return not self.disabled and level >= self.getEffectiveLevel()

    def getChild(self, suffix: str) -> Logger:  # noqa: N802 - Python's name
        """Return a logger below this one."""
        name = suffix if self._above is None else f"{self.name}.{suffix}"
        return Logger(name, self, self._emit)

    def hasHandlers(self) -> bool:  # noqa: N802 - Python's name
        """Return True, because the log of the run always exists."""
        return True

    def addHandler(self, handler: Any) -> None:  # noqa: ARG002, N802 - Python's name
        """Refuse the handler, because the log of the run is the only target."""
        raise TypeError("a job has no log handlers: everything goes to the log of the run")

    def log(self, level: int, msg: Any, *args: Any, exc_info: Any = None, **_: Any) -> None:
        """Write *msg* with *args* filled in, at *level*."""
        if self.isEnabledFor(level):
            self._emit(level, msg, args, exc_info)

    def debug(self, msg: Any, *args: Any, **options: Any) -> None:
        """Write at level DEBUG."""
        self.log(10, msg, *args, **options)

    def info(self, msg: Any, *args: Any, **options: Any) -> None:
        """Write at level INFO."""
        self.log(20, msg, *args, **options)

    def warning(self, msg: Any, *args: Any, **options: Any) -> None:
        """Write at level WARNING."""
        self.log(30, msg, *args, **options)

    def error(self, msg: Any, *args: Any, **options: Any) -> None:
        """Write at level ERROR."""
        self.log(40, msg, *args, **options)

    def exception(self, msg: Any, *args: Any, exc_info: Any = True, **options: Any) -> None:
        """Write at level ERROR, with the exception that is being handled."""
        self.log(40, msg, *args, exc_info=exc_info, **options)

    def critical(self, msg: Any, *args: Any, **options: Any) -> None:
        """Write at level CRITICAL, which the log calls error."""
        self.log(50, msg, *args, **options)

    warn = warning
    fatal = critical
