"""The sockets that a child sends, and the life of the relay: hostile links, deaths, and odd messages."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import time
from pathlib import Path

import pytest
from relay_world import ENVIRONMENT, SEES_DESCRIPTORS, WAIT_S, Job, Relay, echo, served

from engine.confinement import relay_command
from protocol.link import LINK_END, LINK_MORE
from protocol.relay import (
    CONTROL_FD,
    MAX_DATAGRAM_BYTES,
    Close,
    Closed,
    Configure,
    Ended,
    Open,
    OpenFailed,
    Ready,
    decode_from_relay,
    encode,
)

OUTSIDE = "203.0.113.5"
RULE = f"{OUTSIDE}:443"


class Link:
    """The child's end of the link of a run."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.end.settimeout(WAIT_S)
        self.run = relay.open(RULE, link=theirs)
        self.served = 0
        """Connections that the job has made."""

    def send(self, body: bytes, *made: socket.socket) -> None:
        try:
            socket.send_fds(self.end, [body], [one.fileno() for one in made])
        finally:
            for one in made:
                one.close()

    def failed(self) -> str:
        """Return the reason why the run has no network."""
        return self.relay.expect(OpenFailed, self.run).reason

    def closed_by_relay(self) -> bool:
        try:
            return self.end.recv(1) == b""
        except ConnectionResetError:
            return True


@pytest.fixture
def link(relay):
    """The link of a new run, which is closed and forgotten at the end."""
    made = Link(relay)
    yield made
    relay.send(Close(made.run))
    assert relay.expect(Closed, made.run).connections == made.served
    made.end.close()


@pytest.fixture
def space(world):
    """The namespace of a job."""
    made = world.space.inner()
    yield made
    made.close()


def test_several_messages_and_the_end_in_one_of_them(job, link, space):
    """All sockets are served, and the relay closes the link after the end."""
    link.send(LINK_MORE, space.listener("::", 443))
    link.send(LINK_END, space.listener("::", 80))
    assert link.closed_by_relay()
    for port in (443, 80):
        with space.socket() as end:
            end.settimeout(WAIT_S)
            try:
                end.connect(("203.0.113.77", port))
                assert end.recv(1) == b""
            except ConnectionResetError:
                pass


def test_a_link_that_never_ends_does_no_harm(link, space, world):
    """Its sockets are served as they come, and the end of the run closes it."""
    link.send(LINK_MORE, space.listener("::", 443))
    with served(world.space.listener(OUTSIDE, 443), echo), space.socket() as end:
        end.settimeout(WAIT_S)
        end.connect((OUTSIDE, 443))
        end.sendall(b"hello")
        assert end.recv(10) == b"hello"
        end.close()
        assert link.relay.expect(Ended, link.run).bytes_sent == 5
        link.relay.send(Close(link.run))
        assert link.relay.expect(Closed, link.run).connections == 1
    assert link.closed_by_relay()


@pytest.mark.parametrize("end", [LINK_END, None], ids=["whole", "without the end of the link"])
def test_a_child_that_keeps_its_link_can_pass_nothing_more(link, space, world, end):
    """The relay has closed its end.  In the twin the child never says the end, and its socket is served."""
    link.send(LINK_MORE, space.listener("::", 80))
    if end is not None:
        link.send(end)
        assert link.closed_by_relay()
        with pytest.raises(BrokenPipeError):
            link.send(LINK_MORE, space.listener("::", 443))
        assert is_refused(space, 443)
        return
    link.send(LINK_MORE, space.listener("::", 443))
    with served(world.space.listener(OUTSIDE, 443), echo), space.socket() as mine:
        mine.settimeout(WAIT_S)
        mine.connect((OUTSIDE, 443))
        mine.sendall(b"hello")
        assert mine.recv(10) == b"hello"
    assert link.relay.expect(Ended, link.run).bytes_sent == 5
    link.served = 1


def test_a_link_without_sockets_is_a_run_without_network(link):
    """The relay has nothing to serve, and nothing to complain about."""
    link.send(LINK_END)
    assert link.closed_by_relay()


@pytest.mark.parametrize("body", [b"garbage", b"more.", b"\0" * 16, b"x" * 5_000])
def test_garbage_on_the_link_closes_the_run(link, space, body):
    """The listeners that came before are closed as well."""
    link.send(LINK_MORE, space.listener("::", 443))
    link.send(body, space.listener("::", 80))
    assert "unknown text" in link.failed()
    assert link.closed_by_relay()
    for port in (80, 443):
        deadline = time.monotonic() + WAIT_S
        while not is_refused(space, port):
            assert time.monotonic() < deadline, port


def is_refused(space, port):
    """Whether nobody listens: a socket that was on its way is closed a moment after the link."""
    with space.socket() as end:
        try:
            end.connect((OUTSIDE, port))
        except ConnectionRefusedError:
            return True
        return False


def test_descriptors_of_other_kinds_close_the_run(relay, space):
    """Files, pipes, sockets of other families, and sockets that do not listen."""
    reader, writer = os.pipe()
    one, two = socket.socketpair()
    with tempfile.TemporaryFile() as file, one, two:
        for fd, reason in (
            (file.fileno(), "not a socket"),
            (reader, "not a socket"),
            (one.fileno(), "family"),
            (space.socket().detach(), "neither listens"),
            (space.socket(kind=socket.SOCK_DGRAM).detach(), "neither listens"),
            (space.socket(socket.AF_NETLINK, socket.SOCK_RAW).detach(), "family"),
        ):
            link = Link(relay)
            socket.send_fds(link.end, [LINK_MORE], [fd])
            assert reason in link.failed()
            relay.send(Close(link.run))
            relay.expect(Closed, link.run)
            link.end.close()
            if fd not in (file.fileno(), one.fileno()):
                os.close(fd)
    os.close(writer)


def test_too_many_sockets_close_the_run(link, space):
    """A run has 1,024 ports; the relay takes no more than a child of ours may send."""
    listener = space.listener("::", 443)
    fds = [listener.fileno()] * 200
    with contextlib.suppress(OSError):  # the relay closes the link
        for _ in range(11):
            socket.send_fds(link.end, [LINK_MORE], fds)
    listener.close()
    assert "too many sockets" in link.failed()


def test_more_than_200_descriptors_in_a_message_close_the_run(link, space):
    """The kernel cuts them off, and the relay does not guess."""
    listener = space.listener("::", 443)
    socket.send_fds(link.end, [LINK_MORE], [listener.fileno()] * 230)
    listener.close()
    assert "cut off" in link.failed()


def test_a_link_can_only_bring_ports_that_the_rules_allow(link, space):
    """A child that lies about its listeners reaches nothing by it."""
    link.send(LINK_END, space.listener("::", 8_443))
    with space.socket() as end:
        end.settimeout(WAIT_S)
        try:
            end.connect((OUTSIDE, 8_443))
            assert end.recv(1) == b""
        except ConnectionResetError:
            pass
    ended = link.relay.expect(Ended, link.run)
    assert (ended.host, ended.port, ended.outcome) == (OUTSIDE, 8_443, "refused")


def test_a_bad_rule_opens_nothing(relay):
    """The engine has checked it, and the relay checks it again."""
    with pytest.raises(ValueError, match="is a URL"):
        relay.open("https://example.org")


def test_a_run_that_is_not_known_is_closed_all_the_same(relay):
    """The engine may ask twice."""
    relay.send(Close(999_999))
    assert relay.expect(Closed, 999_999) == Closed(999_999)


def test_a_number_of_a_run_is_used_once(relay, link):
    """The run that has it goes on."""
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with mine, its:
        relay.send(Open(link.run, (RULE,)), its.fileno())
    assert "open already" in relay.expect(OpenFailed, link.run).reason
    link.send(LINK_END)
    assert link.closed_by_relay()


def test_many_runs_have_their_own_rules_and_account(world, relay, job):
    """Twenty runs at once, each with another host."""
    with served(world.space.listener("::", 443), echo):
        runs = [job(f"203.0.113.{number}:443") for number in range(1, 21)]
        for number, run in enumerate(runs, 1):
            with run.connect(f"203.0.113.{number}", 443) as end:
                end.sendall(b"x" * number)
                assert end.recv(1)
            assert run.refused(f"203.0.113.{number % 20 + 1}", 443).outcome in ("open", "refused")
        assert [run.close().sent for run in runs] == list(range(1, 21))


# Deaths


def test_the_relay_ends_when_the_engine_is_gone(world):
    """At once, also with connections and look-ups on their way; both sides see the end."""
    world.names.records["slow.example.org"] = lambda *_: b""
    relay = Relay(world.space)
    run = Job(relay, world.space.inner(), RULE, "slow.example.org:443")
    with world.space.listener(OUTSIDE, 443) as listener:
        listener.settimeout(WAIT_S)
        inside = run.connect(OUTSIDE, 443)
        outside, _ = listener.accept()
        slow = run.connect("slow.example.org", 443)
        with inside, outside, slow:
            assert relay.close() == 0
            outside.settimeout(WAIT_S)
            for end in (inside, outside):
                assert end.recv(1) == b""
    run.space.close()


def test_a_relay_that_is_killed_ends_its_connections(world):
    """The job sees an end or a reset, and no connection is possible after that."""
    relay = Relay(world.space)
    run = Job(relay, world.space.inner(), RULE)
    with served(world.space.listener(OUTSIDE, 443), echo), run.connect(OUTSIDE, 443) as end:
        end.sendall(b"x")
        assert end.recv(1) == b"x"
        os.kill(relay.pid, signal.SIGKILL)
        assert relay.close() == -signal.SIGKILL
        try:
            assert end.recv(1) == b""
        except ConnectionResetError:
            pass
    with pytest.raises(ConnectionRefusedError):
        run.connect(OUTSIDE, 443)
    run.space.close()


def test_an_engine_that_does_not_read_stops_nobody(world):
    """Messages wait in the relay, and come in their order when the engine reads again."""
    relay = Relay(world.space)
    run = Job(relay, world.space.inner(), RULE)
    with served(world.space.listener(OUTSIDE, 443), echo):
        for number in range(600):
            with run.connect(OUTSIDE, 443) as end:
                end.sendall(b"x" * (number + 1))
                assert end.recv(1)
    numbers = [run.ended().bytes_sent for _ in range(600)]
    assert sorted(numbers) == list(range(1, 601))
    run.finish()
    assert relay.close() == 0


def test_an_engine_that_speaks_another_language_ends_the_relay(world):
    """The relay does not guess."""
    relay = Relay(world.space)
    relay.control.send(b"\xc1 garbage")
    with pytest.raises((EOFError, ConnectionResetError)):
        relay.receive()
    relay.close()


def test_a_relay_without_a_first_message_ends(world):
    """The engine died before it had sent one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        pid = world.space.spawn(
            relay_command(), {CONTROL_FD: theirs.fileno()}, environment=ENVIRONMENT
        )
    ours.close()
    assert world.space.wait(pid) == 1


@SEES_DESCRIPTORS
def test_the_relay_inherits_no_descriptor(world):
    """Only its standard streams, its socket and what it has made itself are open."""
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.settimeout(WAIT_S)
    with tempfile.NamedTemporaryFile() as secret, theirs:
        pid = world.space.spawn(
            relay_command(),
            {CONTROL_FD: theirs.fileno(), 7: secret.fileno(), 900: secret.fileno()},
            environment=ENVIRONMENT,
        )
        control.send(encode(Configure(world.space.pid)))
        assert isinstance(decode_from_relay(control.recv(MAX_DATAGRAM_BYTES)), Ready)
        targets = [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()]
        assert secret.name not in targets
    control.close()
    assert world.space.wait(pid) == 0
