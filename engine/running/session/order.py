"""The order of a run: all that is decided before its child is started."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.api import Attempts, CollectionRule, RunOptions, StepRecord
from engine.running.session.loading import Request
from protocol.confinement import ConfinementReport, ConfinementRequest
from protocol.events import Versions
from protocol.messages import Start
from protocol.plan import Workflow
from protocol.report import ErrorReport
from protocol.zygote import AdaptorSet


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is ready to be sent to a child.

    An order has secrets, and is dropped once they are sent.
    """

    run_id: str
    start: bytes | Start
    """The message of the run, encoded unless each child of the run gets another one."""
    workflow: Workflow
    """The steps and edges of the run, against which the messages of the child are checked."""
    requests: tuple[ConfinementRequest, ...]
    """The layers of the children, for each group of steps with the same permissions. The first item
    is for steps without permissions of their own."""
    adaptors: tuple[AdaptorSet | None, ...] = (None,)
    """For each item of `requests`, the adaptors that its steps name; None if they name none."""
    groups: dict[str, int] = {}
    """Step id to the group of the step; empty if there is one group."""
    collections: tuple[tuple[CollectionRule, ...], ...] = ((),)
    """For each item of `requests`, the collections that its steps may use."""
    first_group: int = 0
    """The group of the first child."""
    survives: bool = False
    """Whether the run may go on in another child."""
    journaled: bool = False
    """Whether each step is recorded before the next one begins."""
    recorded: tuple[StepRecord, ...] = ()
    """The executions of steps that the journal has recorded."""
    extra: dict[str, Any] = {}
    """The `StepRecord.extra` of the records of the run."""
    to_learn: tuple[Request, ...] = ()
    """The credentials and the stored states of the recorded steps."""
    failed: ErrorReport | None = None
    """The error with which the run ends before it begins."""
    begun: dict[str, Attempts] = {}
    """The attempts of executions that an earlier manager has begun, and that have no record."""
    keeps_events: bool = False
    """Whether the end event of a step comes before its record."""
    options: RunOptions
    """The options, with the limits of the plan: the smaller one of each two holds."""
    credential_ids: frozenset[str]
    state_ids: frozenset[str]
    max_step_runs: int
    versions: Versions
    meta: dict[str, Any] = {}
    """The ``meta`` of the plan, for ``workflow-start``."""
    configurations: tuple[Any, ...]
    """Every value in the plan and the state that may contain secrets."""

    def __repr__(self) -> str:
        return f"<Order {self.run_id}>"

    @property
    def confinement(self) -> ConfinementReport:
        """The facts about the walls that are known before the child has tried them."""
        request = self.requests[0]
        return ConfinementReport(level=request.level, language=request.language)
