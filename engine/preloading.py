"""Reads which adaptors an engine is to import before their first run."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any, Final

from engine.adaptors import Repo, RepoError
from engine.api import RunOptions
from protocol.adaptor import AdaptorLink
from protocol.limits import MEGABYTE
from protocol.zygote import AdaptorSet

DEFAULT_WARM_MB: Final = 256.0


def warm_bytes(warm_mb: Any) -> int:
    """Return the limit in bytes.

    Raises:
        ValueError: It is not a number of at least 0.

    """
    if type(warm_mb) not in (int, float) or not 0 <= warm_mb < float("inf"):
        raise ValueError(f"warm_mb must be a number of at least 0, not {warm_mb!r}")
    return int(warm_mb * MEGABYTE)


def preload_sets(
    preload: Collection[str | tuple[str, ...]],
    *,
    repo_dir: str | os.PathLike[str] | None,
    options: RunOptions,
    start_mode: str,
) -> list[AdaptorSet]:
    """Return the sets of adaptors that *preload* names, each once.

    Raises:
        TypeError: *preload* is not a collection of text and of tuples of text.
        ValueError: The repo does not have an adaptor, or the start mode cannot keep any warm.

    """
    if isinstance(preload, (str, bytes)) or not isinstance(preload, Collection):
        raise TypeError(
            f"preload must be a list of adaptors, not {preload!r}; write preload=['name@version']"
        )
    if not preload:
        return []
    if start_mode != "zygote":
        raise ValueError(
            f"preload needs start_mode='zygote': start_mode={start_mode!r} starts a new interpreter"
            " for each run"
        )
    sets = [_set(entry, repo_dir, options) for entry in preload]
    return list(dict.fromkeys(sets))


def _set(entry: Any, repo_dir: str | os.PathLike[str] | None, options: RunOptions) -> AdaptorSet:
    specs = (entry,) if isinstance(entry, str) else entry
    if not isinstance(specs, (tuple, list)) or not specs:
        raise TypeError(
            f"an entry of preload must be the name of an adaptor or a tuple of names, not {entry!r}"
        )
    links: dict[AdaptorLink, None] = {}
    for spec in specs:
        if not isinstance(spec, str):
            raise TypeError(f"preload has {spec!r}, which is not the name of an adaptor")
        try:
            links[Repo.read(repo_dir).resolve(spec, options.modules)] = None
        except RepoError as error:
            raise ValueError(f"preload has {spec!r}: {error}") from None
    return AdaptorSet(tuple(links), options.adaptor_log_level)
