"""Loads the credentials of runs: with an object of a Python package, or from a directory of files.

A directory is what containers get: one file for each credential.  Kubernetes replaces its content in one
step (a link ``..data`` to a directory), so a file is read anew for each run.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import stat
import sys
from pathlib import Path
from typing import Any, Final

from engine import Resolvers

MAX_BYTES: Final = 1_000_000
"""Largest file of a credential."""

_NAME: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", re.ASCII)
_EXAMPLES: Final = "package.module:object, or a directory such as /run/secrets"


class ResolversError(ValueError):
    """The resolvers cannot be used; the text says what would be right."""


def load_resolvers(given: str) -> Resolvers:
    """Return the resolvers that a command names.

    Args:
        given: ``PACKAGE:OBJECT``, where the object is a `Resolvers`, or a function from the id of a
            credential to a dict; or a directory.

    Raises:
        ResolversError: They cannot be used.

    """
    # An empty text is a variable that is not set, and not the present directory.
    if given and (os.sep in given or given in {".", ".."} or Path(given).is_dir()):
        return Resolvers(credential=SecretFiles(Path(given)))
    if not _NAME.fullmatch(given):
        raise ResolversError(f"--resolvers must be {_EXAMPLES}, not {given!r}")
    return _from_package(given)


def _from_package(given: str) -> Resolvers:
    module_name, _, path = given.partition(":")
    # As with `python -m`, a module may lie in the present directory.
    here = str(Path.cwd())
    if "" not in sys.path and here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ResolversError(
            f"--resolvers: the module {error.name!r} was not found; it must be installed, or lie in the"
            " present directory"
        ) from None
    except Exception as error:  # the user's module may raise anything
        raise ResolversError(
            f"--resolvers: the module {module_name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise ResolversError(f"--resolvers: the module {module_name!r} has no {path!r}")
        found = getattr(found, part)
    if isinstance(found, Resolvers):
        return found
    if isinstance(found, type) or not callable(found):
        kind = type(found).__name__
        raise ResolversError(
            f"--resolvers: {given} must be a jobcell.Resolvers or a function, not {kind}"
        )
    return Resolvers(credential=found)


class SecretFiles:
    """Loads credentials from the files of a directory: ``NAME`` or ``NAME.json`` for the id ``NAME``.

    A file holds a JSON object, or plain text, which becomes ``{"value": TEXT}`` without the line break at
    its end.

    Args:
        directory: The directory.

    Raises:
        ResolversError: The directory does not exist, or cannot be read.

    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()
        try:
            next(self._directory.iterdir(), None)
        except OSError as error:
            raise ResolversError(
                f"--resolvers: the directory {directory} cannot be read: {error.strerror}"
            ) from None

    def __repr__(self) -> str:
        return f"SecretFiles({str(self._directory)!r})"

    def __call__(self, credential_id: str) -> dict[str, Any]:
        """Return the credential with the given id.

        Raises:
            LookupError: The directory has no file for it.
            ValueError: The id is not the name of a file, or the file cannot be used.

        """
        _check_name(credential_id)
        for name in (credential_id, f"{credential_id}.json"):
            content = self._read(name)
            if content is not None:
                return _decode(name, content)
        raise LookupError(
            f"the directory of --resolvers has neither a file {credential_id!r} nor"
            f" {credential_id + '.json'!r}"
        )

    def _read(self, name: str) -> bytes | None:
        """Return the content of a file; None if it does not exist.

        The file may be a link, as in Kubernetes, but it must lie inside the directory.
        """
        path = self._directory / name
        try:
            real = path.resolve(strict=True)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, RuntimeError):  # a circle of links
            raise ValueError(f"the file {name!r} of --resolvers cannot be read") from None
        if not real.is_relative_to(self._directory.resolve()):
            raise ValueError(
                f"the file {name!r} of --resolvers is a link that leads out of its directory"
            )
        try:
            # Without O_NONBLOCK, a pipe in the place of the file would block for ever.
            descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise ValueError(
                f"the file {name!r} of --resolvers cannot be read: {error.strerror}"
            ) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ValueError(f"{name!r} in the directory of --resolvers is not a file")
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"the file {name!r} of --resolvers has more than {MAX_BYTES} bytes")
        return content


def _check_name(name: str) -> None:
    """Check that an id is the plain name of a file.

    Raises:
        ValueError: It is a path, a hidden file, or no name at all.

    """
    bad = not name or name.startswith(".") or "/" in name or "\\" in name or "\0" in name
    if bad or not name.isprintable() or len(name.encode(errors="replace")) > 250:
        raise ValueError(
            f"the id {name[:60]!r} is not the name of a file in a directory of secrets"
        )


def _decode(name: str, content: bytes) -> dict[str, Any]:
    """Return the credential in a file; a message has nothing of its content."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError(f"the file {name!r} of --resolvers is not text in UTF-8") from None
    if name.endswith(".json") or text.lstrip().startswith("{"):
        try:
            value = json.loads(text)
        except ValueError as error:
            place = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
            raise ValueError(f"the file {name!r} of --resolvers is not valid JSON{place}") from None
        if not isinstance(value, dict):
            raise ValueError(
                f"the file {name!r} of --resolvers must hold a JSON object, not"
                f" {type(value).__name__}"
            )
        return value
    return {"value": text.removesuffix("\n").removesuffix("\r")}
