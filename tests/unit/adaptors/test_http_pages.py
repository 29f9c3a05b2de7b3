"""paginate collects the pages of a list, and stops at limits and at other origins."""

from __future__ import annotations

import http_
import pytest
from http_.pages import _LINK, _next_link
from web import Reply, as_json

pytestmark = [pytest.mark.usefixtures("forget_sessions"), pytest.mark.slow]

ROWS = list(range(25))
SECRET = "hush-hush-hush"


def page_of(seen, size=10):
    number = int(dict(seen.query).get("page", 1))
    return number, ROWS[(number - 1) * size : number * size]


def links(seen):
    number, rows = page_of(seen)
    reply = as_json(rows)
    others = '</rows?page=1>; rel="first", <https://h/a,b>; title="x, y"; rel="up prev"'
    if number < 3:
        reply.headers["Link"] = f'{others}, </rows?page={number + 1}&q=1>; rel="next"'
    return reply


def test_links_are_followed_to_the_last_page(web):
    """The URL of the link is taken as it is; the headers of the job come along."""
    web.routes["/rows"] = links
    state = http_.paginate("rows", query={"q": 1}, headers={"X-A": "b"})(web.state(token=SECRET))
    assert state["data"] == ROWS
    assert state["response"]["pages"] == 3
    assert state["references"] == ["before"]
    assert [seen.target for seen in web.seen] == [
        "/rows?q=1",
        "/rows?page=2&q=1",
        "/rows?page=3&q=1",
    ]
    assert {seen.headers["authorization"] for seen in web.seen} == {f"Bearer {SECRET}"}
    assert {seen.headers["x-a"] for seen in web.seen} == {"b"}
    assert {seen.connection for seen in web.seen} == {1}


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ('<a>; rel="next"', "a"),
        ("<a>; rel=next", "a"),
        ('<a>;rel="last next"', "a"),
        ('<a>; title="x; rel=next"; rel=prev, <b>; REL="Next"', "b"),
        ('<a,b;c>; rel="next"', "a,b;c"),
        ('<a>; rel="nextpage"', None),
        ("<a>", None),
        ("garbage", None),
        ("<a; rel=next", None),
        ("", None),
    ],
)
def test_a_link_header_is_read_by_its_rules(web, header, target):
    """RFC 8288: several links, words of rel in any order, commas in texts."""
    headers = {"Link": header} if header else {}
    web.routes["/x"] = lambda _: Reply(200, {"Content-Type": "application/json", **headers}, b"[]")
    call = http_.pages.Call(web.state(), {**DEFAULTS, "path": "x"})
    assert _next_link(call.perform()) == target


DEFAULTS = {
    "method": "GET", "body": None, "content_type": None, "query": None, "headers": None,
    "errors": None, "parse_as": "auto", "timeout": None, "timeout_s": None, "max_redirections": 5,
    "retries": 0, "idempotency_key": None, "tls": None, "http2": None, "max_mb": 50,
}  # fmt: skip


def test_a_link_header_costs_no_more_than_its_length():
    """A hostile header does not keep the pattern busy."""
    for text in ("<a>" + "; a" * 30_000 + "!", '<a>; a="' + "\\" * 30_001, "<" * 60_000):
        _LINK.match(text)


@pytest.mark.parametrize("whole", [False, True])
def test_a_cursor_comes_from_the_body(web, whole):
    """It may be a value for a parameter, or the URL of the next page."""

    def route(seen):
        number, rows = page_of(seen)
        after = number + 1 if number < 3 else None
        if whole and after:
            after = f"{web.url}/rows?page={after}"
        return as_json({"rows": rows, "meta": {"next": after}})

    web.routes["/rows"] = route
    state = http_.paginate(
        "rows", style="cursor", items="rows", cursor="meta.next", param="page", query={"q": 1}
    )(web.state())
    assert state["data"] == ROWS
    assert [("q", "1") in seen.query for seen in web.seen] == [True, not whole, not whole]


@pytest.mark.parametrize(("size", "requests"), [(None, 4), (10, 3)])
def test_pages_are_counted(web, size, requests):
    """The first empty page is the last, or the first short one if the size is known."""
    web.routes["/rows"] = lambda seen: as_json({"rows": page_of(seen)[1]})
    state = http_.paginate("rows", style="page", items="rows", page_size=size)(web.state())
    assert state["data"] == ROWS
    assert len(web.seen) == requests


def test_the_next_page_of_another_origin_is_refused(web, other):
    """Following it without credentials would give a part of the list, and with them give them away."""
    web.routes["/link"] = lambda _: Reply(
        200, {"Content-Type": "application/json", "Link": f'<{other.url}/x>; rel="next"'}, b"[1]"
    )
    web.routes["/cursor"] = lambda _: as_json({"rows": [1], "next": other.url + "/x"})
    for operation in (
        http_.paginate("link"),
        http_.paginate("cursor", style="cursor", items="rows", cursor="next"),
    ):
        with pytest.raises(http_.ResponseError, match="is of another origin"):
            operation(web.state(token=SECRET))
    assert other.seen == []


@pytest.mark.parametrize("style", ["link", "cursor"])
def test_pages_in_a_circle_end(web, style):
    """A server that always names the same next page is an error."""
    web.routes["/rows"] = lambda _: Reply(
        200, {"Content-Type": "application/json", "Link": '</rows?page=2>; rel="next"'},
        b'{"rows": [1], "next": "again"}',
    )  # fmt: skip
    with pytest.raises(http_.ResponseError, match="was read already"):
        http_.paginate("rows", style=style, items="rows", cursor="next")(web.state())
    assert len(web.seen) <= 3


def test_the_number_of_pages_is_limited(web):
    """More pages are an error, because the list would not be whole."""
    web.routes["/rows"] = lambda seen: as_json([1])
    with pytest.raises(http_.ResponseError, match=r"more than 4 pages.*max_pages"):
        http_.paginate("rows", style="page", max_pages=4)(web.state())
    assert len(web.seen) == 4


def test_the_size_of_all_pages_is_limited(web):
    """max_mb is for all of them together."""
    web.routes["/rows"] = lambda seen: as_json(["x" * 1000])
    with pytest.raises(http_.TooLargeError, match="all pages together are larger than 10000 bytes"):
        http_.paginate("rows", style="page", max_mb=0.01)(web.state())
    assert 9 <= len(web.seen) <= 11


def test_a_page_that_fails_fails_the_operation(web):
    """The error is that of the page, and it shows no secret."""
    web.routes["/rows"] = lambda seen: (
        links(seen) if page_of(seen)[0] < 2 else Reply(404, {}, str(seen.headers).encode())
    )
    with pytest.raises(http_.ResponseError, match=r"page=2.* gave 404") as caught:
        http_.paginate("rows")(web.state(token=SECRET))
    assert SECRET not in str(caught.value.details)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"style": "offset"}, "style is one of link, cursor, page"),
        ({"style": "cursor"}, "needs cursor"),
        ({"items": 1}, "items is a text"),
        ({"param": 1}, "param is a text"),
        ({"max_pages": -1}, "max_pages is a whole number"),
        ({"start": "1"}, "start is a whole number"),
        ({"page_size": 1.5}, "page_size is a whole number"),
        ({"query": "a=1"}, "query is a dict"),
    ],
)
def test_wrong_arguments_are_errors(web, options, message):
    """They are found before the first request."""
    with pytest.raises(http_.RequestError, match=message):
        http_.paginate("rows", **options)(web.state())
    assert web.seen == []


@pytest.mark.parametrize("items", [None, "rows", "a.b", "list.0", "list.9", "list.x"])
def test_a_body_without_a_list_is_an_error(web, items):
    """The error names the place where the list should be."""
    web.routes["/rows"] = lambda _: as_json({"a": 1, "list": [{}]})
    with pytest.raises(http_.ResponseError, match="is not a list"):
        http_.paginate("rows", items=items)(web.state())


def test_a_cursor_that_is_no_value_is_an_error(web):
    """A dict cannot be a parameter."""
    web.routes["/rows"] = lambda _: as_json({"rows": [1], "next": {"a": 1}})
    with pytest.raises(http_.ResponseError, match="cursor='next' is a dict"):
        http_.paginate("rows", style="cursor", items="rows", cursor="next")(web.state())
