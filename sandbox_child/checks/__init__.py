"""Checks the texts of a plan in a confined child, without running code of a job."""

from __future__ import annotations

from sandbox_child.checks.checker import check_texts

__all__ = ["check_texts"]
