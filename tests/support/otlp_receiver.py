"""A collector of OpenTelemetry for tests: a process that takes OTLP over HTTP, and says what it got.

``python otlp_receiver.py [good|refusing|hanging]`` prints its port. ``GET /got`` answers with everything in
JSON. A refusing one answers 503, and a hanging one does not answer.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE_S = 60.0


def serve(mood: str) -> None:
    """Serve until the standard input ends."""
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    kinds = {
        "/v1/traces": ExportTraceServiceRequest,
        "/v1/metrics": ExportMetricsServiceRequest,
        "/v1/logs": ExportLogsServiceRequest,
    }
    got: list[dict[str, Any]] = []
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if mood == "hanging":
                over.wait()
            if mood == "good":
                got.append({self.path: MessageToDict(kinds[self.path].FromString(body))})
            self.answer(200 if mood == "good" else 503, b"")

        def do_GET(self) -> None:
            self.answer(200, json.dumps(got).encode())

        def answer(self, status: int, body: bytes) -> None:
            with contextlib.suppress(OSError):  # the client has gone
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()
    over.set()


class Receiver:
    """A running collector."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def got(self) -> list[dict[str, Any]]:
        """Return everything that it has got."""
        with urllib.request.urlopen(f"{self.url}/got", timeout=PATIENCE_S) as answer:
            return json.loads(answer.read())

    def spans(self, run_id: str | None = None) -> list[dict[str, Any]]:
        """Return the spans, with their attributes as a dict; all, or those of a run."""
        found = []
        for request in self.got():
            for resource in request.get("/v1/traces", {}).get("resourceSpans", []):
                for scope in resource["scopeSpans"]:
                    for span in scope["spans"]:
                        attributes = {
                            a["key"]: _plain(a["value"]) for a in span.get("attributes", [])
                        }
                        service = resource["resource"]["attributes"]
                        found.append({**span, "attributes": attributes, "service": service})
        return [s for s in found if run_id in (None, s["attributes"].get("jobcell.run.id"))]

    def wait_for(self, name: str, run_id: str) -> dict[str, Any]:
        """Wait for a span of a run."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            for span in self.spans(run_id):
                if span["name"] == name:
                    return span
            assert time.monotonic() < deadline, f"no {name!r} among {self.spans()}"
            time.sleep(0.05)


def _plain(value: dict[str, Any]) -> Any:
    ((_, plain),) = value.items()
    return plain


@contextlib.contextmanager
def receiving(mood: str = "good") -> Iterator[Receiver]:
    """Give a collector in a process of its own."""
    with subprocess.Popen(
        [sys.executable, __file__, mood], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Receiver(int(process.stdout.readline()))
        finally:
            process.stdin.close()
            process.wait(PATIENCE_S)


if __name__ == "__main__":
    serve(*sys.argv[1:2] or ["good"])
