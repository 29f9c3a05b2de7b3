"""The facade of `jobcell_context`: the facts about the step of the scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox_child.facts import facts

if TYPE_CHECKING:
    from sandbox_child.language.facades import Facades


def make_jobcell_context(facades: Facades) -> dict[str, Any]:  # noqa: ARG001 - every room has one signature
    """Return the facts.  They do not change: each attempt of a step has a scope of its own."""
    return facts()
