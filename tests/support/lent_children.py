"""Children for the engine of a command, without the start of an interpreter for each.

The start is nine tenths of what a short `jobcell run` costs. A command is a fork of a warm server, and a fork cannot have an
older process as its child. The server has an interpreter that lends children (`warm_interpreter`): it is their parent, and
the engine of the command asks it for the exit of a child. When a command dies, the interpreter kills the child.

A test that looks for the children of a command, or that is about their start, has new interpreters: see `warm.WarmProcess`.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping

from warm_children import FD, inherited, interpreter_words, sent_words

from engine.confinement import CHILD_ENVIRONMENT, child_command
from engine.start import exec as start
from engine.start.child import exit_of, kill_group
from engine.start.connection import Connection
from engine.start.exit import Exit
from protocol import codec
from protocol.confinement import ConfinementRequest
from protocol.limits import PROTOCOL_VERSION
from protocol.messages import Confine, Hello


class Lender:
    """The interpreter that lends children to the forks of this process."""

    def __init__(self) -> None:
        self._address = f"\0jobcell-lends-{os.getpid()}"
        self._spawn = start.spawn
        self._greet = start.greet
        self._command = child_command()
        self._inherited = inherited()[0]
        self._lent: dict[int, socket.socket] = {}
        """Connections about children, by their pids."""
        self._new = threading.local()
        """`pid` of the child that this thread has started and not greeted yet."""
        door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        door.bind(self._address)
        door.listen(100)
        self._pid = start.spawn_server(interpreter_words(self._command, []), FD, door)

    def serve(self) -> None:
        """Have the engines of this process, a fork, borrow their children."""

        def reap(child: start.SpawnedChild) -> Exit:
            return self._reap(child)

        start.spawn = self._borrow
        start.greet = self._welcome
        start.SpawnedChild.reap = reap

    def _borrow(
        self,
        command: list[str],
        descriptors: dict[int, int],
        environment: Mapping[str, str] = CHILD_ENVIRONMENT,
    ) -> int:
        if command == self._command and environment is CHILD_ENVIRONMENT:
            now, umask = inherited()
            if now == self._inherited:
                words, fds = sent_words(descriptors, umask)
                end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                end.connect(self._address)
                socket.send_fds(end, [words], fds)
                pid = int(end.recv(100))
                self._lent[pid] = end
                self._new.pid = pid
                return pid
        return self._spawn(command, descriptors, environment)

    def _welcome(self, connection: Connection, request: ConfinementRequest) -> None:
        """Greet a child with the pid of its parent, which is not this process."""
        if not vars(self._new).pop("pid", None):
            self._greet(connection, request)
            return
        connection.send(codec.encode(Hello(version=PROTOCOL_VERSION, pid=self._pid)))
        connection.send(codec.encode(Confine(request=request)))
        connection.write()

    def _reap(self, child: start.SpawnedChild) -> Exit:
        with self._lent.pop(child.pid) as end:
            kill_group(child.pid)
            end.send(b"reap")
            status, cpu_s, peak = end.recv(100).split()
        os.close(child.exit_fd)
        return exit_of(int(status), float(cpu_s), int(peak))
