"""Assembles the input of an execution from the plan, the state before it, and loaded values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocol import messages as m
from protocol.errors import RemoteProtocolError
from protocol.report import make_report
from protocol.state import copy_state
from sandbox_child.running.step_input import StepInput
from sandbox_child.running.step_output import StepCrashedError

if TYPE_CHECKING:
    import msgspec

    from protocol.plan import Step
    from sandbox_child.running.joins import JoinInput
    from sandbox_child.running.runtime import Runtime


class Assembly:
    """Assembles the input of one execution, and loads the values that its step names by an id."""

    def __init__(self, runtime: Runtime, step: Step, step_run_id: str) -> None:
        self._channel = runtime.channel
        self._values = runtime.values
        self._credentials = runtime.start.workflow.credentials
        self._step = step
        self._step_run_id = step_run_id

    def assemble(self, given: bytes | JoinInput, *, configured: bool = True) -> StepInput:
        """Return the input: the default state, the state before the step, and the configuration.

        Args:
            given: The state before the step, or the states before a join.
            configured: False leaves the configuration out, and loads no credential.

        Raises:
            StepCrashedError: A value cannot be loaded.

        """
        step = self._step
        default = self._given(step.state, m.LoadState)
        if (
            isinstance(step.state, str)
            and default is not None
            and not isinstance(copied := copy_state(default), dict)
        ):
            report = make_report(
                "StateLoadError",
                f"cannot load the state {step.state!r} of step {step.id!r}: the resolver returned"
                f" {type(copied).__name__}, the default state of a step must be a dict",
                step_id=step.id,
            )
            raise StepCrashedError(report)
        if not configured:
            return StepInput(given, default=default)
        return StepInput(
            given,
            default=default,
            configuration=self._given(step.configuration, m.LoadCredential),
            shared=self._given(self._credentials, m.LoadCredential),
        )

    def _given(
        self, value: Any, load: type[m.LoadCredential | m.LoadState]
    ) -> bytes | msgspec.Raw | None:
        """Return a value of the plan, encoded, or load the value that an id in its place names."""
        if isinstance(value, str):
            return self._load(load, value)
        return self._values.encoded(value)

    def _load(self, kind: type[m.LoadCredential | m.LoadState], value_id: str) -> msgspec.Raw:
        self._channel.send(kind(step_id=self._step.id, step_run_id=self._step_run_id, id=value_id))
        answer = self._channel.receive_any()
        if isinstance(answer, m.Loaded):
            self._channel.check_cancelled()  # the answer may have taken long
            return answer.value
        if isinstance(answer, m.LoadFailed):
            raise StepCrashedError(answer.error)
        self._channel.check_cancelled()
        raise RemoteProtocolError(f"engine sent {type(answer).__name__} where a value was due")
