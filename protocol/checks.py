"""Messages about texts that are checked and not run: jobs, globals and conditions."""

from typing import Literal

import msgspec

TextKind = Literal["globals", "job", "condition"]


class CheckedText(msgspec.Struct, frozen=True, kw_only=True):
    """A text that is to be checked."""

    kind: TextKind
    source: str
    step_id: str = ""
    adaptors: tuple[str, ...] = ()
    """Adaptors of the step, as ``name@version``; for globals, those of all steps."""
    scope: Literal["known", "verbs missing", "unknown"] = "known"
    """Whether all names in scope are known: an adaptor may be missing, or not named at all."""


class CheckedOperation(msgspec.Struct, frozen=True):
    """An operation of a script, and where it is called."""

    number: int
    name: str
    line: int
    column: int | None


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem of a text, as an editor shows it."""

    kind: str
    """The name of the error that a run would end with, or of the check."""
    message: str
    line: int | None = None
    column: int | None = None
    end_line: int | None = None
    end_column: int | None = None
    fix: str | None = None
    note: bool = False
    """Whether the text may be right all the same, because the check cannot know for certain."""
    adaptor: str | None = None
    """The adaptor that has the problem, if it is not in the text."""
