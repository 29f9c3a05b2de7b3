"""Becomes a child of an engine, or its relay, for each request: a fork of an interpreter that has imported all that it imports.

`warm_children` runs it as an engine runs `sandbox_child`, with two more arguments in front: the descriptor of a socket, and the
directory of that package. A message on the socket has the descriptors of a child; `Server.fork` in `warm_children` says how.
On a listening socket it lends children to other processes: see `lent_children`.
"""

from __future__ import annotations

import gc
import os
import sys

CLONE = {"x86_64": 56}.get(os.uname().machine, 220)
CLONE_PARENT = 0x8000
"""The parent of the new process is that of the calling one: clone(2)."""
SIGCHLD = 17
SIGKILL = 9
PR_SET_PDEATHSIG = 1
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
    make_filters()
    if zygote:
        from sandbox_child import zygote as module

        preloaded = module._preload()
        module._preload = lambda: preloaded
        # To close gaps is to write, and a fork copies each page that it writes to.
        module.close_gaps = lambda: None
        return module.serve_zygote
    from sandbox_child.rehearsal import rehearse

    loaded = bootstrap.load()
    bootstrap.know_all()
    for _ in range(bootstrap.REHEARSALS):
        rehearse(bootstrap.serve_forked, loaded)
    gc.disable()  # a rehearsal enables it
    return lambda: bootstrap.serve_spawned(bootstrap.make_channel(), lambda: loaded)


def make_filters() -> None:
    """Make the filters of system calls for all permissions, which each fork would make again."""
    from sandbox_child.confine import seccomp

    for net in (False, True):
        for scratch in (False, True):
            seccomp.program(net=net, scratch=scratch)


def load_relay(package: str, arguments: list[str]):
    """Do all that a relay does before its first message; return the function that goes on."""
    scope = {"__name__": "relay"}
    with open(f"{package}/__main__.py") as source:  # noqa: PTH123 - as few imports as in a relay
        exec(compile(source.read(), source.name, "exec"), scope)
    scope["prepare"](arguments)
    from engine.network.relay import serving

    def serve() -> int:
        gc.enable()
        return serving.serve()

    return serve


def become(data: bytes, fds: list[int], others: tuple[int, ...] = ()) -> None:
    """Have the descriptors, the directory and the mask of files of a new interpreter, and edited code; close the *others*."""
    umask, numbers, nulls, directory, *edits = data.split(b"\0")
    if edits:
        change([edit.decode() for edit in edits])
    kept = [int(number) for number in numbers.split(b",")]
    for fd, number in zip(fds, kept, strict=True):
        os.dup2(fd, number)
    for number in filter(None, nulls.split(b",")):
        os.dup2(0, int(number))
        kept.append(int(number))
    for number in range(3, max(SOCKET, *fds, *others) + 1):
        if number not in kept:
            os.close(number)
    os.umask(int(umask, 8))
    os.chdir(directory)


def change(edits: list[str]) -> None:
    """Have modules as if their files had other texts: a list of file, text, other text, and so on.

    Other modules have the functions and classes of an edited one already.  So these stay, and get other code.
    """
    texts: dict[str, str] = {}
    for file, old, new in zip(edits[::3], edits[1::3], edits[2::3], strict=True):
        name = f"sandbox_child.{file[:-3].replace('/', '.')}"
        __import__(name)
        if name not in texts:
            with open(sys.modules[name].__file__) as source:  # noqa: PTH123 - as few imports as in a child
                texts[name] = source.read()
        texts[name] = texts[name].replace(old, new)
    for name, text in texts.items():
        module = sys.modules[name]
        scope = {"__name__": name, "__package__": module.__package__}
        exec(compile(text, module.__file__, "exec"), scope)
        for key, value in scope.items():
            if key[:2] != "__":
                change_one(module, key, vars(module).get(key), value)
    from sandbox_child.confine import seccomp

    seccomp._programs.clear()  # the edits may be about them


def change_one(module, name: str, before: object, value: object) -> None:
    """Give what a module has under a name the code or the value that it has in the edited text."""
    if isinstance(before, type) and before.__module__ == module.__name__:
        for part, inner in vars(value).items():
            if hasattr(inner, "__code__"):
                vars(before)[part].__code__ = inner.__code__
    elif getattr(before, "__module__", None) == module.__name__ and hasattr(before, "__code__"):
        before.__code__ = value.__code__
    elif type(value) in (int, float, str, tuple) and value != before:
        setattr(module, name, value)


def go_on(serve, data: bytes, fds: list[int], others: tuple[int, ...] = ()) -> None:
    """Be the child, in the fork."""
    code = 1
    try:
        become(data, fds, others)
        code = serve()
    finally:
        os._exit(code)


def serve_parent(end, serve) -> None:
    """Start children of the parent of this process, until the socket is closed."""
    import ctypes
    from _socket import CMSG_SPACE

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
            end.detach()
            go_on(serve, data, fds)
        for number in fds:
            os.close(number)
        end.send(str(pid).encode())


def lend(door, serve) -> None:
    """Start a child for each connection. It is reaped at a message, and killed if the connection ends before.

    This process ends with its parent.
    """
    import ctypes
    from _socket import (
        AF_UNIX,
        CMSG_SPACE,
        SO_PEERCRED,
        SOCK_SEQPACKET,
        SOL_SOCKET,
        socket,
    )
    from select import POLLIN, poll

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
    # The parent may have ended before this call. The socket knows it: unix(7), SO_PEERCRED.
    parent = int.from_bytes(door.getsockopt(SOL_SOCKET, SO_PEERCRED, 4), sys.byteorder)
    if os.getppid() != parent:
        os._exit(0)
    waiting = poll()
    waiting.register(door, POLLIN)
    lent = {}
    gc.collect()
    gc.freeze()
    while True:
        for number, _ in waiting.poll():
            if number != door.fileno():
                end, pid = lent.pop(number)
                waiting.unregister(number)
                if not end.recv(100):
                    os.kill(pid, SIGKILL)
                _, status, usage = os.wait4(pid, 0)
                cpu_s = usage.ru_utime + usage.ru_stime
                try:
                    end.send(f"{status} {cpu_s} {usage.ru_maxrss}".encode())
                except OSError:
                    pass  # the borrower is gone
                end.close()
                continue
            end = socket(AF_UNIX, SOCK_SEQPACKET, 0, door._accept()[0])
            data, ancillary, _, _ = end.recvmsg(MOST_BYTES, CMSG_SPACE(4 * MOST_FDS))
            fds = [fd for _, _, part in ancillary for fd in memoryview(part).cast("i")]
            if not data:
                end.close()
                continue
            pid = os.fork()
            if not pid:
                # Nobody closes these objects, because their descriptors are closed with all others.
                others = (
                    end.detach(),
                    door.detach(),
                    *(link.detach() for link, _ in lent.values()),
                )
                go_on(serve, data, fds, others)
            for fd in fds:
                os.close(fd)
            end.send(str(pid).encode())
            lent[end.fileno()] = end, pid
            waiting.register(end, POLLIN)


def main(fd: int, package: str, arguments: list[str]) -> None:
    """Serve requests until the socket is closed."""
    zygote = arguments[-1] == "--zygote"
    if arguments[-1].startswith("engine="):
        serve = load_relay(package, arguments)
    else:
        serve = load(package, arguments[:-1] if zygote else arguments, zygote=zygote)
    from _socket import AF_UNIX, SO_ACCEPTCONN, SOCK_SEQPACKET, SOL_SOCKET, socket

    os.dup2(fd, SOCKET)
    for number in range(3, SOCKET):
        os.dup2(0, number)
    end = socket(AF_UNIX, SOCK_SEQPACKET, 0, SOCKET)
    if end.getsockopt(SOL_SOCKET, SO_ACCEPTCONN):
        lend(end, serve)
    serve_parent(end, serve)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
