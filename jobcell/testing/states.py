"""Compares a state with the expected one, and shows each difference on a line of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_MOST: Final = 20
"""Number of differences that a message shows."""
_LONGEST: Final = 200
"""Number of characters of a value that a message shows."""


class _Any:
    """Equals every value."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "ANY"


ANY: Final[Any] = _Any()
"""A value in an expected state that equals every value, for a time or an id."""


def assert_state(actual: Any, expected: Any, *, exact: bool = False) -> None:
    """Check that a state is the expected one.

    Args:
        actual: A state, or a part of it.
        expected: What it has to be. A dict in it needs to name only the keys that matter, unless
            *exact* is true. `ANY` equals every value. Numbers of the same value are equal, but
            True and 1 are not.
        exact: Whether a key that *expected* does not name is a difference.

    Raises:
        AssertionError: They differ. The message has a line for each difference, with its path.

    """
    __tracebackhide__ = True
    found = list(differences(actual, expected, exact=exact))
    if not found:
        return
    count = "1 difference" if len(found) == 1 else f"{len(found)} differences"
    lines = [
        f"the state is not the expected one ({count}):",
        *(f"  {line}" for line in found[:_MOST]),
    ]
    if len(found) > _MOST:
        lines.append(f"  ... and {len(found) - _MOST} more")
    raise AssertionError("\n".join(lines))


def differences(
    actual: Any, expected: Any, *, exact: bool = False, path: str = "state"
) -> Iterator[str]:
    """Yield a line for each difference of two values.

    Args:
        actual: As in `assert_state`.
        expected: As in `assert_state`.
        exact: As in `assert_state`.
        path: The path of the two values.

    """
    if expected is ANY:
        return
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        yield from _of_maps(actual, expected, exact=exact, path=path)
    elif _is_list(actual) and _is_list(expected):
        yield from _of_lists(actual, expected, exact=exact, path=path)
    elif not _equal(actual, expected):
        yield f"{path}: expected {_show(expected)}, but it is {_show(actual)}"


def _of_maps(
    actual: Mapping[Any, Any], expected: Mapping[Any, Any], *, exact: bool, path: str
) -> Iterator[str]:
    for key, value in expected.items():
        inner = _below(path, key)
        if key in actual:
            yield from differences(actual[key], value, exact=exact, path=inner)
        else:
            yield f"{inner}: expected {_show(value)}, but it is missing"
    for key in actual if exact else ():
        if key not in expected:
            yield f"{_below(path, key)}: not expected, but it is {_show(actual[key])}"


def _of_lists(
    actual: Sequence[Any], expected: Sequence[Any], *, exact: bool, path: str
) -> Iterator[str]:
    for number, (left, right) in enumerate(zip(actual, expected, strict=False)):
        yield from differences(left, right, exact=exact, path=f"{path}[{number}]")
    for number in range(len(actual), len(expected)):
        yield f"{path}[{number}]: expected {_show(expected[number])}, but it is missing"
    for number in range(len(expected), len(actual)):
        yield f"{path}[{number}]: not expected, but it is {_show(actual[number])}"


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _equal(actual: Any, expected: Any) -> bool:
    if isinstance(actual, bool) is not isinstance(expected, bool):
        return False
    if isinstance(actual, float) and isinstance(expected, float) and math.isnan(expected):
        return math.isnan(actual)
    return bool(actual == expected)


def _below(path: str, key: Any) -> str:
    return f"{path}.{key}" if isinstance(key, str) and key.isidentifier() else f"{path}[{key!r}]"


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"
