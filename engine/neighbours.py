"""Checks that Python imports the packages that are installed beside `engine`."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def check_neighbours() -> None:
    """Look for foreign modules with the names of our packages, without running their code.

    Python would import them in place of ours.

    Raises:
        ImportError: Such a module comes first on the import path; the text names its file.

    """
    home = Path(__file__).parent.parent
    for name in ("protocol", "sandbox_child"):
        spec = importlib.util.find_spec(name)
        found = None if spec is None or spec.origin is None else Path(spec.origin)
        ours = home / name / "__init__.py"
        if found is not None and not found.samefile(ours):
            raise ImportError(
                f"engine found {found} in place of its own package {name!r} ({ours.parent});"
                " rename that file, or put its directory later in sys.path",
                name=name,
                path=str(found),
            )
