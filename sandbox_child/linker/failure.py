"""Describes why an adaptor cannot be imported, in a line without paths of the host."""

from __future__ import annotations

import sys
from types import TracebackType

from sandbox_child.language.guards import JobImportError

_MAX_TEXT = 1_000


def describe(label: str, directory: str, error: BaseException) -> JobImportError:
    """Return the error for the author of a job after importing an adaptor has raised *error*."""
    return JobImportError(f"adaptor {label} cannot be imported: {_reason(directory, error)}")


def _reason(directory: str, error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        place = _place(directory, error.filename, error.lineno)
        return f"syntax error{place}: {error.msg}"
    place = _innermost(directory, error.__traceback__)
    if isinstance(error, SystemExit):
        return f"it ends the interpreter while it is imported{place}"
    kind = type(error).__name__
    if isinstance(error, OSError) and error.filename is not None:
        name = str(error.filename).rpartition("/")[2]
        return f"{kind}: {error.strerror}: {name!r}{place}"
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - code of the adaptor
        text = ""
    return f"{kind}: {without_paths(directory, text)[:_MAX_TEXT]}{place}"


def without_paths(directory: str, text: str) -> str:
    """Return *text* without the directories of this host."""
    text = text.replace(directory.rstrip("/") + "/", "")
    for host in sorted({*sys.path, sys.prefix, sys.base_prefix}, key=len, reverse=True):
        if len(host) > 1:
            text = text.replace(host.rstrip("/") + "/", "")
    return text


def _innermost(directory: str, traceback: TracebackType | None) -> str:
    place = ""
    while traceback is not None:
        name = traceback.tb_frame.f_code.co_filename
        place = _place(directory, name, traceback.tb_lineno) or place
        traceback = traceback.tb_next
    return place


def _place(directory: str, filename: str | None, line: int | None) -> str:
    prefix = directory.rstrip("/") + "/"
    if filename is None or not filename.startswith(prefix):
        return ""
    return f" ({filename.removeprefix(prefix)}, line {line})"
