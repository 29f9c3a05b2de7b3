"""Well-known libraries in runs with network rules: real servers with names, TLS, PostgreSQL and a proxy.

The engine runs in a network namespace of the test, in which hosts have names.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import ssl
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from authority import Authority
from engine_in_space import SpaceEngine
from modes import let_everybody_in
from network_spaces import Space
from relay_world import served
from tiny_proxy import PLACE, tinyproxy
from tls_verbs import install

WEB, DATABASE = "203.0.113.5", "203.0.113.7"
API, OTHER, BASE = "api.example.test", "other.example.test", "db.example.test"
HOSTS = f"127.0.0.1 localhost\n{WEB} {API} {OTHER}\n{DATABASE} {BASE} other-{BASE}\n"
MEGABYTES = 300
BLOCK = random.Random(7).randbytes(1 << 20)


@pytest.fixture(autouse=True)
def no_leak():
    """Replace the check of leaks, because the engines of this file outlive each test."""


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """A namespace in which hosts have names."""
    directory = tmp_path_factory.mktemp("etc")
    (directory / "hosts").write_text(HOSTS)
    (directory / "resolv.conf").write_text("nameserver 127.0.0.53\n")
    try:
        made = Space(files={f"/etc/{name}": directory / name for name in ("hosts", "resolv.conf")})
    except OSError as error:
        pytest.skip(f"no namespaces here: {error}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """An authority that no machine knows."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make certificates")
    directory = tmp_path_factory.mktemp("authority")
    let_everybody_in(directory)
    made = Authority(directory, "ours")
    made.certificate.chmod(0o644)
    return made


class Handler(BaseHTTPRequestHandler):
    """Answers ``/`` with the name that was asked for, and ``/big`` with a large document."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        large = self.path == "/big"
        body = self.headers["Host"].partition(":")[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(MEGABYTES << 20 if large else len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if not large:
            self.wfile.write(body)
            return
        for _ in range(MEGABYTES):
            self.wfile.write(BLOCK)

    def do_POST(self) -> None:
        total, left = 0, int(self.headers["Content-Length"])
        while left:
            block = self.rfile.read(min(left, 1 << 18))
            total, left = zlib.crc32(block, total), left - len(block)
        body = str(total).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Write no log."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: object) -> None:
        """Ignore clients that go away."""


@contextlib.contextmanager
def web(space, port, certificate=None):
    server = Server(("", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = space.listener(WEB, port)
    server.server_name, server.server_port = WEB, port
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def servers(space, authority):
    """HTTP and HTTPS; the certificate is for both names."""
    with web(space, 80), web(space, 443, authority.issue("web", API, OTHER)):
        yield


@pytest.fixture(scope="module")
def database(space, authority, postgres):
    """The real server of the tests, with TLS, at an address in the namespace."""
    owner = postgres.directory.stat()
    both = postgres.directory / "by-name.both"
    shutil.copy(authority.issue("database", BASE, f"other-{BASE}"), both)
    os.chown(both, owner.st_uid, owner.st_gid)
    both.chmod(0o600)
    for name in ("ssl_cert_file", "ssl_key_file"):
        postgres.sql(f"ALTER SYSTEM SET {name} = '{both}'")
    postgres.sql("ALTER SYSTEM SET ssl = on")
    postgres.sql("SELECT pg_reload_conf()")

    def carry(end: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", postgres.port)) as there:
            back = threading.Thread(target=pump, args=(there, end))
            back.start()
            pump(end, there)
            back.join()

    with served(space.listener(DATABASE, 5432), carry):
        yield
    postgres.sql("ALTER SYSTEM SET ssl = off")
    postgres.sql("SELECT pg_reload_conf()")


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    return {"tls": str(install(tmp_path_factory.mktemp("adaptor")))}


@pytest.fixture(scope="module", params=["exec", "zygote"])
def engine(request, space, modules):
    """An engine in the namespace."""
    made = SpaceEngine(space, request.param, modules)
    yield made
    made.close()


CALLS = {
    "urllib": "by_urllib('https://{host}/')",
    "asyncio": "by_asyncio('{host}', 443)",
    "requests": "by_requests('https://{host}/')",
    "httpx": "by_httpx('https://{host}/')",
    "httpx, asynchronous": "by_httpx_async('https://{host}/')",
}


@pytest.mark.parametrize("library", CALLS)
def test_a_library_reaches_a_host_by_its_name(engine, servers, authority, library):
    """With TLS from end to end, and the event has the name."""
    trusted = str(authority.certificate)
    found = engine.run(CALLS[library].format(host=API), f"{API}:443", ca_file=trusted)
    assert found.data == API
    assert found.connections == [(API, 443, "open")]
    assert found.usage["connections"] == 1
    assert found.usage["net_received_bytes"] > 500  # the certificate


@pytest.mark.parametrize("library", CALLS)
def test_another_name_of_the_same_server_is_refused(engine, servers, authority, library):
    """The same address and port, and a certificate for both; the text names the rule that is missing."""
    call, trusted = CALLS[library].format(host=OTHER), str(authority.certificate)
    found = engine.run(call, f"{API}:443", ca_file=trusted)
    assert found.state["data"] != OTHER
    assert f'Permissions(net=["{OTHER}:443"])' in found.said
    assert {outcome for *_, outcome in found.connections} <= {"refused"}
    # The twin: with the rule the same job succeeds.
    assert engine.run(call, f"{API}:443", f"{OTHER}:443", ca_file=trusted).data == OTHER


def test_psycopg_reaches_a_real_server_by_name(engine, database, authority):
    """libpq looks the name up in C, verifies it in the certificate, and encrypts."""
    place = f"by_psycopg('host={BASE} user=jobcell dbname=postgres')"
    found = engine.run(place, f"{BASE}:5432", ca_file=str(authority.certificate))
    assert found.data is True
    assert (BASE, 5432, "open") in found.connections


def test_psycopg_is_refused_another_name(engine, database, authority):
    """The error or the log has the rule."""
    place = f"by_psycopg('host=other-{BASE} port=5432 user=jobcell dbname=postgres')"
    found = engine.run(place, f"{BASE}:5432", ca_file=str(authority.certificate))
    assert found.error.startswith(("AdaptorError", "JobError"))
    assert f'Permissions(net=["other-{BASE}:5432"])' in found.said


@pytest.mark.slow
def test_300_megabytes_come_through_a_run_as_they_were_sent(engine, servers):
    """And thirty go back; the totals of the run have all of them."""
    total = 0
    for _ in range(MEGABYTES):
        total = zlib.crc32(BLOCK, total)
    down = engine.run(f"download('http://{API}/big')", f"{API}:80")
    assert down.data == [MEGABYTES << 20, total]
    assert down.usage["net_received_bytes"] >= MEGABYTES << 20
    sent, received = engine.run(f"upload('http://{API}/', 30)", f"{API}:80").data
    assert sent == received


def test_all_connections_go_through_a_proxy(space, servers, modules, authority, tmp_path):
    """A real one; a port that it does not carry fails, and the event has its answer."""
    policy = {"net_proxy": f"http://ann:se-cret@{PLACE[0]}:{PLACE[1]}"}
    settings = ("ConnectPort 443", "Allow 0.0.0.0/0", "BasicAuth ann se-cret")
    trusted = str(authority.certificate)
    with tinyproxy(space, tmp_path, *settings) as log:
        engine = SpaceEngine(space, "zygote", modules, **policy)
        for call in CALLS.values():
            found = engine.run(call.format(host=API), f"{API}:443", ca_file=trusted)
            assert found.data == API
            assert found.connections == [(API, 443, "open")]
        assert log.read_text().count(f"CONNECT {API}:443 ") == len(CALLS)

        refused = engine.run(f"by_urllib('http://{API}/')", f"{API}:80")
        assert refused.connections == [(API, 80, "failed")]
        [event] = [one for one in refused.events if one["type"] == "net-connect"]
        assert event["reason"].startswith("the proxy answered 403")

        # A rule is still needed: the proxy hears nothing of another name.
        engine.run(f"by_urllib('https://{OTHER}/')", f"{API}:443", ca_file=trusted)
        assert OTHER not in log.read_text()
        engine.close()
