"""The step that a user means: by its id, by its name, or by the beginning of either."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from jobcell.input.errors import BadInputError
from protocol.suggestion import hint, shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from protocol.plan import Plan, Step

_SEPARATORS: Final = re.compile(r"[\s_-]+")
_MAX_LISTED: Final = 10


class Choice(NamedTuple):
    """The step that a user means."""

    step: Step
    note: str | None
    """A sentence about the choice, if the user has not written an id or a name to the letter."""


def choose_step(option: str, wanted: str, plan: Plan) -> Choice:
    """Return the step that a user means.

    An id counts before a name. An exact text counts before one with other upper and lower case or
    other separators. The beginning of an id or a name counts last.

    Args:
        option: The option that the message of an error begins with.
        wanted: The text that the user has given.
        plan: The plan.

    Raises:
        BadInputError: No step is meant, or more than one.

    """
    steps = plan.workflow.steps
    for rule, exact in _rules(wanted):
        found = [step for step in steps if rule(step)]
        if len(found) == 1:
            note = f"{option}: {shorten(wanted)} is taken as {_shown(found[0])}"
            return Choice(found[0], None if exact else note)
        if found:
            listed = ", ".join(_shown(step) for step in found[:_MAX_LISTED])
            more = f", and {len(found) - _MAX_LISTED} more" if len(found) > _MAX_LISTED else ""
            message = (
                f"{option}: {shorten(wanted)} is the id or name of several steps: {listed}{more}"
            )
            raise BadInputError([f"{message}; give the id of one"])
    known = dict.fromkeys(step.id for step in steps)
    known |= dict.fromkeys(step.name for step in steps if step.name)
    advice = hint(wanted, known, kind="there are")
    raise BadInputError([f"{option}: no step has the id or name {shorten(wanted)}{advice}"])


def _rules(wanted: str) -> Iterator[tuple[Callable[[Step], bool], bool]]:
    """Yield each rule in its order, and whether it finds what is written to the letter."""
    yield lambda step: step.id == wanted, True
    yield lambda step: step.name == wanted, True
    plain = _plain(wanted)
    if plain:  # every name begins with an empty text
        yield lambda step: plain in _plain_names(step), False
        yield lambda step: any(name.startswith(plain) for name in _plain_names(step)), False


def _plain_names(step: Step) -> tuple[str, ...]:
    return (_plain(step.id), _plain(step.name or ""))


def _plain(text: str) -> str:
    return _SEPARATORS.sub(" ", text).strip().casefold()


def _shown(step: Step) -> str:
    name = f" ({shorten(step.name, quoted=False)})" if step.name and step.name != step.id else ""
    return f"{shorten(step.id)}{name}"
