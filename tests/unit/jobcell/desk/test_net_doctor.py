"""The lines of `jobcell doctor` about the enforcement of network rules."""

from __future__ import annotations

import os

import pytest

from jobcell.desk.net_doctor import NetworkReport, _remedies, conclude, examine, lines
from protocol.confinement import LayerReport


def layers(*, network=("on", "by name"), namespaces=("on", "net ipc uts"), landlock="on"):
    return {
        "network": LayerReport("network", network[0], detail=network[1]),
        "namespaces": LayerReport("namespaces", namespaces[0], detail=namespaces[1]),
        "landlock": LayerReport("landlock", landlock),
    }


@pytest.mark.parametrize(
    ("detail", "way", "words"),
    [
        ("net ipc uts", "root", "with the rights of root"),
        ("user net ipc uts", "user namespace", "in a user namespace"),
    ],
)
def test_the_way_of_enforcement_is_named(detail, way, words):
    """The rights are root's, or those of a user namespace."""
    report = conclude(layers(namespaces=("on", detail)), 7, ())
    assert report == NetworkReport(hosts="by name", way=way)
    assert lines(report) == [f"Network rules are enforced by host and port here ({words})."]


@pytest.mark.parametrize(
    ("abi", "landlock", "hosts", "words"),
    [
        (4, "on", "by port", "unless Policy(net='ports') or --net-by-port accepts"),
        (3, "on", "no", "ports alone cannot be enforced either"),
        (7, "unavailable", "no", "ports alone cannot be enforced either"),
    ],
)
def test_without_namespaces_the_kernel_s_landlock_decides(abi, landlock, hosts, words):
    """The lines have the call that failed, the consequence and what to do."""
    found = layers(
        network=("unavailable", "unshare: EPERM"),
        namespaces=("unavailable", "unshare: ENOSPC"),
        landlock=landlock,
    )
    report = conclude(found, abi, ("run it as root",))
    assert (report.hosts, report.way, report.reason) == (hosts, None, "unshare: ENOSPC")
    first, second, third = lines(report)
    assert first == "Network rules cannot be enforced by host here: unshare: ENOSPC."
    assert words in second
    assert third == "-> run it as root"


def test_a_network_that_fails_inside_of_its_namespace_is_told():
    """The namespace works, but its network does not."""
    report = conclude(layers(network=("unavailable", "netlink: EPERM")), 7, ())
    assert (report.hosts, report.reason) == ("by port", "netlink: EPERM")


@pytest.fixture
def settings(tmp_path):
    """Write settings of a kernel: `settings(name=value)`; return the remedies for them."""

    def write(status="Seccomp:\t0\n", **values):
        for name, value in values.items():
            place = tmp_path / ("user" if name.startswith("max") else "kernel") / name
            place.parent.mkdir(exist_ok=True)
            place.write_text(f"{value}\n")
        (tmp_path / "status").write_text(status)
        return _remedies(tmp_path, tmp_path / "status")

    return write


def test_settings_that_forbid_namespaces_are_named(settings):
    """Each with the value that would be right; those for ordinary users only for these."""
    assert settings() == ("run the engine as root, or allow user namespaces",)
    assert settings(max_user_namespaces=0) == ("set user.max_user_namespaces above 0 (sysctl)",)
    found = settings(apparmor_restrict_unprivileged_userns=1, unprivileged_userns_clone=0)
    assert len(found) == (3 if os.geteuid() else 1)


def test_a_filter_of_system_calls_is_named(settings):
    """It is nearly always that of a container."""
    (found,) = settings("Name:\tx\nSeccomp:\t2\n")
    assert found == "a seccomp filter is on, as in a container: run it with deploy/seccomp.json"


def test_this_machine_is_tried(tmp_path):
    """The answer is one of three, and a machine that can do it needs no remedy."""
    report = examine()
    assert report.hosts in {"by name", "by port", "no"}
    assert bool(report.remedies) == (report.hosts != "by name")
