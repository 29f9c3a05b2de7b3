"""The input of one execution of a step.

All of it is kept encoded, and whoever asks gets a copy: nothing that a job does to its input is seen
by another execution, nor by the report of its own failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocol.state import copy_state, encode_state

if TYPE_CHECKING:
    import msgspec

    from sandbox_child.running.joins import JoinInput

    Encoded = bytes | msgspec.Raw


class PlanValues:
    """The values that a plan gives its steps: each is encoded once, when it is first needed."""

    def __init__(self) -> None:
        self._encoded: dict[int, bytes] = {}

    def encoded(self, value: Any) -> bytes | None:
        """Return a value of the plan as bytes, None if the plan has none.

        The value itself is never given to a job, so that it is still what the engine has sent.
        """
        if value is None:
            return None
        known = self._encoded.get(id(value))
        if known is None:
            known = self._encoded[id(value)] = encode_state(value)
        return known


class StepInput:
    """The input of one execution.

    Args:
        state: The state of the step before, or the states of all branches before a join.
        default: The step's own default state; what came before wins over it.
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
        """Return the input, put together from new copies."""
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
        # A value that is not a map cannot be merged: then the last value stays alone.
        together = (
            {**together, **layer} if together is not None and isinstance(layer, dict) else None
        )
    merged["configuration"] = last if together is None else together
    return merged
