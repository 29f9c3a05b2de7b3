"""The input of one execution of a step.

The input is kept encoded, and every user of it gets a copy. So a change that a job makes to its
input does not reach other executions, or the report of its own failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocol.state import copy_state, encode_state

if TYPE_CHECKING:
    import msgspec

    from sandbox_child.running.joins import JoinInput

    Encoded = bytes | msgspec.Raw


class PlanValues:
    """The values that a plan gives to its steps; each is encoded once, at its first use."""

    def __init__(self) -> None:
        self._encoded: dict[int, bytes] = {}

    def encoded(self, value: Any) -> bytes | None:
        """Return a value of the plan as bytes, or None for None.

        A job never gets the value itself, so that it stays as the engine has sent it.
        """
        if value is None:
            return None
        known = self._encoded.get(id(value))
        if known is None:
            known = self._encoded[id(value)] = encode_state(value)
        return known


class StepInput:
    """The input of an execution.

    Args:
        state: The state of the step before, or the states of all branches before a join.
        default: The step's own default state; values of *state* win over it.
        shared: Credentials of the workflow.
        configuration: The step's own configuration.

    """

    def __init__(
        self,
        state: bytes | JoinInput,
        *,
        default: Encoded | None = None,
        shared: Encoded | None = None,
        configuration: Encoded | None = None,
    ) -> None:
        self._state = state
        self._default = default
        self._shared = shared
        self._configuration = configuration

    def copy(self) -> Any:
        """Return the input, assembled from new copies."""
        before = self._state
        state = copy_state(before) if isinstance(before, bytes) else before.copy()
        if state is None:
            state = {}
        if not isinstance(state, dict):
            return state
        return _assemble(
            _copy(self._default), state, _copy(self._shared), _copy(self._configuration)
        )


def _copy(encoded: Encoded | None) -> Any:
    return None if encoded is None else copy_state(encoded)


def _assemble(
    default: Any, state: dict[Any, Any], shared: Any, configuration: Any
) -> dict[Any, Any]:
    merged = {**default, **state} if isinstance(default, dict) else state
    data = merged.get("data", {})
    if isinstance(default, dict) and isinstance(default.get("data"), dict):
        given = state.get("data")
        if isinstance(given, dict):
            data = {**default["data"], **given}
    merged["data"] = data
    last: Any = None
    together: dict[Any, Any] | None = {}
    for layer in (shared, merged.get("configuration"), configuration):
        if layer is None:
            continue
        last = layer
        # Only maps can be merged: with any other value among them, the last value wins.
        together = (
            {**together, **layer} if together is not None and isinstance(layer, dict) else None
        )
    merged["configuration"] = last if together is None else together
    return merged
