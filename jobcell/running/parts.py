"""The part of a plan that a user names with ``--from`` or ``--only``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from jobcell.input.errors import BadInputError
from jobcell.reuse.repeating import Repeat, choose_repeat

if TYPE_CHECKING:
    from jobcell.running.choices import Given, PlanChoice
    from protocol.plan import Plan


def repeat_of(choice: PlanChoice, given: Given) -> Repeat | None:
    """Return the wish of a user to repeat a part of an earlier run; None if the user does not wish it.

    ``--only`` without a journal does not repeat anything: the step gets the state of ``--state`` (`alone`).

    Raises:
        BadInputError: The options do not go together.

    """
    if choice.from_step is not None and choice.only_step is not None:
        raise BadInputError(["--only: --from is given as well; give one of them"])
    step_id = choice.only_step if choice.from_step is None else choice.from_step
    if step_id is None:
        return None
    repeat = Repeat(step_id, only=choice.only_step is not None)
    if choice.start is not None:
        reason = (
            "the run begins with the step" if repeat.only else "an earlier run has begun already"
        )
        raise BadInputError([f"{repeat.option}: --start is given as well; {reason}"])
    if repeat.only and choice.end is not None:
        raise BadInputError(["--only: --end is given as well; the run ends with the step"])
    if choice.journal is not None:
        return repeat
    if not repeat.only:
        message = "--from: needs the journal of an earlier run; name it with --journal"
        raise BadInputError([f"{message} (--start STEP begins with a step without one)"])
    if given.state is None:
        message = "--only: needs the input of the step"
        raise BadInputError([f"{message}; give --state FILE, or --journal FILE of an earlier run"])
    return None


def alone(plan: Plan, wanted: str) -> tuple[Plan, str | None]:
    """Return a plan that begins and ends with a step, and a note about the choice or None.

    Args:
        plan: The plan.
        wanted: The step, as the user names it.

    Raises:
        BadInputError: The user means none of the steps, more than one, or a trigger.

    """
    repeat, note = choose_repeat(Repeat(wanted, only=True), plan)
    options = msgspec.structs.replace(plan.options, start=repeat.step_id, end=repeat.step_id)
    return msgspec.structs.replace(plan, options=options), note
