"""The names that a run with a scratch directory finds in its `/tmp`."""

from __future__ import annotations

import sys
from pathlib import Path

_CODE = (Path(__file__).parents[2], Path(sys.prefix), Path(sys.base_prefix))


def tmp_names(*made: str) -> list[str]:
    """Return sorted names in `/tmp` of a run: what it made, and the way to our code if a clone is below `/tmp`."""
    ways = {path.parts[2] for path in _CODE if path.parts[:2] == ("/", "tmp")}
    return sorted({*ways, *made})
