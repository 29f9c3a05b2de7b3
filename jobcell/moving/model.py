"""A project, whatever the format of its files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from jobcell.input.errors import BadInputError

Topic = Literal["script", "condition", "adaptor", "credential", "schedule", "trigger", "other"]

_NO_WORD: Final = re.compile(r"[^\w]+")
MAX_NAME: Final = 100
TODO: Final = "TODO.md"
"""The file with the list of work."""


@dataclass(frozen=True)
class Item:
    """Something that is left to do by hand.

    Attributes:
        topic: The kind of work.
        where: A file, with a line if it is known.
        text: The work, as a sentence.

    """

    topic: Topic
    where: str
    text: str


@dataclass
class Job:
    """A step with a script.

    Attributes:
        id: The id of the step, which is also the name of its files.
        name: A name for people.
        adaptors: As the project names them.
        script: The text in JavaScript; None or white space: the step does nothing.
        credential: The id of a credential; None if it has none.
        state: The default state.
        where: The place in the project, for errors.

    """

    id: str
    name: str | None
    adaptors: tuple[str, ...]
    script: str | None
    credential: str | None = None
    state: Any = None
    where: str = ""


@dataclass
class Trigger:
    """A step that starts a workflow."""

    id: str
    type: str
    enabled: bool = True
    cron: str | None = None
    cursor: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""


@dataclass
class Edge:
    """An edge between two steps.

    Attributes:
        source: The id of the step before it.
        target: The id of the step after it.
        condition: A word of ours, true or false, or a script.
        script: Whether the condition is JavaScript.
        label: A name for people.
        disabled: Whether it is never taken.
        where: The place in the project.

    """

    source: str
    target: str
    condition: str | bool = True
    script: bool = False
    label: str | None = None
    disabled: bool = False
    where: str = ""


@dataclass
class Workflow:
    """A workflow."""

    id: str
    name: str
    jobs: list[Job] = field(default_factory=list)
    triggers: list[Trigger] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    start: str | None = None
    globals: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    credential: str | None = None
    where: str = ""


@dataclass
class Project:
    """All that was found in a file."""

    name: str
    workflows: list[Workflow] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)


NAMED: Final[dict[str, str | bool]] = {
    "always": True,
    "never": False,
    "on_job_success": "on_job_success",
    "on_upstream_success": "on_job_success",
    "on_job_failure": "on_job_failure",
    "on_job_fail": "on_job_failure",
    "on_upstream_fail": "on_job_failure",
}
"""The conditions that have a name, and ours for them."""


def slug(name: object, where: str) -> str:
    """Return a name as an id and as the name of a file.

    Raises:
        BadInputError: Nothing of the name is left, or the name is too long.

    """
    made = _NO_WORD.sub("-", str(name)).strip("-").lower()
    if not made:
        raise BadInputError(
            [f"{where}: the name {str(name)[:60]!r} has neither letters nor digits"]
        )
    if len(made.encode()) > MAX_NAME:
        message = f"the name {made[:40]!r}... is longer than {MAX_NAME} bytes; give a shorter one"
        raise BadInputError([f"{where}: {message}"])
    return made


class Ids:
    """The ids of one kind, no two of which are the same.

    Args:
        what: The word for the thing that has an id.

    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._made: dict[str, str] = {}

    def add(self, name: object, where: str) -> str:
        """Return the id of a name.

        Raises:
            BadInputError: Another name has the same id.

        """
        made = slug(name, where)
        other = self._made.get(made)
        if other is not None:
            same = (
                "is there twice"
                if other == str(name)
                else f"and {other[:60]!r} both get the id {made!r}"
            )
            raise BadInputError(
                [f"{where}: the {self._what} {str(name)[:60]!r} {same}; rename one"]
            )
        self._made[made] = str(name)
        return made
