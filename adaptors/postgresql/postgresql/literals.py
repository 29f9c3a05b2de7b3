"""Finds out whether the text of a query is a literal of the job, or was put together from other values.

The constants of a code object are the texts that its author has written.  An f-string, `%`, `+` with a
variable, `format` and `join` make a text that is not among them.  A verb keeps the code of its callers
when it is called, because the text may depend on the state, which comes later.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from types import CodeType, FrameType, FunctionType
from typing import Final

from .errors import InterpolatedQueryError

_DEEPEST: Final = 40
"""Most frames above a verb that are looked at."""


class Callers:
    """The texts that the callers of a verb have written."""

    def __init__(self, *, skipped: int) -> None:
        """Take note of the callers.

        Args:
            skipped: The number of functions of this package between the caller and this one.

        """
        frame: FrameType | None = sys._getframe(skipped + 1)  # noqa: SLF001 - the way to the callers
        self._codes: list[CodeType] = []
        self._globals: list[dict[str, object]] = []
        while frame is not None and len(self._codes) < _DEEPEST:
            self._codes.append(frame.f_code)
            if not any(frame.f_globals is known for known in self._globals):
                self._globals.append(frame.f_globals)
            frame = frame.f_back

    def check(self, query: str) -> None:
        """Check that a caller, or a function beside it, has written the text *query*.

        A text with a name at the top level of a module counts as written, because the data of
        a run are not known there.

        Raises:
            InterpolatedQueryError: The text was put together.

        """
        if any(query in texts(code) for code in self._codes):
            return
        for names in self._globals:
            for value in tuple(names.values()):
                if value is query or any(query in texts(code) for code in _codes_of(value)):
                    return
        raise InterpolatedQueryError(
            "the text of the query was put together (an f-string, %, +, format or join), so a value"
            " in it could be read as SQL; write the text as it is, and give values apart:"
            ' sql("select * from people where id = $1", values=[state.data.id]);'
            ' for names of tables and columns: sql("select * from {table}",'
            ' identifiers={"table": state.data.table})'
        )


def _codes_of(value: object) -> Iterator[CodeType]:
    """Yield the code of a function, or of the functions of a class."""
    found = tuple(vars(value).values()) if isinstance(value, type) else (value,)
    yield from (one.__code__ for one in found if type(one) is FunctionType)


@functools.lru_cache(maxsize=512)
def texts(code: CodeType) -> frozenset[str]:
    """Return the texts that are written in *code*, and in the functions inside of it."""
    found: set[str] = set()
    waiting: list[object] = [code]
    while waiting:
        constant = waiting.pop()
        if type(constant) is str:
            found.add(constant)
        elif type(constant) is CodeType:
            waiting += constant.co_consts
        elif type(constant) is tuple:
            waiting += constant
    return frozenset(found)
