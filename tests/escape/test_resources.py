"""Resources: memory, descriptors, threads, processor time and disk have a limit."""

from __future__ import annotations

import os
import signal
import time

import pytest
from harness import MEGABYTE, run_hostile

FAR = ("mounts", "landlock", "identity")

SYSCALL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
def grab(size, flags):
    address = libc.mmap(None, size, 3, flags, -1, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        raise MemoryError
    for at in range(0, size, 4096):
        ctypes.memset(address + at, 1, 1)
    print('taken')
"""

GRABS = {
    "bytearray": "x = bytearray({size}); print('taken')",
    "private": SYSCALL + "grab({size}, 0x22)",
    "shared_anonymous": SYSCALL + "grab({size}, 0x21)",
    "growing_like_a_stack": SYSCALL + "grab({size}, 0x122)",
    "many_pieces": "x = [bytearray(1 << 20) for _ in range({size} >> 20)]; print('taken')",
    "memfd": "import os; m = os.memfd_create('x'); print('taken', [os.write(m, b'x' * (1 << 20)) for _ in range({size} >> 20)][0])",
    "mmap": "import mmap; m = mmap.mmap(-1, {size}); m[::4096] = b'x' * ({size} // 4096); print('taken')",
    "brk_later_mprotect": SYSCALL
    + "libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]\n"
    "a = libc.mmap(None, {size}, 0, 0x22, -1, 0)\nif libc.mprotect(a, {size}, 3): raise MemoryError\nprint('taken')",
    "threads": "import threading\n"
    "def hold(): x = bytearray(32 << 20); e.wait()\n"
    "e = threading.Event(); ts = []\n"
    "threading.excepthook = lambda a: os._exit(1)\nimport os\n"
    "for _ in range({size} >> 25): t = threading.Thread(target=hold); t.start(); ts.append(t)\n"
    "print('taken', flush=True); os._exit(0)",
}


@pytest.mark.parametrize("how", GRABS)
def test_memory_past_the_limit_cannot_be_taken(how):
    """RLIMIT_DATA limits each kind of memory that it counts; the filter refuses the others."""
    source = GRABS[how].format(size=128 * MEGABYTE)

    outcome = run_hostile(source, memory_bytes=64 * MEGABYTE)

    assert "taken" not in outcome.out
    assert outcome.peak_bytes < 124 * MEGABYTE
    twin = run_hostile(source, without=("rlimits", "seccomp"), memory_bytes=64 * MEGABYTE)
    assert "taken" in twin.out, twin.err


def test_memory_below_the_limit_can_be_taken():
    """The limit counts used memory, and not the memory that an interpreter reserves."""
    source = GRABS["bytearray"].format(size=60 * MEGABYTE)

    assert run_hostile(source, memory_bytes=100 * MEGABYTE).out == "taken\n"


def test_descriptors_run_out():
    """A run has 64 descriptors."""
    source = """
import os
try:
    for made in range(100000):
        os.dup(0)
except OSError:
    print(made < 64)
"""
    assert run_hostile(source).out == "True\n"
    assert run_hostile(source, without=("rlimits",)).out in ("False\n", "")


def test_threads_run_out():
    """A run has 64 threads if the kernel counts them for each run; otherwise memory limits them."""
    source = """
import os, threading
hold = threading.Event()
made = 0
try:
    while made < 300:
        threading.Thread(target=hold.wait, daemon=True).start()
        made += 1
except RuntimeError:
    pass
print(made, flush=True)
os._exit(0)
"""
    assert int(run_hostile(source).out) < 64
    assert int(run_hostile(source, without=("rlimits", "identity")).out) == 300


def test_forty_threads_with_stacks_of_their_own_are_no_problem():
    """The limits leave room for an honest pool."""
    source = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(40) as pool:
    print(sum(pool.map(lambda n: n * n, range(1000))))
"""
    assert (
        run_hostile(source, memory_bytes=128 * MEGABYTE).out
        == f"{sum(n * n for n in range(1000))}\n"
    )


def test_processor_time_runs_out():
    """SIGXCPU comes at the limit, also for code that never returns to the interpreter."""
    source = "print(sum(iter(int, 1)))"
    started = time.monotonic()

    outcome = run_hostile(source, cpu_s=1.0)

    assert outcome.signal == signal.SIGXCPU
    assert time.monotonic() - started < 10


def test_ignoring_the_end_of_processor_time_helps_for_a_second():
    """A child that ignores SIGXCPU gets SIGKILL."""
    source = "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"

    assert run_hostile(source, cpu_s=1.0).signal == signal.SIGKILL


def test_no_file_can_grow(tmp_path):
    """RLIMIT_FSIZE is 0: even a descriptor that was left open by mistake takes no data."""
    path = tmp_path / "file"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        source = "import os; os.write(0, b'data')"
        from harness import Child

        outcome = Child(source, leak={descriptor: 0}).finish()
        assert "File too large" in outcome.err
        assert path.read_bytes() == b""

        twin = Child(source, leak={descriptor: 0}, without=("rlimits",)).finish()
        assert twin.code == 0
        assert path.read_bytes() == b"data"
    finally:
        os.close(descriptor)


def test_no_core_is_left(tmp_path):
    """A crash leaves nothing of the run's memory on disk."""
    source = "import resource; print(resource.getrlimit(resource.RLIMIT_CORE))"

    assert run_hostile(source).out == "(0, 0)\n"
    crash = run_hostile("import ctypes; ctypes.string_at(0)")
    assert crash.signal == signal.SIGSEGV
