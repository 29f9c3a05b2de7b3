"""The verbs of `beta` in language-common: `each`, which leaves `data` as it was."""

from __future__ import annotations

from typing import Any

from . import verbs
from .flow import Operation

__all__ = ["each"]


def each(items: Any, operation: Operation) -> Operation:
    """Run an operation once for every item of a list, and set `data` back to its old value at the end.

    This is `common.each` with `restore_data=True`.

    Args:
        items: A list, a JSONPath into the state, or a function of state that returns either.
        operation: The operation to run for every item.

    Example:
        `beta.each("$.data.rows[*]", post("patients", state.data))`

    """
    return verbs.each(items, operation, restore_data=True)
