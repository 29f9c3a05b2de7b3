"""`Permissions(ca_file=...)`: well-known libraries trust the authorities in the file, and no others."""

from __future__ import annotations

import os
import shutil
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from authority import Authority
from modes import let_everybody_in
from postgres import PostgresMissingError, PostgresServer
from tls_verbs import install

from engine import Engine, ModuleRef, Permissions, PlanError, RunOptions

WRONG = "certificate verify failed"


@pytest.fixture(autouse=True)
def no_leak():
    """Replace the check of leaks, because the engine of this file outlives each test."""


@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    """Two authorities that no machine knows, and a file with both."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make certificates")
    directory = tmp_path_factory.mktemp("authorities")
    let_everybody_in(directory)
    ours, stranger = (Authority(directory, name) for name in ("ours", "stranger"))
    both = directory / "both.pem"
    both.write_text(ours.certificate.read_text() + stranger.certificate.read_text())
    for file in (ours.certificate, stranger.certificate, both):
        file.chmod(0o644)
    return {"ours": ours, "stranger": stranger, "both": both}


def file_of(authorities, name):
    found = authorities[name]
    return str(found if isinstance(found, Path) else found.certificate)


@pytest.fixture(scope="module")
def server(authorities):
    """The port of a TLS server whose certificate is from our authority."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"secure")

        def log_message(self, *args: object) -> None:
            """Write no log."""

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *args: object) -> None:
            """Ignore clients that do not trust the server."""

    running = Quiet(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authorities["ours"].issue("server"))
    running.socket = context.wrap_socket(running.socket, server_side=True)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running.server_port
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture(scope="module")
def database(authorities):
    """The port of a PostgreSQL with a certificate from our authority; it speaks plain text, too."""
    try:
        made = PostgresServer()
    except PostgresMissingError as error:
        pytest.skip(str(error))
    owner = made.directory.stat()
    both = made.directory / "server.both"
    shutil.copy(authorities["ours"].issue("database"), both)
    os.chown(both, owner.st_uid, owner.st_gid)
    both.chmod(0o600)
    for name in ("ssl_cert_file", "ssl_key_file"):
        made.sql(f"ALTER SYSTEM SET {name} = '{both}'")
    made.sql("ALTER SYSTEM SET ssl = on")
    made.sql("SELECT pg_reload_conf()")
    yield made.port
    made.stop()


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """The adaptor with the libraries."""
    return {"tls": ModuleRef(path=str(install(tmp_path_factory.mktemp("adaptor"))))}


@pytest.fixture(scope="module", params=["exec", "zygote"])
def run(request, module):
    """Run a job: `run(expression, port, ca_file)`; return its result."""
    with Engine(start_mode=request.param) as engine:

        def one(expression, port=443, ca_file=None, step=None):
            job = {"id": "a", "adaptor": "tls", "expression": expression}
            if step is not None:
                job["permissions"] = {"ca_file": step}
            allowed = Permissions(net=[f"127.0.0.1:{port}"], ca_file=ca_file)
            options = RunOptions(modules=module, permissions=allowed)
            plan = {"workflow": {"steps": [job]}}
            return engine.execute(plan, {}, options=options).result(60)

        yield one


CALLS = {
    "urllib": "by_urllib('https://127.0.0.1:{port}/')",
    "asyncio": "by_asyncio('127.0.0.1', {port})",
    "requests": "by_requests('https://127.0.0.1:{port}/')",
    "httpx": "by_httpx('https://127.0.0.1:{port}/')",
    "httpx, asynchronous": "by_httpx_async('https://127.0.0.1:{port}/')",
}


@pytest.mark.parametrize("library", CALLS)
def test_a_library_trusts_the_file_and_nobody_else(run, authorities, server, library):
    """Without the file the server is not trusted, and with another file neither."""
    call = CALLS[library].format(port=server)
    trusting = run(call, server, file_of(authorities, "ours"))
    assert trusting.state == {"data": "secure"}, trusting.error
    for other in (None, file_of(authorities, "stranger")):
        assert WRONG in str(run(call, server, other).error)


def test_psycopg_trusts_the_file_and_nobody_else(run, authorities, database):
    """libpq verifies with the file, and without other settings of the job."""
    call = f"by_psycopg('host=127.0.0.1 port={database} user=jobcell dbname=postgres')"
    trusting = run(call, database, file_of(authorities, "ours"))
    assert trusting.state == {"data": True}, trusting.error
    assert WRONG in str(run(call, database, file_of(authorities, "stranger")).error)


def test_libpq_alone_would_go_on_in_plain_text(run, authorities, database):
    """So the mode is set, too: with that of libpq a wrong certificate ends the encryption, not the attempt."""
    place = f"host=127.0.0.1 port={database} user=jobcell dbname=postgres sslmode=prefer"
    plain = run(f"by_psycopg('{place}')", database, file_of(authorities, "stranger"))
    assert plain.state == {"data": False}, plain.error


def test_the_authorities_of_the_machine_are_not_trusted(run, authorities):
    """The file replaces all of them."""
    assert run("authorities()", 443, file_of(authorities, "both")).state == {"data": 2}
    assert run("authorities()").state["data"] == len(ssl.create_default_context().get_ca_certs())


def test_the_file_can_be_read_and_not_written(run, authorities):
    """A job cannot add an authority."""
    file = file_of(authorities, "ours")
    found = run(f"look({file!r})", 443, file).state
    assert found == {"data": Path(file).stat().st_size}


def test_a_run_without_a_file_has_no_variables(run, authorities):
    """Also after a run with one, in the fork of a zygote."""
    file = file_of(authorities, "ours")
    for _ in range(3):  # the permissions get a zygote of their own
        names = run("environment()", 443, file).state["data"]
        assert names["SSL_CERT_FILE"] == os.path.realpath(file)
    ours = {"LC_CTYPE", "MALLOC_ARENA_MAX", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"}
    assert set(run("environment()").state["data"]) <= ours


def test_a_run_without_a_network_has_no_authorities(module, authorities):
    """It has no server to verify."""
    job = {"id": "a", "adaptor": "tls", "expression": "environment()"}
    allowed = Permissions(ca_file=file_of(authorities, "ours"))
    options = RunOptions(modules=module, permissions=allowed)
    with Engine() as engine:
        found = engine.execute({"workflow": {"steps": [job]}}, {}, options=options).result(60)
    assert "SSL_CERT_FILE" not in found.state["data"]


def test_a_step_may_trust_fewer(module, authorities, server):
    """A file of the run's that the run may read, with a part of its authorities."""
    ours, stranger, both = (file_of(authorities, name) for name in ("ours", "stranger", "both"))
    call = CALLS["urllib"].format(port=server)
    allowed = Permissions(net=[f"127.0.0.1:{server}"], read=[str(Path(both).parent)], ca_file=both)
    options = RunOptions(modules=module, permissions=allowed)
    with Engine() as engine:
        found = {}
        for name, file in (("ours", ours), ("stranger", stranger), ("both", both)):
            job = {
                "id": "a",
                "adaptor": "tls",
                "expression": call,
                "permissions": {"ca_file": file},
            }
            plan = {"workflow": {"steps": [job]}}
            found[name] = engine.execute(plan, {}, options=options).result(60)
    assert found["ours"].state == found["both"].state == {"data": "secure"}
    assert WRONG in str(found["stranger"].error)


def test_a_file_that_is_gone_when_the_run_begins_is_an_error(authorities, tmp_path):
    """The run does not start with other authorities."""
    file = tmp_path / "ca.pem"
    shutil.copy(file_of(authorities, "ours"), file)
    file.chmod(0o644)
    options = RunOptions(permissions=Permissions(net=["example.org:443"], ca_file=str(file)))
    file.unlink()
    with Engine() as engine, pytest.raises(PlanError) as caught:
        engine.execute("def main(state): return state", {}, options=options)
    [problem] = caught.value.problems
    assert problem.path == "permissions.ca_file"
    assert "does not exist; name a file with certificates in PEM form" in problem.message
