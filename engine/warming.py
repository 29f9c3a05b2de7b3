"""Finds out whether an adaptor can be kept warm, by trying."""

from __future__ import annotations

import os
import time
from typing import Final

from engine.engine import Engine
from engine.start import IMPORTING, WarmSet

_LARGE_MB: Final = 1_000_000
_PAUSE_S: Final = 0.01


def try_warm(spec: str, repo_dir: str | os.PathLike[str]) -> WarmSet:
    """Import an adaptor of a repo as an engine does to keep it warm, and say how it went.

    Raises:
        ValueError: The repo does not have the adaptor.

    """
    with Engine(repo_dir=repo_dir, max_runs=1, preload=[spec], warm_mb=_LARGE_MB) as engine:
        while True:
            (found,) = engine.warm()
            if found.reason != IMPORTING:
                return found
            time.sleep(_PAUSE_S)
