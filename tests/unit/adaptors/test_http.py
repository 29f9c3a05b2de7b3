"""The verbs of http speak to a real server: bodies, options, answers and what stays in a run."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from datetime import date
from email import message_from_bytes

import brotli
import http_
import pytest
from web import Reply

pytestmark = [pytest.mark.usefixtures("forget_sessions"), pytest.mark.slow]

PAGES = {
    "/json": ("application/json", b'{"name": "\xc3\xa4"}'),
    "/fhir": ("application/fhir+json; charset=utf-8", b"[1]"),
    "/latin": ("text/plain; charset=latin-1", b"\xe4"),
    "/untyped": ("", b'{"a": 1}'),
    "/bom": ("application/json", b'\xef\xbb\xbf{"a": 1}'),
    "/bom16": ("application/json; charset=utf-16", '{"a": 1}'.encode("utf-16")),
    "/json32": ("application/json", '{"a": "\xe4"}'.encode("utf-32")),
    "/marked": ("text/plain; charset=latin-1", b"\xef\xbb\xbf\xc3\xa4"),
    "/unknown": ("text/plain; charset=no-such", b"x"),
    "/broken": ("application/json", b"{"),
    "/deep": ("application/json", b"[" * 100_000),
    "/pdf": ("application/pdf", b"%PDF\xff\xfe"),
}


@pytest.fixture(autouse=True)
def pages(web):
    """Serve the pages of this file."""
    for path, (kind, body) in PAGES.items():
        headers = {"Content-Type": kind} if kind else {}
        web.routes[path] = lambda _, headers=headers, body=body: Reply(200, headers, body)


def test_the_body_becomes_data_and_the_rest_is_in_the_response(web):
    """data, references and response are set; the given state does not change."""
    state = web.state()

    result = http_.get("/json")(state)

    assert result["data"] == {"name": "ä"}
    assert result["references"] == ["before"]
    response = result["response"]
    assert (response["method"], response["status"], response["reason"]) == ("GET", 200, "OK")
    assert (response["status_code"], response["status_message"]) == (200, "OK")
    assert response["url"] == web.url + "/json"
    assert response["headers"]["content-type"] == "application/json"
    assert response["http_version"] == "HTTP/1.1"
    assert response["duration_ms"] >= 0
    assert state == web.state()


@pytest.mark.parametrize(
    ("path", "parse_as", "data"),
    [
        ("json", "auto", {"name": "ä"}),
        ("json", "bytes", b'{"name": "\xc3\xa4"}'),
        ("json", "stream", b'{"name": "\xc3\xa4"}'),
        ("json", "text", '{"name": "ä"}'),
        ("fhir", "auto", [1]),
        ("latin", "auto", "ä"),
        ("latin", "base64", "5A=="),
        ("untyped", "auto", '{"a": 1}'),
        ("untyped", "json", {"a": 1}),
        ("bom", "auto", {"a": 1}),
        ("bom16", "auto", {"a": 1}),
        ("json32", "auto", {"a": "ä"}),
        ("marked", "auto", "ä"),
        ("pdf", "bytes", b"%PDF\xff\xfe"),
    ],
)
def test_bodies_are_parsed_as_the_server_or_the_job_says(web, path, parse_as, data):
    """The body is JSON if the content type says so, unless the job asks for another form."""
    assert http_.get(path, parse_as=parse_as)(web.state())["data"] == data


@pytest.mark.parametrize(
    ("parse_as", "data"), [("auto", None), ("json", None), ("text", ""), ("bytes", b"")]
)
def test_an_empty_body_is_none(web, parse_as, data):
    """Text and bytes can be empty, JSON cannot."""
    web.routes["/none"] = lambda _: Reply(204)
    assert http_.get("none", parse_as=parse_as)(web.state())["data"] == data


def test_head_has_no_body(web):
    """The headers are all there is."""
    state = http_.request("HEAD", "json")(web.state())
    assert state["data"] is None
    assert state["response"]["headers"]["content-type"] == "application/json"


@pytest.mark.parametrize("page", ["broken", "deep", "unknown", "pdf"])
def test_a_body_that_is_not_what_it_says_is_an_error(web, page):
    """The error names the URL, and how to get the bytes."""
    with pytest.raises(
        http_.ResponseError, match=f"/{page} cannot be read as auto.*parse_as='bytes'"
    ):
        http_.get(page)(web.state())


def test_arguments_are_resolved_against_the_state(web):
    """Anywhere in the arguments, a function of state may replace a value."""
    operation = http_.request(
        lambda state: "post",
        lambda state: f"echo/{state['id']}?a=1",
        query={
            "b": [lambda state: state["id"], 2],
            "none": None,
            "on": True,
            "day": date(2026, 1, 2),
        },
        headers=lambda state: {"X-Id": state["id"], "X-None": None},
        body={"id": lambda state: state["id"]},
    )
    seen = operation({**web.state(), "id": 7})["data"]
    assert (seen["method"], seen["target"]) == (
        "POST",
        "/echo/7?a=1&b=7&b=2&on=true&day=2026-01-02",
    )
    assert json.loads(seen["body"]) == {"id": 7}
    assert seen["headers"]["x-id"] == "7"
    assert "x-none" not in seen["headers"]
    assert seen["headers"]["content-type"] == "application/json"


@pytest.mark.parametrize("verb", ["post", "put", "patch"])
def test_verbs_that_send_take_the_body_second(web, verb):
    """A dict is sent as JSON, and a text as it is, because it may be JSON already."""
    call = getattr(http_, verb)
    seen = call("echo", {"a": 1})(web.state())["data"]
    assert (seen["method"], seen["body"]) == (verb.upper(), '{"a": 1}')
    assert call("echo", '{"a": 2}')(web.state())["data"]["body"] == '{"a": 2}'
    assert seen["headers"]["content-type"] == "application/json"


def test_delete_and_get_send_no_body_unless_they_have_one(web):
    """A length of zero would also be a header that some servers refuse."""
    for verb in (http_.get, http_.delete):
        seen = verb("echo")(web.state())["data"]
        assert "content-length" not in seen["headers"]
        assert "content-type" not in seen["headers"]
    assert http_.delete("echo", body={"a": 1})(web.state())["data"]["body"] == '{"a": 1}'
    assert http_.post("echo")(web.state())["data"]["headers"]["content-length"] == "0"


@pytest.mark.parametrize(
    ("body", "options", "content_type", "sent"),
    [
        ("<a/>", {"content_type": "xml"}, "application/xml", "<a/>"),
        ("hi", {"content_type": "string"}, "text/plain; charset=utf-8", "hi"),
        (b"\x00\xff", {}, "application/octet-stream", "\x00\xff"),
        ({"a": 1}, {"headers": {"content-type": "application/fhir+json"}}, "application/fhir+json", '{"a": 1}'),
        ({"a": "ä &", "b": [1, 2], "c": None, "d": True}, {"content_type": "urlencoded"},
         "application/x-www-form-urlencoded", "a=%C3%A4+%26&b=1&b=2&d=true"),
        ({"a": 1}, {"headers": {"Content-Type": "application/x-www-form-urlencoded"}},
         "application/x-www-form-urlencoded", "a=1"),
        ([1], {}, "application/json", "[1]"),
        (0, {}, "application/json", "0"),
    ],
)  # fmt: skip
def test_a_body_is_encoded_as_its_content_type_says(web, body, options, content_type, sent):
    """The header of the job wins over the name of the type."""
    seen = http_.post("echo", body, **options)(web.state())["data"]
    assert (seen["headers"]["content-type"], seen["body"]) == (content_type, sent)


@pytest.mark.parametrize(
    ("body", "options", "content_type", "sent"),
    [
        ("<a/>", {}, "application/xml", "<a/>"),
        ("{}", {"content_type": "json"}, "application/json", "{}"),
        ("<b/>", {"headers": {"content-type": "text/xml"}}, "text/xml", "<b/>"),
    ],
)
def test_a_content_type_of_the_configuration_is_used_unless_the_job_has_one(
    web, body, options, content_type, sent
):
    """The headers of the configuration are sent with each request, and this is one of them."""
    state = web.state(headers={"Content-Type": "application/xml"})
    seen = http_.post("echo", body, **options)(state)["data"]
    assert (seen["headers"]["content-type"], seen["body"]) == (content_type, sent)


def test_a_form_is_multipart_and_may_have_files(web):
    """An independent parser reads the parts; None is left out, and dicts are JSON."""
    body = {
        "name": "Ann Lee", "age": 7, "ok": True, "tags": {"a": [1]}, "none": None, "raw": b"\xff",
        "report": http_.file_part(lambda state: state["pdf"], 'a"\r\nX: y.pdf', "application/pdf"),
    }  # fmt: skip
    seen = http_.post("echo", body, content_type="form")({**web.state(), "pdf": b"%PDF"})["data"]

    head = f"Content-Type: {seen['headers']['content-type']}\r\n\r\n"
    message = message_from_bytes((head + seen["body"]).encode("latin-1"))
    parts = {
        part.get_param("name", header="content-disposition"): part for part in message.get_payload()
    }
    texts = {name: part.get_payload(decode=True) for name, part in parts.items()}
    assert texts == {
        "name": b"Ann Lee", "age": b"7", "ok": b"true", "tags": b'{"a": [1]}', "raw": b"\xff",
        "report": b"%PDF",
    }  # fmt: skip
    assert parts["report"].get_content_type() == "application/pdf"
    assert "X" not in parts["report"]
    assert parts["raw"].get_filename() == "raw"
    assert parts["name"].get_filename() is None


def test_a_header_that_the_job_sets_for_a_form_gets_the_right_boundary(web):
    """A boundary that the job has chosen is not the one in the body."""
    headers = {"Content-Type": "multipart/form-data; boundary=mine"}
    seen = http_.post("echo", {"a": 1}, headers=headers)(web.state())["data"]
    boundary = seen["headers"]["content-type"].partition("boundary=")[2]
    assert boundary != "mine"
    assert f"--{boundary}\r\n" in seen["body"]


def raw_deflate(data):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("gzip", lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:]) + b"\0\0"),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("br", brotli.compress),
        ("gzip, br", lambda data: brotli.compress(gzip.compress(data))),
        ("identity", bytes),
    ],
)
@pytest.mark.parametrize("size", [1, 100, 1_000_000])
def test_a_compressed_body_is_decompressed(web, coding, pack, size):
    """The client offers only codings that it can read."""
    text = json.dumps("ä" * size).encode()
    packed = pack(text)
    web.routes["/packed"] = lambda _: Reply(
        200, {"Content-Type": "application/json", "Content-Encoding": coding}, packed
    )
    assert http_.get("packed")(web.state())["data"] == "ä" * size
    assert web.seen[-1].headers["accept-encoding"] == "gzip, deflate, br"


@pytest.mark.parametrize(
    ("coding", "pack"),
    [("gzip", gzip.compress), ("br", brotli.compress), ("deflate", zlib.compress)],
)
def test_a_body_that_was_cut_off_or_is_garbage_is_an_error(web, coding, pack):
    """A part of the data would otherwise pass for all of it."""
    whole = pack(json.dumps(list(range(10_000))).encode())
    for body in (whole[:-9], b"garbage that is not packed"):
        web.routes["/packed"] = lambda _, body=body: Reply(200, {"Content-Encoding": coding}, body)
        with pytest.raises(http_.ResponseError, match="cannot be decompressed"):
            http_.get("packed", retries=0)(web.state())


def test_an_unknown_coding_is_an_error(web):
    """The error lists the known ones."""
    web.routes["/packed"] = lambda _: Reply(200, {"Content-Encoding": "zstd"}, b"x")
    with pytest.raises(http_.ResponseError, match="'zstd' is not one of gzip"):
        http_.get("packed")(web.state())


def test_one_connection_serves_many_requests_and_steps(web):
    """A second step with the same configuration uses the connection of the first."""
    for _ in range(3):
        http_.get("json")(web.state())
    http_.post("echo", {"a": 1})(web.state())
    assert {seen.connection for seen in web.seen} == {1}


def test_connections_are_not_shared_between_credentials(web):
    """Some servers bind a login to a connection."""
    http_.get("json")(web.state(token="first"))
    http_.get("json")(web.state(token="second"))
    assert [seen.connection for seen in web.seen] == [1, 2]


def test_a_bad_status_is_an_error_with_details(web):
    """The details are method, URL, status, reason and the beginning of the body."""
    web.routes["/missing"] = lambda _: Reply(
        404, {"Content-Type": "text/plain"}, b"no such patient"
    )
    with pytest.raises(http_.ResponseError, match=r"GET .*/missing gave 404 Not Found") as caught:
        http_.get("missing")(web.state())
    assert caught.value.details == {
        "method": "GET",
        "url": web.url + "/missing",
        "status": 404,
        "status_code": 404,
        "reason": "Not Found",
        "body": "no such patient",
        "retryable": False,
    }


def test_errors_says_which_status_is_an_error(web):
    """False: no error; a text: the message; True: an error in spite of its status."""
    web.routes["/missing"] = lambda _: Reply(
        404, {"Content-Type": "application/json"}, b'{"why": "gone"}'
    )
    found = http_.get("missing", errors={404: False})(web.state())
    assert (found["data"], found["response"]["status"]) == ({"why": "gone"}, 404)
    assert http_.get("missing", errors=False)(web.state())["data"] == {"why": "gone"}
    with pytest.raises(http_.ResponseError, match=r"^no such patient$"):
        http_.get("missing", errors={"404": "no such patient"})(web.state())
    with pytest.raises(http_.ResponseError, match="gave 200"):
        http_.get("json", errors={200: True})(web.state())
    with pytest.raises(http_.ResponseError, match="gave 404"):
        http_.get("missing", errors={500: False})(web.state())


def test_cookies_come_back_in_the_same_run(web):
    """A login is kept without code in the job, and the value of a cookie can be used."""
    web.routes["/login"] = lambda _: Reply(
        200,
        [("Set-Cookie", "sid=abcdefgh; Path=/; HttpOnly"), ("Set-Cookie", "csrftoken=tok; Path=/")],
        b"",
    )
    state = http_.post("login", {"user": "ann"})(web.state())
    seen = http_.get("echo", headers={"X-CSRF": http_.cookie("csrftoken")})(web.state())["data"]
    assert seen["headers"]["cookie"] == "sid=abcdefgh; csrftoken=tok"
    assert seen["headers"]["x-csrf"] == "tok"
    assert "abcdefgh" not in json.dumps(state["response"])
    assert http_.cookie("none")(web.state()) is None


def test_the_base_url_may_have_a_path_and_other_spellings(web):
    """baseUrl is the spelling of other tools."""
    state = {"configuration": {"baseUrl": web.url + "/api/v1/"}}
    assert http_.get("/echo?x=http://y")(state)["data"]["target"] == "/api/v1/echo?x=http://y"
    assert http_.get(web.url + "/direct")(state)["data"]["target"] == "/direct"
    assert http_.get(web.url + "/direct")({})["data"]["target"] == "/direct"


def test_a_path_is_encoded_once(web):
    """Characters that are already encoded stay."""
    assert (
        http_.get("echo/Ann Lee/\xe9%20/a;b=1", query={"q": "a b&c"})(web.state())["data"]["target"]
        == "/echo/Ann%20Lee/%C3%A9%20/a;b=1?q=a+b%26c"
    )


def test_the_user_agent_can_be_replaced(web):
    """A header of the job wins over ours."""
    seen = http_.get("echo", headers={"User-Agent": "mine", "Accept": "text/csv"})(web.state())
    assert seen["data"]["headers"]["user-agent"] == "mine"
    assert seen["data"]["headers"]["accept"] == "text/csv"


def test_base64_of_a_download_is_that_of_its_bytes(web):
    """The body is read in pieces, and is the same in the end."""
    content = bytes(range(256)) * 10_000
    web.routes["/file"] = lambda _: Reply(200, {"Content-Type": "image/png"}, content)
    assert http_.get("file", parse_as="bytes")(web.state())["data"] == content
    assert (
        http_.get("file", parse_as="base64")(web.state())["data"]
        == base64.b64encode(content).decode()
    )


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("x",), {}, "no base_url"),
        (("file:///etc/passwd",), {}, "not an http or https URL"),
        (("ftp://h/x",), {}, "not an http or https URL"),
        (("unix:///var/run/docker.sock",), {}, "not an http or https URL"),
        (("http://host:port/",), {}, "not an http or https URL"),
        (("http://h:99999/",), {}, "not an http or https URL"),
        (("http://a b/",), {}, "has a space or a control character"),
        (("http://" + "a" * 64 + "/",), {}, "cannot be looked up"),
        (("http://a..b/",), {}, "cannot be looked up"),
        (("http://\xe4" + "a" * 70 + "/",), {}, "cannot be looked up"),
        (("http:///x",), {}, "not an http or https URL"),
        (("http://h\\@h/",), {}, "not an http or https URL|user name or password"),
        ((7,), {}, "the path is a text, not int"),
        (("http://h/",), {"parse_as": "xml"}, "parse_as is one of"),
        (("http://h/",), {"query": "a=1"}, "query is a dict, not str"),
        (("http://h/",), {"query": {"a": {"b": 1}}}, "'a' is a dict"),
        (("http://h/",), {"headers": [1]}, "headers is a dict, not list"),
        (("http://h/",), {"headers": {"A": "1", "a": "2"}}, "is given twice"),
        (("http://h/",), {"headers": {"A": ["1"]}}, "'A' is a text, not list"),
        (("http://h/",), {"body": {"n": float("nan")}}, "cannot be sent as JSON"),
        (("http://h/",), {"body": [b"x"]}, "cannot be sent as JSON.*bytes"),
        (("http://h/",), {"body": "\ud800"}, "surrogate"),
        (("http://h/",), {"body": [1], "content_type": "form"}, "a form is a dict, not list"),
        (("http://h/",), {"body": {}, "content_type": "form"}, "has no field"),
        (("http://h/",), {"content_type": "csv"}, "content_type is one of"),
        (("http://h/",), {"errors": {"x": 1}}, "errors: 'x' is not a status"),
        (("http://h/",), {"errors": {404: 1}}, r"errors\[404\] is a text, True or False"),
        (("http://h/",), {"errors": 404}, "errors is False or a dict"),
        (("http://h/",), {"retries": 11}, "retries is a whole number from 0 to 10"),
        (("http://h/",), {"max_redirections": -1}, "max_redirections is a whole number"),
        (("http://h/",), {"max_mb": 0}, "max_mb is a number of megabytes above 0"),
        (("http://h/",), {"http2": "yes"}, "http2 is True or False"),
        (("http://h/",), {"timeout": 1, "timeout_s": 1}, "not both"),
        (("http://h/",), {"tls": "x"}, "tls is a dict"),
        (("http://h/",), {"tls": {"rejectUnauthorized": False}}, "a server is always verified"),
        *((("http://h/",), {name: wrong}, f"{name} is a number of {unit} above 0")
          for wrong in (0, -1, float("nan"), float("inf"), 10**400, True, "soon", [])
          for name, unit in (("timeout", "milliseconds"), ("timeout_s", "seconds"))),
    ],
)  # fmt: skip
def test_wrong_arguments_are_errors_before_a_request(arguments, options, message):
    """They are not retried, because the next attempt has the same."""
    with pytest.raises(http_.RequestError, match=message) as caught:
        http_.get(*arguments, **options)({})
    assert caught.value.retryable is False


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ([], "configuration is a dict"),
        ({"base_url": 7}, "base_url in the configuration is a text"),
        ({"base_url": "file:///etc"}, "not an http or https URL"),
        ({"token": 7}, "token in the configuration is a text"),
        ({"authentication": "ntlm"}, "authentication in the configuration is one of basic, digest"),
        ({"token_url": "http://h/"}, "needs client_id and client_secret"),
        ({"http2": 1}, "http2 in the configuration is true or false"),
        ({"tls": {"cert": "x"}}, "tls needs cert and key together"),
    ],
)
def test_a_wrong_configuration_is_an_error(configuration, message):
    """The key and the problem are named."""
    if configuration and "base_url" not in configuration:
        configuration = {"base_url": "http://h", **configuration}
    with pytest.raises(http_.RequestError, match=message):
        http_.get("x")({"configuration": configuration or [1]})


def test_functions_without_end_are_an_error():
    """Each function returns the next one."""

    def again(_):
        return again

    with pytest.raises(http_.RequestError, match="without end"):
        http_.get("http://h/", query={"a": again})({})
