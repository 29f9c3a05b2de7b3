"""Where the command line takes credentials from: a file, a ``.env`` file, the keyring.

The first source that has an id gives the whole credential. No message shows a value.
"""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from engine.api import PlanError
from engine.plan import name_type, read_json, read_text_file
from jobcell.input.env_file import read_env_file
from jobcell.input.errors import BadInputError
from jobcell.input.yaml_text import YAML_SUFFIXES, read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9]")


class _Source(Protocol):
    """A place that may have credentials."""

    @property
    def words(self) -> str: ...

    def find(self, credential_id: str) -> dict[str, Any] | None: ...


def open_credentials(
    file: str | None, env_file: str | None, service: str | None, *, warn: Callable[[str], object]
) -> Callable[[str], dict[str, Any]] | None:
    """Return a function that returns the credential with an id; None if no source is given.

    Args:
        file: The file of ``--credentials``, in JSON or YAML.
        env_file: The file of ``--env-file``.
        service: The name of ``--keyring``.
        warn: Takes a line for each file that other users can read.

    Raises:
        BadInputError: A file is wrong, or this machine has no keyring.

    """
    sources: list[_Source] = []
    if file is not None:
        sources.append(_CredentialsFile(read_credentials(Path(file))))
        _check_mode(Path(file), warn)
    if env_file is not None:
        sources.append(_EnvFile(env_file, read_env_file(Path(env_file))))
        _check_mode(Path(env_file), warn)
    if service is not None:
        sources.append(_Keyring(service, _open_keyring()))
    if not sources:
        return None

    def resolve(credential_id: str) -> dict[str, Any]:
        for source in sources:
            found = source.find(credential_id)
            if found is not None:
                return found
        raise LookupError(f"{' and '.join(one.words for one in sources)} has no {credential_id!r}")

    return resolve


def read_credentials(path: Path) -> dict[str, dict[str, Any]]:
    """Return the credentials in a JSON or YAML file by their ids.

    Raises:
        BadInputError: The file is not an object of objects.  The message does not show values.

    """
    try:
        text = read_text_file(Path("/dev/stdin") if str(path) == "-" else path)
        found = (
            read_yaml(text, origin=str(path), is_secret=True).value
            if path.suffix in YAML_SUFFIXES
            else read_json(text, origin=str(path))
        )
    except PlanError as error:
        raise BadInputError(map(str, error.problems)) from None
    wanted = "must be an object of credential id to configuration"
    if not isinstance(found, dict):
        raise BadInputError([f"{path}: {wanted}, not {name_type(found)}"])
    wrong = [key for key, value in found.items() if not isinstance(value, dict)]
    if wrong:
        raise BadInputError(
            f"{path}: {wanted}; {key!r} is {name_type(found[key])}" for key in wrong
        )
    return found


class _CredentialsFile(NamedTuple):
    credentials: Mapping[str, dict[str, Any]]
    words: str = "the file of --credentials"

    def find(self, credential_id: str) -> dict[str, Any] | None:
        return self.credentials.get(credential_id)


class _EnvFile(NamedTuple):
    path: str
    variables: Mapping[str, str]
    words: str = "the file of --env-file"

    def find(self, credential_id: str) -> dict[str, Any] | None:
        """Return the credential in the variables ``ID={...}`` and ``ID__KEY=text``."""
        wanted = _NOT_IN_NAMES.sub("_", credential_id).upper()
        found: dict[str, Any] = {}
        has_any = False
        for name, value in self.variables.items():
            if name.upper() == wanted:
                found = {**_read_object(value, f"{self.path}: {name}"), **found}
                has_any = True
            elif name.upper().startswith(f"{wanted}__"):
                key = name[len(wanted) + 2 :]
                found[key.lower() if key.isupper() else key] = value
                has_any = True
        return found if has_any else None


class _Keyring(NamedTuple):
    service: str
    keyring: Any
    words: str = "the keyring of --keyring"

    def find(self, credential_id: str) -> dict[str, Any] | None:
        try:
            text = self.keyring.get_password(self.service, credential_id)
        except Exception as error:  # noqa: BLE001 - backends raise errors of their own
            # The text of a backend's error may hold what it read.
            reason = type(error).__name__
            raise LookupError(f"the keyring cannot be read: {reason}") from None
        return None if text is None else _read_object(text, f"the keyring's {credential_id!r}")


def _read_object(text: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        # Not a LookupError: this credential is there, and another source must not take its place.
        raise ValueError(f'{where} must be a JSON object, such as {{"password": "..."}}')  # noqa: TRY004
    return found


def _open_keyring() -> Any:
    try:
        import keyring  # late: an extra, and slow to import
        from keyring.backends.fail import Keyring as NoKeyring
    except ModuleNotFoundError:
        message = "--keyring needs one more package: pip install 'jobcell[keyring]'"
        raise BadInputError([message]) from None
    try:
        found = keyring.get_keyring()
    except Exception as error:  # noqa: BLE001 - a user can name any class as the backend
        reason = type(error).__name__
        message = f"--keyring: the keyring of this machine cannot be opened: {reason}"
        raise BadInputError([message]) from None
    if isinstance(found, NoKeyring):
        message = "--keyring: this machine has no keyring; use --credentials or --env-file"
        raise BadInputError([message])
    return keyring


def _check_mode(path: Path, warn: Callable[[str], object]) -> None:
    try:
        found = path.stat()
    except OSError:  # standard input
        return
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode):
        return
    if mode & 0o077:
        warn(
            f"{path}: has credentials, and other users may use it (mode {mode:04o}); chmod 600 {path}"
        )
    elif found.st_uid not in {0, os.geteuid()}:
        warn(f"{path}: has credentials, and belongs to another user ({found.st_uid})")
