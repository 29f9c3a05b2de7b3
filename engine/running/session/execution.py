"""The execution of a step that is running now, and its end."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.api import StepRecord
from protocol import events


class OpenStep(msgspec.Struct):
    """The execution that is running now."""

    step_id: str
    step_run_id: str
    attempt: int = 1
    lost: int = 0
    """The number of earlier attempts that do not count against ``retry.attempts``."""
    begun: bool = True
    """Whether it has been reported; the first step may ask for its state before."""
    in_flight: bool = True
    """Whether the present child has begun the attempt, and not only waits for it."""
    job_started_s: float | None = None
    died_s: float | None = None
    """When it died with its child; the next child puts its state together."""
    ids: dict[str, Any] = {}
    """The fields that all events of the attempt have."""

    def __post_init__(self) -> None:
        self.ids = {
            "step_id": self.step_id,
            "step_run_id": self.step_run_id,
            "attempt": self.attempt,
        }

    @property
    def counted(self) -> int:
        """The number of attempts that count against ``retry.attempts``, with this one."""
        return self.attempt - self.lost

    def lasted_ms(self, now_s: float) -> int:
        """Return how long the job has run, or had run when it died, in milliseconds."""
        until_s = now_s if self.died_s is None else self.died_s
        return 0 if self.job_started_s is None else round((until_s - self.job_started_s) * 1000)

    def is_named(self, step_id: str, step_run_id: str) -> bool:
        """Whether a message means this execution."""
        return (self.step_id, self.step_run_id) == (step_id, step_run_id)


class Ended(msgspec.Struct, frozen=True):
    """The end of a job that was taken and is not reported yet."""

    kind: type[events.JobComplete | events.JobError]
    following: tuple[str, ...]
    fields: dict[str, Any]
    record: StepRecord | None = None
