"""The few words that messages and events have in common."""

from __future__ import annotations

from typing import Literal

LogLevel = Literal["debug", "info", "warning", "error"]
LogSource = Literal["job", "adaptor", "runtime", "stdout", "stderr"]


def kebab_case(name: str) -> str:
    """Return the name of a message for that of its class: ``JobComplete``, ``job-complete``."""
    words = "".join(f"-{one.lower()}" if one.isupper() else one for one in name)
    return words.removeprefix("-")


NAMED_CONDITIONS = frozenset(
    (
        "always",
        "never",
        "on_job_success",
        "on_upstream_success",
        "on_job_failure",
        "on_job_fail",
        "on_upstream_fail",
    )
)
"""Conditions of edges that are words of ours and not Python expressions of the author."""
