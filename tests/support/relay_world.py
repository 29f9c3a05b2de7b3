"""A relay between two network namespaces of a test: one is the outside world, one is that of a job.

The test acts as the engine, as the child and as the job, and as every server outside.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import UnionType

import pytest
from network_spaces import IPV6_FREEBIND, Space

from engine.confinement import relay_command
from engine.confinement.interpreter import CHILD_ENVIRONMENT
from protocol.link import LINK_END, LINK_MORE
from protocol.relay import (
    CONTROL_FD,
    MAX_DATAGRAM_BYTES,
    Close,
    Closed,
    Configure,
    Ended,
    Open,
    Opened,
    OpenFailed,
    Progress,
    Ready,
    decode_from_relay,
    encode,
)

WAIT_S = 30
SEES_DESCRIPTORS = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may look at the descriptors of a confined process"
)
ENVIRONMENT = CHILD_ENVIRONMENT | {"RES_OPTIONS": "timeout:1 attempts:1"}
NAME_SERVER = "127.0.0.53"
A, AAAA, CNAME, TXT = 1, 28, 5, 16


def command_without(limit: str) -> list[str]:
    """Return the command of a relay without a limit of `relay_without`."""
    command = relay_command()
    at = command.index("-S") + 1
    command[at : at + 1] = [str(Path(__file__).with_name("relay_without.py")), limit]
    return command


class Relay:
    """The relay, and the engine's end of its control socket.

    Args:
        world: The namespace outside.
        max_open_files: Most descriptors of the process.
        limit_off: A limit of `relay_without` that this relay does not have.
        settings: Fields of `Configure`.

    """

    def __init__(
        self,
        world: Space,
        *,
        max_open_files: int | None = None,
        limit_off: str | None = None,
        **settings: object,
    ) -> None:
        self.world = world
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(WAIT_S)
        command = relay_command() if limit_off is None else command_without(limit_off)
        if max_open_files is not None:
            limited = f'ulimit -n {max_open_files}; exec "$@"'
            command = ["/bin/sh", "-c", limited, "sh", *command]
        with theirs:
            self.pid = world.spawn(command, {CONTROL_FD: theirs.fileno()}, environment=ENVIRONMENT)
        self._runs = 0
        self._waiting: list[object] = []
        self.send(Configure(world.pid, **settings))
        ready = self.receive()
        assert isinstance(ready, Ready)
        self.layers = {layer.name: layer for layer in ready.layers}

    def send(self, message: object, *fds: int) -> None:
        socket.send_fds(self.control, [encode(message)], list(fds))

    def receive(self) -> object:
        """Return the next message, whatever it is; EOFError if the relay is gone."""
        body = self.control.recv(MAX_DATAGRAM_BYTES)
        if not body:
            raise EOFError("the relay is gone")
        return decode_from_relay(body)

    def expect(self, kind: type | UnionType, run: int) -> object:
        """Return the next message of a kind about a run; others stay for later."""
        for at, message in enumerate(self._waiting):
            if isinstance(message, kind) and message.run == run:
                return self._waiting.pop(at)
        while True:
            message = self.receive()
            if isinstance(message, kind) and message.run == run:
                return message
            if not isinstance(message, Progress):
                self._waiting.append(message)

    def open(self, *rules: str, link: socket.socket | None = None, **limits: int) -> int:
        """Open a run; return its number."""
        self._runs += 1
        if link is None:
            link, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            other.close()
        with link:
            self.send(Open(self._runs, rules, **limits), link.fileno())
        answer = self.expect(Opened | OpenFailed, self._runs)
        assert isinstance(answer, Opened | OpenFailed)
        if answer != Opened(self._runs):
            raise ValueError(answer.reason)
        return self._runs

    def memory_bytes(self) -> int:
        """Return the memory that belongs to the relay alone."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return sum(
            int(line.split()[1]) * 1024 for line in text.splitlines() if line[:8] == "Private_"
        )

    def descriptors(self) -> int:
        """Return how many descriptors the relay has."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def close(self) -> int:
        """Let the engine's end go away; return the exit code of the relay."""
        self.control.close()
        return self.world.wait(self.pid)


class Job:
    """A run, as its child and its job see it.

    Args:
        relay: The relay that serves it.
        space: The namespace of the job.
        rules: The rules of the run.
        ports: The ports that get a listener.
        with_stream_names: Whether names get a listener of their own, besides that of port 53.

    """

    def __init__(
        self,
        relay: Relay,
        space: Space,
        *rules: str,
        ports: tuple[int, ...] = (80, 443),
        with_stream_names: bool = True,
        **limits: int,
    ) -> None:
        self.relay = relay
        self.space = space
        self._closed = self._left = False
        self.link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.run = relay.open(*rules, link=theirs, **limits)
        made = [space.listener("::", port) for port in ports]
        names = [space.socket(socket.AF_INET, socket.SOCK_DGRAM)]
        names[0].bind((NAME_SERVER, 53))
        if with_stream_names:
            names.append(space.listener(NAME_SERVER, 53))
        made += names
        socket.send_fds(self.link, [LINK_MORE], [one.fileno() for one in made])
        self.link.send(LINK_END)
        for one in made:
            one.close()
        # The relay has taken all of it when it closes its end.
        self.link.settimeout(WAIT_S)
        with contextlib.suppress(ConnectionResetError):
            assert self.link.recv(1) == b""
        self.link.close()

    def connect(self, host: str, port: int) -> socket.socket:
        """Connect like a job: ask for a name first, unless *host* is an address."""
        address = host if _is_address(host) else self.addresses(host)[0]
        end = self.space.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        end.settimeout(WAIT_S)
        plain, _, scope = address.partition("%")
        try:
            end.connect((plain, port, 0, int(scope)) if scope else (address, port))
        except OSError:
            end.close()
            raise
        return end

    def ask(self, message: bytes, *, wait_s: float = WAIT_S) -> bytes:
        """Send a question over UDP, and return the answer."""
        with self.space.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.settimeout(wait_s)
            end.connect((NAME_SERVER, 53))
            end.send(message)
            return end.recv(4096)

    def addresses(self, name: str | bytes, kind: int = A) -> list[str]:
        """Return the addresses of a name; KeyError if it does not exist."""
        code, records = read_answer(self.ask(question(name, kind)))
        if code:
            raise KeyError(code)
        return records

    def ended(self) -> Ended:
        """Return the next report of a connection or name."""
        message = self.relay.expect(Ended, self.run)
        assert isinstance(message, Ended)
        return message

    def refused(self, host: str, port: int) -> Ended:
        """Try to connect, see that it is refused, and return the report."""
        try:
            with self.connect(host, port) as end:
                assert end.recv(1) == b"", "a byte came from outside"
        except OSError:
            pass  # reset, before or after connect has returned
        return self.ended()

    def finish(self) -> None:
        """End the run, if it was not ended, and leave its namespace."""
        if not self._closed:
            self.close()
        if not self._left:
            self._left = True
            self.space.close()

    def close(self) -> Closed:
        """End the run."""
        self._closed = True
        self.relay.send(Close(self.run))
        message = self.relay.expect(Closed, self.run)
        assert isinstance(message, Closed)
        return message


def _is_address(text: str) -> bool:
    return ":" in text or text.replace(".", "").isdigit()


def question(name: str | bytes, kind: int = A, *, number: int = 7) -> bytes:
    """Return a message of the domain name system with one question."""
    raw = name if isinstance(name, bytes) else name.encode()
    labels = b"".join(bytes([len(one)]) + one for one in raw.split(b".") if one) + b"\0"
    return struct.pack(">HHHHHH", number, 0x100, 1, 0, 0, 0) + labels + struct.pack(">HH", kind, 1)


def read_answer(message: bytes) -> tuple[int, list[str]]:
    """Return the code and the addresses of an answer."""
    _, flags, questions, answers, _, _ = struct.unpack(">HHHHHH", message[:12])
    assert flags & 0x8000
    at = 12
    if questions:
        while length := message[at]:
            at += 1 + length
        at += 5
    found = []
    for _ in range(answers):
        _, kind, _, _, length = struct.unpack(">HHHIH", message[at : at + 12])
        data = message[at + 12 : at + 12 + length]
        found.append(socket.inet_ntop(socket.AF_INET if kind == A else socket.AF_INET6, data))
        at += 12 + length
    assert at == len(message)
    return flags & 0xF, found


@contextlib.contextmanager
def served(listener: socket.socket, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    """Serve each connection of *listener* in a thread of its own; close it at the end."""

    def one(end: socket.socket) -> None:
        with end, contextlib.suppress(OSError):
            serve(end)

    def loop() -> None:
        with contextlib.suppress(OSError):
            while True:
                end, _ = listener.accept()
                threading.Thread(target=one, args=(end,), daemon=True).start()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(WAIT_S)


def receive(end: socket.socket, count: int) -> bytes:
    """Return the next bytes; fewer only if the other side has ended."""
    data = b""
    while len(data) < count and (more := end.recv(count - len(data))):
        data += more
    return data


def echo(end: socket.socket) -> None:
    """Send back what comes, and end when the other side ends."""
    while data := end.recv(1 << 16):
        end.sendall(data)


class NameServer:
    """A server of the domain name system; *records* may be changed at any time.

    A value is a list of addresses, or a function of the question and whether it came over TCP that returns
    the bytes of the answer.
    """

    def __init__(self, space: Space, address: str = "127.0.0.53") -> None:
        self.records: dict[str, list[str] | Callable[[bytes, bool], bytes]] = {}
        self.asked: list[str] = []
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._udp = space.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            self._udp.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        self._udp.bind((address, 53))
        self._tcp = space.listener(address, 53)
        threading.Thread(target=self._datagrams, daemon=True).start()
        self._served = served(self._tcp, self._stream)
        self._served.__enter__()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._udp.shutdown(socket.SHUT_RDWR)
        self._udp.close()
        self._served.__exit__(None, None, None)

    def _datagrams(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                message, place = self._udp.recvfrom(4096)
                if not message:
                    return
                reply = self._answer(message, False)
                if reply:
                    self._udp.sendto(reply, place)

    def _stream(self, end: socket.socket) -> None:
        while head := receive(end, 2):
            message = receive(end, int.from_bytes(head, "big"))
            reply = self._answer(message, True)
            end.sendall(len(reply).to_bytes(2, "big") + reply)

    def _answer(self, message: bytes, over_tcp: bool) -> bytes:
        name, kind, _ = _asked(message)
        self.asked.append(name)
        value = self.records.get(name)
        if callable(value):
            return value(message, over_tcp)
        family = socket.AF_INET if kind == A else socket.AF_INET6
        data = [
            socket.inet_pton(family, one)
            for one in value or ()
            if kind in (A, AAAA) and (":" in one) == (kind == AAAA)
        ]
        return reply(message, [(kind, one) for one in data], code=0 if value is not None else 3)


def _asked(message: bytes) -> tuple[str, int, int]:
    at, labels = 12, []
    while length := message[at]:
        labels.append(message[at + 1 : at + 1 + length])
        at += 1 + length
    return (
        b".".join(labels).decode().lower(),
        int.from_bytes(message[at + 1 : at + 3], "big"),
        at + 5,
    )


def reply(
    message: bytes, records: list[tuple[int, bytes]], *, code: int = 0, flags: int = 0
) -> bytes:
    """Return an answer to *message* with records for the name that was asked."""
    end = _asked(message)[2]
    head = message[:2] + struct.pack(">HHHHH", 0x8180 | flags | code, 1, len(records), 0, 0)
    body = b"".join(
        b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(data)) + data for kind, data in records
    )
    return head + message[12:end] + body
