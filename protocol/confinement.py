"""What the parent asks of the kernel wall, and what the child says it got."""

from __future__ import annotations

from typing import Literal

import msgspec

LayerState = Literal["on", "off", "unavailable"]

LAYERS: tuple[str, ...] = (
    "environment",
    "session",
    "rlimits",
    "namespaces",
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
"""Every layer that a child puts on, in the order in which it does."""

REQUIRED: tuple[str, ...] = (
    "environment",
    "rlimits",
    "no_new_privs",
    "landlock",
    "descriptors",
    "seccomp",
)
"""Layers without which the default policy starts no run."""


class ConfinementRequest(msgspec.Struct, frozen=True, kw_only=True):
    """How one child is to be confined.  Prepared by the parent, applied by the child."""

    level: Literal["default", "none"] = "default"
    language: bool = True
    """Whether jobs are compiled by the language wall; only passed on to the report."""
    required: tuple[str, ...] = ()
    """Layers without which the child must not go on."""
    without: tuple[str, ...] = ()
    """Layers left out on purpose (tests show with it what each layer stops)."""
    read_paths: tuple[str, ...] = ()
    """Directories and files that may be read; nothing else may."""
    hidden_paths: tuple[str, ...] = ()
    """Directories below one of ``read_paths`` whose files may not be read all the same."""
    net: tuple[str, ...] = ()
    """Rules in the canonical form of `protocol.net_rules`; empty: no network."""
    memory_bytes: int = 500 * 1024 * 1024
    cpu_s: float | None = None
    max_open_files: int = 64
    max_processes: int = 64


class LayerReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """One layer: whether it was required, and whether it is really on."""

    name: str
    state: LayerState
    required: bool = False
    detail: str | None = None
    """What is on exactly, or why it is not (with errno)."""


class ProbeReport(msgspec.Struct, frozen=True):
    """One thing the child tried after it was confined."""

    name: str
    blocked: bool
    detail: str
    """The errno by name, or what could be done."""


class ConfinementReport(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Which layers were really on, as tried by the child itself after it was confined."""

    level: Literal["default", "none"]
    language: bool
    layers: tuple[LayerReport, ...] = ()
    probes: tuple[ProbeReport, ...] = ()
    landlock_abi: int = 0
    filter_hash: str | None = None
    """SHA-256 of the seccomp program, in hexadecimal; the child's own pid in it left blank."""


class LayerFacts(msgspec.Struct, frozen=True):
    """What a layer is for, and what to do where it is missing."""

    name: str
    stops: str
    remedy: str


class MachineReport(msgspec.Struct, frozen=True):
    """What a process that had nothing to do could put on, on this machine."""

    report: ConfinementReport
    facts: tuple[LayerFacts, ...]
