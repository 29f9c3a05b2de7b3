"""Writing to the repo: installing, removing, locking.  The engine only reads it (`engine.repo`)."""

from manager.repo.commands import app
from manager.repo.index import RepoWriteError, initialise
from manager.repo.install import Installed, add
from manager.repo.lockfile import lock, sync
from manager.repo.removal import remove, verify

__all__ = [
    "Installed",
    "RepoWriteError",
    "add",
    "app",
    "initialise",
    "lock",
    "remove",
    "sync",
    "verify",
]
