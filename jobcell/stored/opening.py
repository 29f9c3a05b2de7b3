"""Opens the store of a command, and gives its errors an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, ParamSpec

import jobcell
from engine import PlanError
from jobcell.input.errors import BadInputError, ReaderGoneError
from jobcell.output.exit_codes import EXCEPTION
from jobcell.output.wording import MAX_LINE, printable

if TYPE_CHECKING:
    from engine import Collections
    from jobcell.store import Store

_P = ParamSpec("_P")

PATIENCE_S: Final = 30.0
"""Seconds for which a command tries again while the store is out of reach."""


def open_store(url: str | None, *, timeout_s: float = 0.0) -> Store:
    """Return the store that a user has named, or the default store.

    Raises:
        BadInputError: The extra is not installed.
        StoreError: The store cannot be used.

    """
    try:
        store = jobcell.Store
    except ImportError as error:
        raise BadInputError([str(error)]) from None
    return store.open(url, timeout_s=timeout_s)


def with_collections(url: str | None, run: Callable[[Collections], int]) -> int:
    """Call *run* with the collections of a store, and return the exit code.

    Raises:
        BadInputError: The store cannot be used, or the extra is not installed.

    """

    def open_and_run() -> int:
        with open_store(url) as store:
            return run(store.collections())

    return with_store_errors(open_and_run)()


def with_store_errors(command: Callable[_P, int]) -> Callable[_P, int]:
    """Give each error of a store one line and an exit code: 2 if the input is wrong, else 5."""

    def run(*arguments: _P.args, **options: _P.kwargs) -> int:
        try:
            return command(*arguments, **options)
        except BrokenPipeError:
            raise ReaderGoneError from None
        except PlanError as error:
            raise BadInputError(str(problem) for problem in error.problems) from None
        except jobcell.EngineError as error:
            from jobcell.store import (
                RunConflictError,
                RunNotOverError,
                ScheduleConflictError,
                StoreError,
                StoreKeyError,
                StoreUrlError,
                StoreVersionError,
                UnknownCollectionError,
                UnknownRunError,
                UnknownScheduleError,
            )

            if not isinstance(error, StoreError):
                raise
            of_user = (
                RunConflictError,
                RunNotOverError,
                ScheduleConflictError,
                StoreKeyError,
                StoreUrlError,
                StoreVersionError,
                UnknownCollectionError,
                UnknownRunError,
                UnknownScheduleError,
            )
            if isinstance(error, of_user):
                raise BadInputError([str(error)]) from None
            print(f"error: {printable(str(error), limit=3 * MAX_LINE)}", file=sys.stderr)
            return EXCEPTION

    return run
