"""The seccomp profile of docs/deploying.md gives a container every layer, and nothing else that Docker withholds."""

from __future__ import annotations

import functools
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from network_jobs import Echo, install_connector

ROOT = Path(__file__).parents[2]

pytest.importorskip("pyseccomp", exc_type=ImportError)
from containers import DOCKER_CAPABILITIES, run_contained  # noqa: E402 - needs libseccomp

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up capabilities")

MAKER = runpy.run_path(str(ROOT / "deploy" / "seccomp.py"))
PROFILE: dict[str, Any] = json.loads((ROOT / "deploy" / "seccomp.json").read_text())
"""The file, as a container engine reads it."""

DEFAULT: dict[str, Any] = MAKER["profile"](added=False)
"""The file without its additions."""

PROFILES = {"whole": PROFILE, "default": DEFAULT, "none": None}


def jobcell(profile: dict[str, Any] | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as root in a container of Docker."""
    command = [sys.executable, "-m", "jobcell", *arguments]
    return run_contained(command, profile, user=0, capabilities=DOCKER_CAPABILITIES, cwd=ROOT)


@functools.cache
def doctor(name: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code of `jobcell doctor` behind a profile, and what it says; it is asked once for each profile."""
    done = jobcell(PROFILES[name], "doctor", "--json")
    return done.returncode, json.loads(done.stdout)


def layers(name: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the exit code of `jobcell doctor`, and its layers by name."""
    code, found = doctor(name)
    return code, {row["name"]: row for row in found["rows"]}


def test_the_file_is_what_its_program_writes() -> None:
    """If this fails, run `python deploy/seccomp.py`."""
    assert (ROOT / "deploy" / "seccomp.json").read_text() == MAKER["text"]()


def test_the_profile_lets_every_layer_through() -> None:
    """Root in a container has few capabilities, so the layers come from a user namespace."""
    _, without_profile = layers("none")

    code, found = layers("whole")

    assert code == 0
    assert {name: row["state"] for name, row in found.items()} == {
        name: row["state"] for name, row in without_profile.items()
    }
    assert found["namespaces"]["state"] == found["mounts"]["state"] == "on"
    assert found["namespaces"]["detail"] == "user net ipc uts"


def test_without_the_additions_doctor_names_the_layers_that_are_missing() -> None:
    """The twin: runs start under the default profile of a container engine, with two layers fewer."""
    code, found = layers("default")

    assert code == 0
    missing = [name for name, row in found.items() if row["state"] == "unavailable"]
    assert [name for name in missing if name != "cgroup"] == ["namespaces", "mounts"]
    assert "no filter that denies unshare" in found["namespaces"]["remedy"]
    assert "mount permitted" in found["mounts"]["remedy"]


def network(name: str) -> Any:
    """Return what `jobcell doctor` says about the enforcement of network rules."""
    return doctor(name)[1]["network"]


def test_hosts_are_enforced_behind_the_profile() -> None:
    """Through a user namespace; doctor says how."""
    assert network("whole") == {
        "hosts": "by name",
        "way": "user namespace",
        "reason": None,
        "remedies": [],
    }


def test_without_the_additions_ports_alone_can_be_enforced() -> None:
    """The twin: doctor names the call, and the profile as the remedy."""
    found = network("default")

    assert (found["hosts"], found["way"]) == ("by port", None)
    assert found["reason"] == "unshare: EPERM"
    assert found["remedies"] == [
        "a seccomp filter is on, as in a container: run it with deploy/seccomp.json"
    ]


def test_a_run_succeeds_behind_the_profile(tmp_path: Path) -> None:
    """The whole engine works there: its zygote, its child, and the end of both."""
    job = tmp_path / "job.py"
    job.write_text("def main(state):\n    return {'n': state['n'] + 1}\n")
    state = tmp_path / "state.json"
    state.write_text('{"n": 1}')

    done = jobcell(PROFILE, "run", str(job), "--state", str(state))

    assert (done.returncode, json.loads(done.stdout)) == (0, {"n": 2}), done.stderr


def test_a_run_reaches_its_host_behind_the_profile(tmp_path: Path) -> None:
    """The relay works there, too, and the other port of the same machine is not reached."""
    repo, allowed, other = install_connector(tmp_path), Echo(), Echo()
    job = tmp_path / "job.py"
    job.write_text(f"reach(('127.0.0.1', {allowed.port}), ('127.0.0.1', {other.port}))")
    words = ("run", str(job), "--adaptor", "net", "--repo", str(repo))

    done = jobcell(PROFILE, *words, "--net", f"127.0.0.1:{allowed.port}")

    for server in (allowed, other):
        server.close()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["data"] == ["ping", "ConnectionRefusedError"]
    assert (allowed.connections, other.connections) == (1, 0)


CALLS = """
import ctypes, errno, json, os
libc = ctypes.CDLL(None, use_errno=True)
from sandbox_child.confine import numbers_x86_64, numbers_aarch64
numbers = {"x86_64": numbers_x86_64, "aarch64": numbers_aarch64}[os.uname().machine].NUMBERS

def call(name, *arguments):
    number = numbers[name] if isinstance(name, str) else name
    pid = os.fork()
    if not pid:
        result = libc.syscall(number, *arguments)
        os._exit(ctypes.get_errno() if result < 0 else 0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return errno.errorcode.get(status, status)

print(json.dumps({
    "unshare, user": call("unshare", 0x10000000),
    "unshare, pid": call("unshare", 0x30000000),
    "unshare, cgroup": call("unshare", 0x12000000),
    "unshare, files": call("unshare", 0x400),
    "setns": call("setns", 0, 0),
    "clone, user": call("clone", 0x10000000 | 17, 0, 0, 0, 0),
    "clone3": call("clone3", 0, 0),
    "ptrace": call("ptrace", 0, 0, 0, 0),
    "keyctl": call("keyctl", 0, -3, 0),
    "bpf": call("bpf", 0, 0, 0),
    "io_uring_setup": call("io_uring_setup", 1, 0),
    "perf_event_open": call("perf_event_open", 0, 0, -1, -1, 0),
    "vsock": call("socket", 40, 1, 0),
    "alg": call("socket", 38, 5, 0),
    "inet": call("socket", 2, 1, 0),
    "mount": call("mount", b"none", b"/", 0, 1 << 18, 0),
    "unknown": call(1000),
}))
"""


def calls(profile: dict[str, Any] | None) -> dict[str, Any]:
    """Return the result of each system call in a container."""
    command = [sys.executable, "-c", CALLS]
    done = run_contained(command, profile, user=0, capabilities=DOCKER_CAPABILITIES, cwd=ROOT)
    return json.loads(done.stdout)


def test_the_profile_still_refuses_what_a_run_does_not_need() -> None:
    """Outside of a user namespace the kernel refuses mount itself; an unknown call looks like an older kernel."""
    # A call of which only some flags are allowed gets the default answer for the others.
    refused = {name: code for name, code in calls(PROFILE).items() if code != 0}

    assert refused == {
        "unshare, pid": "ENOSYS",
        "unshare, cgroup": "ENOSYS",
        "unshare, files": "ENOSYS",
        "setns": "EPERM",
        "clone, user": "ENOSYS",
        "clone3": "ENOSYS",
        "ptrace": "EPERM",
        "keyctl": "EPERM",
        "bpf": "EPERM",
        "io_uring_setup": "EPERM",
        "perf_event_open": "EPERM",
        "vsock": "ENOSYS",
        "alg": "ENOSYS",
        "mount": "EPERM",
        "unknown": "ENOSYS",
    }


def test_without_a_profile_the_same_calls_reach_the_kernel() -> None:
    """The twin: the profile has refused them, and nothing else."""
    found = calls(None)

    reached = [
        "unshare, user",
        "unshare, pid",
        "unshare, cgroup",
        "unshare, files",
        "clone, user",
        "ptrace",
        "inet",
    ]
    assert {name: found[name] for name in reached} == dict.fromkeys(reached, 0)
    assert found["clone3"] != "ENOSYS"


def test_the_default_profile_refuses_the_additions() -> None:
    """Another twin: with the base alone, no namespace can be made."""
    assert calls(DEFAULT)["unshare, user"] == "EPERM"
