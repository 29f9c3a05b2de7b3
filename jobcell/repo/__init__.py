"""Writing to the repo: installing, removing, locking.  `engine.adaptors.repo` only reads it."""

from jobcell.repo.autoinstall import install_missing
from jobcell.repo.commands import app
from jobcell.repo.index import RepoWriteError, initialise
from jobcell.repo.install import Installed, add
from jobcell.repo.lockfile import lock, sync
from jobcell.repo.places import source_directories, source_hashes
from jobcell.repo.removal import remove, verify

__all__ = [
    "Installed",
    "RepoWriteError",
    "add",
    "app",
    "initialise",
    "install_missing",
    "lock",
    "remove",
    "source_directories",
    "source_hashes",
    "sync",
    "verify",
]
