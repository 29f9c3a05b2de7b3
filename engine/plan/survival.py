"""Reads how a step survives failures: ``retry``, ``timeout`` and ``on_death``."""

from __future__ import annotations

import builtins
import math
from typing import TYPE_CHECKING, Final, Literal, cast

from engine.plan.source import name_type
from protocol.plan import Retry
from protocol.report import SEVERITY_BY_NAME
from protocol.retry import DEATH, RETRIED_NAMES, TIMEOUT
from protocol.suggestion import hint, shorten

if TYPE_CHECKING:
    from engine.plan.objects import PlanObject

RETRY_KEYS: Final = ("attempts", "delay", "backoff", "max_delay", "on")
ON_DEATH: Final = ("end", "fail")

_INSTEAD: Final = {
    "TimeoutError": TIMEOUT,
    "OOMError": DEATH,
    "CPULimitError": DEATH,
    "ExitError": DEATH,
}
"""For each error that ends an attempt from outside, the name for ``retry.on``."""


def read_retry(reader: PlanObject) -> Retry | None:
    """Return the ``retry`` of a step; None if it is missing or wrong."""
    retry = reader.child("retry", known=RETRY_KEYS)
    if retry is None:
        return None
    attempts = _attempts(retry)
    delay = _number(retry, "delay", what="a number of milliseconds", least=0)
    backoff = _number(retry, "backoff", what="a number", least=1)
    max_delay = _number(retry, "max_delay", what="a number of milliseconds", least=0)
    names = _names(retry)
    if attempts is None:
        return None
    given = {"delay": delay, "backoff": backoff, "max_delay": max_delay}
    return Retry(
        attempts=attempts,
        on=names,
        **{name: value for name, value in given.items() if value is not None},
    )


def read_on_death(reader: PlanObject) -> Literal["end", "fail"]:
    """Return the ``on_death`` of a step; ``end`` if it is missing."""
    value = reader.get("on_death")
    if value is None:
        return "end"
    if not isinstance(value, str):
        reader.note("on_death", f"must be 'end' or 'fail', not {name_type(value)}")
    elif value not in ON_DEATH:
        meant = hint(value, ON_DEATH, kind="there are")
        reader.note("on_death", f"must be 'end' or 'fail', not {shorten(value)}{meant}")
    else:
        return cast("Literal['end', 'fail']", str.__str__(value))
    return "end"


def _attempts(retry: PlanObject) -> int | None:
    value = retry.get("attempts")
    if value is None:
        retry.note("attempts", "is missing; it is the number of all attempts, such as 3")
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        retry.note("attempts", f"must be a whole number of 1 or more, not {name_type(value)}")
    elif isinstance(value, float) and not value.is_integer():
        retry.note("attempts", f"must be a whole number of 1 or more, not {value!r}")
    elif value < 1:
        retry.note("attempts", f"must be a whole number of 1 or more, not {_shown(value)}")
    else:
        return min(int(value), 2**53)
    return None


def _number(retry: PlanObject, name: str, *, what: str, least: int) -> float | None:
    value = retry.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        retry.note(name, f"must be {what}, not {name_type(value)}")
        return None
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if value > 0 else -math.inf
    if math.isfinite(number) and number >= least:
        return number
    retry.note(name, f"must be {what}, finite and {least} or more, not {_shown(value)}")
    return None


def _names(retry: PlanObject) -> tuple[str, ...] | None:
    found = retry.get("on")
    path = retry.where("on")
    what = "a list of names of errors, such as ['AdaptorError', 'timeout']"
    if found is None:
        return None
    if not isinstance(found, (list, tuple)):
        shown = f"text: {shorten(found)}" if isinstance(found, str) else name_type(found)
        retry.note("on", f"must be {what}, not {shown}")
        return None
    names = []
    for index, value in enumerate(found):
        place = f"{path}[{index}]"
        if not isinstance(value, str):
            retry.add_problem(place, f"must be the name of an error, not {name_type(value)}")
        elif value not in RETRIED_NAMES:
            retry.add_problem(place, _wrong_name(value))
        else:
            names.append(str.__str__(value))
    return tuple(dict.fromkeys(names))


def _wrong_name(name: str) -> str:
    shown = shorten(name)
    if name in _INSTEAD:
        return f"{shown} is not an error of a job; write {_INSTEAD[name]!r}"
    severity = SEVERITY_BY_NAME.get(name)
    if severity is not None:
        return f"{shown} ends the run (severity {severity}), so it cannot be retried"
    found = getattr(builtins, name, None)
    if isinstance(found, type) and issubclass(found, BaseException):
        return f"{shown} is a class; write the name of its error: 'RuntimeError' or 'AdaptorError'"
    return f"no error has the name {shown}{hint(name, RETRIED_NAMES, kind='there are')}"


def _shown(value: float) -> str:
    return repr(value) if isinstance(value, float) or abs(value) < 10**30 else "such a number"
