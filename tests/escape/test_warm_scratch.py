"""Scratch directories of forks of a warm zygote: no run finds anything of another one there.

Such a fork begins with all capabilities over namespaces of its own, so it must give them up first.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile_adaptors import answer, engine_with, plan, started
from warm_pairs import PATIENCE_S, WarmRepo, run, set_of, wait_until_decided

from engine import Engine, Permissions, RunOptions

SCRATCH: dict[str, Any] = {"permissions": Permissions(scratch_mb=2)}


def make_warm(engine: Engine, call: str = "nothing()") -> None:
    """Use the set twice, and wait until it is warm with a scratch directory."""
    for _ in range(2):
        result, _ = run(engine, plan(call), **SCRATCH)
        if any(one.name == "mounts" and one.state != "on" for one in result.confinement.layers):
            pytest.skip("no mounts here")
    assert decided(engine).warm, decided(engine)


def decided(engine: Engine) -> Any:
    return wait_until_decided(engine, "hostile")


def engine_for(repo: WarmRepo, source: str) -> Engine:
    return engine_with(repo, source, preload=())


KEEPS_POWER = """
    def with_power():
        for wall in gc.get_objects():
            if type(wall).__name__ == "ReadyWall":
                wall._calls = tuple(pair for pair in wall._calls if pair[0].NAME != "powerless")

    @verb
    def stay():
        print("pid", os.getpid(), flush=True)
        time.sleep(3)
        return os.getppid()
"""


def capabilities_of_a_fork(engine: Engine) -> int:
    handle, pid = started(engine, "stay()", **SCRATCH)
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = next(line for line in lines if line.startswith("CapEff:"))
    assert handle.result(PATIENCE_S).reason == "success"
    return int(found.split()[1], 16)


def test_a_fork_with_capabilities_gets_no_pipes(repo: WarmRepo):
    """It is killed, and the run gets a fork of the clean zygote, which has none."""
    with engine_for(repo, KEEPS_POWER + "\n    with_power()\n") as engine:
        make_warm(engine)
        assert capabilities_of_a_fork(engine) == 0


def test_without_the_look_a_fork_keeps_its_capabilities(
    repo: WarmRepo, edited: Callable[..., None]
):
    """The twin: it runs with all of them, over its own namespaces."""
    edited("warm/forks.py", "if not self._proc.is_powerless(pid):", "if False:")
    with engine_for(repo, KEEPS_POWER + "\n    with_power()\n") as engine:
        make_warm(engine)
        assert capabilities_of_a_fork(engine) != 0


THREAD_WITH_POWER = """
    # The first thread gives its capabilities up; this one keeps them.
    os.register_at_fork(
        after_in_child=lambda: threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
    )

    @verb
    def stay():
        print("pid", os.getpid(), flush=True)
        time.sleep(1)
        return threading.active_count()
"""


def test_a_fork_with_a_thread_gets_no_pipes(repo: WarmRepo):
    """A thread has capabilities of its own, so there may be none when they are looked at."""
    with engine_for(repo, THREAD_WITH_POWER) as engine:
        make_warm(engine)
        assert answer(engine, "stay()", **SCRATCH) == 1, "in a fork of the clean zygote"


def test_without_the_look_a_fork_has_a_thread(repo: WarmRepo, edited: Callable[..., None]):
    """The twin: the thread was there before the run, and has its capabilities."""
    edited("warm/seen.py", 'int(lines[b"Threads"]) == 1 and', "True and")
    with engine_for(repo, THREAD_WITH_POWER) as engine:
        make_warm(engine)
        assert answer(engine, "stay()", **SCRATCH) == 2


MAPS = """
    without_own_filter()
    shared = []
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, *[ctypes.c_size_t] * 5]

    def map_it():
        # Python's own mmap would keep a descriptor.
        try:
            file = os.open("/tmp/kept", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            shared.append(ctypes.create_string_buffer(str(error.errno).encode(), 100))
            return
        os.ftruncate(file, 4096)
        shared.append(ctypes.c_char.from_address(libc.mmap(None, 4096, 3, 1, file, 0)))
        os.close(file)

    def place():
        if not shared:
            return ctypes.create_string_buffer(100)  # in a cold run
        return shared[-1]

    @verb
    def tell(secret):
        ctypes.memmove(ctypes.addressof(place()), secret.encode(), len(secret))

    @verb
    def hear():
        return ctypes.string_at(ctypes.addressof(place())).decode()
"""
MAPS_AT_IMPORT = MAPS + '\n    map_it()\n    os.unlink("/tmp/kept")\n'
MAPS_AT_FORK = MAPS + "\n    os.register_at_fork(after_in_child=map_it)\n"
NOT_SETTLED = (
    "warm/warden.py",
    "offence = self._proc.offence(self._pid) or self._settle()",
    "offence = self._proc.offence(self._pid)",
)


def test_a_file_that_an_import_maps_connects_no_runs(repo: WarmRepo):
    """A warm zygote whose directory has a file, with a name or without one, is ended."""
    with engine_for(repo, MAPS_AT_IMPORT) as engine:
        for _ in range(2):
            answer(engine, "tell('secret of A')", **SCRATCH)
        assert (
            decided(engine).reason == "it keeps files in its scratch directory while it is imported"
        )
        assert answer(engine, "hear()", **SCRATCH) == ""


def test_a_fork_cannot_use_the_directory_of_its_warm_zygote(repo: WarmRepo):
    """It is read-only in the time between the fork and the mount of a new one."""
    with engine_for(repo, MAPS_AT_FORK) as engine:
        make_warm(engine)
        answer(engine, "tell('secret of A')", **SCRATCH)
        assert answer(engine, "hear()", **SCRATCH) == "30", "EROFS"
        assert set_of(engine, "hostile").warm


@pytest.mark.parametrize("source", [MAPS_AT_IMPORT, MAPS_AT_FORK], ids=["import", "fork"])
def test_without_the_look_a_mapped_file_connects_runs(
    repo: WarmRepo, edited: Callable[..., None], source: str
):
    """The twin: one run reads what another has written into the memory of the file."""
    edited(*NOT_SETTLED)
    with engine_for(repo, source) as engine:
        make_warm(engine)
        answer(engine, "tell('secret of A')", **SCRATCH)
        assert answer(engine, "hear()", **SCRATCH) == "secret of A"


FILES = """
    without_own_filter()

    @verb
    def leave():
        open("/tmp/left", "x").write("mine")
        os.mkdir("/tmp/d")
        return sorted(name for name in os.listdir("/tmp") if name in ("left", "d"))

    @verb
    def attack():
        told = []
        for act in (
            lambda: open("/.scratch/x", "w"), lambda: os.mkdir("/.scratch/d"),
            lambda: os.rename("/tmp", "/x"), lambda: open("/usr/x", "w"),
            lambda: os.mknod("/tmp/fifo", 0o010644), lambda: os.chmod("/tmp", 0o4777),
            lambda: os.link("/tmp", "/tmp/l"), lambda: os.setxattr("/tmp", "user.a", b"b"),
        ):
            try:
                act()
                told.append("done")
            except OSError:
                pass
        return told

    @verb
    def unmount():
        ctypes.CDLL(None).umount2(b"/.scratch/tmp", 2)
"""


def test_each_fork_has_an_empty_directory_and_nothing_else(repo: WarmRepo):
    """Files of one run are in no other, and the walls around the directory hold without its help."""
    with engine_for(repo, FILES) as engine:
        make_warm(engine)
        for _ in range(2):
            assert answer(engine, "leave()", **SCRATCH) == ["d", "left"]
            assert answer(engine, "attack()", **SCRATCH) == []
        ended = engine.execute(plan("unmount()"), options=RunOptions(**SCRATCH)).result(PATIENCE_S)
        assert "SIGSYS" in str(ended.error.message) or ended.error.name == "SecurityError"
        assert set_of(engine, "hostile").warm
        assert not Path("/tmp/left").exists()


def test_without_a_mount_forks_share_the_directory(repo: WarmRepo, edited: Callable[..., None]):
    """The twin: a fork finds the directory of its warm zygote, with the files of earlier runs."""
    edited(*NOT_SETTLED)
    edited("warm/forks.py", "self._shared.scratches().mount(pidfd, request)", "pass")
    with engine_for(repo, FILES) as engine:
        make_warm(engine)
        assert answer(engine, "leave()", **SCRATCH) == ["d", "left"]
        result, _ = run(engine, plan("leave()"), **SCRATCH)
        assert result.error.subtype == "FileExistsError", result.error
