"""The targets by name.  This module imports none of them: atheris must see these imports."""

from __future__ import annotations

from typing import Final

PACKAGES: Final = {
    "frames": ("engine", "protocol"),
    "jobs": ("sandbox_child.language",),
    "plans": ("engine", "protocol"),
    "redaction": ("engine.reporting.redaction",),
}
"""For each target, the packages whose branches are counted."""
