"""The parent's request for a kernel wall, and the child's report of the layers that it got."""

from collections.abc import Collection
from typing import Final, Literal

import msgspec

LayerState = Literal["on", "off", "unavailable"]
NetReach = Literal["none", "by name", "by port", "open"]
"""How the network of a run is enforced: there is none; by rules for hosts and ports; by the ports of the
rules alone; not at all."""

EVERYTHING: Final = "*"
"""The network rule that allows everything; see `protocol.net_rules`."""

LAYERS: tuple[str, ...] = (
    "environment",
    "session",
    "namespaces",
    "network",
    "rlimits",
    "mounts",
    "identity",
    "no_new_privs",
    "landlock",
    "pdeathsig",
    "dumpable",
    "mdwe",
    "descriptors",
    "seccomp",
)
"""Every layer that a child puts on, in this order."""

REQUIRED: tuple[str, ...] = (
    "environment",
    "rlimits",
    "no_new_privs",
    "landlock",
    "descriptors",
    "seccomp",
)
"""Layers without which the default policy does not start a run."""


class ConfinementRequest(msgspec.Struct, frozen=True, kw_only=True):
    """How a child is to be confined.  The parent prepares the request, and the child applies it."""

    level: Literal["default", "none"] = "default"
    language: bool = True
    """Whether jobs are compiled by the language wall; only passed on to the report."""
    required: tuple[str, ...] = ()
    """Layers that must be on, or the child does not go on."""
    without: tuple[str, ...] = ()
    """Layers left out on purpose; tests use it to show what each layer stops."""
    read_paths: tuple[str, ...] = ()
    """The only directories and files that may be read."""
    hidden_paths: tuple[str, ...] = ()
    """Directories below one of ``read_paths`` whose files must not be read."""
    root_paths: tuple[str, ...] = ()
    """Paths that lie in the root directory and must not be read; a fork of a zygote may ask to read
    them."""
    net: tuple[str, ...] = ()
    """Rules in the canonical form of `protocol.net_rules`; an empty tuple allows no network."""
    net_by_port: bool = False
    """Whether the ports of the rules are enough where a private network cannot be made."""
    max_connections: int = 256
    """Most connections at once."""
    net_bytes: int | None = None
    """Most bytes over the network, in both directions together; None: no limit."""
    scratch_bytes: int = 0
    """The size of the private directory ``/tmp``; 0: the child has none.  It needs the layer ``mounts``."""
    ca_file: str = ""
    """The file of certificate authorities that libraries are told to use; it is in ``read_paths``."""
    memory_bytes: int = 500 * 1024 * 1024
    cpu_s: float | None = None
    max_open_files: int = 64
    max_processes: int = 64

    @property
    def private_net(self) -> bool:
        """Whether the child makes a network of its own, which a relay serves."""
        if not self.net or self.level == "none" or "network" in self.without:
            return False
        return EVERYTHING not in self.net

    @property
    def mediated_rules(self) -> tuple[str, ...]:
        """The rules that a relay enforces."""
        return self.net if self.private_net else ()


class LayerReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """A layer: whether it was required, and whether it is really on."""

    name: str
    state: LayerState
    required: bool = False
    detail: str | None = None
    """Details of the layer, or the reason why it is not on (with errno)."""


class ProbeReport(msgspec.Struct, frozen=True):
    """A forbidden action that the child tried after it was confined."""

    name: str
    blocked: bool
    detail: str
    """The errno by name, or what the child could do."""


class ConfinementReport(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The layers that were really on; the child itself has tried them after it was confined."""

    level: Literal["default", "none"]
    language: bool
    layers: tuple[LayerReport, ...] = ()
    probes: tuple[ProbeReport, ...] = ()
    net: NetReach = "none"
    landlock_abi: int = 0
    filter_hash: str | None = None
    """SHA-256 of the seccomp program, in hexadecimal, with the child's own pid in it left blank."""


class LayerFacts(msgspec.Struct, frozen=True):
    """The purpose of a layer, and a remedy for a machine that lacks it."""

    name: str
    stops: str
    remedy: str


class MachineReport(msgspec.Struct, frozen=True):
    """The layers that a test process could put on, on this machine."""

    report: ConfinementReport
    facts: tuple[LayerFacts, ...]


def missing_in_zygote(zygote: ConfinementRequest, request: ConfinementRequest) -> str | None:
    """Return the reason why a fork of a zygote confined by *zygote* cannot be confined by *request*.

    None: the fork can.  A fork cannot get back a path outside the zygote's root, or a network that the
    zygote has left.  The engine asks before it sends a request, and the child asks again.
    """
    if (zygote.level, zygote.without) != (request.level, request.without):
        return "other layers than those of the zygote were asked for"
    if request.level == "none":
        return None
    if request.net and not zygote.net and not request.private_net:
        return "the zygote has no network"
    # Nearly always the paths are the same, and the set of others is empty.
    others = set(request.read_paths).difference(zygote.read_paths, zygote.root_paths)
    if not all(lies_below(path, zygote.read_paths) for path in others):
        return "a path lies outside of the zygote's root"
    return None


def lies_below(path: str, roots: Collection[str]) -> bool:
    """Return whether *path* is one of *roots* or below one."""
    return path in roots or any(path.startswith(root.rstrip("/") + "/") for root in roots)
