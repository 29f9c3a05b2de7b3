"""``jobcell doctor``: which walls this machine can give to a run, and what is missing.

Nothing is inferred from versions: the command starts a child, which puts on every layer that it
can, and then tries what these layers must refuse.
"""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Literal

import msgspec

from engine.confinement import probe_machine as probe
from engine.running import RunCgroup
from jobcell.desk import net_doctor
from jobcell.output.exit_codes import EXCEPTION, SUCCESS
from protocol.confinement import REQUIRED, ConfinementReport, MachineReport, ProbeReport

if TYPE_CHECKING:
    from rich.table import Table


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """The condition of a layer on this machine."""

    name: str
    state: Literal["on", "off", "unavailable"]
    required: bool
    detail: str | None
    stops: str
    """Actions that a run could take without this layer."""
    remedy: str | None
    """How to get the layer; None if the machine has it."""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer of `jobcell doctor`."""

    ok: bool
    """Whether a run starts here under the default policy."""
    machine: str
    kernel: str
    python: str
    uid: int
    landlock_abi: int
    filter_hash: str | None
    rows: tuple[Row, ...]
    probes: tuple[ProbeReport, ...]
    failure: str | None = None
    """Why the test child did not start; None if it did."""
    scratch: bool = False
    """Whether a run with a scratch directory starts here."""
    network: net_doctor.NetworkReport = net_doctor.NetworkReport(hosts="no")
    """How the rules of a run are enforced here."""


def report(
    machine: MachineReport | None = None, network: net_doctor.NetworkReport | None = None
) -> Diagnosis:
    """Return the diagnosis that follows from reports; by default this machine is tried out."""
    failure: str | None = None
    scratch: bool | None = None
    if machine is None:
        try:
            machine = probe()
            scratch = _has_scratch()
            network = net_doctor.examine()
        except RuntimeError as error:
            failure = str(error)
            machine = MachineReport(ConfinementReport(level="default", language=True), ())
    facts = {fact.name: fact for fact in machine.facts}
    rows = tuple(
        Row(
            name=layer.name,
            state=layer.state,
            required=layer.name in REQUIRED,
            detail=layer.detail or None,
            stops=facts[layer.name].stops,
            remedy=None if layer.state == "on" else facts[layer.name].remedy,
        )
        for layer in machine.report.layers
    )
    missing = [row for row in rows if row.required and row.state != "on"]
    through = [attempt for attempt in machine.report.probes if not attempt.blocked]
    return Diagnosis(
        ok=not (missing or through or failure),
        machine=platform.machine(),
        kernel=platform.release(),
        python=platform.python_version(),
        uid=os.geteuid(),
        landlock_abi=machine.report.landlock_abi,
        filter_hash=machine.report.filter_hash,
        rows=(*rows, _cgroup_row()),
        probes=machine.report.probes,
        failure=failure,
        scratch="mounts" in {row.name for row in rows if row.state == "on"}
        if scratch is None
        else scratch,
        network=network or net_doctor.NetworkReport(hosts="no", reason=failure),
    )


def _has_scratch() -> bool:
    """Return whether a child with a scratch directory starts here, by starting one."""
    try:
        report = probe(scratch_bytes=1_000_000).report
    except RuntimeError:
        return False
    return any(layer.name == "mounts" and layer.state == "on" for layer in report.layers)


def _cgroup_row() -> Row:
    group = RunCgroup.create("doctor", 64 * 1024 * 1024)
    if group is not None:
        group.remove()
    return Row(
        name="cgroup",
        state="unavailable" if group is None else "on",
        required=False,
        detail=None if group is None else ("version 2" if group.unified else "version 1"),
        stops="taking memory that rlimits do not count, such as the kernel's own",
        remedy=None
        if group is not None
        else "run the engine in a delegated cgroup (systemd: Delegate=memory), or as root",
    )


def table(diagnosis: Diagnosis) -> Table:
    """Return the layers as a table for a terminal."""
    from rich.table import Table

    made = Table(title="Layers of the kernel wall", title_justify="left", show_lines=False)
    for heading in ("layer", "here", "required", "detail", "it would stop -> remedy"):
        made.add_column(heading, overflow="fold")
    for row in diagnosis.rows:
        colour = "green" if row.state == "on" else "red" if row.required else "yellow"
        made.add_row(
            row.name,
            f"[{colour}]{row.state}[/]",
            "yes" if row.required else "",
            row.detail or "",
            "" if row.remedy is None else f"{row.stops}\n-> {row.remedy}",
        )
    return made


def run(json: bool) -> int:
    """Print the diagnosis; return 0 if a run starts here under the default policy, else 5."""
    diagnosis = report()
    if json:
        print(msgspec.json.encode(diagnosis).decode())
    else:
        _print(diagnosis)
    return SUCCESS if diagnosis.ok else EXCEPTION


def _print(diagnosis: Diagnosis) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(
        f"Linux {diagnosis.kernel} on {diagnosis.machine}, CPython {diagnosis.python}, "
        f"uid {diagnosis.uid}, Landlock ABI {diagnosis.landlock_abi}"
    )
    console.print(table(diagnosis))
    for attempt in diagnosis.probes:
        verdict = "refused" if attempt.blocked else "[red]SUCCEEDED[/]"
        console.print(f"probe {attempt.name}: {verdict} ({attempt.detail})")
    here = "can" if diagnosis.scratch else "[yellow]cannot[/]"
    console.print(f"A run with a scratch directory (scratch_mb) {here} be started here.")
    for line in net_doctor.lines(diagnosis.network):
        style = None if diagnosis.network.hosts == "by name" else "yellow"
        console.print(line, style=style, markup=False)
    if diagnosis.failure:
        console.print(f"[red]{diagnosis.failure}[/]", markup=True)
    console.print(
        "A run can be started here under the default policy."
        if diagnosis.ok
        else "[red]A run cannot be started here under the default policy.[/]"
    )
