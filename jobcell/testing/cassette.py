"""Recorded exchanges with HTTP servers, which a test replays without a network.

The client runs in the child, so nothing in this process can record what it does.  A cassette is a
server on loopback.  It passes each request on to the real server and records the exchange, or it
replays what is in its file.  The file has the format of vcrpy.
"""

from __future__ import annotations

import http.client
import re
import sys
import threading
from collections.abc import Collection, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import SplitResult, urlsplit

import yaml
from vcr.persisters.filesystem import CassetteNotFoundError, FilesystemPersister
from vcr.request import Request

HIDDEN: Final = "[redacted]"
"""The text that stands for a secret in a cassette."""

_SECRET_HEADERS: Final = (
    "Authorization", "Cookie", "Proxy-Authorization", "Set-Cookie", "X-Api-Key", "X-Auth-Token",
)  # fmt: skip
_SECRET_KEYS: Final = (
    "access_token", "api_key", "apikey", "client_secret", "id_token", "key", "password",
    "refresh_token", "secret", "token",
)  # fmt: skip
_JSON_SECRET: Final = re.compile(
    rb'("(?:' + b"|".join(key.encode() for key in _SECRET_KEYS) + rb')"\s*:\s*)"((?:[^"\\]|\\.)*)"',
    re.IGNORECASE,
)
_FORM_SECRET: Final = re.compile(
    rb"((?:^|&)(?:" + b"|".join(key.encode() for key in _SECRET_KEYS) + rb")=)([^&]*)",
    re.IGNORECASE,
)
_HOP_BY_HOP: Final = {
    "connection", "content-length", "keep-alive", "proxy-authenticate", "te", "trailer",
    "transfer-encoding", "upgrade",
}  # fmt: skip
_SHORTEST: Final = 4
"""Number of characters of a secret that is looked for in responses."""
_TIMEOUT_S: Final = 30.0


class Cassette:
    """A server on loopback that stands for a real one.

    Attributes:
        url: Its address, for the configuration of a job (``base_url``).
        permission: The rule that lets a run reach it, for ``Permissions(net=[...])``.
        path: The file of the recorded exchanges.
        requests: Method and path of each request, in their order.
        missing: The same, of requests that the file does not hold.

    """

    def __init__(self, origin: str, path: Path, mode: str, secrets: Collection[str]) -> None:
        parts = _parts_of(origin)
        self.path = path
        self.requests: list[str] = []
        self.missing: list[str] = []
        self._origin = parts
        self._real = f"{parts.scheme}://{parts.netloc}"
        self._lock = threading.Lock()
        self._tape = Tape(path, mode, secrets)
        cassette = self

        class Handler(_Handler):
            owner = cassette

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        port = self._server.server_address[1]
        self.url: str = f"http://127.0.0.1:{port}{parts.path.rstrip('/')}"
        self.permission: str = f"127.0.0.1:{port}"
        self._local = f"http://127.0.0.1:{port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End the server and write what was recorded."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._tape.save()

    def exchange(
        self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Pass a request on; return status, headers and body of the response."""
        name = f"{method} {target}"
        kept = {
            key: value
            for key, value in headers
            if key.lower() not in _HOP_BY_HOP | {"host", "accept-encoding"}
        }
        kept["Host"] = self._origin.netloc.rpartition("@")[2]
        asked = Request(method, f"{self._real}{target}", body or None, kept)
        with self._lock:
            self.requests.append(name)
            response = self._tape.play(asked)
            if response is None and not self._tape.records:
                self.missing.append(name)
                return 501, [("Content-Type", "text/plain")], self._advice(name).encode()
            if response is None:
                try:
                    response = self._send(asked)
                except (OSError, http.client.HTTPException) as error:
                    self.missing.append(name)
                    text = f"{name}: {self._real} did not answer: {error}"
                    return 502, [("Content-Type", "text/plain")], text.encode()
                self._tape.record(asked, response)
        answered = [
            (key, value.replace(self._real, self._local) if key.lower() == "location" else value)
            for key, values in response["headers"].items()
            for value in values
            if key.lower() not in _HOP_BY_HOP
        ]
        return response["status"]["code"], answered, response["body"]["string"]

    def _send(self, asked: Any) -> dict[str, Any]:
        assert self._origin.hostname is not None
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        make = kinds[self._origin.scheme]
        connection = make(self._origin.hostname, self._origin.port, timeout=_TIMEOUT_S)
        try:
            target = asked.uri.removeprefix(self._real)
            connection.request(asked.method, target, body=asked.body, headers=asked.headers)
            response = connection.getresponse()
            headers: dict[str, list[str]] = {}
            for key, value in response.getheaders():
                headers.setdefault(key, []).append(value)
            return {
                "status": {"code": response.status, "message": response.reason},
                "headers": headers,
                "body": {"string": response.read()},
            }
        finally:
            connection.close()

    def _advice(self, name: str) -> str:
        return (
            f"the cassette {self.path.name} has no exchange for {name}; record it with"
            " pytest --jobcell-record=once (or all, to record everything again)"
        )

    def tell_missing(self) -> str:
        """Return a line for each request without an exchange."""
        return "\n".join(self._advice(name) for name in self.missing)


def _parts_of(origin: str) -> SplitResult:
    try:
        parts = urlsplit(origin)
        is_server = parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.query
        if is_server and parts.port != 0:
            return parts
    except (
        AttributeError,
        TypeError,
        ValueError,
    ):  # also from `port`, of a port that is not a number
        pass
    message = f"a cassette takes the address of a server, such as 'https://api.example.org', not {origin!r}"
    raise ValueError(message)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about a client that has gone: its run has ended, and the test says how."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _SafeYaml:
    """Reads and writes a cassette; the serializer of vcrpy 6 makes any object that a tag names."""

    @staticmethod
    def deserialize(text: str) -> Any:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe

    @staticmethod
    def serialize(content: Any) -> str:
        return yaml.dump(content, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))


class Tape:
    """The exchanges in a file, in their order; each is played once.

    Args:
        path: The file.
        mode: ``none``, ``once`` or ``all``, as for `Cassettes`.
        secrets: Texts that the file must not hold.

    Attributes:
        records: Whether requests without an exchange are sent to the real server.

    """

    def __init__(self, path: Path, mode: str, secrets: Collection[str]) -> None:
        self._path = path
        self._secrets = [secret.encode() for secret in secrets if secret]
        self._left: list[tuple[Any, dict[str, Any]]] = []
        self._recorded: list[tuple[Any, dict[str, Any]]] = []
        self.records: bool = mode == "all" or (mode == "once" and not path.exists())
        if not self.records:
            try:
                asked, answered = FilesystemPersister.load_cassette(path, _SafeYaml)
                self._left = list(zip(asked, answered, strict=True))
            except CassetteNotFoundError:
                pass  # each request will be a missing one
            except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                message = f"{path}: is not a cassette: {reason}; record it again with --jobcell-record=all"
                raise ValueError(message) from None

    def play(self, asked: Any) -> dict[str, Any] | None:
        """Return the response of the first exchange with this request that was not played."""
        wanted = self._hidden_request(asked)
        for number, (kept, response) in enumerate(self._left):
            if _key(kept) == _key(wanted):
                del self._left[number]
                return response
        return None

    def record(self, asked: Any, response: dict[str, Any]) -> None:
        """Add an exchange, without its secrets."""
        hidden = {name.lower() for name in _SECRET_HEADERS}
        headers = {
            key: [HIDDEN]
            if key.lower() in hidden
            else [self._hide(v.encode()).decode() for v in values]
            for key, values in response["headers"].items()
        }
        body = {"string": self._hide(response["body"]["string"], _secrets_of(asked))}
        kept = {**response, "headers": headers, "body": body}
        self._recorded.append((self._hidden_request(asked), kept))

    def save(self) -> None:
        """Write the file, if something was recorded."""
        if not self._recorded:
            return
        asked, answered = zip(*self._recorded, strict=True)
        content = {"requests": asked, "responses": answered}
        FilesystemPersister.save_cassette(self._path, content, _SafeYaml)

    def _hidden_request(self, asked: Any) -> Any:
        """Return a request without its secrets; two requests of a test are compared in this form."""
        hidden = {name.lower() for name in _SECRET_HEADERS}
        headers = {
            key: HIDDEN if key.lower() in hidden else self._hide(value.encode()).decode()
            for key, value in asked.headers.items()
        }
        base, mark, query = asked.uri.partition("?")
        uri = self._hide(base.encode()) + mark.encode() + self._hide(query.encode())
        body = None if asked.body is None else self._hide(asked.body)
        return Request(asked.method, uri.decode(), body, headers)

    def _hide(self, content: bytes, also: Collection[bytes] = ()) -> bytes:
        for secret in (*self._secrets, *also):
            content = content.replace(secret, HIDDEN.encode())
        content = _JSON_SECRET.sub(rb'\1"' + HIDDEN.encode() + b'"', content)
        return _FORM_SECRET.sub(rb"\1" + HIDDEN.encode(), content)


def _secrets_of(asked: Any) -> list[bytes]:
    """Return the secrets in a request: its response may repeat them anywhere."""
    hidden = {name.lower() for name in _SECRET_HEADERS}
    values = [
        value.rpartition(" ")[2].encode()
        for key, value in asked.headers.items()
        if key.lower() in hidden
    ]
    body = bytes(asked.body or b"")
    for text in (asked.uri.partition("?")[2].encode(), body):
        values += [found[2] for found in _FORM_SECRET.finditer(text)]
    values += [found[2] for found in _JSON_SECRET.finditer(body)]
    return [value for value in values if len(value) >= _SHORTEST]


def _key(asked: Any) -> tuple[str, str, bytes]:
    return asked.method, asked.uri, bytes(asked.body or b"")


class Cassettes:
    """Makes the cassettes of a test, and closes them.

    Args:
        test: The file of the test; cassettes are in the directory ``cassettes`` beside it.
        name: The name of the test, which is the name of its cassette.
        mode: ``none`` replays, ``once`` records if there is no file, ``all`` records again.
        net: Takes the rule that lets runs reach each cassette.

    """

    def __init__(self, test: Path, name: str, mode: str, net: list[str]) -> None:
        self._net = net
        self._directory = test.parent / "cassettes" / test.stem
        self._name = re.sub(r"[^\w.-]+", "_", name).strip("_")
        self._mode = mode
        self._made: list[Cassette] = []

    def __call__(
        self, origin: str, *, name: str | None = None, secrets: Collection[str] = ()
    ) -> Cassette:
        """Return a server on loopback that stands for *origin*.

        Args:
            origin: The address of the real server, perhaps with a path.
            name: The name of the file; by default that of the test.
            secrets: Texts that the file must not hold, such as the values of a credential.

        Raises:
            ValueError: *origin* is not the address of a server.

        """
        number = f"-{len(self._made) + 1}" if self._made and name is None else ""
        path = self._directory / f"{name or self._name}{number}.yaml"
        cassette = Cassette(origin, path, self._mode, secrets)
        self._made.append(cassette)
        self._net.append(cassette.permission)
        return cassette

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        __tracebackhide__ = True
        for cassette in self._made:
            cassette.close()
        missing = [cassette.tell_missing() for cassette in self._made if cassette.missing]
        if missing and kind is None:
            raise AssertionError("\n".join(missing))


class _Handler(BaseHTTPRequestHandler):
    """Answers requests of the job."""

    owner: Cassette
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else self._read_chunks()
        status, headers, content = self.owner.exchange(
            self.command, self.path, list(self.headers.items()), body
        )
        self.send_response_only(status)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _read_chunks(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return b""
        content = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return content

    do_DELETE = do_GET = do_HEAD = do_OPTIONS = do_PATCH = do_POST = do_PUT = _answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the library
        """Write nothing: the test reports what matters."""
