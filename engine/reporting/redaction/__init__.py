"""Keeps secrets inside the engine: replaces the values of credentials in all its output."""

from __future__ import annotations

from engine.reporting.redaction.embedded import secrets_within
from engine.reporting.redaction.needles import MIN_SECRET_CHARACTERS, secrets_of
from engine.reporting.redaction.records import RecordRedactor
from engine.reporting.redaction.scrub import Redactor
from engine.reporting.redaction.structure import Shape
from engine.reporting.redaction.study import Studied

__all__ = [
    "MIN_SECRET_CHARACTERS",
    "RecordRedactor",
    "Redactor",
    "Shape",
    "Studied",
    "secrets_of",
    "secrets_within",
]
