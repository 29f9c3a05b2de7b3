"""An HTTP exchange; this module does not know jobs or states."""

from __future__ import annotations

import base64
import codecs
import json
import re
import ssl
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPMessage, HTTPResponse, HTTPSConnection
from typing import IO, Any, NamedTuple
from urllib.parse import SplitResult, quote, urlencode, urljoin, urlsplit, urlunsplit

from .errors import RequestError, ResponseError, UnreachableError
from .retries import retry_advice

MAX_ERROR_BODY = 2_000
"""Most characters of an error's body in its details."""

_FINAL = (PermissionError, ssl.SSLCertVerificationError)
"""Reasons that no further attempt changes."""

PARSERS = ("auto", "json", "text", "bytes", "base64")


class Request(NamedTuple):
    """A request to send.  `secret_headers` are sent to the URL's own origin only."""

    method: str
    url: str
    headers: dict[str, str]
    secret_headers: dict[str, str]
    body: bytes | None
    timeout_s: float
    authorities: str | None = None
    """PEM: certificate authorities of the URL's own origin, besides those of the machine."""


class Response(NamedTuple):
    """A response; the names of its headers are in lower case."""

    url: str
    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port of *url*.

    Raises:
        RequestError: *url* is not an http or https URL.

    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise RequestError(
            f"not an http or https URL: {shown(url)!r} ({error})", url=shown(url)
        ) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RequestError(f"not an http or https URL: {shown(url)!r}", url=shown(url))
    if "@" in parts.netloc:
        raise RequestError(
            f"the URL {shown(url)!r} has a user name or password in it; put them into the"
            " configuration as username and password",
            url=shown(url),
        )
    if port is None:
        port = {"http": 80, "https": 443}[parts.scheme]
    return parts.scheme, _looked_up(parts.hostname, url), port


_USER = re.compile(r"//[^/?#]*@")


def shown(url: str) -> str:
    """Return *url* in a form for errors, without a user name and password."""
    return _USER.sub("//***@", url)


def make_url(base_url: str | None, path: str, query: dict[str, Any] | None) -> str:
    """Return the URL of *path* below *base_url*, with *query* added to its own query.

    Raises:
        RequestError: The URL has no host.

    """
    whole = path if "://" in path else f"{(base_url or '').rstrip('/')}/{path.lstrip('/')}"
    if base_url is None and "://" not in path:
        message = f"{shown(path)!r} is not a whole URL, and the configuration has no base_url"
        raise RequestError(message, url=shown(path))
    pairs = {key: value for key, value in (query or {}).items() if value is not None}
    whole = whole.strip()
    origin(whole)
    # urlsplit would drop a line break or a tab, which is text in a URL made from values.
    parts = urlsplit(_encoded(whole, "\t\n\r"))
    given = _encoded(parts.query)
    joined = "&".join(part for part in (given, urlencode(pairs, doseq=True)) if part)
    # The part after "#" is for the client only, and is not sent.
    encoded = (parts.scheme, _encoded_host(parts, whole), _encoded(parts.path), joined, "")
    return urlunsplit(encoded)


_SENT_AS_IT_IS = frozenset(map(chr, range(0x21, 0x7F))).difference('"<>\\^`{|}')
_NOT_AN_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


def _encoded(text: str, only: str = "") -> str:
    """Return *text* with characters that a URL must not have percent-encoded; escapes stay.

    Args:
        text: A path, a query or a whole URL.
        only: The characters to encode; if empty, all that must be encoded.

    """
    made = _NOT_AN_ESCAPE.sub("%25", text) if not only else text
    wanted = frozenset(only)
    return "".join(
        quote(char, safe="", errors="replace")
        if (char in wanted if only else char not in _SENT_AS_IT_IS)
        else char
        for char in made
    )


def _encoded_host(parts: SplitResult, url: str) -> str:
    """Return the network location with the host in its form for DNS (IDNA).

    Raises:
        RequestError: The host is not valid.

    """
    if parts.netloc.isascii():
        if any(char <= " " or char == "\x7f" for char in parts.netloc):
            raise RequestError(f"the host of {url!r} has a space or a control character", url=url)
        return parts.netloc
    host, colon, port = parts.netloc.partition(":")
    return f"{_looked_up(host, url)}{colon}{port}"


def _looked_up(host: str, url: str) -> str:
    """Return a host in its form for DNS."""
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise RequestError(f"the host of {url!r} cannot be looked up: {error}", url=url) from None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but sends the credentials only to the same origin."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        try:
            target = make_url(None, urljoin(req.full_url, newurl), None)
        except RequestError:
            fp.close()  # urllib would leave the connection open
            raise
        same = origin(target) == origin(req.full_url)
        following = super().redirect_request(req, fp, code, msg, headers, target)
        if following is not None and same:
            following.unredirected_hdrs.update(req.unredirected_hdrs)
        return following


class _Https(urllib.request.HTTPSHandler):
    """Trusts the authorities of a request only for the origin of its URL, not for redirects."""

    def __init__(self, request: Request) -> None:
        context = _context(request.authorities)
        super().__init__()
        self._trusting = context
        self._for = origin(request.url)

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        if origin(req.full_url) != self._for:
            return super().https_open(req)
        return self.do_open(HTTPSConnection, req, context=self._trusting)


def _context(authorities: str | None) -> ssl.SSLContext:
    """Return the context that verifies a server.

    Raises:
        RequestError: *authorities* is not PEM.

    """
    context = ssl.create_default_context()
    if authorities is not None:
        try:
            context.load_verify_locations(cadata=authorities)
        except (ValueError, TypeError, ssl.SSLError):
            raise RequestError(
                "ca_certificate in the configuration is not the text of a PEM file with certificates"
            ) from None
    return context


def send(request: Request) -> Response:
    """Send *request* and read the whole response.

    Raises:
        RequestError: The configuration's authorities cannot be read.
        UnreachableError: The server did not answer.
        ResponseError: The status is 400 or more.

    """
    outgoing = urllib.request.Request(  # noqa: S310  # the scheme was checked by make_url
        request.url, data=request.body, headers=request.headers, method=request.method
    )
    for name, value in request.secret_headers.items():
        outgoing.add_unredirected_header(name, value)
    opener = urllib.request.OpenerDirector()  # build_opener would also open files and ftp
    for handler in (
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler() if request.authorities is None else _Https(request),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    told = {"method": request.method, "url": request.url}
    try:
        with opener.open(outgoing, timeout=request.timeout_s) as answer:
            return _read(answer)
    except urllib.error.HTTPError as error:
        with error:
            answer = _read(error)
        raise ResponseError(
            f"{request.method} {request.url} gave {answer.status} {answer.reason}",
            **told,
            status=answer.status,
            reason=answer.reason,
            body=answer.body.decode(errors="replace")[:MAX_ERROR_BODY],
            **retry_advice(answer.status, answer.headers.get("retry-after")),
        ) from None
    except (OSError, HTTPException) as error:
        raise UnreachableError(
            f"{request.method} {request.url}: {_why(error)}",
            **told,
            reason=_why(error),
            retryable=not isinstance(getattr(error, "reason", error), _FINAL),
        ) from None


def _read(answer: Any) -> Response:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Response(answer.url, answer.status, answer.reason, headers, answer.read())


def _why(error: BaseException) -> str:
    reason = getattr(error, "reason", error)
    text = str(reason) or type(reason).__name__
    if isinstance(reason, PermissionError):
        return f"{text} (the run may not reach this host; its net permissions do not include it)"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"{text} (a private authority goes into the configuration, as ca_certificate)"
    return text


def parse(response: Response, parse_as: str) -> Any:
    """Return the body of *response* as the value that *parse_as* asks for.

    Raises:
        ResponseError: The body is not JSON, or not text in its charset.

    """
    if parse_as == "bytes":
        return response.body
    if parse_as == "base64":
        return base64.b64encode(response.body).decode("ascii")
    content_type = response.headers.get("content-type", "")
    is_json = content_type.split(";")[0].strip().endswith(("/json", "+json"))
    if not response.body:
        return None if is_json or parse_as == "json" else ""
    try:
        text = _decoded(response.body, content_type, is_json=is_json or parse_as == "json")
        return json.loads(text) if parse_as == "json" or (parse_as == "auto" and is_json) else text
    except (ValueError, LookupError) as error:
        raise ResponseError(
            f"the body from {response.url} cannot be read as {parse_as}: {error}",
            url=response.url,
            status=response.status,
            body=response.body.decode(errors="replace")[:MAX_ERROR_BODY],
        ) from None


def _decoded(body: bytes, content_type: str, *, is_json: bool) -> str:
    """Return a body as text, without the byte order mark that some servers put before it.

    A byte order mark wins over the header.  JSON without a charset may be UTF-16 or UTF-32.
    """
    message = HTTPMessage()
    message["content-type"] = content_type or "text/plain"
    charset = message.get_content_charset()
    if charset is None and is_json:
        charset = json.detect_encoding(body)
    for mark, coding in _MARKS:
        if body.startswith(mark):
            charset = coding
            break
    return body.decode(charset or "utf-8")


_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is a prefix of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
