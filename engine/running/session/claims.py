"""Checks the names in a child's messages against the plan, and limits the size of its reports.

Children are not trusted.  Names that are not in the plan would go into events that are never
dropped, so a child could use them to fill the manager's memory.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from protocol.errors import RemoteProtocolError
from protocol.limits import MAX_DETAILS_BYTES, MAX_ERROR_TEXT
from protocol.plan import Workflow
from protocol.report import OPTIONS, ErrorReport, StackFrame
from protocol.state import NIL

_MAX_MESSAGE: Final = 2 * MAX_ERROR_TEXT
"""Longest message of a report; an honest child cuts earlier, and adds a few words about the cut."""

_MAX_FRAMES: Final = 100
_MAX_LINE: Final = 1_000
_QUOTED: Final = 60
_AGAIN: Final = re.compile("-[1-9][0-9]{0,17}")
"""The end of the name of a second or later execution of a step."""


class Claims:
    """The names that a child may use."""

    def __init__(self, workflow: Workflow) -> None:
        self._edges = {
            step.id: {target: edge.condition for target, edge in step.next.items()}
            for step in workflow.steps
        }
        self._step_run_ids: set[str] = set()

    def check_step(self, step_id: str, step_run_id: str) -> None:
        """Check the names of an execution of a step.

        Raises:
            RemoteProtocolError: The plan does not have the step, or its executions are named
                differently.

        """
        if step_id not in self._edges:
            raise RemoteProtocolError(f"child names a step that its plan lacks: {_quote(step_id)}")
        if not self._is_execution(step_run_id, step_id):
            raise RemoteProtocolError(f"child names an execution wrongly: {_quote(step_run_id)}")

    def is_id(self, name: str) -> bool:
        """Whether *name* is the id of a step, or of a second or later execution of a step."""
        if name in self._edges:
            return True
        step_id, dash, _ = name.rpartition("-")
        return bool(dash) and step_id in self._edges and self._is_execution(name, step_id)

    def _is_execution(self, name: str, step_id: str) -> bool:
        if name == step_id:
            return True
        again = name.startswith(step_id) and _AGAIN.fullmatch(name, len(step_id))
        return bool(again) and name not in self._edges

    def check_new(self, step_run_id: str) -> None:
        """Check that the child reports an execution for the first time.

        Raises:
            RemoteProtocolError: The child has reported it before.

        """
        if step_run_id in self._step_run_ids:
            raise RemoteProtocolError(f"child starts {_quote(step_run_id)} a second time")
        self._step_run_ids.add(step_run_id)

    def targets(self, step_id: str) -> tuple[str, ...]:
        """Return the ids of the steps to which a step has edges, in their order."""
        return tuple(self._edges[step_id])

    def condition(self, step_id: str, target: str) -> bool | str:
        """Return the condition of an edge.

        Raises:
            RemoteProtocolError: The plan does not have this edge.

        """
        try:
            return self._edges[step_id][target]
        except KeyError:
            raise RemoteProtocolError(
                f"child names an edge that its plan lacks: {_quote(step_id)} -> {_quote(target)}"
            ) from None

    def check_next(self, step_id: str, following: tuple[str, ...]) -> None:
        """Check the steps that follow an execution.

        Raises:
            RemoteProtocolError: An edge to a step is missing, or a step is named twice.

        """
        for target in following:
            self.condition(step_id, target)
        if len(following) > 1 and len(set(following)) < len(following):
            raise RemoteProtocolError("child follows an edge twice")


def bounded(report: ErrorReport) -> ErrorReport:
    """Return a report of a child with all its parts cut to a size that a person can read."""
    return ErrorReport(
        severity=report.severity,
        name=report.name[:_MAX_LINE],
        message=report.message[:_MAX_MESSAGE],
        step_id=_cut(report.step_id),
        subtype=_cut(report.subtype),
        operation=_cut_text(report.operation, "name"),
        position=_cut_text(report.position, "source"),
        stack=tuple(_cut_frame(frame) for frame in report.stack[:_MAX_FRAMES]),
        details=_bounded_details(report.details),
        fix=_cut(report.fix),
        option=report.option if report.option in OPTIONS else None,
        option_value=_cut(report.option_value),
    )


def _bounded_details(details: Any) -> msgspec.Raw | None:
    """Return details as encoded bytes; their items are counted when the details are decoded."""
    if details is None:
        return None
    encoded = memoryview(details)
    if not 0 < len(encoded) <= MAX_DETAILS_BYTES:
        return None
    return (
        None if bytes(encoded[:1]) == NIL else msgspec.Raw(bytes(encoded))
    )  # a copy, to release the whole frame


def _cut(text: str | None) -> str | None:
    return text if text is None else text[:_MAX_LINE]


def _cut_text(struct: Any, field: str) -> Any:
    text = None if struct is None else getattr(struct, field)
    if text is None or len(text) <= _MAX_LINE:
        return struct
    return msgspec.structs.replace(struct, **{field: text[:_MAX_LINE]})


def _cut_frame(frame: StackFrame) -> StackFrame:
    return StackFrame(
        frame.module[:_MAX_LINE], frame.function[:_MAX_LINE], frame.line, _cut(frame.source)
    )


def _quote(name: str) -> str:
    return f"{name[:_QUOTED]!a}"
