"""Children of engines in this process, without the start of an interpreter and its imports for each.

A child with an interpreter of its own costs 70 ms of a processor, and a zygote 170 ms; a fork that has the same imports costs
20 and 30. It is a child of this process like every other, and goes on where an interpreter is after its imports. The same holds
for the relay of an engine.
"""

from __future__ import annotations

import itertools
import os
import resource
import socket
import threading
from collections.abc import Mapping
from pathlib import Path

import psutil

from engine.confinement import CHILD_ENVIRONMENT, child_command, relay_command
from engine.start import exec as start

SERVER = str(Path(__file__).with_name("warm_interpreter.py"))
FD = 3
LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
_servers: set[int] = set()

edits: list[tuple[str, str, str]] = []
"""For twins of attacks: a file of `sandbox_child`, a text in it, and the text that new children have in its place."""

NULL_DEVICE = 0
"""The standard input of a child, which the engine gives it as its other streams, too: `engine.start.exec`."""


def children_of_engines(*, recursive: bool = False) -> list[psutil.Process]:
    """Return the children of this process, or all its descendants, without the interpreters of this module."""
    found = psutil.Process().children(recursive=recursive)
    return [child for child in found if child.pid not in _servers]


def interpreter_words(command: list[str], last: list[str]) -> list[str]:
    """Return the command of an interpreter whose forks are children with this command and these last arguments."""
    script = next(n for n, word in enumerate(command) if word.endswith("__main__.py"))
    package = str(Path(command[script]).parent)
    return [*command[:script], SERVER, str(FD), package, *command[script + 1 :], *last]


def sent_words(descriptors: dict[int, int], umask: str) -> tuple[bytes, list[int]]:
    """Return the request for a child with these descriptors (number there: number here), and the ones to send with it.

    The request has the mask of files, the numbers of the descriptors, those of null devices, the directory, and three
    texts for each of `edits`.
    """
    sent = {its: ours for its, ours in descriptors.items() if ours != NULL_DEVICE}
    nulls = [its for its in descriptors if its not in sent]
    words = [umask, ",".join(map(str, sent)), ",".join(map(str, nulls)), str(Path.cwd())]
    words += itertools.chain.from_iterable(edits)
    return "\0".join(words).encode(), list(sent.values())


class Server:
    """An interpreter whose forks are children of one kind.

    Args:
        command: The command of these children without the last arguments.
        last: The last arguments.

    """

    def __init__(self, command: list[str], last: list[str]) -> None:
        self.command = [*command, *last]
        self._lock = threading.Lock()
        self._end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = start.spawn_server(interpreter_words(command, last), FD, theirs)
        _servers.add(self._pid)

    def fork(self, descriptors: dict[int, int], umask: str) -> int:
        """Start a child with these descriptors (number there: number here); return its pid."""
        words, fds = sent_words(descriptors, umask)
        with self._lock:
            socket.send_fds(self._end, [words], fds)
            return int(self._end.recv(100))

    def close(self) -> None:
        """End it."""
        self._end.close()
        os.waitpid(self._pid, 0)
        _servers.remove(self._pid)


def inherited() -> tuple[list[object], str]:
    """Return what a new process inherits, and a fork of a server would not; and the mask of files, which it gets."""
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines)
    names = ("Uid", "Gid", "CapBnd", "CapEff", "NoNewPrivs", "Seccomp", "Cpus_allowed")
    spaces = [Path("/proc/self/ns", name).readlink() for name in ("net", "mnt", "user")]
    limits = [resource.getrlimit(limit) for limit in LIMITS]
    return [limits, spaces, os.nice(0), *(status[name] for name in names)], status["Umask"]


class Interpreters:
    """The servers of this process.

    Args:
        kinds: Which there are: ``exec`` for children of this start mode, ``zygote`` and ``relay``; without any, all.

    """

    def __init__(self, *kinds: str) -> None:
        self.spawn_new = start.spawn
        self._inherited, self._umask = inherited()
        commands = {
            "exec": (child_command(), []),
            "zygote": (child_command(), ["--zygote"]),
            "relay": (relay_command(), []),
        }
        self._servers = [Server(*commands[kind]) for kind in kinds or commands]

    def spawn(
        self,
        command: list[str],
        descriptors: dict[int, int],
        environment: Mapping[str, str] = CHILD_ENVIRONMENT,
    ) -> int:
        """Start a child of an engine from a server, and every other program as the engine does."""
        for server in self._servers:
            if server.command == command and environment is CHILD_ENVIRONMENT:
                now, umask = inherited()
                if now == self._inherited:
                    return server.fork(descriptors, umask)
                assert not edits, "a new interpreter would not have the edits"
        return self.spawn_new(command, descriptors, environment)

    def spawn_without_descriptors(
        self,
        command: list[str],
        descriptors: dict[int, int],
        environment: Mapping[str, str] = CHILD_ENVIRONMENT,
    ) -> int:
        """Start a child from a server without a descriptor of this process, as the engine starts a new interpreter.

        This process must be as it was when the servers started.
        """
        assert environment is CHILD_ENVIRONMENT
        [server] = (server for server in self._servers if server.command == command)
        return server.fork(descriptors, self._umask)

    def close(self) -> None:
        """End the servers."""
        for server in self._servers:
            server.close()
