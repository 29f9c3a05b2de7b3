"""Room `server`: the HTTP interface and its pages.

It belongs here if only `jobcell serve` needs it.  It takes the extra ``jobcell[serve]``.
"""

from __future__ import annotations

from jobcell.server.app import make_app
from jobcell.server.backend import Backend
from jobcell.server.listening import Listener, listen, listen_unix
from jobcell.server.of_engine import EngineBackend
from jobcell.server.of_store import StoreBackend

__all__ = [
    "Backend",
    "EngineBackend",
    "Listener",
    "StoreBackend",
    "listen",
    "listen_unix",
    "make_app",
]
