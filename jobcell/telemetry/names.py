"""The names of attributes of spans and of their events; docs/telemetry.md has the table.

A name of the semantic conventions of OpenTelemetry is taken where there is one. The others begin with
``jobcell``.
"""

from __future__ import annotations

from typing import Final

RUN_ID: Final = "jobcell.run.id"
WORKFLOW_ID: Final = "jobcell.workflow.id"
WORKFLOW_NAME: Final = "jobcell.workflow.name"
REASON: Final = "jobcell.run.reason"
REPLAYED: Final = "jobcell.run.replayed"
UNFINISHED: Final = "jobcell.run.unfinished"

STEP_ID: Final = "jobcell.step.id"
STEP_RUN_ID: Final = "jobcell.step.run_id"
STEP_NAME: Final = "jobcell.step.name"
STEP_ADAPTORS: Final = "jobcell.step.adaptors"
STEP_NEXT: Final = "jobcell.step.next"

ATTEMPT: Final = "jobcell.attempt"
RETRY_IN_MS: Final = "jobcell.retry_in_ms"
PEAK_MEMORY: Final = "jobcell.memory.peak"

LOAD_ID: Final = "jobcell.load.id"
DURATION_MS: Final = "jobcell.duration_ms"

OUTCOME: Final = "jobcell.net.outcome"
NET_REASON: Final = "jobcell.net.reason"
SENT: Final = "jobcell.net.sent"
RECEIVED: Final = "jobcell.net.received"

# Of the semantic conventions.
ERROR_TYPE: Final = "error.type"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
LINE: Final = "code.line.number"
COLUMN: Final = "code.column.number"
SERVER: Final = "server.address"
PORT: Final = "server.port"
TRANSPORT: Final = "network.transport"

ALL: Final = tuple(
    value for name, value in sorted(globals().items()) if name.isupper() and isinstance(value, str)
)
"""Every name."""
