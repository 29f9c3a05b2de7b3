"""http sends credentials to their own origin only, shows no secret, and refuses hostile values."""

from __future__ import annotations

import base64
import json
import logging

import http_
import pytest
from web import Reply

pytestmark = [pytest.mark.usefixtures("forget_sessions"), pytest.mark.slow]

SECRET = "hush-hush-hush"
PAIR = base64.b64encode(f"ann:{SECRET}".encode()).decode()


def to(target, status=302, **headers):
    return lambda _: Reply(status, {"Location": target, **headers})


@pytest.mark.parametrize(
    ("credential", "header"),
    [
        ({"access_token": SECRET}, f"Bearer {SECRET}"),
        ({"token": SECRET}, f"Bearer {SECRET}"),
        ({"username": "ann", "password": SECRET}, f"Basic {PAIR}"),
        ({"headers": {"Authorization": f"Key {SECRET}"}}, f"Key {SECRET}"),
    ],
)
def test_credentials_stay_with_their_origin(web, other, credential, header):
    """They follow a redirect to the same origin; another one never gets them."""
    web.routes = {"/to/here": to("/echo"), "/to/there": to(other.url + "/echo")}
    state = web.state(**credential)

    for path in ("echo", "to/here"):
        assert http_.get(path)(state)["data"]["headers"]["authorization"] == header
    for path in ("to/there", other.url + "/echo"):
        assert "authorization" not in http_.get(path)(state)["data"]["headers"]


def test_names_of_headers_are_spelled_as_usual(web):
    """Some old servers compare them with the case of the letters."""
    http_.get("x", headers={"x-api-key": "1"})(web.state(token=SECRET))
    names = web.seen[0].headers.keys()
    assert {"X-Api-Key", "Authorization", "Accept-Encoding", "Host"} <= set(names)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_header_of_the_job_that_may_be_a_secret_leaves_its_origin(web, other, status):
    """A key may be in a header of any name; the harmless ones are a short list."""
    web.routes["/to/there"] = to(other.url + "/echo", status)
    headers = {
        "Authorization": SECRET, "Cookie": f"a={SECRET}", "X-Api-Key": SECRET, "Referer": SECRET,
        "Accept": "text/csv", "Accept-Language": "fr",
    }  # fmt: skip
    seen = http_.get("to/there", headers=headers)(web.state(headers={"X-Key": SECRET}))["data"]
    assert SECRET not in json.dumps(seen)
    assert (seen["headers"]["accept"], seen["headers"]["accept-language"]) == ("text/csv", "fr")


def test_the_twin_without_a_redirect_sends_these_headers(web):
    """The headers above reach their own origin, also over a redirect inside of it."""
    web.routes["/to/here"] = to("/echo", 307)
    headers = {"Authorization": SECRET, "Cookie": f"a={SECRET}", "X-Api-Key": SECRET}
    seen = http_.get("to/here", headers=headers)(web.state())["data"]["headers"]
    assert (seen["authorization"], seen["cookie"], seen["x-api-key"]) == (
        SECRET,
        f"a={SECRET}",
        SECRET,
    )


def test_another_origin_cannot_send_the_credentials_on_a_way_of_its_own(web, other):
    """A request that comes back to the origin has no credentials: the other server chose its path."""
    other.routes["/back"] = to(web.url + "/admin?do=delete")
    web.routes["/to/there"] = to(other.url + "/back")
    seen = http_.get("to/there")(web.state(token=SECRET))["data"]
    assert seen["target"] == "/admin?do=delete"
    assert "authorization" not in seen["headers"]


def test_another_port_or_host_does_not_get_the_cookies(web, other):
    """A jar of a browser would send them to every port of the host."""
    web.routes["/login"] = lambda _: Reply(200, {"Set-Cookie": f"sid={SECRET}; Path=/"})
    named = f"http://localhost:{web.port}"
    web.routes |= {
        "/to/port": to(other.url + "/echo"),
        "/to/name": to(named + "/echo"),
        "/to/here": to("/echo"),
    }
    state = web.state()
    http_.get("login")(state)

    for path in ("to/port", "to/name", other.url + "/echo", named + "/echo"):
        assert "cookie" not in http_.get(path)(state)["data"]["headers"], path
    for path in ("echo", "to/here"):
        assert http_.get(path)(state)["data"]["headers"]["cookie"] == f"sid={SECRET}"


def test_a_server_cannot_set_a_cookie_for_another_domain(web):
    """The domain of a cookie is that of its server."""
    web.routes["/login"] = lambda _: Reply(200, {"Set-Cookie": f"sid={SECRET}; Domain=example.org"})
    http_.get("login")(web.state())
    assert "cookie" not in http_.get("echo")(web.state())["data"]["headers"]


def test_cookies_are_not_shared_between_credentials(web):
    """Another step with another user must not use the login of the first."""
    web.routes["/login"] = lambda _: Reply(200, {"Set-Cookie": f"sid={SECRET}; Path=/"})
    http_.get("login")(web.state(username="ann", password="pass-of-ann"))
    seen = http_.get("echo")(web.state(username="bob", password="pass-of-bob"))["data"]
    assert "cookie" not in seen["headers"]


def test_the_body_does_not_go_to_another_origin(web, other):
    """The data of the job are for the server that the job has named."""
    web.routes |= {
        "/to/there": to(other.url + "/echo", 307),
        "/to/here": to("/echo", 307),
        "/see/there": to(other.url + "/echo", 303),
    }
    with pytest.raises(http_.RedirectError, match=r"another origin.*does not get the body"):
        http_.post("to/there", {"a": SECRET})(web.state())
    assert other.seen == []
    assert json.loads(http_.post("to/here", {"a": 1})(web.state())["data"]["body"]) == {"a": 1}
    seen = http_.post("see/there", {"a": SECRET})(web.state())["data"]
    assert (seen["method"], seen["body"]) == ("GET", "")


@pytest.mark.parametrize(
    ("status", "method", "followed"),
    [(301, "POST", "GET"), (302, "POST", "GET"), (303, "PUT", "GET"), (303, "HEAD", "HEAD"),
     (302, "PUT", "PUT"), (307, "POST", "POST"), (308, "DELETE", "DELETE")],
)  # fmt: skip
def test_the_method_after_a_redirect_is_that_of_browsers(web, status, method, followed):
    """A GET that follows a POST drops the body and its content type."""
    web.routes["/to/here"] = to("/echo", status)
    http_.request(method, "to/here", body=None if method == "HEAD" else {"a": 1})(web.state())
    last = web.seen[-1]
    assert last.method == followed
    assert last.body == (b'{"a": 1}' if followed == method != "HEAD" else b"")
    if followed == "GET":
        assert last.headers["content-type"] is None


def test_a_refusal_after_a_redirect_says_that_no_credentials_were_sent(web, other):
    """The usual cause is a base URL with http in place of https."""
    other.routes["/x"] = lambda _: Reply(401)
    web.routes["/x"] = to(other.url + "/x")
    with pytest.raises(http_.ResponseError, match=r"gets no credentials.*as the base_url"):
        http_.get("x")(web.state(token=SECRET))


def test_a_loop_of_redirects_ends(web):
    """The limit is an argument; with 0 the redirect itself is the answer."""
    web.routes["/loop"] = to("/loop")
    with pytest.raises(
        http_.RedirectError, match=r"more than 5 redirects.*max_redirections"
    ) as caught:
        http_.get("loop")(web.state())
    assert caught.value.retryable is False
    assert len(web.seen) == 6
    web.seen.clear()
    with pytest.raises(http_.RedirectError, match="more than 2"):
        http_.get("loop", max_redirections=2)(web.state())
    assert len(web.seen) == 3
    assert (
        http_.get("loop", max_redirections=0)(web.state())["response"]["headers"]["location"]
        == "/loop"
    )


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "ftp://h/x", "unix:///run/x", "javascript:alert(1)", "data:text/plain,x",
     "gopher://h/x",  "http://[::1/x"],
)  # fmt: skip
def test_a_redirect_to_something_else_than_http_is_refused(web, target):
    """A server cannot make a job read a file."""
    web.routes["/to/it"] = to(target)
    with pytest.raises(http_.RedirectError, match="leads to a place that is refused"):
        http_.get("to/it")(web.state())


def test_a_redirect_with_a_password_is_refused_and_not_shown(web):
    """The server of the redirect must not get the password."""
    web.routes["/to/it"] = to(web.url.replace("//", f"//ann:{SECRET}@") + "/json")
    with pytest.raises(http_.RedirectError) as caught:
        http_.get("to/it")(web.state())
    assert SECRET not in str(caught.value) + repr(caught.value.details)


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\0b", "a\x1bb", "\u20ac"])
def test_a_line_break_in_a_header_is_refused(web, value):
    """It would begin another header; the value may be a secret and is not shown."""
    for headers, configuration in (
        ({"X-Id": SECRET + value}, {}),
        (None, {"token": SECRET + value}),
        (None, {"headers": {"X-Id": SECRET + value}}),
    ):
        with pytest.raises(
            http_.RequestError, match=r"has a (line break|control|character)"
        ) as caught:
            http_.get("echo", headers=headers)(web.state(**configuration))
        assert SECRET not in str(caught.value) + repr(caught.value.details)
    for call in (
        http_.get("echo", idempotency_key=value),
        http_.post("echo", {"a": http_.file_part(b"", "a", value)}, content_type="form"),
        http_.post("echo", {}, headers={"Content-Type": value}),
    ):
        with pytest.raises(http_.RequestError):
            call(web.state())
    assert web.seen == []


@pytest.mark.parametrize("name", ["a b", "a\r\nb", "a:", "", "ä", "(x)"])
def test_the_name_of_a_header_is_a_word(name):
    """Any other name could end the header early."""
    with pytest.raises(http_.RequestError, match="cannot be the name of a header"):
        http_.get("http://h/", headers={name: "x"})({})


@pytest.mark.parametrize(
    "name",
    ["Content-Length", "transfer-encoding", "Host", "Connection", "TE", "Proxy-Authorization"],
)
def test_headers_that_cut_a_body_cannot_be_set(name):
    """With a wrong length the rest of a body is another request for the next server."""
    with pytest.raises(http_.RequestError, match="cannot be set"):
        http_.post("http://h/", "x", headers={name: "1"})({})


@pytest.mark.parametrize("method", ["", "G ET", "GET\r\nX: y", "G\xc9T", 7, "connect"])
def test_a_method_that_is_no_word_is_refused(method):
    """The method would be sent in the first line of the request."""
    with pytest.raises(http_.RequestError, match="method"):
        http_.request(method, "http://h/")({})


@pytest.mark.parametrize("path", ["x\r\nHost: y", "x HTTP/1.1\r\nX: y", "x\ny", "x\0y"])
def test_a_path_cannot_end_the_first_line(web, path):
    """Line breaks are encoded, and the server sees one request."""
    http_.get(path)(web.state())
    (seen,) = web.seen
    assert "%0" in seen.target
    assert seen.headers["X"] is None


@pytest.mark.parametrize(
    ("base_url", "path"),
    [
        (None, f"http://ann:{SECRET}@h/x"),
        (None, f"http://ann:{SECRET}@h:99999/x"),
        (None, f"https://{SECRET}@[::1/x"),
        (None, f"ftp://ann:{SECRET}@h/x"),
        (f"http://ann:{SECRET}@h", "x"),
    ],
)
def test_a_password_in_a_url_is_refused_and_not_shown(base_url, path):
    """A URL is copied to many places; the configuration is the right place for a password."""
    with pytest.raises(http_.RequestError) as caught:
        http_.get(path)({"configuration": {"base_url": base_url}})
    assert SECRET not in str(caught.value) + repr(caught.value.details)
    assert "//***@" in str(caught.value)


def repeat_all(seen):
    """Send back everything that a request has, as careless servers do."""
    text = f"{seen.method} {seen.target}\n{seen.headers}\n{seen.body.decode('latin-1')}"
    return Reply(500, {"Content-Type": "text/plain", "X-Reason": "x"}, text.encode())


@pytest.mark.parametrize(
    "credential",
    [
        {"access_token": SECRET},
        {"username": "ann", "password": SECRET},
        {"headers": {"X-Api-Key": SECRET}},
        {"api_key": SECRET},
    ],
)
def test_an_error_does_not_show_what_a_server_sends_back(web, credential, caplog):
    """The report of a step is stored and shown to other people."""
    caplog.set_level(logging.DEBUG)
    web.routes["/bad"] = repeat_all
    query = {"key": lambda state: state["configuration"].get("api_key")}
    with pytest.raises(http_.ResponseError) as caught:
        http_.post("bad", query=query)(web.state(**credential))
    shown = str(caught.value) + repr(caught.value.details)
    assert "***" in shown
    sent = "".join(str(seen.headers) + seen.target for seen in web.seen)
    assert SECRET in sent or PAIR in sent
    for secret in (SECRET, PAIR):
        assert secret not in shown
        assert secret not in caplog.text


def test_a_parameter_that_is_named_as_a_secret_is_not_shown(web):
    """It may come from the state, and not from the configuration."""
    web.routes["/bad"] = lambda _: Reply(404)
    with pytest.raises(http_.ResponseError) as caught:
        http_.get("bad", query={"access_token": SECRET, "page": 7})(web.state())
    assert SECRET not in str(caught.value) + repr(caught.value.details)
    assert "page=7" in str(caught.value)


def test_a_cookie_that_a_server_sends_back_is_not_shown(web):
    """A session of a login is a secret that only this package knows."""
    web.routes |= {
        "/login": lambda _: Reply(200, {"Set-Cookie": f"sid={SECRET}; Path=/"}),
        "/bad": repeat_all,
    }
    http_.get("login")(web.state())
    with pytest.raises(http_.ResponseError) as caught:
        http_.post("bad")(web.state())
    assert SECRET not in str(caught.value) + repr(caught.value.details)


def test_libraries_do_not_log_headers(web, caplog):
    """At the level debug they would log every header, and so every credential."""
    caplog.set_level(logging.DEBUG)
    web.routes["/login"] = lambda _: Reply(200, {"Set-Cookie": f"sid={SECRET}; Path=/"})
    http_.get("login")(web.state(token=SECRET))
    http_.get("echo")(web.state(token=SECRET))
    assert SECRET not in caplog.text
    assert "GET" in caplog.text


def test_the_environment_does_not_redirect_requests(web, other, monkeypatch):
    """A proxy or a file of passwords of the machine is not for a job."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, other.url)
    assert http_.get("echo")(web.state())["data"]["target"] == "/echo"
    assert other.seen == []
