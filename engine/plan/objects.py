"""Reads an object of a plan, member by member.

A reader never stops at a mistake. It notes the problem with its path and goes on without the
member, so that one pass over a plan finds all problems.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from engine.api import Problem
from engine.plan.source import name_type
from protocol.state import StateNotCarriedError, decode_state, encode_state
from protocol.suggestion import hint, shorten

if TYPE_CHECKING:
    from collections.abc import Collection

ALIASES = {
    "adaptor": "adaptors",
    "jobs": "steps",
    "sourceMap": "source_map",
    "stepTimeout": "step_timeout",
    "maxDelay": "max_delay",
    "onDeath": "on_death",
}
"""Other spellings of keys, from the JavaScript runtime and its older plans."""

IGNORED_KEYS = ("previous", "linker", "source_map", "openfn", "history", "cursor", "meta")
"""Keys that the JavaScript tools write into plans, workflows and steps."""


class Findings:
    """Problems and ignored keys that the readers of a plan find."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.ignored: dict[str, str] = {}
        """For each ignored key, as its author spells it, the first path."""
        self.warnings: list[str] = []
        """Sentences about parts of the plan that are right, but have no effect."""


class PlanObject:
    """The members of a JSON object (or struct), under our names for them.

    A member that is ``null`` counts as missing.
    """

    def __init__(
        self,
        value: Mapping[Any, Any] | msgspec.Struct,
        path: str,
        findings: Findings,
        *,
        known: Collection[str],
        ignored: Collection[str] = (),
        others_allowed: bool = False,
    ) -> None:
        """Read the keys.

        Args:
            value: The object.
            path: The place of the object in the plan; empty for the plan itself.
            findings: Takes the problems and the ignored keys.
            known: The names that an object of this kind may have.
            ignored: Names that are accepted, but have no meaning here.
            others_allowed: Whether unknown keys are allowed, and passed over.

        """
        self.path = path
        self._findings = findings
        self._problems = findings.problems
        self._members: dict[str, Any] = {}
        self._spelling: dict[str, str] = {}
        is_written = isinstance(value, Mapping)  # the engine's own types do not have such keys
        for key, member in _items(value):
            name = ALIASES.get(key, key) if isinstance(key, str) else key
            if isinstance(key, str) and name in ignored and is_written and member is not None:
                findings.ignored.setdefault(key, join_path(path, key))
            if not isinstance(name, str) or name not in known:
                if not others_allowed and name not in ignored:
                    self._refuse_key(key, known)
            elif member is None:
                continue
            elif name in self._members:
                twin = shorten(self._spelling[name])
                message = f"says the same as {twin}; leave one out"
                self._problems.append(Problem(join_path(path, key), message))
            else:
                self._members[name] = member
                self._spelling[name] = key

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def note(self, name: str, message: str) -> None:
        """Note a problem with one member."""
        self._problems.append(Problem(self.where(name), message))

    def warn(self, name: str, message: str) -> None:
        """Note a sentence about a member that is right, but has no effect."""
        self._findings.warnings.append(f"{self.where(name)}: {message}")

    def add_problem(self, path: str, message: str) -> None:
        """Note a problem with the value at *path*."""
        self._problems.append(Problem(path, message))

    def where(self, name: str) -> str:
        """Return the path of a member, in its author's spelling."""
        return join_path(self.path, self._spelling.get(name, name))

    def get(self, name: str) -> Any:
        """Return a member as it is; None if it is missing."""
        return self._members.get(name)

    def text(
        self, name: str, *, what: str = "text", empty: bool = True, quoted: bool = False
    ) -> str | None:
        """Return a member that must be text, which messages call *what*.

        With *quoted*, a message about a number in its place shows the number.
        """
        value = self._members.get(name)
        if value is None:
            return None
        problem = _text_problem(value, what, empty=empty, quoted=quoted)
        if problem is not None:
            self.note(name, problem)
            return None
        return str.__str__(value)  # only the text of a subclass, such as a member of a StrEnum

    def check_text(
        self, value: object, path: str, what: str, *, empty: bool, quoted: bool = False
    ) -> str | None:
        """Return *value*, found at *path*, if it is text as in `text`."""
        problem = _text_problem(value, what, empty=empty, quoted=quoted)
        if problem is not None:
            self._problems.append(Problem(path, problem))
            return None
        return str.__str__(value)

    def flag(self, name: str) -> bool:
        """Return a member that must be true or false; false if it is missing."""
        value = self.get(name)
        if value is not None and not isinstance(value, bool):
            self.note(name, f"must be true or false, not {name_type(value)}")
        return value is True

    def duration_ms(self, name: str) -> float | None:
        """Return a member that must be a positive number of milliseconds."""
        value = self.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.note(name, f"must be a number of milliseconds, not {name_type(value)}")
            return None
        try:
            duration_ms = float(value)
        except OverflowError:
            duration_ms = math.inf
        if not (math.isfinite(duration_ms) and duration_ms > 0):
            shown = value if isinstance(value, float) else f"{duration_ms:g}"
            self.note(name, f"must be finite and more than 0 milliseconds, not {shown}")
            return None
        return duration_ms

    def child(
        self, name: str, *, known: Collection[str], ignored: Collection[str] = ()
    ) -> PlanObject | None:
        """Return a reader of a member that must be an object; None if it is missing."""
        value = self.get(name)
        if value is None:
            return None
        return self.read(value, self.where(name), known=known, ignored=ignored)

    def read(
        self,
        value: object,
        path: str,
        *,
        known: Collection[str],
        ignored: Collection[str] = (),
        what: str = "an object",
        others_allowed: bool = False,
    ) -> PlanObject | None:
        """Return a reader of *value*, which must be an object; None if it is not one."""
        if not isinstance(value, (Mapping, msgspec.Struct)):
            self._problems.append(Problem(path, f"must be {what}, not {name_type(value)}"))
            return None
        return PlanObject(
            value,
            path,
            self._findings,
            known=known,
            ignored=ignored,
            others_allowed=others_allowed,
        )

    def mapping(self, name: str) -> dict[str, Any]:
        """Return a copy of a member that must be an object with text keys; {} if it is missing."""
        value = self.get(name)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.note(name, f"must be an object, not {name_type(value)}")
            return {}
        odd = next((key for key in value if not isinstance(key, str)), None)
        if odd is not None:
            self.note(name, f"must have text as keys, not {name_type(odd)}")
            return {}
        carried: dict[str, Any] | None = self.value(name)
        return carried or {}

    def secrets(self, name: str) -> dict[str, Any] | str | None:
        """Return a configuration: an object, or the id of a credential.

        A message about a configuration shows its keys, never a value.
        """
        value = self.get(name)
        what = "an object or the id of a credential"
        if value is None or isinstance(value, str):
            return self.text(name, what=what, empty=False)
        if not isinstance(value, Mapping):
            self.note(name, f"must be {what}, not {name_type(value)}")
            return None
        odd = next((key for key in value if not isinstance(key, str)), None)
        if odd is not None:
            self.note(name, f"must have text as keys, not {name_type(odd)}")
            return None
        carried: dict[str, Any] | None = self.value(name)
        return carried

    def value(self, name: str) -> Any:
        """Return a copy of a member as the child will see it.

        Changing the original afterwards does not change the plan.
        """
        value = self.get(name)
        if value is None:
            return None
        path = self.where(name)
        try:
            return decode_state(encode_state(_plain_mapping(value), root=path))
        except StateNotCarriedError as error:
            self._problems.append(Problem(error.path, error.reason))
        except ValueError as error:  # integers that collide; or a nesting: Python 3.14 encodes more
            self._problems.append(Problem(path, f"cannot be read back: {error}"))
        return None

    def _refuse_key(self, key: object, known: Collection[str]) -> None:
        if isinstance(key, str):
            spellings = [*known, *(alias for alias, name in ALIASES.items() if name in known)]
            message = f"unknown key{hint(key, spellings, kind='known are')}"
        else:
            message = f"a key must be text, not {name_type(key)}"
        self._problems.append(Problem(join_path(self.path, key), message))


def join_path(path: str, key: object) -> str:
    """Return the path of the member *key*: ``steps.next``, ``steps['first name']``, ``a[5]``."""
    if isinstance(key, str):
        if 0 < len(key) <= 60 and key.isascii() and key.replace("-", "").replace("_", "").isalnum():
            return f"{path}.{key}" if path else key
        return f"{path}[{shorten(key)}]"
    plain = isinstance(key, (int, float, bytes)) or key is None
    return f"{path}[{repr(key)[:60] if plain else name_type(key)}]"


def _items(value: Mapping[Any, Any] | msgspec.Struct) -> list[tuple[Any, Any]]:
    if isinstance(value, msgspec.Struct):
        return [(name, getattr(value, name)) for name in value.__struct_fields__]
    return list(value.items())


def _plain_mapping(value: Any) -> Any:
    """Return a mapping of another type as a dict."""
    return dict(value) if isinstance(value, Mapping) and not isinstance(value, dict) else value


def _text_problem(value: Any, what: str, *, empty: bool, quoted: bool) -> str | None:
    """Return why *value* is not text that Python can compile and msgpack can carry.

    With *quoted* the message shows a number: it was meant as an id and is not a secret.
    """
    if not isinstance(value, str):
        shown = f": {value!r:.60}" if quoted and isinstance(value, (int, float)) else ""
        return f"must be {what}, not {name_type(value)}{shown}"
    if not value and not empty:
        return f"must be {what}, not an empty string"
    if "\0" in value:
        return f"has a NUL at character {value.index(chr(0)) + 1}: is it binary data?"
    if not _is_unicode(value):
        return "has a lone surrogate, which is not text"
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
