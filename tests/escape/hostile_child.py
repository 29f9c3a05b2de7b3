"""A child that is as hostile as possible: it confines itself, and then runs any code that it gets.

Started as ``python -I -S hostile_child.py name=directory ...`` with its orders on descriptor 10. It
has no language wall, and runs no code of the product after the wall is up.

With ``server`` as its last argument it makes such children, as a zygote does: each message on descriptor
10 has the four descriptors of one. Their parent is that of the server.
"""

import os
import sys

server = sys.argv[-1] == "server"
if server:
    del sys.argv[-1]

here = sys.argv[1:]
sys.path.insert(0, dict(pair.split("=", 1) for pair in here)["sandbox_child"].rpartition("/")[0])
from sandbox_child import finder  # noqa: E402

del sys.path[0]
finder.install(here)

import msgspec  # noqa: E402

from protocol.confinement import ConfinementRequest  # noqa: E402
from sandbox_child import confine as wall  # noqa: E402


class Orders(msgspec.Struct):
    request: ConfinementRequest
    source: str
    before: str = ""
    """Code that runs before the wall is up."""
    zygote: ConfinementRequest | None = None
    """Be a zygote with this confinement, and let a fork do the rest."""
    forks: int = 1
    """Number of such forks, one after the other. Each has its number as `fork`; from two on, the zygote prints how they ended."""


def read_all(descriptor):
    chunks = []
    while chunk := os.read(descriptor, 65536):
        chunks.append(chunk)
    return b"".join(chunks)


def become_child():
    """Return in a new child for each message."""
    import ctypes
    import fcntl
    import signal
    import socket

    clone = ctypes.CDLL(None).syscall
    number = 56 if os.uname().machine == "x86_64" else 220
    clone_parent = 0x8000  # clone(2)
    requests = socket.socket(fileno=10)
    while True:
        data, fds, _, _ = socket.recv_fds(requests, 100, 4)
        if not data:
            os._exit(0)
        pid = clone(number, clone_parent | signal.SIGCHLD, 0, 0, 0, 0)
        if not pid:
            requests.detach()
            lifted = [fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for fd in fds]
            os.closerange(3, 64)
            for fd, its in zip(lifted, (1, 2, 10, 11), strict=True):
                os.dup2(fd, its)
            os.closerange(64, 100)
            return
        for fd in fds:
            os.close(fd)
        requests.send(str(pid).encode())


if server:
    become_child()
orders = msgspec.msgpack.decode(read_all(10), type=Orders)
keep = (0, 1, 2, 10, 11)
scope = {"__name__": "__main__"}
exec(compile(orders.before, "<before>", "exec"), scope)
source = compile(orders.source, "<hostile>", "exec")
try:
    if orders.zygote is None:
        report = wall.confine(orders.request, parent_pid=os.getppid(), keep_fds=keep)
    else:
        zygote = wall.confine_zygote(
            orders.zygote, parent_pid=os.getppid(), keep_fds=keep, fork_fds=keep
        )
        mine = os.getpid()
        codes = []
        for scope["fork"] in range(orders.forks):
            child = os.fork()
            if not child:
                break
            if orders.forks == 1:
                os.closerange(0, 100)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        else:
            if orders.forks > 1:
                os.write(1, repr(codes).encode())
                os._exit(0)
            os._exit(codes[0] if codes[0] >= 0 else 128 - codes[0])
        report = wall.confine_forked(zygote, orders.request, parent_pid=mine, keep_fds=keep)
except wall.ConfinementRefused as refused:
    os.write(11, msgspec.msgpack.encode([refused.layer, refused.reason, refused.remedy]))
    os._exit(77)
if orders.forks == 1:
    os.write(11, msgspec.msgpack.encode(report))
code = 0
try:
    exec(source, scope)
except Exception:
    sys.excepthook(*sys.exc_info())
    code = 1
# The child ends as our own children do. An interpreter that takes itself apart would need more time than the whole
# wall, because a fork copies each page to do so. The child still waits for its threads, and writes what it has printed.
if "threading" in sys.modules:
    sys.modules["threading"]._shutdown()
for stream in (sys.stdout, sys.stderr):
    stream.flush()
os._exit(code)
