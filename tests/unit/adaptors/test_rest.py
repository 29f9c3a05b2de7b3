"""Jobs that were written for rest get what they know, although http carries their requests."""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import rest
from authority import Authority

PAGES = {
    "/json": (200, "application/json", b'{"name": "\xc3\xa4"}'),
    "/fhir": (200, "application/fhir+json; charset=utf-8", b"[1]"),
    "/latin": (200, "text/plain; charset=latin-1", b"\xe4"),
    "/untyped": (200, "", b'{"a": 1}'),
    "/bom": (200, "application/json", b'\xef\xbb\xbf{"a": 1}'),
    "/bom8": (200, "application/json; charset=utf-8", b'\xef\xbb\xbf{"a": 1}'),
    "/bom16": (200, "application/json; charset=utf-16", '{"a": 1}'.encode("utf-16")),
    "/json16": (200, "application/json", '{"a": "\xe4"}'.encode("utf-16-le")),
    "/json32": (200, "application/json", '{"a": "\xe4"}'.encode("utf-32")),
    "/windows": (200, "application/json; charset=windows-1252", b'{"a": "\x80"}'),
    "/marked": (200, "text/plain; charset=latin-1", b"\xef\xbb\xbf\xc3\xa4"),
    "/unknown": (200, "text/plain; charset=no-such", b"x"),
    "/broken": (200, "application/json", b"{"),
    "/empty": (204, "application/json", b""),
    "/nothing": (200, "text/plain", b""),
    "/null": (200, "application/json", b"null"),
    "/busy": (503, "text/plain", b"later"),
    "/missing": (404, "text/plain", b"no such patient"),
}


class Handler(BaseHTTPRequestHandler):
    """Answers with a page, a redirect, or (below /echo) with the request itself."""

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        self.server.counts[path] = self.server.counts.get(path, 0) + 1
        extra = {}
        if path.startswith("/to/"):
            status, kind, reply = 302, "text/plain", b""
            extra = {"Location": self.server.redirects[path]}
        elif path.startswith("/echo"):
            seen = {
                "method": self.command,
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "body": body.decode(),
            }
            status, kind, reply = 200, "application/json", json.dumps(seen).encode()
        else:
            status, kind, reply = PAGES[path]
        self.send_response(status)
        for name, value in {"Content-Type": kind, **extra}.items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, *args):
        """Write no log."""


class Server(ThreadingHTTPServer):
    """A server that ignores clients which do not trust it."""

    def handle_error(self, *args):
        """Write no error."""


def serve(tls=None):
    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    server.redirects, server.counts = {}, {}
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    return server


@pytest.fixture
def server():
    """A server, and its address as `server.url`."""
    running = serve()
    running.url = f"http://127.0.0.1:{running.server_port}"
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def other_server():
    """A second origin: another port."""
    running = serve()
    running.url = f"http://127.0.0.1:{running.server_port}"
    yield running
    running.shutdown()
    running.server_close()


def configured(server, **more):
    return {"configuration": {"base_url": server.url, **more}, "data": "before"}


def test_the_body_becomes_data_and_the_rest_is_told(server):
    """data, references and response are set; the given state does not change."""
    state = configured(server)
    result = rest.get("/json")(state)
    assert result["data"] == {"name": "ä"}
    assert result["references"] == ["before"]
    response = result["response"]
    assert (response["method"], response["status"], response["reason"]) == ("GET", 200, "OK")
    assert response["url"] == server.url + "/json"
    assert response["headers"]["content-type"] == "application/json"
    assert state == configured(server)


@pytest.mark.parametrize(
    ("path", "parse_as", "data"),
    [
        ("fhir", "auto", [1]),
        ("latin", "auto", "ä"),
        ("untyped", "auto", '{"a": 1}'),
        ("untyped", "json", {"a": 1}),
        ("json", "bytes", b'{"name": "\xc3\xa4"}'),
        ("latin", "base64", "5A=="),
        ("empty", "auto", None),
    ],
)
def test_bodies_are_parsed_as_the_server_or_the_job_says(server, path, parse_as, data):
    """The body is JSON if the content type says so, unless the job asks for another form."""
    assert rest.get(path, parse_as=parse_as)(configured(server))["data"] == data


def test_arguments_are_resolved_against_the_state(server):
    """Anywhere in the arguments, a function of state may replace a value."""
    operation = rest.request(
        lambda state: "post",
        lambda state: f"echo/{state['id']}?a=1",
        query={"b": [lambda state: state["id"], 2], "none": None},
        headers=lambda state: {"X-Id": state["id"]},
        json={"id": lambda state: state["id"]},
    )
    seen = operation({**configured(server), "id": 7})["data"]
    assert (seen["method"], seen["path"]) == ("POST", "/echo/7?a=1&b=7&b=2")
    assert json.loads(seen["body"]) == {"id": 7}
    assert seen["headers"]["x-id"] == "7"
    assert seen["headers"]["content-type"] == "application/json"


@pytest.mark.parametrize("verb", ["post", "put", "patch"])
def test_verbs_that_send_take_json_second(server, verb):
    """post(path, value) sends JSON; body= sends text as it is."""
    seen = getattr(rest, verb)("echo", {"a": 1})(configured(server))["data"]
    assert (seen["method"], seen["body"]) == (verb.upper(), '{"a": 1}')
    assert getattr(rest, verb)("echo", body="ä")(configured(server))["data"]["body"] == "ä"


def test_a_text_is_json_and_a_body_is_a_form_unless_the_job_says_otherwise(server):
    """The second argument was always JSON here; http sends a text as it is."""
    state = configured(server)
    for operation, kind, body in (
        (rest.post("echo", "x"), "application/json", '"x"'),
        (rest.post("echo", lambda state: state["data"]), "application/json", '"before"'),
        (rest.post("echo", body="a=1"), "application/x-www-form-urlencoded", "a=1"),
        (rest.post("echo", body="a", headers={"content-type": "x/y"}), "x/y", "a"),
        (rest.post("echo", body="a", content_type="string"), "text/plain; charset=utf-8", "a"),
    ):
        seen = operation(state)["data"]
        assert (seen["headers"]["content-type"], seen["body"]) == (kind, body)
    own = configured(server, headers={"Content-Type": "x/z"})
    assert rest.put("echo", body="a")(own)["data"]["headers"]["content-type"] == "x/z"


def test_an_empty_text_is_a_text(server):
    """An empty answer is None only where the server calls it JSON."""
    assert rest.get("nothing")(configured(server))["data"] == ""
    assert rest.get("empty")(configured(server))["data"] is None
    assert rest.get("null")(configured(server))["data"] is None


def test_one_request_is_one_request_unless_the_job_asks_for_more(server):
    """http repeats a request by itself; jobs for rest leave that to the plan."""
    with pytest.raises(rest.ResponseError) as caught:
        rest.get("busy")(configured(server))
    assert (caught.value.retryable, server.counts["/busy"]) == (True, 1)
    with pytest.raises(rest.ResponseError):
        rest.get("busy", retries=1)(configured(server))
    assert server.counts["/busy"] == 3


def test_the_options_of_http_work(server):
    """Its errors and its other verbs are here as well."""
    result = rest.get("missing", errors={404: False}, timeout=5000)(configured(server))
    assert (result["data"], result["response"]["status_code"]) == ("no such patient", 404)
    assert rest.paginate("fhir")(configured(server))["data"] == [1]
    with pytest.raises(rest.RestError, match="larger than 1 bytes"):
        rest.get("json", max_mb=0.000001)(configured(server))
    with pytest.raises(TypeError, match="timout"):
        rest.get("json", timout=1)


def test_delete_deletes(server):
    """The method is DELETE, and the request has no body."""
    assert rest.delete("echo")(configured(server))["data"]["method"] == "DELETE"


@pytest.mark.parametrize(
    ("credential", "header"),
    [
        ({"access_token": "t0ken"}, "Bearer t0ken"),
        ({"token": "t0ken"}, "Bearer t0ken"),
        ({"username": "u", "password": "p"}, "Basic " + base64.b64encode(b"u:p").decode()),
        ({"headers": {"Authorization": "Key k"}}, "Key k"),
    ],
)
def test_credentials_stay_with_their_origin(server, other_server, credential, header):
    """Credentials follow a redirect to the same origin; another host never gets them."""
    server.redirects = {"/to/here": "/echo", "/to/there": other_server.url + "/echo"}
    state = configured(server, **credential)

    for path in ("echo", "to/here"):
        assert rest.get(path)(state)["data"]["headers"]["authorization"] == header
    for path in ("to/there", other_server.url + "/echo"):
        assert "authorization" not in rest.get(path)(state)["data"]["headers"]


def test_a_bad_status_is_an_error_with_details(server):
    """The details are method, URL, status, reason and the beginning of the body."""
    with pytest.raises(rest.ResponseError, match="gave 404 Not Found") as caught:
        rest.get("missing")(configured(server))
    assert caught.value.details == {
        "method": "GET",
        "url": server.url + "/missing",
        "status": 404,
        "status_code": 404,
        "reason": "Not Found",
        "body": "no such patient",
        "retryable": False,
    }


def test_a_body_that_is_not_what_it_says_is_an_error(server):
    """The error for broken JSON names the URL and shows the body."""
    with pytest.raises(rest.ResponseError, match="cannot be read") as caught:
        rest.get("broken")(configured(server))
    assert caught.value.details["body"] == "{"


def test_the_report_of_an_error_says_whether_to_try_again():
    """A wrong argument stays wrong, and a server may come back."""
    with pytest.raises(rest.RequestError) as caught:
        rest.get("x")({"configuration": {}})
    assert caught.value.retryable is False
    with pytest.raises(rest.UnreachableError) as caught:
        rest.get("http://127.0.0.1:1/x")({})
    assert caught.value.retryable is True


def test_no_answer_is_an_error(server):
    """A request to a port without a listener gives a clear error."""
    closed = serve()
    url = f"http://127.0.0.1:{closed.server_port}/"
    closed.shutdown()
    closed.server_close()
    with pytest.raises(rest.UnreachableError) as caught:
        rest.get(url)({})
    assert caught.value.details["url"] == url


def test_a_redirect_to_a_file_is_refused(server):
    """Only http and https are allowed, so a server cannot make a job read files."""
    server.redirects = {"/to/file": "file:///etc/passwd"}
    with pytest.raises(rest.RestError):
        rest.get("to/file")(configured(server))


def test_a_redirect_with_a_password_is_refused_and_not_shown(server):
    """The server of the redirect must not get the password."""
    server.redirects = {"/to/it": server.url.replace("//", "//ann:hush@") + "/json"}
    with pytest.raises(rest.RedirectError, match="put them into the configuration") as caught:
        rest.get("to/it")(configured(server))
    assert "hush" not in str(caught.value) + repr(caught.value.details)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A certificate authority that no machine knows."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make certificates")
    return Authority(tmp_path_factory.mktemp("authority"), "private")


@pytest.fixture
def secure(authority):
    """Two servers with certificates of that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("server"))
    running = [serve(context), serve(context)]
    for one in running:
        one.url = f"https://127.0.0.1:{one.server_port}"
    yield running
    for one in running:
        one.shutdown()
        one.server_close()


@pytest.mark.slow
def test_a_private_authority_is_trusted_if_the_configuration_says_so(secure, authority):
    """Without the configuration the server is not trusted."""
    server, _ = secure
    with pytest.raises(
        rest.UnreachableError, match=r"CERTIFICATE_VERIFY_FAILED.*as ca_certificate"
    ):
        rest.get("json")(configured(server))
    pem = authority.certificate.read_text()
    server.redirects = {"/to/here": server.url + "/json"}
    for path in ("json", "to/here"):
        found = rest.get(path)(configured(server, ca_certificate=pem))
        assert found["data"] == {"name": "\xe4"}


@pytest.mark.slow
def test_a_private_authority_is_not_trusted_for_another_origin(secure, authority):
    """Neither a whole URL nor a redirect makes another origin trusted."""
    server, other = secure
    server.redirects = {"/to/other": other.url + "/json"}
    state = configured(server, ca_certificate=authority.certificate.read_text())
    for path in (other.url + "/json", "to/other"):
        with pytest.raises(rest.UnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
            rest.get(path)(state)


@pytest.mark.slow
@pytest.mark.parametrize("pem", ["", "/etc/ca.pem", "\xe4", 7, b"x"])
def test_an_authority_that_is_not_pem_is_told(pem):
    """A path in place of a certificate is an error, because the child could not read the file."""
    state = {"configuration": {"base_url": "https://127.0.0.1:1", "ca_certificate": pem}}
    with pytest.raises(rest.RequestError, match=r"ca_certificate.*PEM"):
        rest.get("x")(state)


@pytest.mark.parametrize(
    ("page", "data"),
    [
        ("bom", {"a": 1}),
        ("bom8", {"a": 1}),
        ("bom16", {"a": 1}),
        ("json16", {"a": "\xe4"}),
        ("json32", {"a": "\xe4"}),
        ("windows", {"a": "\u20ac"}),
        ("marked", "\xe4"),
    ],
)
def test_a_body_is_read_in_its_encoding(server, page, data):
    """A byte order mark wins over the header, and JSON may be UTF-16 without a mark."""
    assert rest.get(page)(configured(server))["data"] == data


def test_an_unknown_charset_is_an_error_with_the_body(server):
    """The job can still get the bytes with parse_as."""
    with pytest.raises(rest.ResponseError, match="no-such"):
        rest.get("unknown")(configured(server))
    assert rest.get("unknown", parse_as="bytes")(configured(server))["data"] == b"x"


def test_a_path_with_spaces_reaches_the_server(server):
    """The path is encoded once."""
    assert (
        rest.get("echo/Ann Lee/\xe9%20")(configured(server))["data"]["path"]
        == "/echo/Ann%20Lee/%C3%A9%20"
    )
