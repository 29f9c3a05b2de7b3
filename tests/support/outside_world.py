"""A machine of a test's own, with servers and names, on which an engine runs jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from network_jobs import CONNECT
from network_spaces import Space
from relay_world import NameServer
from spaced_manager import run_in_space

HOSTS = "127.0.0.1 localhost\n203.0.113.7 fixed.example.org\n"
SCRIPT = """
made = options(*{rules!r})
with engine_with({mode!r}, made, without={without!r}) as eng:
    run = eng.execute({job!r}, {{"data": {places!r}}})
    result = run.result(60)
print(json.dumps({{
    "error": result.error and result.error.message,
    "data": result.state and result.state["data"],
    "connections": sorted(connections(run)),
    "lines": [event.message for event in run.poll(after=0) if event.type == "log"],
}}))
"""


class World:
    """A machine of the test's own, with a server for names and servers at public addresses."""

    def __init__(self, directory: Path, resolver: str) -> None:
        (directory / "resolv.conf").write_text(f"nameserver {resolver}\n")
        (directory / "hosts").write_text(HOSTS)
        files = {f"/etc/{name}": directory / name for name in ("resolv.conf", "hosts")}
        self.space = Space(files=files)
        self.names = NameServer(self.space, resolver)

    def run(
        self,
        mode: str,
        rules: list[str],
        places: list[tuple[str, int]],
        *,
        job: str = CONNECT,
        without: tuple[str, ...] = (),
    ) -> Any:
        """Run a job, and return what came of it: error, data, connections, lines of the log."""
        values = {"mode": mode, "rules": rules, "places": places, "job": job, "without": without}
        return run_in_space(self.space, SCRIPT.format(**values))

    def close(self) -> None:
        self.names.close()
        self.space.close()
