"""Short names for the systems of identifiers and codes."""

from __future__ import annotations

from typing import Any

from .errors import ArgumentError
from .laziness import Operation, State, resolve

_systems: dict[str, str] = {}
"""Short name to URL; for the steps of one child."""


def set_system_map(systems: Any) -> Operation:
    """Set short names for systems; builders and verbs replace them in every `system`.

    A name is known until another map is set, in the steps that run in the same child.  So set the map
    in each step that uses it.

    Args:
        systems: A dict of short names to URLs; or a function of state.

    Example:
        `b.set_system_map({"mrn": "http://clinic.example/mrn"})`

    """

    def run(state: State) -> State:
        found = resolve(state, systems)
        if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
            raise ArgumentError("set_system_map needs a dict of short names to URLs")
        _systems.clear()
        _systems.update(found)
        return state

    return run


def with_systems(value: Any) -> Any:
    """Return *value* with the short names of systems replaced, at any depth."""
    if not _systems:
        return value
    if isinstance(value, list):
        return [with_systems(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: with_systems(inner) for key, inner in value.items()}
    system = made.get("system")
    if isinstance(system, str) and system in _systems:
        made["system"] = _systems[system]
    return made
