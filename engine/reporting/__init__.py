"""Room `reporting`: everything that leaves a run: events, logs and the result, without secrets.

It belongs here if a caller sees it.  The room imports `api` only; `redaction` below it finds the secrets.
"""

from __future__ import annotations

from engine.reporting.as_json import event_from_json, result_from_json, to_json
from engine.reporting.eventlog import EventLog
from engine.reporting.redaction import Redactor, Studied, secrets_within
from engine.reporting.reporter import Reporter
from engine.reporting.result import Ending, Outcome, Reason, RunError, RunResult, Usage, reason_of
from engine.reporting.run import Run, finish

__all__ = [
    "Ending",
    "EventLog",
    "Outcome",
    "Reason",
    "Redactor",
    "Reporter",
    "Run",
    "RunError",
    "RunResult",
    "Studied",
    "Usage",
    "event_from_json",
    "finish",
    "reason_of",
    "result_from_json",
    "secrets_within",
    "to_json",
]
