"""Becomes a child of an engine for each request: a fork of an interpreter that has imported all that a child imports.

`warm_children` runs it as an engine runs `sandbox_child`, with two more arguments in front: the descriptor of a socket, and the
directory of that package. A message on the socket has the descriptors of a child; `Request` in `warm_children` says how.
"""

from __future__ import annotations

import gc
import os
import sys

CLONE = {"x86_64": 56}.get(os.uname().machine, 220)
CLONE_PARENT = 0x8000
"""The parent of the new process is that of the calling one: clone(2)."""
SIGCHLD = 17
SOCKET = 63
"""The number of the socket. All lower ones are taken, so that an arriving descriptor gets none that a child needs."""
MOST_BYTES = 1 << 16
MOST_FDS = 8


def load(package: str, arguments: list[str], *, zygote: bool):
    """Do all that a child does before its first message; return the function that goes on."""
    gc.disable()
    sys.path.insert(0, package)
    import finder

    del sys.path[0]
    finder.install(arguments)
    from sandbox_child import bootstrap
    from sandbox_child.pipes import streams

    streams.expect_pipes()
    if zygote:
        from sandbox_child import zygote as module

        preloaded = module._preload()
        module._preload = lambda: preloaded
        return module.serve_zygote
    loaded = bootstrap.load()
    bootstrap.know_all()
    return lambda: bootstrap.serve_spawned(bootstrap.make_channel(), lambda: loaded)


def become(data: bytes, fds: list[int]) -> None:
    """Have the descriptors, the directory and the mask of files of a new interpreter."""
    umask, numbers, nulls, directory = data.split(b" ", 3)
    kept = [int(number) for number in numbers.split(b",")]
    for fd, number in zip(fds, kept, strict=True):
        os.dup2(fd, number)
    for number in filter(None, nulls.split(b",")):
        os.dup2(0, int(number))
        kept.append(int(number))
    for number in range(3, max(SOCKET, *fds) + 1):
        if number not in kept:
            os.close(number)
    os.umask(int(umask, 8))
    os.chdir(directory)


def main(fd: int, package: str, arguments: list[str]) -> None:
    """Serve requests until the socket is closed."""
    zygote = arguments[-1] == "--zygote"
    serve = load(package, arguments[:-1] if zygote else arguments, zygote=zygote)
    import ctypes
    from _socket import AF_UNIX, CMSG_SPACE, SOCK_SEQPACKET, socket

    os.dup2(fd, SOCKET)
    for number in range(3, SOCKET):
        os.dup2(0, number)
    end = socket(AF_UNIX, SOCK_SEQPACKET, 0, SOCKET)
    clone = ctypes.PyDLL(None).syscall
    gc.collect()
    gc.freeze()
    while True:
        data, ancillary, _, _ = end.recvmsg(MOST_BYTES, CMSG_SPACE(4 * MOST_FDS))
        if not data:
            os._exit(0)
        fds = [fd for _, _, part in ancillary for fd in memoryview(part).cast("i")]
        pid = clone(CLONE, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0)
        if not pid:
            code = 1
            try:
                end.detach()
                become(data, fds)
                gc.unfreeze()
                code = serve()
            finally:
                os._exit(code)
        for number in fds:
            os.close(number)
        end.send(str(pid).encode())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
