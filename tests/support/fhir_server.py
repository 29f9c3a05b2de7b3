"""A small FHIR server for tests: it keeps resources, searches by one element, and carries out transactions."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

PAGE = 2
"""Number of resources on a page of a search."""


class FhirServer:
    """A server on this machine, with its API under `/fhir`.

    It refuses a Patient whose gender is `unknown`, with an OperationOutcome.
    """

    def __init__(self) -> None:
        self.resources: dict[str, dict[str, Any]] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.seen.append((self.command, self.path, headers))
                status, answer = server.handle(self.command, self.path, body, headers)
                sent = b"" if answer is None else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/fhir+json; charset=utf-8")
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, *args: object) -> None:
                """Write no log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )

    @property
    def port(self) -> int:
        """The port."""
        return self._server.server_port

    @property
    def url(self) -> str:
        """The base URL, without the path of the API."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def handle(self, method: str, target: str, body: Any, headers: dict[str, str]) -> Any:
        """Return status and body of an answer."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        if not parts.path.startswith("/fhir"):
            return 404, _outcome("not-found", f"no API at {parts.path}")
        path = parts.path.removeprefix("/fhir").strip("/")
        if method == "POST" and not path:
            return 200, self._transaction(body)
        if re.fullmatch(r"[A-Z][A-Za-z]+", path):
            if method == "GET":
                return 200, self._search(path, query)
            return self._create(path, body, headers)
        if method == "GET":
            found = self.resources.get(path)
            return (200, found) if found else (404, _outcome("not-found", f"{path} is not known"))
        if method == "DELETE":
            self.resources.pop(path, None)
            return 204, None
        return self._store(path, body)

    def _create(self, kind: str, body: Any, headers: dict[str, str]) -> Any:
        condition = dict(parse_qsl(headers.get("if-none-exist", "")))
        if condition and (found := self._matching(kind, condition)):
            return 200, found[0]
        return self._store(f"{kind}/{len(self.resources) + 1}", body)

    def _store(self, path: str, body: Any) -> Any:
        if body.get("gender") == "unknown":
            return 422, _outcome("invalid", "gender is not known here", "Patient.gender")
        status = 200 if path in self.resources else 201
        self.resources[path] = {**body, "id": path.partition("/")[2]}
        return status, self.resources[path]

    def _matching(self, kind: str, query: dict[str, str]) -> list[Any]:
        wanted = {name: value for name, value in query.items() if name[0] != "_"}
        return [
            resource
            for path, resource in self.resources.items()
            if path.startswith(f"{kind}/")
            and all(value in json.dumps(resource.get(name)) for name, value in wanted.items())
        ]

    def _search(self, kind: str, query: dict[str, str]) -> Any:
        found, at = self._matching(kind, query), int(query.get("_page", 0))
        page = found[at : at + PAGE]
        links = [{"relation": "self", "url": f"{self.url}/fhir/{kind}"}]
        if at + PAGE < len(found):
            links.append({"relation": "next", "url": f"{self.url}/fhir/{kind}?_page={at + PAGE}"})
        bundle = {"resourceType": "Bundle", "type": "searchset", "total": len(found), "link": links}
        return {**bundle, **({"entry": [{"resource": one} for one in page]} if page else {})}

    def _transaction(self, bundle: Any) -> Any:
        answers = []
        for entry in bundle.get("entry", []):
            request = entry["request"]
            status, made = self.handle(
                request["method"], f"/fhir/{request['url']}", entry["resource"], {}
            )
            place = f"{made['resourceType']}/{made.get('id')}"
            answers.append({"response": {"status": str(status), "location": place}})
        kind = f"{bundle['type']}-response"
        return {"resourceType": "Bundle", "type": kind, "entry": answers}


def _outcome(code: str, text: str, path: str | None = None) -> Any:
    issue = {"severity": "error", "code": code, "diagnostics": text}
    return {
        "resourceType": "OperationOutcome",
        "issue": [{**issue, **({"expression": [path]} if path else {})}],
    }
