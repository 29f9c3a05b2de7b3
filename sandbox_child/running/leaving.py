"""Sends the output of a run before code of an adaptor ends the process by `os._exit`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable


def leave_with_output(flush: Callable[[], None]) -> None:
    """Have *flush* called before `os._exit` ends the process."""
    leave = os._exit

    def _exit(status: int) -> NoReturn:
        try:
            flush()
        finally:
            leave(status)

    os._exit = _exit
