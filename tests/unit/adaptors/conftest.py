"""The adaptors are packages of their own: tests import them from their own directories."""

from __future__ import annotations

import sys
from pathlib import Path

ADAPTORS = Path(__file__).parents[3] / "adaptors"
for name in ("common", "rest"):
    if str(ADAPTORS / name) not in sys.path:
        sys.path.insert(0, str(ADAPTORS / name))
