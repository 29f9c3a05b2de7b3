"""The wall on hosts unlike this one: an ordinary user, a container, an older kernel.

The tests emulate such a host.  They give the child another user id, or a filter that denies the
same calls as a default container, or a filter that makes the kernel look older.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from harness import Child, make_request, run_hostile
from modes import let_everybody_in

from protocol.confinement import LAYERS

DENY = """
import ctypes, struct
from sandbox_child.confine.bpf import ALLOW, assemble, refuse, verdict
from sandbox_child.confine.kernel import AUDIT_ARCH, NUMBERS, address_of, prctl, syscall
denied = {{NUMBERS[name]: verdict(refuse(errno)) for name, errno in {denied!r}.items()}}
code = assemble(AUDIT_ARCH, denied.items(), otherwise=ALLOW, past_the_end=1 << 30)
program = bytearray(b"".join(one.to_bytes(8, "little") for one in code))
address = address_of(program).to_bytes(8, "little")
prctl(38, 1)
syscall("seccomp", 1, 0, (len(code)).to_bytes(8, "little") + address)
"""
"""Code that a child runs before it confines itself: the kernel then answers as on the other host.
"""

EPERM, ENOSYS = 1, 38
CONTAINER = dict.fromkeys(
    ("unshare", "mount", "umount2", "pivot_root", "open_tree", "move_mount", "fsopen", "setns"),
    EPERM,
)
ATTACKS = {
    "read": "open('/etc/passwd').read()",
    "list": "__import__('os').listdir('/')",
    "environ": "open('/proc/%d/environ' % __import__('os').getppid()).read()",
    "write": "open('/tmp/jobcell-escape', 'w').write('x')",
    "socket": "__import__('socket').socket()",
    "fork": "__import__('os').fork() or __import__('os')._exit(0)",
    "execve": "__import__('os').execv('/bin/true', ['true'])",
    "kill": "__import__('os').kill(__import__('os').getppid(), 0)",
    "memory": "bytearray(400 << 20)",
}
TRY_ALL = f"""
for name, attack in {ATTACKS!r}.items():
    try:
        exec(attack)
    except (OSError, MemoryError):
        pass
    else:
        print(name, flush=True)
import ssl, sqlite3, asyncio, threading
asyncio.run(asyncio.to_thread(lambda: 0))
print("end", flush=True)
"""
"""Prints the name of every attack that succeeds, and uses the libraries that could be missing."""


def test_in_a_container_that_denies_namespaces_the_required_layers_hold():
    """Namespaces and mounts are reported as missing, but every attack still fails."""
    outcome = run_hostile(TRY_ALL, before=DENY.format(denied=CONTAINER))

    assert outcome.out == "end\n", outcome.err
    for name in ("namespaces", "mounts"):
        assert outcome.layers[name].state == "unavailable"
        assert outcome.layers[name].detail == "unshare: EPERM"
    for name in ("landlock", "seccomp", "rlimits", "no_new_privs"):
        assert outcome.layers[name].state == "on"
    assert all(probe.blocked for probe in outcome.report.probes)


def test_certificate_authorities_are_found_with_and_without_a_root_of_its_own():
    """Without mounts, the links lead to the same files as outside."""
    count = "import ssl; print(len(ssl.create_default_context().get_ca_certs()))"
    outside = subprocess.run([sys.executable, "-I", "-c", count], capture_output=True, check=True)
    expected = outside.stdout.decode()

    for before in ("", DENY.format(denied=CONTAINER)):
        assert run_hostile(count, net=("example.org:443",), before=before).out == expected


def test_in_a_container_a_zygote_works_as_well():
    """The forks report the layers that the zygote could not make."""
    outcome = run_hostile(TRY_ALL, before=DENY.format(denied=CONTAINER), zygote=make_request())

    assert outcome.out == "end\n", outcome.err
    assert outcome.layers["mounts"].state == "unavailable"


def test_where_only_mounting_is_denied_the_network_is_still_left():
    """Each layer is tried on its own; a child that failed half-way keeps its old root."""
    denied = {name: EPERM for name in CONTAINER if name != "unshare"}

    outcome = run_hostile(TRY_ALL, before=DENY.format(denied=denied))

    assert outcome.out == "end\n", outcome.err
    assert outcome.layers["namespaces"].state == "on"
    assert outcome.layers["mounts"].state == "unavailable"


@pytest.mark.parametrize(
    ("call", "errno", "layer", "reason"),
    [
        ("landlock_create_ruleset", ENOSYS, "landlock", "ENOSYS"),
        ("landlock_create_ruleset", 95, "landlock", "EOPNOTSUPP"),
        ("landlock_restrict_self", EPERM, "landlock", "landlock_restrict_self: EPERM"),
        ("seccomp", EPERM, "seccomp", "seccomp: EPERM"),
        ("prlimit64", EPERM, "rlimits", "EPERM"),
    ],
)
def test_a_missing_required_layer_is_refused_before_a_job_is_read(call, errno, layer, reason):
    """The refusal gives the name of the layer, the reason, and a remedy."""
    outcome = Child("print('ran')", before=DENY.format(denied={call: errno})).finish()

    assert outcome.out == ""
    assert outcome.refusal[0] == layer
    assert reason in outcome.refusal[1]
    assert outcome.refusal[2]


def test_a_layer_that_does_not_hold_is_refused():
    """A probe that succeeds counts more than a call that did not fail.

    Every report says that the filter is on, but it lets everything through.
    """
    blind = "from sandbox_child.confine import seccomp\nseccomp.apply = lambda task: None"

    outcome = Child("print('ran')", before=blind).finish()

    assert outcome.refusal[0] == "seccomp"
    assert "probe" in outcome.refusal[1]
    assert outcome.out == ""


def test_level_none_puts_on_no_wall_and_says_so():
    """A session of its own, PDEATHSIG and closed descriptors are housekeeping, and not layers."""
    outcome = run_hostile("print(len(open('/etc/passwd').read()) > 0)", level="none", required=())

    assert outcome.out == "True\n"
    assert outcome.report.level == "none"
    on = {name for name, layer in outcome.layers.items() if layer.state == "on"}
    assert on == {"session", "pdeathsig", "descriptors"}
    assert outcome.report.probes == ()


def test_every_layer_is_in_the_report():
    """The report lists the layers in their order, whether they are on or off."""
    outcome = run_hostile("", without=("mdwe",))

    assert tuple(outcome.layers) == LAYERS
    assert outcome.layers["mdwe"].state == "off"
    assert outcome.report.landlock_abi >= 3
    assert len(outcome.report.filter_hash) == 64
    assert [probe.name for probe in outcome.report.probes] == ["open", "socket", "fork"]


SYSTEM_PYTHON = "/usr/bin/python3"
READABLE = """
import json, sys, types
stub = types.ModuleType("engine")
stub.__path__ = [sys.argv[1] + "/engine"]
sys.modules["engine"] = stub
from engine.confinement import interpreter
print(json.dumps([interpreter.readable(), interpreter.hidden(), interpreter.child_command()]))
"""


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory):
    """The things that an ordinary user needs to start children, if this machine has them.

    As root: the child gets the user id of nobody, an interpreter that every user may read, and
    copies of our packages.
    """
    if os.geteuid() != 0:
        return {"command": None, "request": make_request()}
    if not shutil.which("setpriv"):
        pytest.skip("needs setpriv to become another user")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    python = next(
        (p for p in (f"/usr/bin/python{version}", SYSTEM_PYTHON) if Path(p).exists()), None
    )
    if (
        python is None
        or version
        not in subprocess.run([python, "-V"], capture_output=True, text=True, check=False).stdout
    ):
        pytest.skip(f"needs a Python {version} that every user may run")
    home = tmp_path_factory.mktemp("ordinary")
    import msgspec as m
    import RestrictedPython

    import engine
    import protocol
    import sandbox_child

    for package in (engine, protocol, sandbox_child, m, RestrictedPython):
        name = package.__name__
        shutil.copytree(
            next(iter(package.__path__)), home / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(Path(__file__).parent / "hostile_child.py", home)
    let_everybody_in(home)
    facts = subprocess.run(
        [python, "-c", READABLE, str(home)],
        env={"PYTHONPATH": str(home)},
        cwd=home,  # `-c` looks there first, and the clone may lie where the user cannot read
        capture_output=True,
        text=True,
        check=True,
    )
    readable, hidden, command = msgspec.json.decode(facts.stdout)
    user = ["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    return {
        "command": [*user, *command],
        "request": msgspec.structs.replace(
            make_request(), read_paths=tuple(readable), hidden_paths=tuple(hidden)
        ),
        "script": home / "hostile_child.py",
    }


@pytest.mark.parametrize("start", ["exec", "zygote"])
@pytest.mark.parametrize("host", ["plain", "container"])
def test_an_ordinary_user_has_the_whole_wall(ordinary, host, start):
    """Layers do not need root; in a container the namespaces are missing as they are for root."""
    request = ordinary["request"]
    outcome = run_hostile(
        TRY_ALL,
        request=request,
        command=ordinary["command"],
        script=ordinary.get("script"),
        before=DENY.format(denied=CONTAINER) if host == "container" else "",
        zygote=request if start == "zygote" else None,
    )

    assert outcome.out == "end\n", outcome.err
    missing = {name for name, layer in outcome.layers.items() if layer.state != "on"}
    if host == "container":
        assert missing == {"namespaces", "mounts"}
    elif Path("/proc/sys/user/max_user_namespaces").read_text().strip() != "0":
        assert missing <= {"namespaces", "mounts"}
        if missing:
            pytest.skip("this machine gives ordinary users no namespaces")
    assert "uid unchanged" in outcome.layers["identity"].detail


def test_an_ordinary_user_cannot_take_more_threads_than_a_run_has(ordinary):
    """In a user namespace of its own, RLIMIT_NPROC counts only this run."""
    source = """
import os, threading
made = 0
try:
    while made < 200:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        made += 1
except RuntimeError:
    pass
print(made, flush=True)
os._exit(0)
"""
    outcome = run_hostile(
        source,
        request=ordinary["request"],
        command=ordinary["command"],
        script=ordinary.get("script"),
        zygote=ordinary["request"],
    )
    if "processes not counted" in outcome.layers["identity"].detail:
        pytest.skip("this machine gives ordinary users no namespaces")
    assert int(outcome.out) < 64, outcome.err
