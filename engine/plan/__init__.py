"""Room `plan`: reads a plan as its author wrote it and reports every problem.

It belongs here if it needs the text of a plan, but no child.  The room imports `api` only.
"""

from __future__ import annotations

from engine.plan.objects import join_path
from engine.plan.schema import plan_schema
from engine.plan.source import (
    name_type,
    plan_of_job,
    read_file,
    read_json,
    read_plan,
    read_text_file,
)
from engine.plan.texts import PlacedText, texts_of
from engine.plan.validation import load_plan

__all__ = [
    "PlacedText",
    "join_path",
    "load_plan",
    "name_type",
    "plan_of_job",
    "plan_schema",
    "read_file",
    "read_json",
    "read_plan",
    "read_text_file",
    "texts_of",
]
