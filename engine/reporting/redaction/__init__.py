"""No secret leaves the engine: the values of credentials, found and replaced in what it emits."""

from __future__ import annotations

from engine.reporting.redaction.embedded import secrets_within
from engine.reporting.redaction.needles import MIN_SECRET_CHARACTERS
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
    "secrets_within",
]
