"""Relays that were taken over: each puts on the relay's walls, tries to do harm, and prints what it could.

``python relay_attacker.py JSON`` with a list of objects. Each has ``without`` (layers), ``attacks`` (names) and values
for the attacks, and each is tried by a fork of its own. The answer is a line of JSON for each, with the exit code of the
fork, and for each attack null if it succeeded, otherwise the error.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import mmap
import os
import resource
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
PR_GET_DUMPABLE, PR_GET_NO_NEW_PRIVS = 3, 39
libc = ctypes.CDLL(None, use_errno=True)


def listen(values: dict) -> None:
    with socket.socket() as end:
        end.bind(("127.0.0.1", 0))
        end.listen()


def bind_datagrams(values: dict) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as end:
        end.bind(("127.0.0.1", 5_353))


def execute(values: dict) -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def fork(values: dict) -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)


def trace(values: dict) -> None:
    assert libc.ptrace(0, 0, 0, 0) == 0


def read(values: dict) -> None:
    Path(values["secret"]).read_bytes()


def see(values: dict) -> None:
    os.stat(values["secret"])  # noqa: PTH116 - the call itself


def write(values: dict) -> None:
    Path(values["directory"], "written").touch()


def send_signal(values: dict) -> None:
    os.kill(values["engine"], 0)


def abstract_socket(values: dict) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(values["abstract"])


def raw_socket(values: dict) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()


def memory(values: dict) -> None:
    mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()


def core(values: dict) -> None:
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        raise PermissionError("no core files")


def machine_code(values: dict) -> None:
    size = mmap.PAGESIZE
    libc.mmap.restype = ctypes.c_void_p
    place = libc.mmap(None, ctypes.c_size_t(size), 3, 0x22, -1, ctypes.c_long(0))
    if libc.mprotect(ctypes.c_void_p(place), ctypes.c_size_t(size), 5):
        raise PermissionError(ctypes.get_errno(), "mprotect")


def old_descriptor(values: dict) -> None:
    os.fstat(values["kept"])


def host_name(values: dict) -> None:
    if os.uname().nodename == "jobcell":
        raise PermissionError("the name is hidden")


def engine_session(values: dict) -> None:
    if os.getsid(0) == os.getpid():
        raise PermissionError("a session of its own")


def new_privileges(values: dict) -> None:
    if libc.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0:
        raise PermissionError("the flag is set, or the filter refuses the question")


def be_read(values: dict) -> None:
    if libc.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1:
        raise PermissionError("the flag is not set, or the filter refuses the question")


# The relay itself needs these, so they must succeed.


def connect(values: dict) -> None:
    with contextlib.suppress(ConnectionRefusedError), socket.socket() as end:
        end.connect(("127.0.0.1", 9))


def look_up(values: dict) -> None:
    socket.getaddrinfo(b"localhost", None)


def start_thread(values: dict) -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


def move_bytes(values: dict) -> None:
    one, two = values["pair"]
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    one.send(b"hello")
    assert os.splice(two.fileno(), writer, 5, flags=2) == 5
    assert os.read(reader, 5) == b"hello"
    for end in (reader, writer):
        os.close(end)


def enlarge_pipe(values: dict) -> None:
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 1 << 17)
    for end in (reader, writer):
        os.close(end)


def choose_congestion(values: dict) -> None:
    with socket.socket() as end:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")


def load_walls() -> Callable[..., Any]:
    """Return the function that puts on the walls of a relay, without the rest of the engine."""
    sys.path.insert(0, str(ROOT))
    for name, place in (("engine", ROOT / "engine"), ("engine.network", ROOT / "engine/network")):
        bare = ModuleType(name)
        bare.__path__ = [str(place)]
        sys.modules[name] = bare
    from engine.network.relay.walls import put_on

    return put_on


def attack_with(put_on: Callable[..., Any], values: dict) -> dict[str, Any]:
    """Put on the walls in this process, and try all attacks."""
    kept = os.open("/dev/null", os.O_RDONLY)
    pair = socket.socketpair()
    values |= {"engine": os.getppid(), "kept": kept, "pair": pair}
    keep_fds = (0, 1, 2, *(end.fileno() for end in pair))
    layers = put_on(parent_pid=os.getppid(), keep_fds=keep_fds, without=values["without"])
    done: dict[str, str | None] = {}
    for attack in values["attacks"]:
        try:
            globals()[attack](values)
            done[attack] = None
        except (OSError, MemoryError, AssertionError) as error:
            done[attack] = type(error).__name__
    return {"done": done, "layers": {layer.name: layer.state for layer in layers}}


def main() -> None:
    put_on = load_walls()
    for values in json.loads(sys.argv[1]):
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            code = 1
            try:
                os.dup2(writer, 1)
                os.closerange(3, 100)
                print(json.dumps(attack_with(put_on, values)), flush=True)
                code = 0
            finally:
                if code:
                    traceback.print_exc()
                os._exit(code)
        os.close(writer)
        with open(reader) as end:  # noqa: PTH123 - a descriptor
            text = end.read()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        Path(values["directory"], "written").unlink(missing_ok=True)  # it may be another user's
        print(json.dumps({"code": code, **(json.loads(text) if code == 0 else {})}), flush=True)


if __name__ == "__main__":
    main()
