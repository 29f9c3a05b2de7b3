"""Room `reporting`: everything that leaves a run: events, logs and the result, without secrets.

It belongs here if a caller sees it.  The room imports `api` only; `redaction` below it finds the secrets.
"""

from __future__ import annotations

from engine.reporting.as_json import event_from_json, result_from_json, state_to_json, to_json
from engine.reporting.at_rest import (
    MAX_REASON,
    cancelled_report,
    decode_event,
    decode_result,
    encode_event,
    encode_result,
    end_unstarted,
    state_of,
)
from engine.reporting.eventlog import EventLog
from engine.reporting.redaction import Redactor, Studied, secrets_of, secrets_within
from engine.reporting.reporter import Reporter
from engine.reporting.result import Ending, Outcome, Reason, RunError, RunResult, Usage, reason_of
from engine.reporting.run import (
    Run,
    finish,
    on_change,
    outcome_of,
    peek_events,
    raw_events,
    wait_change,
)

__all__ = [
    "MAX_REASON",
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
    "cancelled_report",
    "decode_event",
    "decode_result",
    "encode_event",
    "encode_result",
    "end_unstarted",
    "event_from_json",
    "finish",
    "on_change",
    "outcome_of",
    "peek_events",
    "raw_events",
    "reason_of",
    "result_from_json",
    "secrets_of",
    "secrets_within",
    "state_of",
    "state_to_json",
    "to_json",
    "wait_change",
]
