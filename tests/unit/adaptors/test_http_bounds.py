"""A server cannot make http use much memory or time: sizes, bombs, headers, timeouts."""

from __future__ import annotations

import functools
import gzip
import socket
import threading
import tracemalloc
import zlib

import brotli
import http_
import pytest
from http_.decoding import PIECE_BYTES, UndecodableError, decoded
from web import Reply

pytestmark = [pytest.mark.usefixtures("forget_sessions"), pytest.mark.slow]

BOMB_BYTES = 100_000_000


@functools.cache
def packed_zeros(coding):
    """Return a small body that becomes `BOMB_BYTES` bytes, made without as much memory."""
    zeros = bytes(1_000_000)
    if coding == "br":
        packer = brotli.Compressor(quality=1)
        parts = [packer.process(zeros) for _ in range(BOMB_BYTES // len(zeros))]
        return b"".join(parts) + packer.finish()
    packer = zlib.compressobj(1, wbits=31 if coding == "gzip" else 15)
    parts = [packer.compress(zeros) for _ in range(BOMB_BYTES // len(zeros))]
    return b"".join(parts) + packer.flush()


def peak_bytes(call):
    """Return the most memory that Python objects had while *call* ran."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_a_bomb_is_stopped_at_the_limit(web, coding):
    """The memory is that of the limit, and not that of the decompressed body."""
    bomb = packed_zeros(coding)
    assert len(bomb) < BOMB_BYTES / 100
    web.routes["/bomb"] = lambda _: Reply(200, {"Content-Encoding": coding}, bomb)

    def fetch():
        with pytest.raises(
            http_.TooLargeError, match=r"larger than 2000000 bytes.*max_mb"
        ) as caught:
            http_.get("bomb", max_mb=2)(web.state())
        assert caught.value.retryable is False

    assert peak_bytes(fetch) < 30_000_000


def test_the_twin_with_a_limit_above_it_reads_the_whole_body(web):
    """The bomb is real: with a limit that admits it, all of it arrives."""
    bomb = packed_zeros("gzip")
    web.routes["/bomb"] = lambda _: Reply(200, {"Content-Encoding": "gzip"}, bomb)
    body = http_.get("bomb", parse_as="bytes", max_mb=150)(web.state())["data"]
    assert len(body) == BOMB_BYTES


def test_a_bomb_between_two_codings_is_stopped():
    """Gigabytes of empty members end as an empty body, so the last size says nothing."""
    empty = gzip.compress(b"") * 1_000_000
    pieces = decoded([gzip.compress(empty)], "gzip, gzip", 1_000_000)
    with pytest.raises(UndecodableError, match="between two codings"):
        list(pieces)
    assert list(decoded([gzip.compress(gzip.compress(b"x"))], "gzip, gzip", 1_000)) != []
    with pytest.raises(UndecodableError, match="4 codings"):
        decoded([b""], "gzip, br, gzip, br", 1_000)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_a_decoder_makes_small_pieces(coding):
    """The caller can stop after each of them."""
    pieces = decoded([packed_zeros(coding)], coding, BOMB_BYTES)
    assert max(len(next(pieces)) for _ in range(20)) <= 2 * PIECE_BYTES


@pytest.mark.parametrize("length", [None, 3_000_000])
def test_a_large_body_is_stopped_at_the_limit(web, length):
    """The limit is that of the bytes that arrive, whatever the header says."""
    web.routes["/large"] = lambda _: Reply(200, {}, b"x" * 3_000_000, length)
    with pytest.raises(http_.TooLargeError):
        http_.get("large", max_mb=2.5)(web.state())
    assert len(http_.get("large", max_mb=3)(web.state())["data"]) == 3_000_000


def test_a_body_that_is_shorter_than_its_length_is_an_error(web):
    """A part of a file is never taken for the file; another attempt may get all of it."""
    web.routes["/short"] = lambda _: Reply(200, {}, b"x" * 100, 200)
    with pytest.raises(http_.UnreachableError) as caught:
        http_.get("short", retries=0)(web.state())
    assert caught.value.retryable is True


def test_the_body_of_an_error_is_read_only_in_part(web):
    """The status is the error, not the size of its page."""
    web.routes["/bad"] = lambda _: Reply(404, {"Content-Type": "text/plain"}, b"x" * 3_000_000)
    with pytest.raises(http_.ResponseError, match="404") as caught:
        http_.get("bad", max_mb=1)(web.state())
    assert len(caught.value.body) == 2_000
    bomb = packed_zeros("br")
    web.routes["/bad"] = lambda _: Reply(404, {"Content-Encoding": "br"}, bomb)
    with pytest.raises(http_.ResponseError, match="404"):
        http_.get("bad", max_mb=1)(web.state())


def test_the_body_of_a_redirect_is_not_read_without_end(web):
    """The connection is closed instead."""
    web.routes["/to/here"] = lambda _: Reply(302, {"Location": "/echo"}, b"x" * 5_000_000)
    assert http_.get("to/here", max_mb=1)(web.state())["data"]["target"] == "/echo"


class Raw:
    """A server that writes given bytes to each connection, and then waits for its end."""

    def __init__(self, answer, *, endless=False):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.connections = 0
        self._thread = threading.Thread(target=self._serve, args=(answer, endless))
        self._thread.start()

    def _serve(self, answer, endless):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                try:
                    connection.sendall(answer)
                    while endless:
                        connection.sendall(endless)
                    while connection.recv(65_536):
                        pass
                except OSError:
                    pass

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@pytest.mark.parametrize(
    ("answer", "endless"),
    [
        (b"HTTP/1.1 200 OK\r\nX-A: ", b"x" * 100_000),
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 10_000),
        (b"not http at all\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", False),
    ],
)
def test_an_answer_that_is_not_http_is_an_error(answer, endless):
    """Headers without end are cut off as well."""
    raw = Raw(answer, endless=endless)
    try:
        with pytest.raises(http_.UnreachableError):
            http_.get(raw.url, retries=0, timeout_s=20)({})
    finally:
        raw.close()


@pytest.mark.parametrize("timeout", [{"timeout": 50}, {"timeout_s": 0.05}])
def test_a_server_that_does_not_answer_is_left_after_the_timeout(timeout):
    """The error says how long the request has waited."""
    raw = Raw(b"")
    try:
        with pytest.raises(http_.UnreachableError, match=r"no answer within 0\.05 s") as caught:
            http_.get(raw.url, retries=1, **timeout)({})
        assert caught.value.retryable is True
        assert raw.connections == 2
        with pytest.raises(http_.UnreachableError) as caught:
            http_.post(raw.url, retries=1, **timeout)({})
        # The server may have done its work, so the plan decides.
        assert (caught.value.retryable, caught.value.sent) == (None, True)
        assert raw.connections == 3
    finally:
        raw.close()
