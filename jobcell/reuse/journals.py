"""The journals of the command: a file that holds all that `jobcell resume` needs to know of a run."""

from __future__ import annotations

import base64
import binascii
import os
import re
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

import msgspec

from engine import FileJournal, JournalError, PlanError
from engine.journal import fingerprint, read_journal
from engine.plan import load_plan
from jobcell.input.errors import BadInputError
from jobcell.input.inputs import read_data_file
from jobcell.input.plan_file import load_plan_file
from protocol.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONFIGURATION: Final = "configuration"
_KEY_BYTES: Final = 32


class StoredOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """The options of `jobcell run` that a resumed run has as well; None: not given."""

    net: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    scratch: float | None = None
    ca_file: str | None = None
    sandbox: bool | None = None
    repo: str | None = None
    credentials: str | None = None
    env_file: str | None = None
    keyring: str | None = None
    timeout: float | None = None
    step_timeout: float | None = None
    memory: float | None = None
    collections: tuple[str, ...] = ()
    store: str | None = None
    """The address of the store with the collections; it has no password."""

    def words(self) -> str:
        """Return the options as a user writes them, for a message."""
        parts = [f"--net {rule!r}" for rule in self.net]
        parts += [f"--read {path!r}" for path in self.read]
        parts += [f"--collection {rule!r}" for rule in self.collections]
        if self.sandbox is not None:
            parts.append("--sandbox" if self.sandbox else "--no-sandbox")
        for field in (
            "scratch",
            "ca_file",
            "repo",
            "credentials",
            "env_file",
            "keyring",
            "timeout",
            "step_timeout",
            "memory",
            "store",
        ):
            value = getattr(self, field)
            if value is not None:
                shown = repr(value) if isinstance(value, str) else f"{value:g}"
                parts.append(f"--{field.replace('_', '-')} {shown}")
        return " ".join(parts)

    def absolute(self) -> StoredOptions:
        """Return the options with paths that do not depend on the working directory.

        Raises:
            BadInputError: The address of the store has a password, which a journal must not keep.

        """
        changes = {
            name: str(Path(path).resolve())
            for name in ("repo", "credentials", "env_file")
            if (path := getattr(self, name)) is not None
        }
        read = tuple(str(Path(path).absolute()) for path in self.read)
        if self.ca_file is not None:
            changes["ca_file"] = str(Path(self.ca_file).absolute())
        if self.store is not None:
            changes["store"] = _recorded_address(self.store)
        return msgspec.structs.replace(self, read=read, **changes)

    def without(self, given: StoredOptions) -> StoredOptions:
        """Return the options that *given* does not have."""
        names = (name for name in self.__struct_fields__ if getattr(given, name) in (None, ()))
        return StoredOptions(**{name: getattr(self, name) for name in names})

    def joined_with(self, others: StoredOptions) -> StoredOptions:
        """Return these options, and of *others* those that are not among them."""
        added = {
            name: value
            for name in self.__struct_fields__
            if (value := getattr(others.without(self), name)) not in (None, ())
        }
        return msgspec.structs.replace(self, **added)


class RunDescription(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The description that `jobcell run` keeps in its journal before the run starts."""

    plan: dict[str, Any]
    """The checked plan, which has the id of the run."""
    state: Any
    plan_file: str
    state_file: str | None
    options: StoredOptions
    left_out: tuple[str, ...] = ()
    """The places of the plan and the state whose credentials are not in the file."""

    @classmethod
    def of(  # one argument for each field
        cls,
        plan: Plan,
        state: Any,
        *,
        plan_file: Path,
        state_file: Path | None,
        options: StoredOptions,
        encrypted: bool,
    ) -> Self:
        """Return the description of a run.

        Credentials that are written in the plan or the state are left out, unless the file is
        encrypted.
        """
        left_out: list[str] = []
        if not encrypted:
            plan = _without_credentials(plan, left_out)
            state = _without_configuration(state, "state", left_out)
        return cls(
            plan=msgspec.to_builtins(plan),
            state=state,
            plan_file=str(plan_file.resolve()),
            state_file=None if state_file is None else _absolute(state_file),
            options=options,
            left_out=tuple(left_out),
        )


def open_journal(path: Path, key: bytes | None, *, read_only: bool = False) -> FileJournal:
    """Open a journal.

    Raises:
        BadInputError: It cannot be used.

    """
    with bad_input():
        return FileJournal(path, key, read_only=read_only)


def begin_journal(path: Path, key: bytes | None, description: RunDescription) -> FileJournal:
    """Return a journal for a run that begins.

    Raises:
        BadInputError: The file cannot be used, or it holds a run already.

    """
    journal = open_journal(path, key)
    try:
        with bad_input():
            if journal.about is not None or any(True for _ in journal.records()):
                message = (
                    f"{path}: holds a run already; go on with it (jobcell resume {path}),"
                    " or name a new file"
                )
                raise BadInputError([message])
            journal.describe(msgspec.to_builtins(description))
    except BaseException:
        journal.close()
        raise
    return journal


def read_description(journal: FileJournal, path: Path) -> RunDescription | None:
    """Return the description in a journal; None if a program has made it without one.

    Raises:
        BadInputError: The description is not that of `jobcell run`.

    """
    if journal.about is None:
        return None
    try:
        return msgspec.convert(journal.about, type=RunDescription)
    except msgspec.ValidationError as error:
        message = f"{path}: its description of the run is not that of jobcell run: {error}"
        raise BadInputError([message]) from None


def check_private(path: Path, needed: StoredOptions) -> None:
    """Check that the options of a journal may be used.

    Raises:
        BadInputError: Another user may have written them, or they switch the sandbox off.

    """
    if needed == StoredOptions():
        return
    if needed.sandbox is False:
        message = (
            f"{path}: the run had --no-sandbox, and a file cannot switch the sandbox off;"
            " give --no-sandbox again, or --sandbox"
        )
        raise BadInputError([message])
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid == os.geteuid() and not mode & 0o077:
        return
    whose = f"mode {mode:04o}" if found.st_uid == os.geteuid() else f"owner {found.st_uid}"
    message = (
        f"{path}: is not private ({whose}), so its options are not used;"
        f" give them again: {needed.words()}"
    )
    raise BadInputError([message])


def described_plan(about: RunDescription, journal: Path) -> tuple[Plan, Any]:
    """Return the plan and the initial state of a run, with the credentials that its journal lacks.

    Raises:
        BadInputError: The file of the plan or of the state cannot be read any more, or is another one.

    """
    try:
        plan = load_plan(about.plan, warn=lambda _: None)
    except PlanError as error:
        raise BadInputError(f"{journal}: {problem}" for problem in error.problems) from None
    state = about.state
    if any(place != "state" for place in about.left_out):
        again = load_plan_file(
            Path(about.plan_file), start=plan.start, end=plan.options.end, warn=lambda _: None
        )
        again = msgspec.structs.replace(again, id=plan.id)
        if fingerprint(again, state, own_id=True) != fingerprint(plan, state, own_id=True):
            message = (
                f"{about.plan_file}: was changed since the run began, and the journal {journal}"
                f" does not hold its credentials ({', '.join(about.left_out)});"
                " give the plan as it was: jobcell resume FILE PLAN"
            )
            raise BadInputError([message])
        plan = again
    if "state" in about.left_out:
        if about.state_file is None:
            message = (
                f"{journal}: does not hold the configuration of the initial state;"
                " give the state again with --state FILE"
            )
            raise BadInputError([message])
        state = read_data_file(Path(about.state_file))
    return plan, state


def check_journal(journal: FileJournal, plan: Plan, state: Any) -> bool:
    """Check that a journal belongs to a plan and a state.

    Returns:
        Whether the id of the plan counts; a program may have begun the run with a plan without an id.

    Raises:
        BadInputError: It belongs to another plan, or cannot be read.

    """
    with bad_input():
        first = next(iter(journal.records()), None)
        recorded = None if first is None else first.extra.get("plan")
        without_id = fingerprint(plan, state, own_id=False)
        own_id = recorded != without_id
        read_journal(journal, plan, fingerprint(plan, state, own_id=True) if own_id else without_id)
    return own_id


def read_key(name: str | None) -> bytes | None:
    """Return the key in an environment variable: 64 hexadecimal digits, or base64.

    Raises:
        BadInputError: The variable is missing, or its value is not a key.  The message does not show
            the value.

    """
    if name is None:
        return None
    text = os.environ.get(name, "").strip()
    if not text:
        raise BadInputError([f"--journal-key-env: the environment has no variable {name!r}"])
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text)
    try:
        key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        message = (
            f"--journal-key-env: the variable {name!r} does not hold a key;"
            f" a key is {_KEY_BYTES} bytes as 64 hexadecimal digits, or in base64"
        )
        raise BadInputError([message])
    return key


@contextmanager
def bad_input() -> Iterator[None]:
    """Turn an error of a journal into one of the command."""
    try:
        yield
    except JournalError as error:
        text = str(error)
        for of_engine, of_command in _WORDS.items():
            text = text.replace(of_engine, of_command)
        raise BadInputError([text]) from None


_WORDS: Final = {
    "it is encrypted; pass its key": (
        "it is encrypted; name the variable that holds its key with --journal-key-env"
    ),
    "it is not encrypted; open it without a key": (
        "it is not encrypted; leave out --journal-key-env"
    ),
    "another journal object uses it; close that first": "another run uses it",
}
"""Advice of the engine, and the same for a user of the command."""


def _without_credentials(plan: Plan, left_out: list[str]) -> Plan:
    workflow = plan.workflow
    steps = []
    for number, step in enumerate(workflow.steps):
        place = f"workflow.steps[{number}]"
        changes: dict[str, Any] = {
            "state": _without_configuration(step.state, f"{place}.state", left_out)
        }
        if isinstance(step.configuration, dict) and step.configuration:
            left_out.append(f"{place}.configuration")
            changes["configuration"] = None
        steps.append(msgspec.structs.replace(step, **changes))
    credentials = workflow.credentials
    if isinstance(credentials, dict) and credentials:
        left_out.append("workflow.credentials")
        credentials = None
    workflow = msgspec.structs.replace(workflow, steps=tuple(steps), credentials=credentials)
    return msgspec.structs.replace(plan, workflow=workflow)


def _without_configuration(state: Any, place: str, left_out: list[str]) -> Any:
    if not isinstance(state, dict) or not state.get(_CONFIGURATION):
        return state
    left_out.append(place)
    return {key: value for key, value in state.items() if key != _CONFIGURATION}


def _absolute(path: Path) -> str | None:
    """Return the path of a file that can be read again; None for standard input and pipes."""
    return str(path.resolve()) if path.is_file() else None


def _recorded_address(url: str) -> str:
    """Return the address of a store for a journal: it does not depend on the working directory."""
    if urlsplit(url).password is not None:
        message = "--store: the journal would keep the password; name the store with JOBCELL_STORE"
        raise BadInputError([message])
    head, sqlite, path = url.partition("sqlite:///")
    return f"{sqlite}{Path(path).absolute()}" if sqlite and not head else url
