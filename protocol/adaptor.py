"""Adaptors, as the engine names them to a child."""

import os

import msgspec


class AdaptorLink(msgspec.Struct, frozen=True):
    """An installed version of an adaptor."""

    name: str
    version: str
    path: str
    """Absolute path of the directory in which the importable module lies."""
    module: str
    """The import name."""


class ModuleRef(msgspec.Struct, frozen=True, kw_only=True):
    """The version or path of an adaptor for a run, in place of what the plan and the repo say.

    Raises:
        TypeError, ValueError: Path and version are both missing, or one of them is not text.

    """

    path: str | None = None
    """A directory that contains the importable module, or the package or ``.py`` file itself.  If
    it is None, the adaptor comes from the repo."""
    version: str | None = None
    """Without a path: the version to take from the repo.  With a path: the version that `versions`
    and messages show; "0" if not given."""

    def __post_init__(self) -> None:
        if isinstance(self.path, os.PathLike):
            msgspec.structs.force_setattr(self, "path", os.fspath(self.path))
        for name in ("path", "version"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise TypeError(f"ModuleRef.{name} must be a str, not {value!r}")
            if value is not None and not value.strip():
                raise ValueError(f"ModuleRef.{name} must not be empty, but is {value!r}")
        if self.path is None and self.version is None:
            raise ValueError("a ModuleRef needs a path, or the version to take from the repo")
        if self.version is None:
            msgspec.structs.force_setattr(self, "version", "0")
