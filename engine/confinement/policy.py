"""The walls of a run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from engine.confinement import interpreter
from protocol.confinement import LAYERS, REQUIRED, ConfinementRequest

if TYPE_CHECKING:
    from engine.api import RunOptions

LEVELS = ("default", "none")


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The walls around every run of an engine.

    Args:
        level: ``"default"``: with the kernel wall; a run does not start where a required layer is
            missing.  ``"none"``: without the kernel wall, for development on machines that lack it.
            The level is never chosen silently: every ``workflow-start`` reports it.
        language: Whether jobs are compiled by the language wall, or by plain ``compile``.
        without: Names of layers to leave out; for tests that show what each layer stops.

    Raises:
        ValueError: The level or a layer does not exist.

    """

    level: Literal["default", "none"] = "default"
    language: bool = True
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError(f"level must be one of {LEVELS}, not {self.level!r}")
        if not isinstance(self.language, bool):
            raise TypeError(f"language must be a bool, not {self.language!r}")
        if isinstance(self.without, str):
            raise TypeError(f"without must be a sequence of names, not {self.without!r}")
        for name in self.without:
            if name not in LAYERS:
                layers = ", ".join(LAYERS)
                raise ValueError(f"without has {name!r}, which is not a layer; layers: {layers}")
        msgspec.structs.force_setattr(self, "without", tuple(self.without))

    def request(self, *, options: RunOptions, read_paths: Sequence[str]) -> ConfinementRequest:
        """Return the layers and limits that the child of a run is asked to put on.

        Args:
            options: The options of the run: its memory and processor limits and its permissions.
            read_paths: Absolute paths that the run needs besides the interpreter's: its repo.

        """
        permissions = options.permissions
        paths = [*interpreter.readable(), *read_paths, *map(os.path.realpath, permissions.read)]
        if permissions.net:
            paths += interpreter.network_files()
        required = [] if self.level == "none" else [n for n in REQUIRED if n not in self.without]
        if permissions.scratch_mb and required:
            required.append("mounts")  # the directory is a mount
        return ConfinementRequest(
            level=self.level,
            language=self.language,
            required=tuple(required),
            without=self.without,
            read_paths=tuple(dict.fromkeys(paths)),
            hidden_paths=interpreter.hidden(),
            net=tuple(map(str, permissions.net_rules)) if permissions.net else (),
            scratch_bytes=permissions.scratch_bytes,
            memory_bytes=options.memory_bytes,
            cpu_s=options.cpu_s,
        )


def identity(paths: Sequence[str]) -> tuple[tuple[int, int] | None, ...]:
    """Return the files that *paths* name now, as device and inode.

    A zygote's root holds the files that the paths named when it was started.  Where a directory has
    since been replaced by another (an atomic swap of the repo) the zygote must be replaced as well.
    """
    return tuple(map(_identity, paths))


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
