"""The address of a proxy is read strictly, and errors never show its password."""

from __future__ import annotations

import pytest

from protocol.net_proxy import NetProxy, parse_net_proxy


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy:3128", NetProxy("proxy", 3128, None)),
        ("HTTP://Proxy.Example.org.:8080/", NetProxy("proxy.example.org", 8080, None)),
        ("http://proxy", NetProxy("proxy", 80, None)),
        ("http://10.0.0.1:3128", NetProxy("10.0.0.1", 3128, None)),
        ("http://[::1]:3128", NetProxy("::1", 3128, None)),
        ("http://[::1]", NetProxy("::1", 80, None)),
        ("http://ann:se%3Acret@proxy:3128", NetProxy("proxy", 3128, "Basic YW5uOnNlOmNyZXQ=")),
        ("http://ann@proxy:3128", NetProxy("proxy", 3128, "Basic YW5uOg==")),
    ],
)
def test_a_proxy(text, proxy):
    """Host and port are in canonical form, as in a rule."""
    assert parse_net_proxy(text) == proxy


@pytest.mark.parametrize(
    "text",
    [
        "",
        "proxy",
        "proxy:3128",
        "https://proxy:3128",
        "socks5://proxy:1080",
        "http://",
        "http://*:3128",
        "http://*",
        "http://*.example.org:3128",
        "http://10.0.0.0/8:3128",
        "http://proxy:80,443",
        "http://proxy:80-81",
        "http://proxy:99999",
        "http://proxy:3128/path",
        "http://proxy:3128?x=y",
        "http://@proxy:3128",
        "http://a b@proxy:3128",
        "http://a@b@proxy:3128",
        "http://a\r\nX: y@proxy:3128",
        "http://proxy:3128\r\nX: y",
    ],
)
def test_anything_else_is_an_error(text):
    """It says what would be right."""
    with pytest.raises(ValueError, match=r"proxy\.example\.org:3128|percent-encode"):
        parse_net_proxy(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://ann:geheim@proxy:port",
        "http://ann:geheim@",
        "https://ann:geheim@proxy:3128",
        "http://ann:ge heim@proxy",
        "ann:geheim@proxy:3128",
        "http://ann:geheim@proxy:3128?geheim",
    ],
)
def test_an_error_does_not_show_the_password(text):
    """Errors go into logs."""
    with pytest.raises(ValueError, match="proxy") as caught:
        parse_net_proxy(text)
    error = caught.value
    while error is not None:
        assert "heim@" not in str(error)
        assert "ann" not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
