"""No secret leaves the engine: the values of credentials, found and replaced in what it emits."""

from __future__ import annotations

from engine.redaction.needles import DEFAULT_PUBLIC_KEYS, MIN_SECRET_CHARACTERS
from engine.redaction.scrub import Redactor
from engine.redaction.stream import RecordRedactor, StreamRedactor
from engine.redaction.structure import Shape
from engine.redaction.study import Studied

__all__ = [
    "DEFAULT_PUBLIC_KEYS",
    "MIN_SECRET_CHARACTERS",
    "RecordRedactor",
    "Redactor",
    "Shape",
    "StreamRedactor",
    "Studied",
]
