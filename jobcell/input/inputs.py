"""The files that a user names: read and checked before anything is started."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from engine.api import Permissions, PlanError, RunOptions
from engine.confinement import Policy
from engine.plan import read_json, read_text_file
from jobcell.input.errors import BadInputError
from jobcell.input.yaml_text import YAML_SUFFIXES, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from protocol.plan import Plan

__all__ = [
    "BadInputError",
    "OutputFile",
    "check_adaptors",
    "check_repo",
    "find_repo",
    "named_repo",
    "read_data_file",
    "read_permissions",
    "read_policy",
    "with_permissions",
]


def read_data_file(path: Path) -> Any:
    """Return the value in a JSON file, or in a YAML file (``.yaml``, ``.yml``); ``-`` is standard input.

    Raises:
        BadInputError: The file cannot be read, or is not JSON or YAML.

    """
    file = Path("/dev/stdin") if str(path) == "-" else path
    try:
        text = read_text_file(file)
        if path.suffix in YAML_SUFFIXES:
            return read_yaml(text, origin=str(path)).value
        return read_json(text, origin=str(path))
    except PlanError as error:
        raise BadInputError(str(problem) for problem in error.problems) from None


def read_permissions(
    net: Iterable[str],
    read: Iterable[str | Path],
    scratch: float | None = None,
    ca_file: str | Path | None = None,
    collections: Iterable[str] = (),
) -> Permissions:
    """Return the permissions that ``--net`` and the other options of this kind give to a run.

    A path may be relative to the working directory.

    Raises:
        BadInputError: A rule, a path or a size is not a valid one, or the file has no certificates.

    """
    try:
        rules = Permissions(collections=tuple(collections)).collections
    except ValueError as error:
        raise BadInputError([f"--collection: {error}"]) from None
    try:
        allowed = Permissions(net=tuple(net))
    except ValueError as error:
        raise BadInputError([f"--net: {error}"]) from None
    try:
        paths = tuple(str(Path(path).absolute()) for path in read)
        allowed = Permissions(net=allowed.net, read=paths, collections=rules)
    except ValueError as error:
        raise BadInputError([f"--read: {error}"]) from None
    try:
        allowed = msgspec.structs.replace(allowed, scratch_mb=scratch)
    except ValueError as error:
        raise BadInputError([f"--scratch: {error}"]) from None
    if ca_file is None:
        return allowed
    file = str(Path(ca_file).absolute())
    try:
        return msgspec.structs.replace(allowed, ca_file=file)
    except ValueError as error:
        reason = str(error).removeprefix("Permissions.ca_file has ")
        raise BadInputError([f"--ca-file: {reason}"]) from None


def read_policy(
    level: Literal["default", "none"], *, net_proxy: str | None, net_by_port: bool
) -> Policy:
    """Return the policy of the command line.

    Raises:
        BadInputError: The proxy is not a valid one.  The message does not show its password.

    """
    try:
        return Policy(level=level, net="ports" if net_by_port else "names", net_proxy=net_proxy)
    except ValueError as error:
        raise BadInputError([f"--net-proxy: {error}"]) from None


def with_permissions(
    options: RunOptions,
    net: Iterable[str],
    read: Iterable[str | Path],
    scratch: float | None,
    ca_file: str | Path | None = None,
    collections: Iterable[str] = (),
) -> RunOptions:
    """Return *options* with the permissions of the command line.

    Raises:
        BadInputError: A rule, a path or a size is not a valid one, or the file has no certificates.

    """
    permissions = read_permissions(net, read, scratch, ca_file, collections)
    if scratch is not None and scratch > options.memory_mb:
        message = f"--scratch: {scratch:g} MB is more than the memory ({options.memory_mb:g} MB)"
        raise BadInputError([f"{message}, in which it is counted; give more with --memory"])
    return msgspec.structs.replace(options, permissions=permissions)


def with_limits(
    options: RunOptions, limits: Mapping[str, float | None], flags: Mapping[str, str]
) -> RunOptions:
    """Return options with the limits that a user has given.

    Args:
        options: The options without them.
        limits: For the name of each option its value; None if it was not given.
        flags: For the name of each option the option of the command line, for errors.

    Raises:
        BadInputError: A limit is wrong.

    """
    for name, value in limits.items():
        if value is None:
            continue
        try:
            options = msgspec.structs.replace(options, **{name: value})
        except ValueError as error:
            # An option of a command is left out in place of None.
            text = str(error).removeprefix(f"{name} ").replace(" or None", "")
            raise BadInputError([f"{flags[name]}: {text}"]) from None
    return options


def check_repo(path: Path) -> Path:
    """Return the directory of installed adaptors.

    Raises:
        BadInputError: *path* is not such a directory.

    """
    if not path.is_dir():
        reason = "is not a directory" if path.exists() else "does not exist"
        raise BadInputError([f"{path}: {reason}; --repo takes a directory of adaptors"])
    if not (path / "repo.json").is_file():
        raise BadInputError([f"{path}: has no repo.json; jobcell repo init {path} makes a repo"])
    return path


def find_repo(given: Path | None) -> Path | None:
    """Return the directory of installed adaptors: *given*, that of JOBCELL_REPO, or ``./repo``.

    The result is None if none of them exists; ``./repo`` counts only if it is a repo.

    Raises:
        BadInputError: The directory that was named is not a repo.

    """
    named = given if given is not None else os.environ.get("JOBCELL_REPO")
    if named:
        return check_repo(Path(named))
    usual = Path("repo")
    return usual if (usual / "repo.json").is_file() else None


def named_repo(given: str | Path | None) -> Path:
    """Return the directory that `find_repo` looks for, whether it exists or not."""
    return Path(given or os.environ.get("JOBCELL_REPO") or "repo")


def check_adaptors(plan: Plan, repo_dir: Path | None) -> None:
    """Raise BadInputError if a step wants an adaptor, and no repo was found."""
    if repo_dir is not None:
        return
    for step in plan.workflow.steps:
        if step.adaptors:
            message = (
                f"step {step.id!r} needs the adaptor {step.adaptors[0]!r}, but no repo was found;"
                " give one with --repo DIR or JOBCELL_REPO, make ./repo with jobcell repo init, or let"
                " jobcell run --autoinstall make it"
            )
            raise BadInputError([message])


def check_written_files(
    output: Path | None, events: Path | None, read: Mapping[str, Path | None]
) -> None:
    """Refuse a file to be written that is another file of the same command.

    The final state may go to the file of the initial state, because that was read by then.

    Args:
        output: The file of --output.
        events: The file of --events.
        read: Each file that the command reads, by a description for the message.

    Raises:
        BadInputError: A file would be overwritten.

    """
    problems = []
    for option, path in (("--output", output), ("--events", events)):
        others = {**read, "the file of --output": output if option == "--events" else None}
        for what, other in others.items():
            if (
                path is None
                or other is None
                or (option, what) == ("--output", "the file of --state")
            ):
                continue
            if _is_same_file(path, other):
                problems.append(f"{path}: is {what} as well; give {option} another file")
    if problems:
        raise BadInputError(problems)


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        if one.exists():
            return one.is_file() and one.samefile(other)
        return one.resolve() == other.resolve()
    except (OSError, RuntimeError):  # RuntimeError: links that lead to each other, in Python 3.12
        return False


class OutputFile:
    """A file that will be written when the run is over.

    The file is opened before the run starts: a user should not wait an hour to learn that the
    directory does not exist.  The old content stays until the new content is there.
    """

    def __init__(self, path: Path) -> None:
        """Open the file for appending.

        Raises:
            BadInputError: The file cannot be written.

        """
        self.path = path
        self._is_new = not path.exists()
        try:
            self._file = path.open("ab")
        except OSError as error:
            raise BadInputError([f"{path}: cannot be written: {error.strerror}"]) from None

    def write(self, content: bytes) -> None:
        """Replace what is in the file."""
        if self.path.is_file():  # not a pipe or /dev/null, which have no length
            os.truncate(self._file.fileno(), 0)
        self._file.write(content)
        self._is_new = False
        self._file.close()

    def close(self) -> None:
        """Leave the file as it was before, if nothing was written."""
        self._file.close()
        if self._is_new:
            self.path.unlink(missing_ok=True)
