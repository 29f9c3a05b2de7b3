"""`jobcell test`: run the tests of jobs in a directory."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from jobcell.input.errors import BadInputError


def run(places: Sequence[Path], repo: Path | None, record: str, arguments: Sequence[str]) -> int:
    """Run pytest on directories and files.

    Args:
        places: Directories and files with tests.
        repo: The directory of installed adaptors.
        record: What is recorded in cassettes: ``none``, ``once`` or ``all``.
        arguments: More arguments for pytest.

    Returns:
        The exit code of pytest.

    Raises:
        BadInputError: A place does not exist, pytest is not installed, or there is nowhere to print.

    """
    if sys.stdout.closed:
        raise BadInputError(["standard output is closed; pytest needs it"])
    if importlib.util.find_spec("pytest") is None:
        raise BadInputError(["the command test needs more packages: pip install 'jobcell[test]'"])
    missing = [str(place) for place in places if not Path(str(place).partition("::")[0]).exists()]
    if missing:
        raise BadInputError(f"{place}: does not exist" for place in missing)
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "jobcell.testing.plugin",
        f"--jobcell-record={record}",
    ]
    if repo is not None:
        words.append(f"--jobcell-repo={repo}")
    return subprocess.run([*words, *arguments, *map(str, places)], check=False).returncode
