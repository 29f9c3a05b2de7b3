"""The walls of a fork of a warm zygote hold also if the fork puts on none of them itself."""

from __future__ import annotations

from collections.abc import Callable

from hostile_adaptors import answer, engine_with, plan
from warm_pairs import WarmRepo, run, wait_until_decided

ATTACKS = """
    without_own_filter()

    @verb
    def attack():
        import socket
        told = []
        for act in (
            lambda: open("/etc/passwd"), lambda: os.listdir("/"), socket.socket,
            lambda: open("/tmp/x", "w"), lambda: os.setuid(0), lambda: os.chdir("/"),
            lambda: open("/proc/self/mem"), lambda: os.symlink("a", "/tmp/b"),
        ):
            try:
                act()
                told.append(act)
            except OSError:
                pass
        return [len(told), os.getuid() >= 0x70000000, prctl(4, 1)]

    @verb
    def without_signal_of_the_parent():
        return prctl(1, 0)

    @verb
    def deadly():
        os.chroot("/")
"""


def test_the_walls_of_a_warm_fork_stand_without_its_help(repo: WarmRepo, as_root: None):
    """Even if a fork puts on nothing itself, it reads, reaches and changes no more than a run."""
    with engine_with(repo, ATTACKS) as engine:
        assert wait_until_decided(engine, "hostile").warm
        assert answer(engine, "attack()") == [0, True, 1]
        assert answer(engine, "without_signal_of_the_parent()") == 1, "EPERM"
        ended, _ = run(engine, plan("deadly()"))
        assert ended.error.name in ("SecurityError", "ExitError"), ended.error


def test_without_the_filter_of_a_warm_zygote_its_forks_have_none(
    repo: WarmRepo, edited: Callable[..., None], as_root: None
):
    """The twin: a fork makes a socket, changes its directory, and becomes dumpable."""
    edited(
        "confine/gate.py",
        "    _install(\n        bpf.assemble(",
        "    (lambda *_: None)(\n        bpf.assemble(",
    )
    # A fork would notice it by itself.
    edited("confine/wall.py", "if not result.blocked and layer", "if False and layer")
    with engine_with(repo, ATTACKS) as engine:
        assert wait_until_decided(engine, "hostile").warm
        assert answer(engine, "attack()") == [2, True, 0]
