"""The targets by name.  Imports none of them: atheris must see the import of what it measures."""

from __future__ import annotations

from typing import Final

PACKAGES: Final = {
    "frames": ("engine", "protocol"),
    "jobs": ("sandbox_child.language",),
    "plans": ("engine", "protocol"),
    "redaction": ("engine.reporting.redaction",),
}
"""For each target, the packages whose branches are counted."""
