"""Whether this machine can enforce the hosts of network rules, by which way, and what to do if not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from engine.confinement import probe_machine as probe

if TYPE_CHECKING:
    from protocol.confinement import LayerReport

TRIED_RULE: Final = "example.org:443"
"""A rule for the trial; nothing is connected."""
_PORTS_ABI: Final = 4
"""The first ABI of Landlock that knows ports (Linux 6.7)."""

_SETTINGS: Final = (
    ("user/max_user_namespaces", "0", "set user.max_user_namespaces above 0 (sysctl)"),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "set kernel.unprivileged_userns_clone to 1 (sysctl), or run as root",
    ),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "set kernel.apparmor_restrict_unprivileged_userns to 0 (sysctl), or allow 'userns,' in AppArmor",
    ),
)
"""Settings below /proc/sys, the values that forbid user namespaces, and the remedies."""
_FILTERED: Final = "a seccomp filter is on, as in a container: run it with deploy/seccomp.json"
_ANY: Final = "run the engine as root, or allow user namespaces"


class NetworkReport(msgspec.Struct, frozen=True, kw_only=True):
    """How the rules of a run would be enforced on this machine."""

    hosts: Literal["by name", "by port", "no"]
    """``by name``: hosts and ports.  ``by port``: ports alone, for `Policy(net="ports")`.  ``no``: a run
    with rules does not start."""
    way: Literal["root", "user namespace"] | None = None
    """Where the rights for a network of its own come from; None without them."""
    reason: str | None = None
    """The call that failed."""
    remedies: tuple[str, ...] = ()


def examine(
    sysctl: Path = Path("/proc/sys"), status: Path = Path("/proc/self/status")
) -> NetworkReport:
    """Return how rules are enforced here, by confining a process that has one.

    Args:
        sysctl: The settings of the kernel.
        status: The status of this process.

    """
    try:
        report = probe(net=(TRIED_RULE,)).report
    except RuntimeError as error:
        return NetworkReport(hosts="no", reason=str(error), remedies=_remedies(sysctl, status))
    layers = {layer.name: layer for layer in report.layers}
    return conclude(layers, report.landlock_abi, _remedies(sysctl, status))


def conclude(
    layers: dict[str, LayerReport], landlock_abi: int, remedies: tuple[str, ...]
) -> NetworkReport:
    """Return what follows from the layers that a process with a rule has got."""
    network, namespaces = layers["network"], layers["namespaces"]
    if network.state == "on" and network.detail == "by name":
        user = str(namespaces.detail).startswith("user ")
        return NetworkReport(hosts="by name", way="user namespace" if user else "root")
    ports = layers["landlock"].state == "on" and landlock_abi >= _PORTS_ABI
    return NetworkReport(
        hosts="by port" if ports else "no",
        reason=namespaces.detail if namespaces.state != "on" else network.detail,
        remedies=remedies,
    )


def _remedies(sysctl: Path, status: Path) -> tuple[str, ...]:
    """Return what would let this process make a network of its own."""
    found = [
        remedy
        for setting, forbids, remedy in _SETTINGS
        if _text(sysctl / setting).strip() == forbids
        and (os.geteuid() != 0 or setting.startswith("user/"))
    ]
    if "Seccomp:\t2" in _text(status):
        found.append(_FILTERED)
    return tuple(found) or (_ANY,)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def lines(report: NetworkReport) -> list[str]:
    """Return the report for a person."""
    if report.hosts == "by name":
        way = "with the rights of root" if report.way == "root" else "in a user namespace"
        return [f"Network rules are enforced by host and port here ({way})."]
    head = "Network rules cannot be enforced by host here"
    first = f"{head}: {report.reason}." if report.reason else f"{head}."
    without = (
        "A run with rules does not start, unless Policy(net='ports') or --net-by-port accepts that"
        " ports alone are enforced."
        if report.hosts == "by port"
        else "A run with rules does not start, and ports alone cannot be enforced either."
    )
    return [first, without, *(f"-> {remedy}" for remedy in report.remedies)]
