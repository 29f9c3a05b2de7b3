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
def database(authorities, postgres):
    """The port of a PostgreSQL with a certificate from our authority; it speaks plain text, too."""
    with postgres.speaking_tls(authorities["ours"].issue("database")):
        yield postgres.port


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """The adaptor with the libraries."""
    return {"tls": ModuleRef(path=str(install(tmp_path_factory.mktemp("adaptor"))))}


@pytest.fixture(scope="module")
def zygote():
    """An engine for runs that do not depend on the start of the child."""
    with Engine() as made:
        yield made


@pytest.fixture(scope="module", params=["exec", "zygote"])
def engine(request):
    """An engine of each start mode."""
    if request.param == "zygote":
        yield request.getfixturevalue("zygote")
        return
    with Engine(start_mode="exec") as made:
        yield made


CALLS = {
    "urllib": "by_urllib('https://127.0.0.1:{port}/')",
    "asyncio": "by_asyncio('127.0.0.1', {port})",
    "requests": "by_requests('https://127.0.0.1:{port}/')",
    "httpx": "by_httpx('https://127.0.0.1:{port}/')",
    "httpx-asynchronous": "by_httpx_async('https://127.0.0.1:{port}/')",
}
PLACE = "host=127.0.0.1 port={port} user=jobcell dbname=postgres"


@pytest.fixture(scope="module")
def outcomes(engine, module, authorities, server, database):
    """The outcome of each call, by the file that was trusted. A run makes all calls, because the imports take long."""
    calls = {name: call.format(port=server) for name, call in CALLS.items()}
    place = PLACE.format(port=database)
    psycopg = {"psycopg": f"by_psycopg('{place}')"}
    prefer = {"prefer": f"by_psycopg('{place} sslmode=prefer')"}
    ours = file_of(authorities, "ours")
    more = {"authorities": "authorities()", "environment": "environment()"}
    look = {"look": f"look({ours!r})", "environment": "environment()"}
    net = [f"127.0.0.1:{port}" for port in (server, database)]
    return {
        None: run(engine, module, {**calls, **more}, net=net),
        "ours": run(engine, module, {**calls, **psycopg, **look}, net=net, ca_file=ours),
        "stranger": run(
            engine,
            module,
            {**calls, **psycopg, **prefer},
            net=net,
            ca_file=file_of(authorities, "stranger"),
        ),
        "both": run(
            engine,
            module,
            {"authorities": "authorities()"},
            net=net,
            ca_file=file_of(authorities, "both"),
        ),
    }


def run(engine, module, calls, *, steps=None, **permissions):
    """Run calls as steps, none of which depends on another one; return the state of each.

    Args:
        engine: The engine.
        module: The adaptor.
        calls: The expression of each step.
        steps: The permissions of a step, if they are not those of the run.
        permissions: The permissions of the run.

    """
    begin = {"id": "begin", "expression": "def main(state): return {}"}
    begin["next"] = dict.fromkeys(calls, True)
    found = [begin]
    for name, call in calls.items():
        step = {"id": name, "adaptor": "tls", "expression": call}
        if steps is not None:
            step["permissions"] = steps[name]
        found.append(step)
    options = RunOptions(modules=module, permissions=Permissions(**permissions), timeout_s=60)
    result = engine.execute({"workflow": {"steps": found}}, {}, options=options).result(90)
    state = result.state
    assert state is not None, result.error
    return state if len(calls) > 1 else {next(iter(calls)): state}


@pytest.mark.parametrize("library", CALLS)
def test_a_library_trusts_the_file_and_nobody_else(outcomes, library):
    """Without the file the server is not trusted, and with another file neither."""
    assert outcomes["ours"][library] == {"data": "secure"}
    for other in (None, "stranger"):
        assert WRONG in str(outcomes[other][library]["errors"])


def test_psycopg_trusts_the_file_and_nobody_else(outcomes):
    """libpq verifies with the file, and without other settings of the job."""
    assert outcomes["ours"]["psycopg"] == {"data": True}
    assert WRONG in str(outcomes["stranger"]["psycopg"]["errors"])


def test_libpq_alone_would_go_on_in_plain_text(outcomes):
    """So the mode is set, too: with that of libpq a wrong certificate ends the encryption, not the attempt."""
    assert outcomes["stranger"]["prefer"] == {"data": False}


def test_the_authorities_of_the_machine_are_not_trusted(outcomes):
    """The file replaces all of them."""
    assert outcomes["both"]["authorities"] == {"data": 2}
    known = len(ssl.create_default_context().get_ca_certs())
    assert outcomes[None]["authorities"] == {"data": known}


def test_the_file_can_be_read_and_not_written(outcomes, authorities):
    """A job cannot add an authority."""
    file = file_of(authorities, "ours")
    assert outcomes["ours"]["look"] == {"data": Path(file).stat().st_size}


OURS = {"LC_CTYPE", "MALLOC_ARENA_MAX", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"}


def test_a_run_without_a_file_has_no_variables(outcomes, authorities):
    """A run with one has that of the file."""
    names = outcomes["ours"]["environment"]["data"]
    assert names["SSL_CERT_FILE"] == os.path.realpath(file_of(authorities, "ours"))
    assert set(outcomes[None]["environment"]["data"]) <= OURS


def test_a_run_after_one_with_a_file_has_no_variables(zygote, module, authorities):
    """Also in the fork of a zygote."""
    file = file_of(authorities, "ours")
    calls, net = {"environment": "environment()"}, ["127.0.0.1:443"]
    for _ in range(3):  # the permissions get a zygote of their own
        found = run(zygote, module, calls, net=net, ca_file=file)
        assert found["environment"]["data"]["SSL_CERT_FILE"] == os.path.realpath(file)
    found = run(zygote, module, calls, net=net)
    assert set(found["environment"]["data"]) <= OURS


def test_a_run_without_a_network_has_no_authorities(zygote, module, authorities):
    """It has no server to verify."""
    calls = {"environment": "environment()"}
    found = run(zygote, module, calls, ca_file=file_of(authorities, "ours"))
    assert "SSL_CERT_FILE" not in found["environment"]["data"]


def test_a_step_may_trust_fewer(zygote, module, authorities, server):
    """A file of the run's that the run may read, with a part of its authorities."""
    files = {name: file_of(authorities, name) for name in ("ours", "stranger", "both")}
    found = run(
        zygote,
        module,
        dict.fromkeys(files, CALLS["urllib"].format(port=server)),
        steps={name: {"ca_file": file} for name, file in files.items()},
        net=[f"127.0.0.1:{server}"],
        read=[str(Path(files["both"]).parent)],
        ca_file=files["both"],
    )
    assert found["ours"] == found["both"] == {"data": "secure"}
    assert WRONG in str(found["stranger"]["errors"])


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
