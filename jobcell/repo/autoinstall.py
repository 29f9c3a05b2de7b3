"""`jobcell run --autoinstall`: installs the adaptors of a plan that the repo lacks, if the user agrees.

A plan may come from somebody else, and a package from an index is somebody's code.  So the user must agree to
each installation, only wheels are installed, and a name in a plan is only ever a name.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from engine.adaptors import INDEX, Repo, RepoError, canonical_name
from jobcell.input.errors import BadInputError
from jobcell.output.wording import printable
from jobcell.repo.bundled import of_others
from jobcell.repo.index import RepoWriteError, initialise
from jobcell.repo.install import add_sources
from jobcell.repo.libraries import find_libraries
from jobcell.repo.source import Source, read_named


class Missing(msgspec.Struct, frozen=True):
    """An adaptor that steps of a plan want and the repo lacks."""

    spec: str
    step_id: str
    source: Source


def install_missing(
    wanted: Iterable[tuple[str, str]], repo_dir: Path, *, agreed: bool
) -> list[Missing]:
    """Install the adaptors that are not in the repo, all of them or none.

    Args:
        wanted: The id of a step, and an adaptor of it as ``name`` or ``name@version``.
        repo_dir: The repo, which is made if it does not exist.
        agreed: Whether the user has agreed beforehand; otherwise a terminal is asked.

    Returns:
        The installed adaptors.

    Raises:
        BadInputError: The user does not agree, or cannot be asked, or an adaptor cannot be installed.

    """
    missing = _missing(wanted, repo_dir)
    if not missing:
        return []
    lines = [_described(one) for one in missing]
    if not agreed:
        _ask(lines, repo_dir)
    try:
        initialise(repo_dir)
        done = add_sources(repo_dir, [one.source for one in missing])
    except (RepoWriteError, RepoError) as error:
        raise BadInputError([f"--autoinstall: {error}; nothing was started"]) from None
    for item in done:
        print(printable(f"{item.name}@{item.version}: added to {repo_dir}"), file=sys.stderr)
    return missing


def _missing(wanted: Iterable[tuple[str, str]], repo_dir: Path) -> list[Missing]:
    """Return what the repo lacks, each adaptor once.

    Raises:
        BadInputError: The repo is corrupt, or a text is not the name of an adaptor.

    """
    problems: list[str] = []
    found: dict[str, Missing] = {}
    try:
        repo = Repo.read(repo_dir if (repo_dir / INDEX).exists() else None)
    except RepoError as error:
        raise BadInputError([str(error)]) from None
    for step_id, spec in wanted:
        key = canonical_name(spec)
        try:
            if key not in found and not repo.has(spec):
                found[key] = Missing(spec, step_id, read_named(spec))
        except (RepoError, RepoWriteError) as error:
            problems.append(f"--autoinstall: step {step_id!r}: {error}")
    if problems:
        raise BadInputError(problems)
    return list(found.values())


def _described(one: Missing) -> str:
    place = "comes with jobcell" if one.source.bundled else "from the package index"
    needs = of_others(one.source.requirements) if one.source.bundled else []
    origin = (
        "the environment of jobcell" if find_libraries(needs) is not None else "the package index"
    )
    more = f", needs {', '.join(needs)} from {origin}" if needs else ""
    return f"{one.spec} ({place}{more})"


def _ask(lines: list[str], repo_dir: Path) -> None:
    """Ask the terminal.

    Raises:
        BadInputError: No terminal can be asked, or the answer is not yes.

    """
    listed = ", ".join(lines)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        message = (
            f"--autoinstall: would install {listed} into {repo_dir}, but no terminal can be asked;"
            " give --yes as well, or install them with jobcell repo add"
        )
        raise BadInputError([message])
    print(f"The plan needs adaptors that {repo_dir} does not have:", file=sys.stderr)
    for line in lines:
        print(printable(f"  {line}"), file=sys.stderr)
    print("Install them? [y/N] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip().lower()
    if answer not in {"y", "yes"}:
        raise BadInputError(["--autoinstall: not installed; nothing was started"])
