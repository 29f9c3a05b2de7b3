"""Numbers: the conversion of values to them, and what operators make of them.

JavaScript's numbers are floats.  Here a float without a fraction becomes an int, because JSON writes it
without a point.  A result that JavaScript would round, NaN and infinity are errors.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

from .values import MAX_SAFE, Error, kind, undefined

Number = int | float

_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_OTHER_BASE: Final = re.compile(r"0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+", re.ASCII)
_WHOLE: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_SPACE: Final = "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
"""What JavaScript takes for white space, which is not what Python's `str.strip` takes."""


def normal(value: Number) -> Number:
    """Return a number as JSON writes it.

    Raises:
        Error: The number is NaN, infinite, or so large that JavaScript would round it.

    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Error(f"the result is {'not a number' if value != value else 'infinite'}")  # noqa: PLR0124 - NaN
        if not value.is_integer():
            return value
        if value == 0 and math.copysign(1, value) < 0:
            return 0  # JSON writes -0 as 0
        if abs(value) > MAX_SAFE:
            return value
        return int(value)
    if abs(value) > MAX_SAFE:
        raise Error(f"{value} is beyond {MAX_SAFE}, so JavaScript would round it")
    return int(value)


def maybe_number(value: Any) -> float | int | None:
    """Return a value as a number, or None for NaN.

    Raises:
        Error: The value is an array, an object, or not one of JavaScript.

    """
    if value is undefined:
        return None
    if value is None or isinstance(value, bool):
        return int(value or 0)
    if isinstance(value, int | float):
        return None if value != value else normal(value)  # noqa: PLR0124 - NaN
    if isinstance(value, str):
        return _number_in(value.strip(_SPACE))
    raise Error(f"{kind(value)} is used as a number")


def _number_in(digits: str) -> float | int | None:
    if digits == "":
        return 0
    if _DECIMAL.fullmatch(digits):
        return normal(float(digits))
    if _OTHER_BASE.fullmatch(digits):
        return normal(int(digits, 0))
    if digits.lstrip("+-") == "Infinity":
        raise Error("infinity is used as a number")
    return None


def number(value: Any) -> Number:
    """Return `Number(value)`.

    Raises:
        Error: The result is NaN.

    """
    found = maybe_number(value)
    if found is None:
        raise Error(f"{kind(value)} is not a number")
    return found


def whole(value: Any) -> Number:
    """Return `parseInt(value, 10)` for a number, or a text that begins with one."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise Error(f"parseInt of {kind(value)} is not a number")
    if isinstance(value, float) and not (value == 0 or 1e-6 <= abs(value) < 1e21):
        raise Error("parseInt reads the exponent of this number as text")
    if isinstance(value, int | float):
        return normal(math.trunc(value))
    found = _WHOLE.match(value.lstrip(_SPACE))
    if found is None:
        raise Error("parseInt of this text is not a number")
    return normal(int(found[0]))


def add(one: Any, other: Any) -> Any:
    """Return `one + other`: a text if one of them is a text, an array or an object."""
    from .texts import text  # it needs this module

    if isinstance(one, str | list | dict) or isinstance(other, str | list | dict):
        return text(one) + text(other)
    return normal(number(one) + number(other))


def minus(one: Any, other: Any) -> Number:
    """Return `one - other`."""
    return normal(number(one) - number(other))


def times(one: Any, other: Any) -> Number:
    """Return `one * other`."""
    return normal(number(one) * number(other))


def divide(one: Any, other: Any) -> Number:
    """Return `one / other`."""
    divisor = number(other)
    if divisor == 0:
        raise Error("a division by zero is infinite or not a number")
    return normal(number(one) / divisor)


def remainder(one: Any, other: Any) -> Number:
    """Return `one % other`, which has the sign of *one*."""
    divisor = number(other)
    if divisor == 0:
        raise Error("the remainder of a division by zero is not a number")
    return normal(math.fmod(number(one), divisor))


def negative(value: Any) -> Number:
    """Return `-value`."""
    return normal(-number(value))


def compare(one: Any, operator: str, other: Any) -> bool:
    """Return `one < other`, and the same for `<=`, `>` and `>=`."""
    if isinstance(one, str) and isinstance(other, str):
        left: Any = one.encode("utf-16-be", "surrogatepass")
        right: Any = other.encode("utf-16-be", "surrogatepass")
    else:
        left, right = maybe_number(one), maybe_number(other)
        if left is None or right is None:
            return False
    if operator in ("<", "<="):
        return bool(left < right or (operator == "<=" and left == right))
    return bool(left > right or (operator == ">=" and left == right))


def floor(value: Any) -> Number:
    """Return `Math.floor(value)`."""
    return normal(math.floor(number(value)))


def ceil(value: Any) -> Number:
    """Return `Math.ceil(value)`."""
    return normal(math.ceil(number(value)))


def round(value: Any) -> Number:  # noqa: A001 - the name in JavaScript
    """Return `Math.round(value)`: a half goes up."""
    exact = number(value)
    below = math.floor(exact)
    return normal(below + 1 if exact - below >= 0.5 else below)


def absolute(value: Any) -> Number:
    """Return `Math.abs(value)`."""
    return normal(abs(number(value)))


def largest(*given: Any) -> Number:
    """Return `Math.max(...given)`."""
    if not given:
        raise Error("Math.max of nothing is infinite")
    return max(map(number, given))


def smallest(*given: Any) -> Number:
    """Return `Math.min(...given)`."""
    if not given:
        raise Error("Math.min of nothing is infinite")
    return min(map(number, given))
