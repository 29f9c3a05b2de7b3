"""A machine of a test's own, with servers and names, on which an engine runs jobs."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from network_jobs import CONNECT
from network_spaces import Space
from relay_world import NameServer
from spaced_manager import start_in_space

HOSTS = "127.0.0.1 localhost\n203.0.113.7 fixed.example.org\n"
SCRIPT = """
engines = {}
for line in sys.stdin:
    asked = json.loads(line)
    made = options(*asked["rules"])
    walls = (asked["mode"], *asked["without"])
    if walls not in engines:
        engines[walls] = engine_with(asked["mode"], made, without=tuple(asked["without"]))
    run = engines[walls].execute(asked["job"], {"data": asked["places"]}, options=made)
    result = run.result(60)
    print(json.dumps({
        "error": result.error and result.error.message,
        "data": result.state and result.state["data"],
        "connections": sorted(connections(run)),
        "lines": [event.message for event in run.poll(after=0) if event.type == "log"],
    }), flush=True)
for one in engines.values():
    one.close()
"""


class Manager:
    """A process with engines in a space: one for each start mode and set of layers that is asked for."""

    def __init__(self, space: Space) -> None:
        with contextlib.ExitStack() as stack:
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - it stays open as long as the process
            theirs_in, ours_out = os.pipe()
            ours_in, theirs_out = os.pipe()
            stack.callback(os.close, theirs_in)
            stack.callback(os.close, theirs_out)
            self._orders = os.fdopen(ours_out, "w")
            self._answers = os.fdopen(ours_in)
            streams = (theirs_in, theirs_out, self._errors.fileno())
            self._wait = start_in_space(space, SCRIPT, *streams)

    def run(self, **order: Any) -> Any:
        """Run a job, and return what came of it."""
        print(json.dumps(order), file=self._orders, flush=True)
        answer = self._answers.readline()
        assert answer, self._said()
        return json.loads(answer)

    def close(self) -> None:
        """End the engines and the process."""
        self._orders.close()
        code = self._wait()
        said = self._said()
        self._answers.close()
        self._errors.close()
        assert code == 0, said

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode()


class World:
    """A machine of the test's own, with a server for names and servers at public addresses."""

    def __init__(self, directory: Path, resolver: str) -> None:
        (directory / "resolv.conf").write_text(f"nameserver {resolver}\n")
        (directory / "hosts").write_text(HOSTS)
        files = {f"/etc/{name}": directory / name for name in ("resolv.conf", "hosts")}
        self.space = Space(files=files)
        self.names = NameServer(self.space, resolver)
        self._manager: Manager | None = None

    def run(
        self,
        mode: str,
        rules: list[str],
        places: list[tuple[str, int]],
        *,
        job: str = CONNECT,
        without: tuple[str, ...] = (),
    ) -> Any:
        """Run a job, and return what came of it: error, data, connections, lines of the log.

        Runs with the same mode and layers share an engine.
        """
        if self._manager is None:
            self._manager = Manager(self.space)
        return self._manager.run(mode=mode, rules=rules, places=places, job=job, without=without)

    def close(self) -> None:
        try:
            if self._manager is not None:
                self._manager.close()
        finally:
            self.names.close()
            self.space.close()
