"""Wrong arguments of rest are errors before a request is sent, and these errors show no secret."""

from __future__ import annotations

import pytest
import rest


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("x",), {}, "no base_url"),
        (("file:///etc/passwd",), {}, "not an http or https URL"),
        (("http://host:port/",), {}, "not an http or https URL"),
        ((7,), {}, "the path is a text, not int"),
        (("http://h/",), {"parse_as": "xml"}, "parse_as is one of"),
        (("http://h/",), {"body": 7, "content_type": "form"}, "a form is a dict"),
        (("http://h/",), {"body": "", "json": {}}, "not both"),
        (("http://[::1/x",), {}, "not an http or https URL.*Invalid IPv6"),
        (("http://h:99999/",), {}, "not an http or https URL.*Port out of range"),
        (("http://\u2100.example/",), {}, "not an http or https URL.*NFKC"),
        (("http://h/",), {"query": "a=1"}, "query is a dict, not str"),
        (("http://h/",), {"headers": [1]}, "headers is a dict, not list"),
        (("http://h/",), {"headers": {"A b": "x"}}, "'A b' cannot be the name of a header"),
        (("http://h/",), {"headers": {"A": "\u20ac"}}, "'A' has a character beyond Latin-1"),
        (("http://h/",), {"json": {"n": float("nan")}}, "cannot be sent as JSON"),
        (("http://h/",), {"json": [b"x"]}, "cannot be sent as JSON.*bytes"),
        *((("http://h/",), {"timeout_s": wrong}, "timeout_s is a number of seconds above 0")
          for wrong in (0, -1, float("nan"), float("inf"), 10**400, True, "soon", [])),
    ],
)  # fmt: skip
def test_wrong_arguments_are_told(arguments, options, message):
    """The error comes before a request is sent."""
    with pytest.raises(rest.RequestError, match=message):
        rest.get(*arguments, **options)({})


@pytest.mark.parametrize("method", ["", "G ET", "GET\r\nX: y", "G\xc9T", 7])
def test_a_method_that_is_no_word_is_refused(method):
    """The method would be sent in the first line of the request."""
    with pytest.raises(rest.RequestError, match="the method is a word"):
        rest.request(method, "http://h/")({})


@pytest.mark.parametrize("end", ["\r\nX: y", "\n", "\0", "\u20ac"])
def test_a_credential_that_cannot_be_sent_is_not_shown(end):
    """A token is often pasted with a line break at its end."""
    state = {"configuration": {"base_url": "http://h", "token": f"hush{end}"}}
    with pytest.raises(rest.RequestError, match="'Authorization' has a") as caught:
        rest.get("x")(state)
    assert "hush" not in str(caught.value) + repr(caught.value.details)


@pytest.mark.parametrize(
    ("base_url", "path"),
    [
        (None, "http://ann:hush@h/x"),
        (None, "http://ann:hush@h:99999/x"),
        (None, "https://hush@[::1/x"),
        (None, "ftp://ann:hush@h/x"),
        (None, "//ann:hush@h/x"),
        ("http://ann:hush@h", "x"),
    ],
)
def test_a_password_in_a_url_is_refused_and_not_shown(base_url, path):
    """A URL is copied to many places; the configuration is the right place for a password."""
    with pytest.raises(rest.RequestError) as caught:
        rest.get(path)({"configuration": {"base_url": base_url}})
    assert "hush" not in str(caught.value) + repr(caught.value.details)
    assert "//***@" in str(caught.value)
