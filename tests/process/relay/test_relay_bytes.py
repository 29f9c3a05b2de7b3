"""Bytes through the relay: both ends of a connection, slow sides, limits, and the end of a run."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
import zlib

import pytest
from relay_world import SEES_DESCRIPTORS, WAIT_S, Relay, echo, receive, served

from protocol.relay import Close, Closed, Ended, LimitReached, Progress

OUTSIDE = "203.0.113.5"
RULE = f"{OUTSIDE}:443"


@pytest.fixture
def listener(world):
    """A listener outside, for a test that is the server itself."""
    with world.space.listener(OUTSIDE, 443) as made:
        made.settimeout(WAIT_S)
        yield made


def pair(run, listener):
    """Return both ends of a new connection of the job: inside, outside."""
    inside = run.connect(OUTSIDE, 443)
    outside, _ = listener.accept()
    outside.settimeout(WAIT_S)
    return inside, outside


def reset(end):
    """Close with a reset."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def fill(end):
    """Send until nobody takes any more; return the number of bytes."""
    end.setblocking(False)
    block, sent = bytes(1 << 18), 0
    while select.select([], [end], [], 0.2)[1]:
        sent += end.send(block)
    end.settimeout(WAIT_S)
    return sent


def test_half_a_connection_can_end_before_the_other(job, listener):
    """The end of one direction passes, and the other direction goes on."""
    run = job(RULE)
    inside, outside = pair(run, listener)
    with inside, outside:
        inside.sendall(b"question")
        inside.shutdown(socket.SHUT_WR)
        assert receive(outside, 100) == b"question"
        outside.sendall(b"answer")
        assert receive(inside, 6) == b"answer"
        outside.close()
        assert inside.recv(1) == b""
    ended = run.ended()
    assert (ended.outcome, ended.bytes_sent, ended.bytes_received) == ("open", 8, 6)


def test_the_outside_may_end_its_half_first(job, listener):
    """A server that says its last word still gets the rest of the job's bytes."""
    inside, outside = pair(job(RULE), listener)
    with inside, outside:
        outside.shutdown(socket.SHUT_WR)
        assert inside.recv(1) == b""
        inside.sendall(b"x" * 1_000)
        inside.close()
        assert len(receive(outside, 2_000)) == 1_000


@pytest.mark.parametrize("side", ["inside", "outside"])
def test_a_reset_passes_to_the_other_side(job, listener, side):
    """A half of a message must not look like a whole one."""
    run = job(RULE)
    ends = dict(zip(("inside", "outside"), pair(run, listener), strict=True))
    ends["inside"].sendall(b"half of")
    assert ends["outside"].recv(10) == b"half of"
    reset(ends.pop(side))
    (other,) = ends.values()
    with other, pytest.raises(ConnectionResetError):
        other.recv(1)
    assert run.ended().outcome == "open"


def test_a_refused_connection_outside_is_a_reset_inside(job, world):
    """The reason is in the report."""
    run = job(RULE, "192.0.2.1:443")
    ended = run.refused(OUTSIDE, 443)
    assert (ended.outcome, ended.reason) == ("failed", "connection refused")
    world.space.unreachable("192.0.2.0/24")
    assert run.refused("192.0.2.1", 443).reason == "no route to the host"


@pytest.mark.slow
def test_100_megabytes_arrive_as_they_were_sent(job, listener):
    """They go to the job, and 30 from it at the same time, each with the right checksum."""
    inside, outside = pair(run := job(RULE), listener)
    noise = os.urandom((1 << 20) + 300)
    sums = {}

    def send(name, end, megabytes):
        total = 0
        for number in range(megabytes):
            block = memoryview(noise)[number : number + (1 << 20)]
            total = zlib.crc32(block, total)
            end.sendall(block)
        end.shutdown(socket.SHUT_WR)
        sums[name] = total

    def add_up(name, end):
        total, buffer = 0, bytearray(1 << 18)
        while count := end.recv_into(buffer):
            total = zlib.crc32(memoryview(buffer)[:count], total)
        sums[name] = total

    threads = [
        threading.Thread(target=send, args=["sent to the job", outside, 100]),
        threading.Thread(target=add_up, args=["received by the job", inside]),
        threading.Thread(target=send, args=["sent by the job", inside, 30]),
        threading.Thread(target=add_up, args=["received from the job", outside]),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    inside.close()
    outside.close()
    assert len(sums) == 4
    assert sums["received by the job"] == sums["sent to the job"]
    assert sums["received from the job"] == sums["sent by the job"]
    ended = run.ended()
    assert (ended.bytes_sent, ended.bytes_received) == (30 << 20, 100 << 20)


@pytest.mark.parametrize("direction", ["to the job", "from the job"])
def test_a_slow_reader_holds_up_the_writer_and_no_memory(job, listener, direction):
    """The relay stops reading; after the reader wakes, every byte arrives."""
    run = job(RULE)
    inside, outside = pair(run, listener)
    writer, reader = (outside, inside) if direction == "to the job" else (inside, outside)
    for end in (writer, reader):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    before = run.relay.memory_bytes()
    sent = fill(writer)
    assert run.relay.memory_bytes() - before < 1 << 20
    with writer, reader:
        writer.shutdown(socket.SHUT_WR)
        received = 0
        while data := reader.recv(1 << 20):
            received += len(data)
    assert received == sent


def test_a_slow_connection_does_not_hold_up_another(job, listener):
    """While one reader sleeps, another connection of the same run works."""
    run = job(RULE)
    inside, outside = pair(run, listener)
    fill(outside)
    other, answering = pair(run, listener)
    with inside, outside, other, answering:
        other.sendall(b"hello")
        assert answering.recv(10) == b"hello"


def test_a_byte_at_a_time_passes(job, listener):
    """Nothing waits for more bytes."""
    inside, outside = pair(job(RULE), listener)
    with inside, outside:
        for number in range(300):
            inside.send(bytes([number % 256]))
            assert outside.recv(1) == bytes([number % 256])
            outside.send(bytes([number % 256]))
            assert inside.recv(1) == bytes([number % 256])


def test_a_run_has_a_limited_number_of_connections(job, world):
    """256 at once work, one more is refused, and there is room again when one has ended."""
    run = job(RULE)
    with served(world.space.listener(OUTSIDE, 443), echo):
        ends = [run.connect(OUTSIDE, 443) for _ in range(256)]
        for end in ends:
            end.sendall(b"x")
        assert [end.recv(1) for end in ends] == [b"x"] * 256
        assert run.refused(OUTSIDE, 443).reason == "too many connections: 256 are open"
        ends.pop().close()
        assert run.ended().outcome == "open"
        with run.connect(OUTSIDE, 443) as end:
            end.sendall(b"x")
            assert end.recv(1) == b"x"
        for end in ends:
            end.close()
        assert run.close().connections == 257


def test_another_limit_of_connections(job, world):
    """`max_connections` is that of the run."""
    run = job(RULE, max_connections=1)
    with served(world.space.listener(OUTSIDE, 443), echo), run.connect(OUTSIDE, 443) as end:
        end.sendall(b"x")
        assert end.recv(1) == b"x"
        assert run.refused(OUTSIDE, 443).reason == "too many connections: 1 are open"


def use(run, number):
    """Make connections, fifty at a time, and read the byte of each."""
    for _ in range(0, number, 50):
        made = run.space.sockets(50)
        for end in made:
            end.connect((OUTSIDE, 443))
        for end in made:
            end.settimeout(WAIT_S)
            assert end.recv(1) == b"x"
            end.close()


@SEES_DESCRIPTORS
@pytest.mark.slow
def test_thousands_of_connections_leave_nothing_behind(job, listener):
    """Memory and descriptors of the relay are flat, and a thousand reports are sent one by one."""
    run = job(RULE)
    relay = run.relay

    def serve(count):
        for _ in range(count):
            end, _ = listener.accept()
            end.send(b"x")
            end.close()

    def use_and_serve(count):
        thread = threading.Thread(target=serve, args=(count,))
        thread.start()
        use(run, count)
        thread.join(WAIT_S)

    total = 1_500
    use_and_serve(total)
    descriptors = relay.descriptors()
    grown = []
    # On a busy machine more connections are open at once than before, and need more memory for the first time.
    while not grown or grown[-1] >= 1 << 18:  # 105 bytes for each connection
        assert len(grown) < 4, grown
        memory = relay.memory_bytes()
        use_and_serve(2_500)
        grown.append(relay.memory_bytes() - memory)
        total += 2_500
    closed = run.close()
    assert relay.descriptors() <= descriptors
    assert (closed.connections, closed.dropped) == (total, total - 1_000)
    assert (closed.sent, closed.received) == (0, total)


def test_refused_connections_are_counted_above_a_thousand(job):
    """A job cannot fill the engine with reports."""
    run = job(RULE)
    for _ in range(101):
        for end in run.space.sockets(10):
            end.connect_ex(("203.0.113.6", 443))
            end.close()
    reports = 0
    run.relay.send(Close(run.run))
    while not isinstance(message := run.relay.receive(), Closed):
        reports += isinstance(message, Ended)
    run._closed = True
    assert reports == 1_000
    assert message.dropped == 10


def test_progress_is_reported_while_bytes_flow(job, listener):
    """At most every 100 ms, and nothing while the connection is silent."""
    run = job(RULE)
    inside, outside = pair(run, listener)
    with inside, outside:
        inside.sendall(b"x" * 100)
        outside.sendall(b"y" * 10)
        assert receive(outside, 100)
        progress = run.relay.expect(Progress, run.run)
        assert progress.sent == 100
        run.relay.control.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            while True:
                progress = run.relay.expect(Progress, run.run)
        run.relay.control.settimeout(WAIT_S)
        assert (progress.sent, progress.received) == (100, 10)


@pytest.mark.parametrize("direction", ["to the job", "from the job", "both ways"])
def test_a_run_passes_not_one_byte_above_its_limit(job, listener, direction):
    """The limit counts both directions; then the traffic of the run is over."""
    run = job(RULE, net_bytes=100_000)
    inside, outside = pair(run, listener)
    received = 0
    with inside, outside:
        if direction == "both ways":
            inside.sendall(bytes(60_000))
            received += len(receive(outside, 60_000))
        writer, reader = (inside, outside) if direction == "from the job" else (outside, inside)
        writer.sendall(bytes(200_000))
        try:
            while data := reader.recv(1 << 16):
                received += len(data)
        except ConnectionResetError:
            pass
    limit = run.relay.expect(LimitReached, run.run)
    assert limit.sent + limit.received == 100_000
    assert received <= 100_000
    assert run.ended().outcome == "open"
    assert "used up" in run.refused(OUTSIDE, 443).reason


def test_a_run_may_use_its_limit_to_the_last_byte(job, listener):
    """Exactly as many bytes pass, with the end of the connection."""
    run = job(RULE, net_bytes=100_000)
    inside, outside = pair(run, listener)
    with inside, outside:
        outside.sendall(bytes(100_000))
        outside.close()
        assert len(receive(inside, 200_000)) == 100_000
    assert run.ended().outcome == "open"
    closed = run.close()
    assert (closed.sent, closed.received) == (0, 100_000)


def test_the_limit_of_one_run_is_not_that_of_another(job, listener):
    """The other run goes on."""
    full, other = job(RULE, net_bytes=10), job(RULE)
    kept = pair(other, listener)
    inside, outside = pair(full, listener)
    outside.sendall(bytes(20))
    full.relay.expect(LimitReached, full.run)
    for end in (inside, outside):
        end.close()
    with kept[0], kept[1]:
        kept[0].sendall(b"hello")
        assert kept[1].recv(10) == b"hello"


# The end of a run


def read_all(end):
    while end.recv(1 << 20):
        pass


def test_the_end_of_a_run_ends_its_connections(job, listener):
    """Bytes are on their way in both directions; both sides see a reset."""
    run = job(RULE)
    inside, outside = pair(run, listener)
    fill(outside)
    closed = run.close()
    assert closed.connections == 1
    with inside, outside:
        for end in (inside, outside):
            with pytest.raises(ConnectionError):
                read_all(end)
    assert run.ended().outcome == "open"


def test_nothing_listens_in_a_run_that_has_ended(job):
    """Its namespace is empty again."""
    run = job(RULE)
    run.close()
    with pytest.raises(ConnectionRefusedError):
        run.connect(OUTSIDE, 443)


def test_the_last_bytes_of_a_job_arrive(world, job, listener):
    """It sends, closes and ends, before the connection outside is even made.

    The relay has half a second for all of them, which may not be enough on a busy machine, so this one has more.
    """
    relay = Relay(world.space, limit_off="leave_soon")
    run = job(RULE, through=relay)
    for _ in range(8):
        with run.connect(OUTSIDE, 443) as inside:
            inside.sendall(b"x" * 50_000)
    run.relay.send(Close(run.run))
    for _ in range(8):
        outside, _ = listener.accept()
        with outside:
            outside.settimeout(WAIT_S)
            assert len(receive(outside, 100_000)) == 50_000
    closed = run.relay.expect(Closed, run.run)
    run._closed = True
    assert (closed.connections, closed.sent) == (8, 400_000)
    run.finish()
    assert relay.close() == 0


def close_and_wait(run):
    """End a run, and wait until its relay knows it: nothing listens any more. Port 80 is not in the rules."""
    run.relay.send(Close(run.run))
    with contextlib.suppress(ConnectionRefusedError):
        while True:
            run.connect(OUTSIDE, 80).close()


def test_bytes_that_are_on_their_way_at_the_end_arrive(world, job, listener):
    """A busy kernel delivers the last bytes of a job after the engine has reported the end of its process."""
    relay = Relay(world.space, limit_off="leave_soon")
    run = job(RULE, through=relay)
    inside, outside = pair(run, listener)
    close_and_wait(run)
    with outside:
        with inside:
            inside.sendall(b"last")
        assert receive(outside, 100) == b"last"
    closed = run.relay.expect(Closed, run.run)
    run._closed = True
    assert closed.sent == 4
    run.finish()
    assert relay.close() == 0


def test_a_connection_that_is_not_made_yet_ends_with_its_job(world, job):
    """The server does not answer, and the job closes its side after the engine has reported the end."""
    relay = Relay(world.space, limit_off="leave_soon")
    with contextlib.ExitStack() as stack:
        hanging(world.space, OUTSIDE, stack)
        run = job(RULE, through=relay)
        with run.connect(OUTSIDE, 443):
            close_and_wait(run)
        while (end := run.ended()).port != 443:
            assert end.outcome == "refused"
        run.relay.expect(Closed, run.run)
        run._closed = True
    assert (end.outcome, end.reason) == ("failed", "the run has ended")
    run.finish()
    assert relay.close() == 0


def test_a_reader_that_sleeps_does_not_hold_up_the_end_of_a_run(job, listener):
    """After half a second the relay gives up."""
    run = job(RULE)
    inside, outside = pair(run, listener)
    fill(inside)
    inside.close()
    closed = run.close()
    outside.close()
    assert closed.connections == 1


def test_a_silent_connection_ends(world, job):
    """After the time that the engine has set."""
    relay = Relay(world.space, idle_s=0.2)
    run = job(RULE, through=relay)
    with (
        served(world.space.listener(OUTSIDE, 443), echo),
        run.connect(OUTSIDE, 443) as end,
    ):
        end.sendall(b"x")
        assert end.recv(1) == b"x"
        with pytest.raises(ConnectionResetError):
            end.recv(1)
    assert run.ended().outcome == "open"
    run.finish()
    assert relay.close() == 0


# Connecting


def hanging(space, address, stack):
    """A server that never answers: its queue of new connections is full."""
    made = stack.enter_context(space.listener(address, 443, backlog=0))
    for _ in range(2):
        end = stack.enter_context(space.socket())
        end.setblocking(False)
        end.connect_ex((address, 443))
    return made


def test_a_dead_first_address_costs_a_quarter_of_a_second(job, world):
    """The second address is tried beside the first."""
    world.names.records["dead.example.org"] = ["203.0.113.66", "203.0.113.67"]
    with contextlib.ExitStack() as stack:
        for address in ("203.0.113.66", "203.0.113.67"):
            dead = hanging(world.space, address, stack)
            if address.endswith("67"):
                dead.close()  # it refuses
        stack.enter_context(served(world.space.listener("203.0.113.68", 443), echo))
        world.names.records["dead.example.org"].append("203.0.113.68")
        run = job("dead.example.org:443")
        with run.connect("dead.example.org", 443) as end:
            end.sendall(b"x")
            assert end.recv(1) == b"x"
        assert run.ended().duration_ms < 5_000


def test_a_dead_family_is_not_waited_for(job, world):
    """IPv6 hangs, and IPv4 is tried after a quarter of a second."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(world.space.listener("2001:db8::66", 443, backlog=0))
        for _ in range(2):
            end = stack.enter_context(world.space.socket(socket.AF_INET6))
            end.setblocking(False)
            end.connect_ex(("2001:db8::66", 443))
        stack.enter_context(served(world.space.listener(OUTSIDE, 443), echo))
        world.names.records["both.example.org"] = ["2001:db8::66", OUTSIDE]
        with job("both.example.org:443").connect("both.example.org", 443) as end:
            end.sendall(b"x")
            assert end.recv(1) == b"x"


@SEES_DESCRIPTORS
def test_a_job_that_gives_up_ends_the_attempt(job, world):
    """A reset before the connection was made is reported, and nothing is left of the attempt."""
    run = job("203.0.113.70:443")
    with contextlib.ExitStack() as stack:
        hanging(world.space, "203.0.113.70", stack)
        before = run.relay.descriptors()
        reset(run.connect("203.0.113.70", 443))
        ended = run.ended()
        assert (ended.outcome, ended.reason) == (
            "failed",
            "the job closed the connection before it was made",
        )
        run.addresses("localhost")  # one turn later
        assert run.relay.descriptors() <= before


def test_a_relay_without_descriptors_refuses_and_recovers(world, job):
    """Some connections are reset, it does not spin, and works again when others have ended."""
    relay = Relay(world.space, max_open_files=60)
    run = job(RULE, through=relay)
    with served(world.space.listener(OUTSIDE, 443), echo), contextlib.ExitStack() as stack:
        answered = 0
        for _ in range(50):
            end = run.space.socket()
            stack.enter_context(end)
            end.settimeout(WAIT_S)
            with contextlib.suppress(OSError):
                end.connect((OUTSIDE, 443))
                end.send(b"x")
                answered += end.recv(1) == b"x"
        assert 10 < answered < 30
        stack.close()
        for _ in range(answered):
            while run.ended().outcome != "open":
                pass
        with run.connect(OUTSIDE, 443) as end:
            end.sendall(b"x")
            assert end.recv(1) == b"x"
    run.finish()
    assert relay.close() == 0
