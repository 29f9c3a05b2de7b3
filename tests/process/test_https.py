"""HTTPS works in a run with a network permission: certificate authorities are found and checked."""

from __future__ import annotations

import shutil
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest
from authority import Authority
from runs import QUICK, make_engine

from engine import Engine, ModuleRef, Permissions, RunResult
from engine.confinement import certificates

VERBS = '''
import importlib.resources
import os
import ssl
import urllib.request


def authorities():
    def operation(state):
        paths = ssl.get_default_verify_paths()
        return {"data": {
            "loaded": len(ssl.create_default_context().get_ca_certs()),
            "there": [os.path.exists(p) for p in (paths.openssl_cafile, paths.openssl_capath)],
            "environment": [name for name in os.environ if name.startswith("SSL_CERT")],
        }}
    return operation


def where():
    """Find a file of this package as certifi does."""
    with importlib.resources.as_file(importlib.resources.files("tls").joinpath("cacert.pem")) as path:
        return str(path)


def fetch(url, **trust):
    def operation(state):
        given = {"cafile": where()} if trust.pop("own", False) else trust
        context = ssl.create_default_context(**given)
        with urllib.request.urlopen(url, context=context, timeout=10) as answer:
            return {"data": answer.read().decode()}
    return operation
'''


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that no machine knows."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make certificates")
    return Authority(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture(scope="module")
def stranger(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that should not be trusted."""
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[str]:
    """The address of a TLS server whose certificate is from our authority."""

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
    context.load_cert_chain(authority.issue("server"))
    running.socket = context.wrap_socket(running.socket, server_side=True)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def adaptor(tmp_path: Path) -> Path:
    """The directory of an adaptor that speaks TLS."""
    package = tmp_path / "tls_1" / "tls"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(VERBS)
    return package.parent


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, Engine]]:
    """An engine of each start mode, for all tests."""
    with make_engine("zygote") as zygote, make_engine("exec") as cold:
        yield {"zygote": zygote, "exec": cold}


@pytest.fixture(autouse=True)
def no_leak(no_leak_of_file: None, engines: dict[str, Engine]) -> None:
    """The engines outlive each test."""


def run(engine: Engine, adaptor: Path, expression: str, net: tuple[str, ...]) -> RunResult:
    """Run one step with these permissions."""
    plan = {"workflow": {"steps": [{"id": "a", "adaptor": "tls", "expression": expression}]}}
    modules = {"tls": ModuleRef(path=str(adaptor))}
    permissions = Permissions(net=net)
    options = msgspec.structs.replace(QUICK, permissions=permissions, modules=modules)
    return engine.execute(plan, options=options).result(30)


BOTH = pytest.mark.parametrize("mode", ["zygote", "exec"])


@BOTH
def test_the_authorities_of_the_machine_are_loaded(
    mode: str, engines: dict[str, Engine], adaptor: Path, monkeypatch
):
    """The number is the same as outside; the environment of the manager does not matter."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    outside = len(ssl.create_default_context().get_ca_certs())
    paths = ssl.get_default_verify_paths()
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")

    found = run(engines[mode], adaptor, "authorities()", ("example.org:443",)).state["data"]

    assert found["loaded"] == outside
    assert found["there"] == [
        Path(p).exists() for p in (paths.openssl_cafile, paths.openssl_capath)
    ]
    assert found["environment"] == []


def test_without_a_network_permission_there_are_none(engines: dict[str, Engine], adaptor: Path):
    """A run without a network has no server to verify."""
    found = run(engines["exec"], adaptor, "authorities()", ())
    assert found.state["data"]["loaded"] == 0


@BOTH
def test_an_authority_behind_links_is_trusted(
    mode: str,
    engines: dict[str, Engine],
    adaptor: Path,
    server: str,
    authority: Authority,
    tmp_path: Path,
    monkeypatch,
):
    """The directory that is compiled into OpenSSL is a link to a link, and so are its files."""
    stored, certs, named = tmp_path / "share", tmp_path / "etc" / "certs", tmp_path / "lib"
    for directory in (stored, certs, named):
        directory.mkdir(parents=True)
    shutil.copy(authority.certificate, stored / "ours.crt")
    (certs / "ours.pem").symlink_to(stored / "ours.crt")
    (certs / f"{authority.hash}.0").symlink_to("ours.pem")
    (named / "ssl").symlink_to(tmp_path / "etc")
    capath = named / "ssl" / "certs"
    real = certificates._compiled_in
    monkeypatch.setattr(certificates, "_compiled_in", lambda: [*real(), str(capath)])
    job = f"fetch('https://{server}', capath={str(capath)!r})"
    certificates.certificates.cache_clear()
    try:
        assert run(engines[mode], adaptor, job, (server,)).state == {"data": "secure"}
    finally:
        certificates.certificates.cache_clear()
    # If the engine does not find the directory, a run cannot read it, and the same job trusts
    # nobody.
    monkeypatch.undo()
    assert "certificate verify failed" in str(run(engines[mode], adaptor, job, (server,)).error)


@BOTH
@pytest.mark.parametrize("trusted", ["authority", "stranger"])
def test_an_adaptor_brings_its_own_authorities(
    mode: str,
    engines: dict[str, Engine],
    adaptor: Path,
    server: str,
    trusted: str,
    request: pytest.FixtureRequest,
):
    """The authority is a file in the package, as in certifi; a wrong authority does not help."""
    pem = request.getfixturevalue(trusted).certificate
    shutil.copy(pem, adaptor / "tls" / "cacert.pem")

    result = run(engines[mode], adaptor, f"fetch('https://{server}', own=True)", (server,))

    if trusted == "authority":
        assert result.state == {"data": "secure"}, result.error
    else:
        assert "certificate verify failed" in str(result.error)


def test_a_server_that_nobody_vouches_for_is_refused(
    engines: dict[str, Engine], adaptor: Path, server: str
):
    """The authorities of the machine do not know our server."""
    error = run(engines["exec"], adaptor, f"fetch('https://{server}')", (server,)).error
    assert "certificate verify failed" in str(error)
