"""Room `adaptors`: the repo on disk, its versions and its checksums.

It belongs here if it reads the repo.  The room imports `protocol` only.
"""

from __future__ import annotations

from engine.adaptors.names import (
    LATEST,
    NEXT,
    RepoError,
    canonical_name,
    module_name,
    split_spec,
)
from engine.adaptors.repo import INDEX, Repo, adaptor_paths
from engine.adaptors.treehash import TreeError, tree_hash
from engine.adaptors.versions import sort_key

__all__ = [
    "INDEX",
    "LATEST",
    "NEXT",
    "Repo",
    "RepoError",
    "TreeError",
    "adaptor_paths",
    "canonical_name",
    "module_name",
    "sort_key",
    "split_spec",
    "tree_hash",
]
