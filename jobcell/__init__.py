"""Run other people's workflow code: every name of `engine`, and the command `jobcell`.

Raises:
    ImportError: Another module called ``engine`` or ``protocol`` comes first on the import path.

"""

from __future__ import annotations

import importlib.util
from pathlib import Path


def _check_engine() -> None:
    """Check that ``engine`` is the package beside this one; `engine` checks the others itself."""
    spec = importlib.util.find_spec("engine")  # does not run it
    found = None if spec is None or spec.origin is None else Path(spec.origin)
    ours = Path(__file__).parent.parent / "engine" / "__init__.py"
    if found is not None and not found.samefile(ours):
        raise ImportError(
            f"jobcell found {found} in place of its own package 'engine' ({ours.parent});"
            " rename that file, or put its directory later in sys.path",
            name="engine",
            path=str(found),
        )


_check_engine()

import engine as _engine
from engine import *  # noqa: F403 - all of it
from engine import __version__ as __version__

__all__: list[str] = []
__all__ += _engine.__all__  # a form that type checkers understand
