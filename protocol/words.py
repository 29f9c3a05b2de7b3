"""Words that messages and events have in common."""

from __future__ import annotations

from typing import Final, Literal

LogLevel = Literal["debug", "info", "warning", "error"]
LEVEL_RANK: Final[dict[LogLevel, int]] = {"debug": 0, "info": 1, "warning": 2, "error": 3}
"""The order of the levels: a line below the level of a run is dropped."""

LogSource = Literal["job", "adaptor", "runtime", "stdout", "stderr"]

NetOutcome = Literal["open", "refused", "failed"]
"""The end of a connection."""


def kebab_case(name: str) -> str:
    """Return the name of a message from that of its class: ``JobComplete`` is ``job-complete``."""
    words = "".join(f"-{one.lower()}" if one.isupper() else one for one in name)
    return words.removeprefix("-")


ALWAYS: Final = frozenset({"always"})
NEVER: Final = frozenset({"never"})
ON_SUCCESS: Final = frozenset({"on_job_success", "on_upstream_success"})
ON_FAILURE: Final = frozenset({"on_job_failure", "on_job_fail", "on_upstream_fail"})
NAMED_CONDITIONS: Final = ALWAYS | NEVER | ON_SUCCESS | ON_FAILURE
"""Conditions of edges that are known words and not Python expressions of the author."""

CONDITION_NAMES: Final = ("state", "upstream_step_id", "true", "false", "null")
"""The variables of a condition, besides the built-in names of the job language."""

LEFT_OUT_PATTERN: Final = (
    r"\[a message of [0-9]{1,12} characters was left out;"
    r" allowed: [0-9.e+-]{1,20} MB \(log_payload_mb\)\]"
)
"""Regular expression of every text that `left_out` returns."""


DEBUG_SOURCE: Final = "JOBCELL_DEBUG_SOURCE"
"""The environment variable of a debugged child with the file name that the author knows."""


def left_out(characters: int, limit_mb: float) -> str:
    """Return the text that takes the place of a log message that is too long."""
    return (
        f"[a message of {characters} characters was left out;"
        f" allowed: {limit_mb:g} MB (log_payload_mb)]"
    )


def place_of(host: str | None, port: int | None) -> str:
    """Return host and port as a network rule; a part that is not known is in capitals."""
    host = host or "HOST"
    return f"[{host}]:{port or 'PORT'}" if ":" in host else f"{host}:{port or 'PORT'}"


def refused_connection(place: str) -> str:
    """Return the text about a connection that lacks a network rule; see `place_of`."""
    return f'connection to {place} was refused; allow it with Permissions(net=["{place}"])'
