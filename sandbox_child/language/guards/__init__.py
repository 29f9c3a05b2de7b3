"""Room `guards`: the rights of a job to names and objects while it runs.

It belongs here if it judges an object or a name, not a text.  The room does not import any other
room; the rest of `language` imports it.  Other rooms also import `names`, whose lists are data.
"""

from __future__ import annotations

from sandbox_child.language.guards.attributes import check_name
from sandbox_child.language.guards.builtins import (
    PLAIN_BUILTINS,
    TypeFacade,
    cut,
    make_builtins,
    make_print,
)
from sandbox_child.language.guards.dotted import make_open_state_guards
from sandbox_child.language.guards.guards import Guards
from sandbox_child.language.guards.refusals import JobImportError, JobSecurityError

__all__ = [
    "PLAIN_BUILTINS",
    "Guards",
    "JobImportError",
    "JobSecurityError",
    "TypeFacade",
    "check_name",
    "cut",
    "make_builtins",
    "make_open_state_guards",
    "make_print",
]
