"""The plan of one run, as data.  The engine checks it (`engine.plan.validation`)."""

from typing import Any, Final, Literal

import msgspec

from protocol.words import NEVER

INPUTS: Final = "inputs"
"""The key of a state under which a join finds the states of its branches."""


class Edge(msgspec.Struct, frozen=True, omit_defaults=True):
    """A way from one step to the next."""

    condition: bool | str = True
    """``True``, ``False``, the name of a condition, or a Python expression over ``state``."""
    label: str | None = None
    disabled: bool = False


def is_live(edge: Edge) -> bool:
    """Whether an edge can ever be taken, as far as the plan alone says it."""
    return not edge.disabled and edge.condition is not False and edge.condition not in NEVER


class Retry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How often a step is tried, and when.  Durations in milliseconds; see `protocol.retry`."""

    attempts: int
    """All attempts, the first one included."""
    delay: float = 1000.0
    """The delay before the second attempt."""
    backoff: float = 2.0
    """Each later delay is longer than the one before by this factor."""
    max_delay: float = 60_000.0
    on: tuple[str, ...] | None = None
    """Names of errors, ``timeout`` and ``death``; None: `protocol.retry.DEFAULT_ON`."""


class StepPermissions(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Permissions of a step.  None means all permissions of its run."""

    net: tuple[str, ...] | None = None
    read: tuple[str, ...] | None = None
    scratch_mb: float | bool | None = None
    """Megabytes; False means that the step does not get a scratch directory."""
    ca_file: str | None = None
    collections: tuple[str, ...] | None = None


class Step(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A node of the graph: a job if it has an expression, else a trigger."""

    id: str
    name: str | None = None
    expression: str | None = None
    adaptors: tuple[str, ...] = ()
    """``name`` or ``name@version``, in the order in which their names are in scope."""
    configuration: dict[str, Any] | str | None = None
    """A value, or the id of a credential that is resolved when the step starts."""
    state: Any = None
    """The default state, or the id of a stored state."""
    next: dict[str, Edge] = {}
    join: Literal["any", "all"] = "any"
    """``all``: the step runs once, after all branches that can still reach it."""
    retry: Retry | None = None
    timeout: float | None = None
    """Milliseconds for one attempt; it fails the step, not the run."""
    on_death: Literal["end", "fail"] = "end"
    """``fail``: the death of the child fails the step, and the run goes on in another child."""
    permissions: StepPermissions | None = None
    """A part of the permissions of the run."""

    def __repr__(self) -> str:
        """Show the id only, because values of the step may be secrets."""
        return f"<{'Trigger' if self.expression is None else 'Job'} {self.id}>"


class Workflow(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A graph of steps and edges."""

    steps: tuple[Step, ...]
    id: str | None = None
    name: str | None = None
    start: str | None = None
    globals: str | None = None
    """Source of helper functions that are in scope in every job."""
    credentials: dict[str, Any] | str | None = None

    def __repr__(self) -> str:
        """Show the name and the size only, because values of the workflow may be secrets."""
        return f"<Workflow {self.name or self.id or ''}: {len(self.steps)} steps>"


class PlanOptions(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The options that a plan sets for its own run.  Durations are in milliseconds."""

    start: str | None = None
    end: str | None = None
    timeout: float | None = None
    step_timeout: float | None = None


class Plan(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The immutable input of one run: workflow and options."""

    id: str
    workflow: Workflow
    options: PlanOptions = PlanOptions()
    meta: dict[str, Any] = {}
    """The ``meta`` of the plan, merged over that of its workflow, for the event
    ``workflow-start``."""

    @property
    def start(self) -> str:
        """The id of the step that runs first."""
        return self.options.start or self.workflow.start or self.workflow.steps[0].id

    def __repr__(self) -> str:
        """Show the id and the size only, because values of the plan may be secrets."""
        return f"<Plan {self.id}: {len(self.workflow.steps)} steps>"
