"""Connections through an HTTP proxy: a real one, and servers that only say that they are one."""

from __future__ import annotations

import os
import socket

import pytest
from relay_world import WAIT_S, Relay, echo, receive, served
from tiny_proxy import PLACE as PROXY
from tiny_proxy import tinyproxy

from protocol.net_proxy import parse_net_proxy

OUTSIDE = "203.0.113.5"


@pytest.fixture
def proxied(world, job):
    """Make a run behind a proxy: `proxied(url, *rules)`."""
    relays = []
    runs = []

    def make(url, *rules):
        relays.append(Relay(world.space, proxy=url))
        runs.append(job(*rules, through=relays[-1]))
        return runs[-1]

    yield make
    for run in runs:
        run.finish()
    for relay in relays:
        assert relay.close() == 0


def test_a_real_proxy_carries_all_connections(world, proxied, tmp_path):
    """By name and by address, with and the account counts the bytes of the job only."""
    world.names.records["behind.example.org"] = [OUTSIDE]
    data = os.urandom(1 << 18)
    with (
        tinyproxy(world.space, tmp_path, "ConnectPort 443", "Allow 0.0.0.0/0"),
        served(world.space.listener(OUTSIDE, 443), echo),
    ):
        run = proxied(f"http://{PROXY[0]}:{PROXY[1]}", "behind.example.org:443", f"{OUTSIDE}:443")
        for host in ("behind.example.org", OUTSIDE):
            with run.connect(host, 443) as end:
                for start in range(0, len(data), 1 << 14):
                    piece = data[start : start + (1 << 14)]
                    end.sendall(piece)
                    assert receive(end, len(piece)) == piece
            ended = run.ended()
            assert (ended.host, ended.outcome, ended.bytes_sent) == (host, "open", len(data))
            assert ended.bytes_received == len(data)
        assert run.refused("203.0.113.6", 443).outcome == "refused"


def test_a_real_proxy_that_refuses_is_reported(world, proxied, tmp_path):
    """Its answer is the reason, and the job sees a reset."""
    with tinyproxy(world.space, tmp_path, "ConnectPort 563", "Allow 0.0.0.0/0"):
        ended = proxied(f"http://{PROXY[0]}:{PROXY[1]}", f"{OUTSIDE}:443").refused(OUTSIDE, 443)
    assert ended.outcome == "failed"
    assert ended.reason.startswith("the proxy answered 403")


def test_a_real_proxy_gets_the_user_and_password(world, proxied, tmp_path):
    """Without them it answers 407."""
    with (
        tinyproxy(
            world.space, tmp_path, "ConnectPort 443", "Allow 0.0.0.0/0", "BasicAuth ann se-cret"
        ),
        served(world.space.listener(OUTSIDE, 443), echo),
    ):
        run = proxied(f"http://ann:se%2Dcret@{PROXY[0]}:{PROXY[1]}", f"{OUTSIDE}:443")
        with run.connect(OUTSIDE, 443) as end:
            end.sendall(b"x")
            assert end.recv(1) == b"x"
        ended = proxied(f"http://{PROXY[0]}:{PROXY[1]}", f"{OUTSIDE}:443").refused(OUTSIDE, 443)
    assert ended.reason.startswith(("the proxy answered 407", "the proxy answered 401"))


def ask_and_answer(requests, *pieces):
    """Return a server that reads a request and answers with these pieces."""

    def serve(end):
        head = b""
        while b"\r\n\r\n" not in head:
            head += end.recv(4_096) or b"\r\n\r\n"
        requests.append(head)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            end.sendall(piece)
        end.recv(1)

    return serve


def test_the_name_goes_to_the_proxy_and_is_not_looked_up(world, proxied):
    """Checks of addresses are then those of the proxy; bytes behind its answer belong to the job."""
    requests = []
    pieces = (b"HTTP/1.1 2", b"00 Connection established\r\n", b"Via: test\r\n\r", b"\nwelcome")
    with served(world.space.listener(*PROXY), ask_and_answer(requests, *pieces)):
        run = proxied(f"http://{PROXY[0]}:{PROXY[1]}", "inner.example.org:443", "[2001:db8::5]:443")
        with run.connect("inner.example.org", 443) as end:
            assert receive(end, 7) == b"welcome"
        with run.connect("2001:db8::5", 443) as end:
            assert receive(end, 7) == b"welcome"
    first = b"CONNECT inner.example.org:443 HTTP/1.1\r\nHost: inner.example.org:443\r\n\r\n"
    assert requests == [first, first.replace(b"inner.example.org", b"[2001:db8::5]")]
    assert "inner.example.org" not in world.names.asked


def test_the_proxy_may_have_a_near_address_and_a_name(world, proxied):
    """The policy names it, and not the job; it can be on the engine's machine."""
    with served(
        world.space.listener("127.0.0.1", 3_128), ask_and_answer([], b"HTTP/1.0 200 OK\r\n\r\nhi")
    ):
        run = proxied("http://near.example.org:3128", f"{OUTSIDE}:443")
        with run.connect(OUTSIDE, 443) as end:
            assert receive(end, 2) == b"hi"
        assert run.ended().outcome == "open"
        assert run.refused("127.0.0.1", 443).outcome == "refused"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 502 Bad\x1b[31m Gateway\r\n\r\n", "the proxy answered 502 Bad?[31m Gateway"),
        (b"HTTP/1.1 500 " + b"x" * 5_000 + b"\r\n\r\n", "the proxy answered 500 " + "x" * 100),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "something other than an answer of HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 5_000, "something other than an answer of HTTP"),
        (b"HTTP/2 200\r\n\r\n", "something other than an answer of HTTP"),
    ],
    ids=["an error", "a long error", "another protocol", "an endless head", "another version"],
)
def test_a_proxy_that_answers_something_else_is_reported(world, proxied, answer, reason):
    """The text is short and can be printed."""
    with served(world.space.listener(*PROXY), ask_and_answer([], answer)):
        ended = proxied(f"http://{PROXY[0]}:{PROXY[1]}", f"{OUTSIDE}:443").refused(OUTSIDE, 443)
    assert ended.outcome == "failed"
    assert reason in ended.reason
    assert ended.reason.isprintable()
    assert len(ended.reason) < 150


def test_a_proxy_that_is_not_there_is_reported(proxied):
    """Nothing is connected around it."""
    ended = proxied(f"http://{PROXY[0]}:{PROXY[1]}", f"{OUTSIDE}:443").refused(OUTSIDE, 443)
    assert (ended.outcome, ended.reason) == ("failed", "proxy: connection refused")


def test_a_proxy_that_closes_is_reported(world, proxied):
    """Before it has answered."""
    with served(world.space.listener(*PROXY), lambda end: end.recv(1_000)):
        ended = proxied(f"http://{PROXY[0]}:{PROXY[1]}", f"{OUTSIDE}:443").refused(OUTSIDE, 443)
    assert ended.reason == "the proxy closed the connection"


def test_a_wrong_proxy_is_an_error_before_any_run():
    """The engine reads it with the same function."""
    assert WAIT_S
    with pytest.raises(ValueError, match="in place of http"):
        parse_net_proxy("https://proxy:3128")
