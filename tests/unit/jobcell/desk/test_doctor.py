"""`jobcell doctor` reports what this machine lacks, the effect of this, and the remedy."""

from __future__ import annotations

import io
import json

import msgspec
import pytest

from jobcell.desk import doctor
from protocol.confinement import (
    LAYERS,
    REQUIRED,
    ConfinementReport,
    LayerFacts,
    LayerReport,
    MachineReport,
    ProbeReport,
)


def machine(*, missing=(), through=()):
    layers = tuple(
        LayerReport(name, "unavailable" if name in missing else "on", False, "EPERM")
        for name in LAYERS
    )
    probes = tuple(
        ProbeReport(name, blocked=name not in through, detail="EACCES")
        for name in ("open", "socket", "fork")
    )
    facts = tuple(LayerFacts(name, f"what {name} stops", f"get {name}") for name in LAYERS)
    return MachineReport(
        ConfinementReport(level="default", language=True, layers=layers, probes=probes), facts
    )


def test_a_machine_with_everything_is_well():
    """Each layer is there, and no action is needed."""
    diagnosis = doctor.report(machine())

    assert diagnosis.ok
    assert [row.name for row in diagnosis.rows] == [*LAYERS, "cgroup"]
    assert all(row.remedy is None for row in diagnosis.rows if row.name != "cgroup")


def test_a_missing_best_effort_layer_is_told_and_is_no_failure():
    """The report says which attack the layer would have stopped, and how to get the layer."""
    diagnosis = doctor.report(machine(missing=("mounts",)))
    (row,) = (row for row in diagnosis.rows if row.name == "mounts")

    assert diagnosis.ok
    assert (row.state, row.required) == ("unavailable", False)
    assert row.stops == "what mounts stops"
    assert row.remedy == "get mounts"


def test_scratch_directories_need_mounts():
    """The report says whether a run with the permission starts; it is well without that."""
    assert doctor.report(machine()).scratch
    diagnosis = doctor.report(machine(missing=("mounts",)))
    assert diagnosis.ok
    assert not diagnosis.scratch


def test_each_missing_required_layer_is_a_failure():
    """No run would start on such a machine."""
    for name in REQUIRED:
        assert not doctor.report(machine(missing=(name,))).ok


def test_a_probe_that_gets_through_is_a_failure():
    """The probe counts even if every layer reports that it is on."""
    assert not doctor.report(machine(through=("socket",))).ok


def test_the_table_names_every_layer():
    """The table is printed for a person."""
    from rich.console import Console

    diagnosis = doctor.report(machine(missing=("landlock",)))
    console = Console(width=200, file=io.StringIO())
    with console.capture() as printed:
        console.print(doctor.table(diagnosis))
    text = printed.get()

    assert all(name in text for name in LAYERS)
    assert "-> get landlock" in text


@pytest.mark.slow
def test_this_machine_is_diagnosed_as_json_and_by_exit_code(capsys):
    """The code is 0 exactly if the default policy can be met."""
    code = doctor.run(json=True)
    said = json.loads(capsys.readouterr().out)

    assert (code == 0) is said["ok"]
    assert msgspec.convert(said, doctor.Diagnosis).ok is said["ok"]


def test_a_child_that_cannot_be_tried_is_a_failure_that_says_why(monkeypatch, capsys):
    """The report must not look like that of a good machine."""

    def broken():
        raise RuntimeError("the test child could not be started: no such interpreter")

    monkeypatch.setattr(doctor, "probe", broken)

    assert doctor.run(json=False) != 0
    assert "no such interpreter" in " ".join(capsys.readouterr().out.split())
