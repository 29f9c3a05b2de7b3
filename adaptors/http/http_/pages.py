"""Lists that a server sends in pages: the next page comes from a link, a cursor or a number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .arguments import MEGABYTE, checked_limit, checked_number
from .calls import Call, Result, next_state
from .errors import HttpError, RequestError, ResponseError, TooLargeError
from .laziness import State
from .urls import joined, origin, shown
from .verbs import Operation

MOST_PAGES = 100_000
STYLES = ("link", "cursor", "page")

_WHOLE = re.compile(r"https?://", re.IGNORECASE)
_PARAMETER = r'\s*;\s*([\w*-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^",;\s]*)))?'
_LINK = re.compile(rf"\s*<([^>]*)>((?:{_PARAMETER})*)\s*(?:,|$)")


def paginate(  # long: an option for each line
    path: Any,
    *,
    style: Any = "link",
    items: Any = None,
    cursor: Any = None,
    param: Any = None,
    start: Any = 1,
    page_size: Any = None,
    max_pages: Any = 100,
    method: Any = "GET",
    body: Any = None,
    content_type: Any = None,
    query: Any = None,
    headers: Any = None,
    errors: Any = None,
    parse_as: Any = "auto",
    timeout: Any = None,
    timeout_s: Any = None,
    max_redirections: Any = 5,
    retries: Any = 2,
    idempotency_key: Any = None,
    tls: Any = None,
    http2: Any = None,
    max_mb: Any = 50,
) -> Operation:
    """Get all pages of a list; `state["data"]` becomes one list of all items.

    A next page of another origin is refused, because the credentials are not for it.

    Args:
        path: The path or URL of the first page.
        style: `"link"` follows the header `Link` with `rel="next"`; `"cursor"` takes the cursor of the
            next page from the body; `"page"` counts pages.
        items: Where the list is in the body, such as `"data.rows"`; None if the body is the list.
        cursor: Where the cursor is in the body, such as `"meta.next"`.  The value may be the URL of
            the next page.  For the style `"cursor"`.
        param: The query parameter for the cursor or the number; `"cursor"` or `"page"` if it is left
            out.
        start: The number of the first page, for the style `"page"`.
        page_size: A page with fewer items is the last, for the style `"page"`.  Without it the first
            page without items is the last.
        max_pages: Most pages; if there are more, the operation fails.
        method: As in `request`, and so are the other arguments; *max_mb* is for all pages together.
        body: As in `request`.
        content_type: As in `request`.
        query: As in `request`.
        headers: As in `request`.
        errors: As in `request`.
        parse_as: As in `request`.
        timeout: As in `request`.
        timeout_s: As in `request`.
        max_redirections: As in `request`.
        retries: As in `request`.
        idempotency_key: As in `request`.
        tls: As in `request`.
        http2: As in `request`.
        max_mb: As in `request`.

    Raises:
        RequestError: An argument is wrong.  The operation raises the errors.
        ResponseError: A page has no list, or does not lead to the next one.
        TooLargeError: All pages together are larger than *max_mb*.
        HttpError: As `request`.

    Example:
        `paginate("patients", style="cursor", items="rows", cursor="next")`

    """
    given = {
        "method": method,
        "path": path,
        "body": body,
        "content_type": content_type,
        "query": query,
        "headers": headers,
        "errors": errors,
        "parse_as": parse_as,
        "timeout": timeout,
        "timeout_s": timeout_s,
        "max_redirections": max_redirections,
        "retries": retries,
        "idempotency_key": idempotency_key,
        "tls": tls,
        "http2": http2,
        "max_mb": max_mb,
    }
    paging = {
        "style": style,
        "items": items,
        "cursor": cursor,
        "param": param,
        "start": start,
        "page_size": page_size,
        "max_pages": max_pages,
    }

    def run(state: State) -> State:
        call = Call(state, {**given, **paging})
        try:
            found: list[Any] = []
            pages, response = 0, {}
            for result in _pages(call):
                found += _items(call, result)
                pages, response = pages + 1, result.response
        except HttpError as error:
            raise call.hiding.error(error) from None
        return next_state(state, found, {**response, "pages": pages})

    return run


def _pages(call: Call) -> Iterator[Result]:
    """Perform the requests of all pages.

    Raises:
        HttpError: A request has failed, or a limit was reached.

    """
    given = call.given
    style, most, size, number = _checked(given)
    first_query = given["query"]
    limit = checked_limit(given["max_mb"])
    left, seen, home = limit, set[Any](), None
    if style == "page":
        given["query"] = {**(first_query or {}), given["param"]: number}
    for _ in range(most):
        given["max_mb"] = max(left, 1) / MEGABYTE
        try:
            result = call.perform()
        except TooLargeError as error:
            raise TooLargeError(
                f"all pages together are larger than {limit} bytes; the limit is the argument max_mb",
                **{**vars(error), "limit_bytes": limit},
            ) from None
        left -= len(result.answer.body)
        home = home or origin(result.answer.url)
        yield result
        if style == "page":
            count = len(_items(call, result))
            if count == 0 or (size is not None and count < size):
                return
            number += 1
            given["query"] = {**(first_query or {}), given["param"]: number}
            continue
        following = _next_link(result) if style == "link" else _cursor(call, result)
        if following in (None, "", False):
            return
        if following in seen:
            raise ResponseError(
                f"{shown(result.answer.url)}: its next page is one that was read already",
                url=shown(result.answer.url),
                retryable=False,
            )
        seen.add(following)
        if style == "link" or (isinstance(following, str) and _WHOLE.match(following)):
            url = joined(result.answer.url, str(following))
            if origin(url) != home:
                raise ResponseError(
                    f"{shown(result.answer.url)}: its next page {shown(url)!r} is of another origin,"
                    " for which the credentials are not",
                    url=shown(result.answer.url),
                    retryable=False,
                )
            given["path"], given["query"] = url, None
        else:
            given["query"] = {**(first_query or {}), given["param"]: following}
    raise ResponseError(
        f"there are more than {most} pages; the limit is the argument max_pages", retryable=False
    )


def _checked(given: dict[str, Any]) -> tuple[str, int, int | None, int]:
    """Return style, most pages, size of a page and number of the first, and complete the parameter.

    Raises:
        RequestError: An argument is wrong.

    """
    style = given["style"]
    if style not in STYLES:
        raise RequestError(f"style is one of {', '.join(STYLES)}, not {style!r:.100}")
    if style == "cursor" and not isinstance(given["cursor"], str):
        raise RequestError("the style 'cursor' needs cursor, such as cursor='meta.next'")
    for name in ("items", "param"):
        if given[name] is not None and not isinstance(given[name], str):
            raise RequestError(f"{name} is a text, not {type(given[name]).__name__}")
    if given["query"] is not None and not isinstance(given["query"], dict):
        raise RequestError(f"query is a dict, not {type(given['query']).__name__}")
    given["param"] = given["param"] or style
    most = checked_number("max_pages", given["max_pages"], MOST_PAGES)
    number = checked_number("start", given["start"], 10**9)
    size = given["page_size"]
    return style, most, None if size is None else checked_number("page_size", size, 10**9), number


def _items(call: Call, result: Result) -> list[Any]:
    path = call.given["items"]
    found = result.data if path is None else _at(result.data, path)
    if not isinstance(found, list):
        where = "its body" if path is None else f"items={path!r}"
        raise ResponseError(
            f"{shown(result.answer.url)}: {where} is not a list but {type(found).__name__}",
            url=shown(result.answer.url),
            retryable=False,
        )
    return found


def _at(value: Any, path: str) -> Any:
    """Return the value at a path such as `data.rows`, or None."""
    for key in path.removeprefix("$.").split("."):
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isascii() and key.isdecimal():
            value = value[int(key)] if int(key) < len(value) else None
        else:
            return None
    return value


def _cursor(call: Call, result: Result) -> Any:
    found = _at(result.data, call.given["cursor"])
    if isinstance(found, dict | list):
        raise ResponseError(
            f"{shown(result.answer.url)}: cursor={call.given['cursor']!r} is a"
            f" {type(found).__name__}, not a text or a number",
            url=shown(result.answer.url),
            retryable=False,
        )
    return found


def _next_link(result: Result) -> str | None:
    """Return the target of the link to the next page (RFC 8288)."""
    for header in result.answer.headers.get_list("link"):
        place = 0
        while match := _LINK.match(header, place):
            place = match.end()
            named = (part for part in re.finditer(_PARAMETER, match[2]) if part[1].lower() == "rel")
            rel = next(named, None)  # the first one counts
            if rel and "next" in (rel[2] or rel[3] or "").lower().split():
                return match[1].strip()
    return None
