"""The kernel: calls that are seldom used and often broken are out of reach."""

from __future__ import annotations

import os
import signal

import pytest
from harness import Child, make_request, run_hostile

pytestmark = pytest.mark.skipif(
    os.uname().machine != "x86_64", reason="the numbers in these attacks are those of x86-64"
)

SYSCALL = """
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return result if result != -1 else -ctypes.get_errno()
print('r', {call}, flush=True)
"""

FATAL = {
    "io_uring_setup": (425, "4, ctypes.create_string_buffer(120)"),
    "io_uring_enter": (426, "-1, 1, 0, 0, 0, 0"),
    "bpf": (321, "0, ctypes.create_string_buffer(128), 48"),
    "userfaultfd": (323, "1"),
    "keyctl": (250, "0, -3, 1"),
    "add_key": (248, "b'user', b'name', b'value', 5, -2"),
    "request_key": (249, "b'user', b'name', None, 0"),
    "perf_event_open": (298, "ctypes.create_string_buffer(128), 0, -1, -1, 0"),
    "mount": (165, "b'none', b'/tmp', b'tmpfs', 0, None"),
    "unshare": (272, "0x10000000"),
    "setns": (308, "-1, 0"),
    "pivot_root": (155, "b'/', b'/'"),
    "chroot": (161, "b'/'"),
    "open_by_handle_at": (304, "-100, None, 0"),
    "init_module": (175, "None, 0, b''"),
    "kexec_load": (246, "0, 0, None, 0"),
    "personality": (135, "0x0040000"),
    "modify_ldt": (154, "0, None, 0"),
    "iopl": (172, "3"),
    "reboot": (169, "0, 0, 0, None"),
    "process_madvise": (440, "-1, None, 0, 0, 0"),
    "fsopen": (430, "b'tmpfs', 0"),
}


@pytest.mark.parametrize("name", FATAL)
def test_a_fatal_call_ends_the_run(name):
    """SIGSYS ends the whole process before the kernel looks at an argument."""
    number, arguments = FATAL[name]
    source = SYSCALL.format(call=f"call({number}, {arguments})")

    outcome = run_hostile(source)

    assert outcome.signal == signal.SIGSYS
    assert "r" not in outcome.out
    # The twin has only the filter off, so that the kernel itself answers. It keeps the other
    # layers, because some of these calls, made as root, would change the machine that tests.
    twin = run_hostile(source, without=("seccomp",))
    assert twin.out.startswith("r "), (twin.signal, twin.err)


def test_a_fatal_call_from_any_thread_ends_the_run():
    """The whole process dies, and not only the thread that made the call."""
    source = SYSCALL.format(call="1") + (
        "import threading\nthreading.Thread(target=call, args=(425, 4, None)).start()\n"
        "while True: signal.pause()"
    )
    assert run_hostile(source).signal == signal.SIGSYS


@pytest.mark.parametrize("number", [0, 1, 39, 512, 520, 547])
def test_x32_numbers_end_the_run(number):
    """The same calls under other numbers would get past the filter, so all of them are fatal."""
    source = SYSCALL.format(call=f"call({0x40000000 + number}, 0, 0, 0)")

    assert run_hostile(source).signal == signal.SIGSYS
    assert run_hostile(source, without=("seccomp",)).out.startswith("r ")


FOREIGN = """
import ctypes, mmap
# mov eax, 20 (getpid on i386); int 0x80; ret
code = b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3'
memory = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
memory.write(code)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
print('r', ctypes.CFUNCTYPE(ctypes.c_int)(address)(), flush=True)
"""


def test_a_call_of_a_foreign_architecture_ends_the_run():
    """int 0x80 has the numbers of i386; a process that makes such a call is killed."""
    off = ("mdwe",)  # mdwe would refuse the memory of the attack
    assert run_hostile(FOREIGN, without=off).signal == signal.SIGSYS
    twin = run_hostile(FOREIGN, without=(*off, "seccomp"))
    assert twin.out.startswith("r ") or twin.signal == signal.SIGSEGV  # a kernel without i386


def test_memory_that_is_written_cannot_be_executed():
    """MDWE alone stops the attack above one step earlier, on a kernel that has it."""
    outcome = run_hostile(FOREIGN, without=("seccomp",))
    if outcome.layers["mdwe"].state != "on":
        pytest.skip("this kernel has no MDWE")
    assert "r " not in outcome.out
    assert "PermissionError" in outcome.err


REFUSED = {
    "TIOCSTI": "import fcntl; fcntl.ioctl(0, 0x5412, b'x')",
    "TIOCLINUX": "import fcntl; fcntl.ioctl(0, 0x541C, b'x')",
    "FS_IOC_SETFLAGS": "import fcntl; fcntl.ioctl(0, 0x40086602, b'x' * 8)",
}


@pytest.mark.parametrize("name", REFUSED)
def test_ioctl_does_only_what_is_harmless(name):
    """TIOCSTI types into a terminal; the terminal is real, so that only the filter refuses."""
    main, terminal = os.openpty()
    try:
        outcome = Child(REFUSED[name], leak={terminal: 0}).finish()
        assert "Inappropriate ioctl" in outcome.err
        os.set_blocking(main, False)
        with pytest.raises(BlockingIOError):
            os.read(main, 10)
    finally:
        os.close(main)
        os.close(terminal)


def test_typing_into_a_terminal_needs_the_filter_off():
    """The twin: without the filter and with its own terminal, the child may use TIOCSTI."""
    main, terminal = os.openpty()
    source = "import fcntl; print(fcntl.ioctl(0, 0x5413, b'x' * 8) is not None)"
    try:
        assert Child(source, leak={terminal: 0}).finish().out == "True\n"
        twin = Child(
            REFUSED["TIOCSTI"], leak={terminal: 0}, without=("seccomp", "landlock", "identity")
        ).finish()
        # A kernel with dev.tty.legacy_tiocsti=0 refuses by itself, with another error than the
        # filter.
        assert "Inappropriate ioctl" not in twin.err
    finally:
        os.close(main)
        os.close(terminal)


def test_a_descriptor_of_the_engine_is_not_inherited(tmp_path):
    """The child closes the descriptors that the engine forgot to close."""
    path = tmp_path / "open"
    path.write_text("secret")
    descriptor = os.open(path, os.O_RDONLY)
    source = "import os\nfor n in range(3, 64):\n    try: print(os.pread(n, 9, 0))\n    except OSError: pass"
    try:
        leak = {descriptor: 20}
        outcome = Child(source, leak=leak).finish()
        assert "secret" not in outcome.out
        twin = Child(source, leak=leak, without=("descriptors",)).finish()
        assert "secret" in twin.out
    finally:
        os.close(descriptor)


def test_an_unknown_call_does_not_exist():
    """Numbers that the policy does not know give ENOSYS, so that libraries use another call."""
    for number in (451, 500, 1000, 100000):
        source = SYSCALL.format(call=f"call({number}, 0)")
        assert run_hostile(source).out == "r -38\n"


def test_a_second_filter_or_ruleset_cannot_be_added():
    """The child cannot add a layer a second time, not even a stricter one."""
    for call in ("call(317, 1, 0, None)", "call(444, None, 0, 1)", "call(157, 38, 1, 0, 0, 0)"):
        assert run_hostile(SYSCALL.format(call=call)).out == "r -1\n"


def test_the_kernel_refuses_every_call_that_the_policy_refuses():
    """Each call on the list gets arguments of zero, and always gives EPERM."""
    from sandbox_child.confine.numbers_x86_64 import NUMBERS
    from sandbox_child.confine.syscalls import REFUSED

    numbers = {name: NUMBERS[name] for name in REFUSED.split() if name in NUMBERS}
    source = SYSCALL.format(call="1") + (
        f"for name, number in {numbers!r}.items():\n"
        "    result = call(number, 0, 0, 0, 0, 0, 0)\n"
        "    if result != -1: print(name, result)\n"
    )
    assert len(numbers) > 150
    assert run_hostile(source).out == "r 1\n"


def test_the_kernel_ends_a_run_for_every_fatal_call():
    """Each call on the list gets a run of its own and arguments of zero."""
    spared = []
    for name, number in fatal_calls().items():
        outcome = run_hostile(SYSCALL.format(call=f"call({number}, 0, 0, 0, 0, 0, 0)"))
        if outcome.signal != signal.SIGSYS or outcome.out:
            spared.append(name)
    assert not spared


def test_the_kernel_ends_a_fork_of_a_zygote_for_every_fatal_call():
    """Each call on the list gets a fork of its own."""
    numbers = [*fatal_calls().values()]
    source = SYSCALL.format(call=f"call({numbers}[fork], 0, 0, 0, 0, 0, 0)")
    outcome = run_hostile(source, zygote=make_request(), forks=len(numbers))
    assert outcome.out == str([-signal.SIGSYS] * len(numbers))


def fatal_calls() -> dict[str, int]:
    from sandbox_child.confine.numbers_x86_64 import NUMBERS
    from sandbox_child.confine.syscalls import FATAL as NAMES

    return {name: NUMBERS[name] for name in NAMES.split()}
