"""Loads what a server of `jobcell serve` loads only when it starts: a hundred modules, which take 0.4 s of a processor.

Forks of the process that imports this module share them.
"""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import uvicorn

from jobcell.server import make_app


def load() -> None:
    """Make an application that nobody calls, and have the server look for its parts."""
    backend: Any = SimpleNamespace(close=lambda: None)
    config = uvicorn.Config(make_app(backend), log_config=None)
    config.load()
    for name in ("anyio._backends._asyncio", "encodings.idna", "uvicorn.loops.asyncio"):
        importlib.import_module(name)


load()
