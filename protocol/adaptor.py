"""Adaptors, as the engine names them to a child."""

from __future__ import annotations

import msgspec


class AdaptorLink(msgspec.Struct, frozen=True):
    """One installed version of an adaptor."""

    name: str
    version: str
    path: str
    """Absolute path of the directory in which the importable module lies."""
    module: str
    """The import name."""


class ModuleRef(msgspec.Struct, frozen=True, kw_only=True):
    """An adaptor that does not come from the repo."""

    path: str
    """A directory with the importable module in it, or the package or ``.py`` file itself."""
    version: str = "0"
    """What `versions` and messages call it."""
