"""Flags of system calls: a single bit can give kernel memory, or a way around a limit."""

from __future__ import annotations

import os

import pytest
from harness import make_request, run_hostile

from sandbox_child.confine.namespaces import HOST_NAME

PRELUDE = """
import ctypes, fcntl, os, socket, struct, sys, tempfile, threading
libc = ctypes.CDLL(None, use_errno=True)
def call(*a):
    result = libc.syscall(*map(ctypes.c_long, a))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
"""

ATTACKS = {
    # Each thread would have its own table of descriptors, with places of its own.
    "close_range_unshare": "call({close_range}, 5000, 5001, 2)",
    # A file can hold any number of locks.
    "record_lock": "fcntl.fcntl(os.open(os.__file__, os.O_RDONLY), fcntl.F_SETLK, struct.pack('hhqqi', 0, 0, 0, 1, 0))",
    "open_file_lock": "fcntl.fcntl(os.open(os.__file__, os.O_RDONLY), 37, struct.pack('hhqqi', 0, 0, 0, 1, 0))",
    # Each small write takes a page.
    "packet_pipe": "fcntl.fcntl(os.pipe()[1], fcntl.F_SETFL, os.O_DIRECT | os.O_WRONLY)",
    "out_of_band": "a, b = socket.socketpair(); a.send(b'x', socket.MSG_OOB)",
    "peer_pidfd": "socket.socketpair()[0].getsockopt(socket.SOL_SOCKET, 77)",
    "huge_pages": "call({mmap}, 0, 1 << 21, 3, 0x40022, -1, 0)",
    "membarrier": "call({membarrier}, 1, 0)",
}
"""Calls that must be refused, and that work in the twin, unless the kernel lacks them."""

NET_ATTACKS = {
    "receive_buffer": "socket.socket().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 30)",
    "send_buffer": "socket.socket().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)",
    "multicast": "socket.socket(type=socket.SOCK_DGRAM).setsockopt(0, 35, bytes([224, 0, 0, 9]) + bytes(4))",
}
PERHAPS_MISSING = ("huge_pages", "peer_pidfd", "multicast", "open_file_lock")
"""The twin of these may fail for a reason of the kernel or the machine, which is not EPERM of ours.
"""


def attacked(body: str, **changes) -> str:
    from sandbox_child.confine.kernel import NUMBERS

    source = PRELUDE + (
        f"try:\n    {body.format(**NUMBERS)}\n"
        "except OSError as error:\n    print('errno', error.errno)\nelse:\n    print('done')\n"
    )
    return run_hostile(source, **changes).out.strip()


@pytest.mark.parametrize("name", [*ATTACKS, *NET_ATTACKS])
def test_a_flag_that_no_library_needs_is_refused(name):
    """The filter refuses it; without the filter the kernel does as it is asked."""
    body = (ATTACKS | NET_ATTACKS)[name]
    net = ("127.0.0.1",) if name in NET_ATTACKS else ()
    request = make_request(net=net)

    assert attacked(body, request=request) == "errno 1"

    twin = attacked(body, request=make_request(net=net, without=("seccomp",)))
    assert twin == "done" or (name in PERHAPS_MISSING and twin != "errno 1")


def test_a_run_has_its_descriptors_once_and_not_for_each_thread():
    """The test counts the descriptors to see the effect of an unshared table."""
    source = PRELUDE + (
        "held, together = [], threading.Barrier(5)\n"
        "def hold():\n"
        "    libc.syscall(436, ctypes.c_uint(5000), ctypes.c_uint(5001), ctypes.c_uint(2))\n"
        "    while True:\n"
        "        try: held.append(socket.socketpair())\n"
        "        except OSError: break\n"
        "    together.wait()\n"
        "threads = [threading.Thread(target=hold) for _ in range(4)]\n"
        "[t.start() for t in threads]; together.wait(); print(2 * len(held), flush=True); os._exit(0)\n"
    )

    assert int(run_hostile(source).out) <= make_request().max_open_files
    assert int(run_hostile(source, without=("seccomp",)).out) > make_request().max_open_files


def test_uname_does_not_tell_the_name_of_the_machine():
    """Each run sees the same name, where there are namespaces."""
    source = "import os, socket; print(os.uname().nodename, socket.gethostname())"
    expected = HOST_NAME.decode()

    assert run_hostile(source).out == f"{expected} {expected}\n"
    twin = run_hostile(source, without=("namespaces",))
    assert twin.out.split()[0] == os.uname().nodename
