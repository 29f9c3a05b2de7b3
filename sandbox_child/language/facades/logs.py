"""Facades of modules that write: logging, warnings, traceback and pprint use the log of the run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sandbox_child.language.facades.loggers import LEVELS, Logger, Loggers
from sandbox_child.language.guards import cut

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from sandbox_child.language.facades import Facades


def make_logging(facades: Facades) -> dict[str, Any]:
    """Return loggers that write to the log of the run under any configuration."""
    tell = _make_teller(facades)
    loggers = Loggers(facades.log, tell)
    root = loggers.get(None)
    facades.guards.writable.add(Logger)  # `log.propagate = False` is harmless and usual

    def basic_config(*, level: int | str | None = None, **_: Any) -> None:
        if level is not None:
            root.setLevel(level)

    functions = {
        name: getattr(root, name)
        for name in (
            *("critical", "debug", "error", "exception", "fatal", "info", "log", "warn"),
            "warning",
        )
    }
    return {
        **LEVELS,
        **functions,
        "FATAL": LEVELS["CRITICAL"],
        "Logger": Logger,
        "WARN": LEVELS["WARNING"],
        "basicConfig": basic_config,
        "getLevelName": Loggers.level_name,
        "getLogger": loggers.get,
        "root": root,
    }


def _make_teller(facades: Facades) -> Callable[[BaseException], str]:
    """Return a function that formats an exception like Python, with frames of the job only."""
    module = facades.globals

    def tell(error: BaseException) -> str:
        lines: list[str] = []
        trace: TracebackType | None = error.__traceback__
        while trace is not None and len(lines) < _MAX_FRAMES:
            code = trace.tb_frame.f_code
            if trace.tb_frame.f_globals is module:
                lines.append(
                    f"  {code.co_filename}, line {trace.tb_lineno}, in {code.co_qualname}\n"
                )
            trace = trace.tb_next
        head = "Traceback (most recent call last):\n" if lines else ""
        return f"{head}{''.join(lines)}{_tell_class(error)}"

    return tell


_MAX_FRAMES = 50


def _tell_class(error: BaseException) -> str:
    text = str(error)
    name = type(error).__qualname__
    return f"{name}: {text}\n" if text else f"{name}\n"


def make_traceback(facades: Facades) -> dict[str, Any]:
    """Return the formatting functions, without frames and paths of other code."""
    tell = _make_teller(facades)

    def format_exception(error: Any, /, value: Any = None, tb: Any = None, **_: Any) -> list[str]:  # noqa: ARG001 - Python's signature
        error = error if isinstance(error, BaseException) else value
        return tell(error).splitlines(keepends=True) if error is not None else ["NoneType: None\n"]

    def format_exception_only(error: Any, /, value: Any = None) -> list[str]:
        error = error if isinstance(error, BaseException) else value
        return [_tell_class(error)]

    def format_exc(limit: Any = None, chain: bool = True) -> str:  # noqa: ARG001 - Python's signature
        error = sys.exception()
        return tell(error) if error is not None else "NoneType: None\n"

    def print_exc(*_: Any, **__: Any) -> None:
        facades.log("error", cut(format_exc().rstrip("\n")))

    def print_exception(error: Any, /, value: Any = None, *_: Any, **__: Any) -> None:
        facades.log("error", cut("".join(format_exception(error, value)).rstrip("\n")))

    return {
        "format_exc": format_exc,
        "format_exception": format_exception,
        "format_exception_only": format_exception_only,
        "print_exc": print_exc,
        "print_exception": print_exception,
    }


def make_pprint(facades: Facades) -> dict[str, Any]:
    """Return ``pprint`` and ``pp`` that write to the log, and a printer that writes there only."""
    import pprint

    def show(value: Any, stream: Any = None, *args: Any, **options: Any) -> None:
        text = pprint.pformat(value, *args, **options)
        if stream is not None:
            facades.globals["__builtins__"]["print"](text, file=stream)
        else:
            facades.log("info", cut(text))

    def pp(value: Any, *args: Any, sort_dicts: bool = False, **options: Any) -> None:
        show(value, *args, sort_dicts=sort_dicts, **options)

    class PrettyPrinter(pprint.PrettyPrinter):
        def pprint(self, object: Any) -> None:  # noqa: A002 - Python's name
            facades.log("info", cut(self.pformat(object)))

    PrettyPrinter.__module__ = "pprint"
    PrettyPrinter.__qualname__ = "PrettyPrinter"
    return {"PrettyPrinter": PrettyPrinter, "pp": pp, "pprint": show}


def make_warnings(facades: Facades) -> dict[str, Any]:
    """Return warnings that go to the log, with filters of the scope."""
    filters: list[tuple[str, type]] = []
    recordings: list[list[Any] | None] = []

    def warn(
        message: Any,
        category: Any = None,
        stacklevel: int = 1,  # noqa: ARG001 - Python's signature
        source: Any = None,  # noqa: ARG001 - as above
        **_: Any,
    ) -> None:
        if isinstance(message, Warning):
            warning, category = message, type(message)
        else:
            category = UserWarning if category is None else category
            if not (isinstance(category, type) and issubclass(category, Warning)):
                raise TypeError(
                    f"category must be a Warning subclass, not {type(category).__name__!r}"
                )
            warning = category(message)
        action = next((act for act, kind in filters if issubclass(category, kind)), "default")
        if action == "error":
            raise warning
        if action == "ignore":
            return
        recording = recordings[-1] if recordings else None
        if recording is not None:
            recording.append(WarningMessage(warning, category))
        else:
            facades.log("warning", cut(f"{category.__name__}: {warning}"))

    def simplefilter(
        action: str,
        category: type = Warning,
        lineno: int = 0,  # noqa: ARG001 - Python's signature
        append: bool = False,
    ) -> None:
        if action not in _ACTIONS:
            raise ValueError(f"invalid action: {action!r}")
        filters.insert(len(filters) if append else 0, (action, category))

    def filterwarnings(
        action: str,
        message: str = "",  # noqa: ARG001 - filters by class only
        category: type = Warning,
        module: str = "",  # noqa: ARG001 - as above
        lineno: int = 0,
        append: bool = False,
    ) -> None:
        simplefilter(action, category, lineno, append)

    return {
        "catch_warnings": _make_catch_warnings(filters, recordings, simplefilter),
        "filterwarnings": filterwarnings,
        "resetwarnings": filters.clear,
        "simplefilter": simplefilter,
        "warn": warn,
    }


def _make_catch_warnings(
    filters: list[tuple[str, type]],
    recordings: list[list[Any] | None],
    simplefilter: Callable[[str], None],
) -> Any:
    """Return the class whose instances restore the *filters*, and may record warnings."""

    class catch_warnings:  # noqa: N801 - Python's name
        def __init__(self, *, record: bool = False, action: str | None = None) -> None:
            self._record: list[Any] | None = [] if record else None
            self._action = action
            self._saved: list[tuple[str, type]] = []

        def __enter__(self) -> list[Any] | None:
            self._saved = filters[:]
            recordings.append(self._record)  # None means the log
            if self._action is not None:
                simplefilter(self._action)
            return self._record

        def __exit__(self, *_: object) -> None:
            recordings.pop()
            filters[:] = self._saved

    return catch_warnings


_ACTIONS = frozenset({"always", "default", "error", "ignore", "module", "once"})


class WarningMessage:
    """A warning that ``catch_warnings(record=True)`` has collected."""

    __slots__ = ("category", "message")

    def __init__(self, message: Warning, category: type) -> None:
        self.message = message
        self.category = category
