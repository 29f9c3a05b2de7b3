"""TLS of http: private authorities, certificates of clients, HTTP/2 with an independent server."""

from __future__ import annotations

import asyncio
import functools
import json
import shutil
import ssl
import subprocess
import threading

import http_
import hypercorn
import hypercorn.asyncio
import pytest
from authority import Authority
from http_.sessions import forget
from web import Reply, Web, as_json, server_tls

pytestmark = [
    pytest.mark.usefixtures("forget_sessions"),
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command"),
]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A certificate authority that no machine knows. It issues one certificate for each name."""
    made = Authority(tmp_path_factory.mktemp("authority"), "private")
    made.issue = functools.cache(made.issue)
    return made


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """Another one."""
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture
def secure(authority):
    """A server with a certificate of that authority."""
    with Web(tls=server_tls(authority.issue("server"))) as running:
        yield running


@pytest.fixture
def strict(authority):
    """A server that wants a certificate of a client, and answers with its name."""
    tls = server_tls(authority.issue("server"), clients_of=authority.certificate)
    with Web(tls=tls) as running:
        running.routes["/me"] = lambda seen: as_json(dict(pair[0] for pair in seen.peer["subject"]))
        yield running


def test_a_private_authority_is_trusted_if_the_configuration_says_so(secure, authority):
    """Under either name; without it the server is not trusted, and that is final."""
    with pytest.raises(
        http_.UnreachableError, match=r"CERTIFICATE_VERIFY_FAILED.*as ca_certificate"
    ) as caught:
        http_.get("echo", retries=0)(secure.state())
    assert caught.value.retryable is False
    pem = authority.certificate.read_text()
    secure.routes["/to/here"] = lambda _: Reply(302, {"Location": secure.url + "/echo"})
    for configuration in ({"ca_certificate": pem}, {"tls": {"ca": pem}}):
        for path in ("echo", "to/here"):
            found = http_.get(path)(secure.state(**configuration))
            assert found["data"]["target"] == "/echo"
    assert http_.get("echo", tls={"ca": pem})(secure.state())["data"]["target"] == "/echo"


def test_another_authority_does_not_help(secure, stranger):
    """Its certificate is not that of the server."""
    state = secure.state(ca_certificate=stranger.certificate.read_text())
    with pytest.raises(http_.UnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
        http_.get("echo")(state)


def test_a_private_authority_is_not_trusted_for_another_origin(secure, authority):
    """Neither a whole URL nor a redirect makes another origin trusted."""
    with Web(tls=server_tls(authority.issue("other"))) as elsewhere:
        secure.routes["/to/other"] = lambda _: Reply(302, {"Location": elsewhere.url + "/echo"})
        state = secure.state(ca_certificate=authority.certificate.read_text())
        for path in (elsewhere.url + "/echo", "to/other"):
            with pytest.raises(http_.UnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
                http_.get(path)(state)


def test_the_name_of_the_server_is_checked(secure, authority):
    """The certificate is for 127.0.0.1 only."""
    state = {"configuration": {"ca_certificate": authority.certificate.read_text()}}
    with pytest.raises(http_.UnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
        http_.get(secure.url.replace("127.0.0.1", "localhost"))(state)


@pytest.mark.parametrize("pem", ["", "/etc/ca.pem", "\xe4", 7, b"x"])
def test_an_authority_that_is_not_pem_is_an_error(pem):
    """A path in place of a certificate is an error, because the child could not read the file."""
    state = {"configuration": {"base_url": "https://127.0.0.1:1", "ca_certificate": pem}}
    with pytest.raises(http_.RequestError, match=r"ca_certificate.*PEM"):
        http_.get("x")(state)


def halves(path):
    """Return the certificate and the key of a file with both."""
    text = path.read_text()
    end = text.index("-----BEGIN CERTIFICATE")
    return text[end:], text[:end]


def test_a_client_shows_its_certificate(strict, authority):
    """The key and the certificate are texts in the configuration, and no file is needed."""
    cert, key = halves(authority.issue("ann"))
    pem = authority.certificate.read_text()
    state = strict.state(tls={"ca": pem, "cert": cert, "key": key})
    assert http_.get("me")(state)["data"] == {"commonName": "ann"}
    both = strict.state(tls={"ca": pem, "cert": cert + key})
    assert http_.get("me")(both)["data"] == {"commonName": "ann"}
    with pytest.raises(http_.UnreachableError):
        http_.get("me", retries=0)(strict.state(tls={"ca": pem}))


def test_a_certificate_of_another_authority_is_refused_by_the_server(strict, authority, stranger):
    """The certificate that is shown is really that of the configuration."""
    cert, key = halves(stranger.issue("eve"))
    pem = authority.certificate.read_text()
    with pytest.raises(http_.UnreachableError):
        http_.get("me", retries=0)(strict.state(tls={"ca": pem, "cert": cert, "key": key}))


def test_a_key_may_have_a_passphrase(strict, authority):
    """A wrong one is an error, and OpenSSL does not ask on the terminal."""
    cert, key = halves(authority.issue("ann"))
    locked = subprocess.run(
        ["openssl", "pkey", "-aes256", "-passout", "pass:open sesame"],
        input=key, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    tls = {"ca": authority.certificate.read_text(), "cert": cert, "key": locked}
    state = strict.state(tls={**tls, "passphrase": "open sesame"})
    assert http_.get("me")(state)["data"] == {"commonName": "ann"}
    for wrong in ("", "other"):
        with pytest.raises(http_.RequestError, match=r"tls\.passphrase is wrong"):
            http_.get("me")(strict.state(tls={**tls, "passphrase": wrong}))


def test_a_chain_is_shown_as_a_whole(authority, tmp_path):
    """The server knows the root only, and the certificate is of an authority below it."""
    below = Authority(tmp_path, "below")
    key, request, made = (tmp_path / name for name in ("below.key", "below.csr", "below.crt"))
    extensions = tmp_path / "below.ext"
    extensions.write_text("basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\n")
    for arguments in (
        ("req", "-new", "-key", key, "-out", request, "-subj", "/CN=below"),
        ("x509", "-req", "-in", request, "-CA", authority.certificate, "-CAkey",
         authority.certificate.with_suffix(".key"), "-CAcreateserial", "-days", "2",
         "-extfile", extensions, "-out", made),
    ):  # fmt: skip
        subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=True)
    cert, own_key = halves(below.issue("ann"))
    # The same key, now signed by the root.
    chain = made.read_text()
    tls = server_tls(authority.issue("server"), clients_of=authority.certificate)
    with Web(tls=tls) as strict:
        ca = authority.certificate.read_text()
        shown = {"ca": ca, "cert": cert + chain, "key": own_key}
        assert http_.get("echo")(strict.state(tls=shown))["data"]["target"] == "/echo"
        with pytest.raises(http_.UnreachableError):
            http_.get("echo", retries=0)(strict.state(tls={**shown, "cert": cert}))


def test_a_client_certificate_is_not_shown_to_another_origin(strict, secure, authority):
    """A redirect to a server that wants one gets none."""
    cert, key = halves(authority.issue("ann"))
    tls = {"ca": authority.certificate.read_text(), "cert": cert, "key": key}
    secure.routes["/to/strict"] = lambda _: Reply(302, {"Location": strict.url + "/me"})
    with pytest.raises(http_.UnreachableError):
        http_.get("to/strict", retries=0)(secure.state(tls=tls))
    assert strict.seen == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cert": "x"}, "tls.cert is not the text of a PEM file"),
        ({"key": "x"}, "tls.key is not the text of a PEM file"),
        ({"key": None}, "tls needs cert and key together"),
        ({"cert": "\xe4"}, "tls.cert is the text of a PEM file"),
        ({"key": "other"}, "tls.key does not belong to the certificate"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_an_error(authority, change, message):
    """The error names the part, and shows nothing of it."""
    cert, key = halves(authority.issue("ann"))
    if change.get("key") == "other":
        change = {"key": halves(authority.issue("bob"))[1]}
    state = {"configuration": {"base_url": "https://127.0.0.1:1"}}
    with pytest.raises(http_.RequestError, match=message.replace(".", r"\.")):
        http_.get("x", tls={"cert": cert, "key": key, **change})(state)


class Hyper:
    """A server of hypercorn, which speaks HTTP/2 and HTTP/1.1 as the client wants."""

    def __init__(self, certificate):
        self.seen = []
        both = certificate
        self.config = hypercorn.Config()
        self.config.bind = ["127.0.0.1:0"]
        self.config.certfile = self.config.keyfile = str(both)
        self.config.accesslog = self.config.errorlog = None
        self._sockets = self.config.create_sockets()
        port = self._sockets.secure_sockets[0].getsockname()[1]
        self._sockets.secure_sockets[0].listen(10)
        self.url = f"https://127.0.0.1:{port}"
        fd = self._sockets.secure_sockets[0].fileno()
        self.config.bind = [f"fd://{fd}"]
        self._stop = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        self._ready.wait(20)

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await hypercorn.asyncio.serve(self._app, self.config, shutdown_trigger=self._stop.wait)

    async def _app(self, scope, receive, send):
        if scope["type"] != "http":
            return
        body = b""
        while True:
            event = await receive()
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        self.seen.append((scope["http_version"], scope["client"]))
        told = {"version": scope["http_version"], "body": body.decode(),
                "headers": {k.decode(): v.decode() for k, v in scope["headers"]}}  # fmt: skip
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(told).encode()})

    def close(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        for each in self._sockets.secure_sockets:
            each.detach()  # the server has closed it


@pytest.fixture
def hyper(authority):
    """A server with HTTP/2."""
    running = Hyper(authority.issue("server"))
    yield running
    forget()  # the server waits for connections that are still open
    running.close()


def test_http2_is_spoken_with_a_server_that_offers_it(hyper, authority):
    """All requests share a connection, and the credentials arrive."""
    configuration = {
        "base_url": hyper.url, "ca_certificate": authority.certificate.read_text(), "token": "t0ken"
    }  # fmt: skip
    state = {"configuration": {**configuration, "http2": True}}
    for _ in range(3):
        result = http_.post("x", {"a": 1})(state)
    assert result["data"]["version"] == "2"
    assert result["data"]["headers"]["authorization"] == "Bearer t0ken"
    assert result["data"]["body"] == '{"a": 1}'
    assert result["response"]["http_version"] == "HTTP/2"
    assert len({client for _, client in hyper.seen}) == 1
    assert http_.get("x", http2=False)(state)["data"]["version"] == "1.1"
    assert http_.get("x")({"configuration": configuration})["data"]["version"] == "1.1"


def test_http2_falls_back_to_what_the_server_speaks(secure, authority):
    """The server of the other tests has HTTP/1.1 only."""
    state = secure.state(ca_certificate=authority.certificate.read_text())
    result = http_.get("echo", http2=True)(state)
    assert result["response"]["http_version"] == "HTTP/1.1"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(authority):
    """A server that speaks TLS 1.1 at most gets no request."""
    tls = server_tls(authority.issue("server"))
    try:
        tls.minimum_version = ssl.TLSVersion.TLSv1
        tls.maximum_version = ssl.TLSVersion.TLSv1_1
        tls.set_ciphers("ALL:@SECLEVEL=0")
    except (ValueError, ssl.SSLError):
        pytest.skip("this OpenSSL does not have TLS 1.1")
    with Web(tls=tls) as old:
        state = old.state(ca_certificate=authority.certificate.read_text())
        with pytest.raises(http_.UnreachableError):
            http_.get("echo", retries=0)(state)
        assert old.seen == []
