"""Well-known libraries in runs with network rules: real servers with names, TLS, PostgreSQL and a proxy.

The engine runs in a network namespace of the test, in which hosts have names.
"""

from __future__ import annotations

import contextlib
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

    def carry(end: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", postgres.port)) as there:
            back = threading.Thread(target=pump, args=(there, end))
            back.start()
            pump(end, there)
            back.join()

    certificate = authority.issue("database", BASE, f"other-{BASE}")
    with (
        postgres.speaking_tls(certificate),
        served(space.listener(DATABASE, 5432), carry),
    ):
        yield


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
    "httpx-asynchronous": "by_httpx_async('https://{host}/')",
}


PSYCOPG = "by_psycopg('host={host} port=5432 user=jobcell dbname=postgres')"


@pytest.fixture(scope="module")
def calls(servers, database):
    """The calls of all libraries: one run has a step for each, because their imports take long."""

    def with_names(host, base):
        made = {name: call.format(host=host) for name, call in CALLS.items()}
        return {**made, "psycopg": PSYCOPG.format(host=base)}

    return with_names


@pytest.fixture(scope="module")
def ruled(engine, calls, authority):
    """A run whose rules have the names for which the libraries ask first, and then they ask for other names of the same servers."""
    rules, trusted = (f"{API}:443", f"{BASE}:5432"), str(authority.certificate)
    other = {f"other {name}": call for name, call in calls(OTHER, f"other-{BASE}").items()}
    return engine.run_each({**calls(API, BASE), **other}, *rules, ca_file=trusted)


@pytest.fixture(scope="module")
def allowed_both(engine, calls, authority):
    """The twin of that run, with rules for all names."""
    rules = (f"{API}:443", f"{OTHER}:443", f"{BASE}:5432")
    return engine.run_each(calls(OTHER, BASE), *rules, ca_file=str(authority.certificate))


@pytest.mark.parametrize("library", CALLS)
def test_a_library_reaches_a_host_by_its_name(ruled, library):
    """With TLS from end to end."""
    assert ruled.state[library] == {"data": API}, ruled.errors


def test_an_event_of_a_connection_has_the_name(ruled, allowed_both):
    """Each library has one, and the total of the run has all of them."""
    web = [one for one in ruled.connections if one[0] == API]
    assert web == [(API, 443, "open")] * len(CALLS)
    assert allowed_both.usage["connections"] == len(allowed_both.connections)
    assert allowed_both.usage["net_received_bytes"] > 500 * len(CALLS)  # the certificate


@pytest.mark.parametrize("library", CALLS)
def test_another_name_of_the_same_server_is_refused(ruled, allowed_both, library):
    """The same address and port, and a certificate for both; the text names the rule that is missing."""
    assert ruled.state[f"other {library}"].get("data") != OTHER
    assert f'Permissions(net=["{OTHER}:443"])' in ruled.said_by(f"other {library}")
    # The twin: with the rule the same job succeeds.
    assert allowed_both.state[library] == {"data": OTHER}


def test_nothing_but_refusals_is_reported_of_another_name(ruled):
    """No library has been connected."""
    assert {outcome for host, _, outcome in ruled.connections if host not in {API, BASE}} <= {
        "refused"
    }


def test_psycopg_reaches_a_real_server_by_name(ruled):
    """libpq looks the name up in C, verifies it in the certificate, and encrypts."""
    assert ruled.state["psycopg"] == {"data": True}, ruled.errors
    assert (BASE, 5432, "open") in ruled.connections


def test_psycopg_is_refused_another_name(ruled):
    """The error or the log has the rule."""
    assert ruled.errors["other psycopg"].startswith(("AdaptorError", "JobError"))
    assert f'Permissions(net=["other-{BASE}:5432"])' in ruled.said_by("other psycopg")


@pytest.fixture(scope="module")
def zygote(space, modules):
    """An engine in the namespace, for what does not depend on the start of a child."""
    made = SpaceEngine(space, "zygote", modules)
    yield made
    made.close()


@pytest.mark.slow
def test_300_megabytes_come_through_a_run_as_they_were_sent(zygote, servers):
    """And thirty go back; the totals of the run have all of them."""
    total = 0
    for _ in range(MEGABYTES):
        total = zlib.crc32(BLOCK, total)
    down = zygote.run(f"download('http://{API}/big')", f"{API}:80")
    assert down.data == [MEGABYTES << 20, total]
    assert down.usage["net_received_bytes"] >= MEGABYTES << 20
    sent, received = zygote.run(f"upload('http://{API}/', 30)", f"{API}:80").data
    assert sent == received


def test_all_connections_go_through_a_proxy(space, servers, modules, authority, tmp_path):
    """A real one; a port that it does not carry fails, and the event has its answer."""
    policy = {"net_proxy": f"http://ann:se-cret@{PLACE[0]}:{PLACE[1]}"}
    settings = ("ConnectPort 443", "Allow 0.0.0.0/0", "BasicAuth ann se-cret")
    trusted = str(authority.certificate)
    calls = {name: call.format(host=API) for name, call in CALLS.items()}
    calls["not carried"] = f"by_urllib('http://{API}/')"
    calls["no rule"] = f"by_urllib('https://{OTHER}/')"
    with tinyproxy(space, tmp_path, *settings) as log:
        engine = SpaceEngine(space, "exec", modules, **policy)
        found = engine.run_each(calls, f"{API}:443", f"{API}:80", ca_file=trusted)
        assert {name: found.state[name] for name in CALLS} == {
            name: {"data": API} for name in CALLS
        }
        assert [one for one in found.connections if one[1] == 443 and one[0] == API] == [
            (API, 443, "open")
        ] * len(CALLS)
        assert log.read_text().count(f"CONNECT {API}:443 ") == len(CALLS)

        assert (API, 80, "failed") in found.connections
        # The name has two addresses.  If the reset comes before `connect` is back, urllib tries the other one.
        reasons = [one["reason"] for one in found.events if one.get("port") == 80]
        assert all(reason.startswith("the proxy answered 403") for reason in reasons)
        assert len(reasons) in (1, 2)

        # A rule is still needed: the proxy hears nothing of another name.
        assert "no rule" in found.errors
        assert OTHER not in log.read_text()
        engine.close()
