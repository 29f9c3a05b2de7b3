"""Writes files, and never over others without consent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from jobcell.input.errors import BadInputError


def write_files(target: Path, files: Mapping[str, str], *, force: bool) -> None:
    """Write all files below a directory, or none.

    Args:
        target: The directory, which is made if it is missing.
        files: Path below *target* to text.
        force: Whether files that are there already are replaced.

    Raises:
        BadInputError: A file is there already, is a link, or cannot be written.

    """
    problems = []
    for name in files:
        path = target / name
        links = [part for part in (path, path.parent) if part != target and part.is_symlink()]
        if links:
            problems.append(
                f"{links[0]}: is a symbolic link; remove it, or give another directory with -o"
            )
        elif path.exists() and not force:
            problems.append(f"{path}: is there already; give another directory with -o, or --force")
    if problems:
        more = [f"and {len(problems) - 5} more files"] if len(problems) > 5 else []
        raise BadInputError(problems[:5] + more)
    try:
        for name, text in files.items():
            _write(target / name, text, force=force)
    except OSError as error:
        place = error.filename or target
        raise BadInputError([f"{place}: cannot be written: {error.strerror}"]) from None


def _write(path: Path, text: str, *, force: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode("utf-8", "surrogatepass")
    if not force:
        with path.open("xb") as file:
            file.write(content)
        return
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with new.open("xb") as file:
            file.write(content)
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink()
        raise
