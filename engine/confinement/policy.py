"""The walls of a run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec.structs import replace

from engine.confinement import interpreter
from protocol.confinement import LAYERS, REQUIRED, ConfinementRequest

if TYPE_CHECKING:
    from engine.api import RunOptions

LEVELS = ("default", "none")
NETS = ("names", "ports")


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The walls around every run of an engine.

    Args:
        level: ``"default"``: with the kernel wall; a run does not start where a required layer is
            missing.  ``"none"``: without the kernel wall, for development on machines that lack it.
            The level is never chosen silently: every ``workflow-start`` reports it.
        language: Whether jobs are compiled by the language wall, or by plain ``compile``.
        without: Names of layers to leave out; for tests that show what each layer stops.
        net: ``"names"``: a run with network rules reaches only the hosts and ports that they name; it
            does not start where that cannot be enforced.  ``"ports"``: there, the ports alone are
            enforced.
        net_proxy: The HTTP proxy through which the connections of all such runs go, such as
            ``"http://proxy.example.org:3128"``.

    Raises:
        ValueError: The level, a layer or the kind of network does not exist, or the proxy is not valid.

    """

    level: Literal["default", "none"] = "default"
    language: bool = True
    without: tuple[str, ...] = ()
    net: Literal["names", "ports"] = "names"
    net_proxy: str | None = None

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
        if self.net not in NETS:
            raise ValueError(f"net must be one of {NETS}, not {self.net!r}")
        if self.net_proxy is not None:
            if not isinstance(self.net_proxy, str):
                raise TypeError(f"net_proxy must be a str, not {type(self.net_proxy).__name__}")
            from protocol.net_proxy import parse_net_proxy  # few engines have one

            parse_net_proxy(self.net_proxy)

    def __repr__(self) -> str:
        """Return the text of the policy without the proxy, which may have a password in it."""
        shown = ", ".join(
            f"{name}={getattr(self, name)!r}"
            for name in self.__struct_fields__
            if name != "net_proxy"
        )
        return f"Policy({shown})" if self.net_proxy is None else f"Policy({shown}, net_proxy=...)"

    def request(self, *, options: RunOptions, read_paths: Sequence[str]) -> ConfinementRequest:
        """Return the layers and limits that the child of a run is asked to put on.

        Args:
            options: The options of the run: its memory and processor limits and its permissions.
            read_paths: Absolute paths that the run needs besides the interpreter's: its repo.

        """
        permissions = options.permissions
        paths = [*interpreter.readable(), *read_paths, *map(os.path.realpath, permissions.read)]
        required = [] if self.level == "none" else [n for n in REQUIRED if n not in self.without]
        if permissions.scratch_mb and required:
            required.append("mounts")  # the directory is a mount
        request = ConfinementRequest(
            level=self.level,
            language=self.language,
            required=tuple(required),
            without=self.without,
            read_paths=tuple(dict.fromkeys(paths)),
            hidden_paths=interpreter.hidden(),
            scratch_bytes=permissions.scratch_bytes,
            memory_bytes=options.memory_bytes,
            cpu_s=options.cpu_s,
        )
        return self._with_network(request, options) if permissions.net else request

    def _with_network(self, request: ConfinementRequest, options: RunOptions) -> ConfinementRequest:
        """Return the request of a run with a network permission."""
        permissions = options.permissions
        request = replace(
            request,
            net=tuple(map(str, permissions.net_rules)),
            ca_file=os.path.realpath(permissions.ca_file) if permissions.ca_file else "",
            net_by_port=self.net == "ports",
            max_connections=options.max_connections,
            net_bytes=options.net_bytes,
            max_open_files=request.max_open_files + options.max_connections,
        )
        private = request.private_net
        files = interpreter.network_files(private=private, ca_file=request.ca_file)
        return replace(
            request,
            required=(*request.required, "network") if private else request.required,
            read_paths=tuple(dict.fromkeys((*request.read_paths, *files))),
        )


def zygote_request(request: ConfinementRequest) -> ConfinementRequest:
    """Return the request for a zygote whose forks put on the walls of *request*.

    Each fork makes a private network for itself, so that the zygote has none.  The files for any such
    network lie in its root directory.
    """
    if not request.private_net:
        return request
    files = interpreter.network_files(private=True)
    plain = ConfinementRequest()
    return replace(
        request,
        required=tuple(name for name in request.required if name != "network"),
        read_paths=tuple(path for path in request.read_paths if path not in files),
        root_paths=files,
        net=plain.net,
        ca_file=plain.ca_file,
        net_by_port=plain.net_by_port,
        max_connections=plain.max_connections,
        net_bytes=plain.net_bytes,
        max_open_files=plain.max_open_files,
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
