"""URLs of http are made from a base and a path, and encoded where they must be."""

from __future__ import annotations

import http_
import pytest
from http_.urls import make_url, origin


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("patients/Ann Lee/\xe9", "/patients/Ann%20Lee/%C3%A9"),
        ("a%20b/%C3%A9", "/a%20b/%C3%A9"),
        ("100%/50%zz", "/100%25/50%25zz"),
        ("a\tb\nc\r", "/a%09b%0Ac"),
        ("x/../y/./z", "/x/../y/./z"),
        ("a;b=1,2@c:d+e~(f)[g]!$&'*", "/a;b=1,2@c:d+e~(f)[g]!$&'*"),
        ('"<>\\\\^`{|}', "/%22%3C%3E%5C%5C%5E%60%7B%7C%7D"),
        ("\U0001f600\ud800", "/%F0%9F%98%80%3F"),
        ("q?name=Ann Lee&x=\xe9&y=a%26b", "/q?name=Ann%20Lee&x=%C3%A9&y=a%26b"),
        ("q?a=1#part two", "/q?a=1"),
        (" spaces around ", "/%20spaces%20around"),
    ],
)
def test_a_url_is_encoded_where_it_must_be(path, sent):
    """Characters with a meaning in a URL stay, and so do characters that are already encoded."""
    assert make_url("http://h", path, None) == f"http://h{sent}"


def test_a_host_with_an_accent_is_looked_up_in_its_form_for_dns():
    """A base URL and a whole URL are treated alike; both spellings are the same origin."""
    ascii_form = "http://xn--bcher-kva.example:81"
    assert (
        make_url("http://b\xfccher.example:81/api", "x", {"a": "\xe9"})
        == f"{ascii_form}/api/x?a=%C3%A9"
    )
    assert make_url(None, "http://b\xfccher.example:81/", None) == f"{ascii_form}/"
    assert origin("http://b\xfccher.example:81/api") == origin(ascii_form)


@pytest.mark.parametrize(
    "url", ["http://a b/x", "http://\xe4" + 70 * "a" + "/x", "http:///x", "ftp://h/x"]
)
def test_what_cannot_be_a_url_is_an_error_of_the_argument(url):
    """The error is not one of the host, because no request was sent."""
    with pytest.raises(http_.RequestError) as caught:
        make_url(None, url, None)
    assert repr(url) in str(caught.value)
