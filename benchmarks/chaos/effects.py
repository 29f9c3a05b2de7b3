"""A server on loopback that counts the side effects of steps, by idempotency key."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ADAPTOR = '''
import socket, time
import jobcell_context

def note(wait_s=0.0):
    """Post the idempotency key of the step, wait, and note the step in the state."""
    def operation(state):
        request = f"POST /{jobcell_context.idempotency_key} HTTP/1.0\\r\\n\\r\\n"
        with socket.create_connection(("127.0.0.1", state["data"]["port"]), 60) as connection:
            connection.sendall(request.encode())
            while connection.recv(4096):
                pass
        time.sleep(wait_s)
        state["data"]["done"].append(jobcell_context.step_id)
        return state
    return operation
'''


class Effects(ThreadingHTTPServer):
    """Counts posts.  Any thread may use it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.posts: Counter[str] = Counter()
        """Number of posts of each key, ``run_id:step_run_id``."""
        self.on_post: Callable[[str], None] = lambda _: None
        """Called with each key, before the job gets its answer."""
        self._came = threading.Condition()

    def count(self, key: str) -> None:
        """Count a post."""
        with self._came:
            self.posts[key] += 1
            self._came.notify_all()
        self.on_post(key)

    @property
    def total(self) -> int:
        """The number of all posts."""
        return self.posts.total()

    def wait_total(self, total: int, timeout_s: float) -> bool:
        """Wait until there are *total* posts; return whether they came in time."""
        with self._came:
            return self._came.wait_for(lambda: self.total >= total, timeout_s)

    def of_run(self, run_id: str) -> dict[str, int]:
        """Return the number of posts of each execution of a run."""
        prefix = f"{run_id}:"
        with self._came:
            return {
                key.removeprefix(prefix): count
                for key, count in self.posts.items()
                if key.startswith(prefix)
            }


class _Handler(BaseHTTPRequestHandler):
    server: Effects

    def do_POST(self) -> None:
        self.server.count(self.path[1:])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@contextmanager
def serving() -> Iterator[Effects]:
    """Give a server that runs."""
    with Effects() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def write_repo(directory: Path) -> Path:
    """Make a repo with the adaptor ``effects``, and return its directory."""
    (directory / "effects_1").mkdir(parents=True)
    (directory / "effects_1" / "effects.py").write_text(ADAPTOR)
    entry = {"name": "effects", "version": "1", "path": "effects_1", "module": "effects"}
    (directory / "repo.json").write_text(json.dumps({"adaptors": [entry]}))
    return directory
