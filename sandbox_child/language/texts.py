"""The parts of the language that check a text without running it.

Runs do not need this file.
"""

from __future__ import annotations

from sandbox_child.language import dropped, forms, parsing
from sandbox_child.language.chains import STATE
from sandbox_child.language.condition_text import parse_condition
from sandbox_child.language.forms import Form
from sandbox_child.language.hints import condition_name_fix, name_fix, nearest
from sandbox_child.language.missing import MissingKeys
from sandbox_child.language.parts import node_fields
from sandbox_child.language.spans import SourceText

__all__ = [
    "STATE",
    "Form",
    "MissingKeys",
    "SourceText",
    "condition_name_fix",
    "dropped",
    "forms",
    "name_fix",
    "nearest",
    "node_fields",
    "parse_condition",
    "parsing",
]
