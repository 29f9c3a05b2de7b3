"""The few words that messages and events have in common."""

from __future__ import annotations

from typing import Literal

LogLevel = Literal["debug", "info", "warning", "error"]
LogSource = Literal["job", "adaptor", "runtime", "stdout", "stderr"]


def kebab_case(name: str) -> str:
    """Return the name of a message for that of its class: ``JobComplete``, ``job-complete``."""
    words = "".join(f"-{one.lower()}" if one.isupper() else one for one in name)
    return words.removeprefix("-")
