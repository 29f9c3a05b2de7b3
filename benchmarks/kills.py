"""Kill managers with SIGKILL at random moments: no run is lost, and none is done twice.

A manager runs several plans, each with a `FileJournal`.  It is killed, and another manager resumes the
runs from their journals, until all are over.  A server on loopback counts the side effects of each step.
The same is done with the commands `jobcell run --journal` and `jobcell resume`.  Run it with `make kills`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from engine import FileJournal

KILLS = 200
COMMANDS = 100
"""Commands that are killed."""
RUNS = 4
"""Runs of one manager at the same time."""
STEPS = 8
MOMENT_S = 0.01
"""Longest time between a side effect and the kill: about as long as a step with its record."""

WHOLE_S = 0.8
"""About the time that a command takes; half of the commands are killed at any time in it."""

_ADAPTOR = """
import _socket
import jobcell_context

def work():
    def run(state):
        connection = _socket.socket()
        connection.connect(("127.0.0.1", PORT))
        connection.sendall(f"POST /{jobcell_context.idempotency_key} HTTP/1.0\\r\\n\\r\\n".encode())
        while connection.recv(4096):
            pass
        connection.close()
        return {"data": {**state["data"], jobcell_context.step_id: 1}}
    return run
"""

_MANAGER = """
import json, sys
from contextlib import ExitStack
from engine import Engine, FileJournal, Permissions, Policy, RunOptions

port, directory, runs, steps = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
SOURCE = '''
import _socket
def main(state):
    connection = _socket.socket()
    connection.connect(("127.0.0.1", %d))
    connection.sendall(b"POST /%s HTTP/1.0\\\\r\\\\n\\\\r\\\\n")
    while connection.recv(4096):
        pass
    connection.close()
    state["data"]["%s"] = 1
    return state
'''
options = RunOptions(permissions=Permissions(net=(f"127.0.0.1:{port}",)))
with ExitStack() as stack:
    journals = [stack.enter_context(FileJournal(f"{directory}/{n}")) for n in range(runs)]
    engine = stack.enter_context(Engine(policy=Policy(language=False), options=options, max_runs=runs))
    handles = []
    for n, journal in enumerate(journals):
        plan = [
            {
                "id": f"s{k}",
                "expression": SOURCE % (port, f"{n}/s{k}", f"s{k}"),
                "next": {f"s{k + 1}": True} if k + 1 < steps else {},
            }
            for k in range(steps)
        ]
        handles.append(engine.execute({"workflow": {"steps": plan}}, {"data": {}}, journal=journal))
    results = [handle.result(120) for handle in handles]
    recorded = [[record.step_run_id for record in journal.records()] for journal in journals]
print(json.dumps([[r.reason, r.state, done] for r, done in zip(results, recorded)]))
"""


class KillsError(Exception):
    """A run was lost, or a step was done more often than it may be."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.posts: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.left = 0
        """Number of posts until the manager is killed."""
        self.due = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        with self.server.lock:
            self.server.posts[self.path] += 1
            self.server.left -= 1
            if self.server.left <= 0:
                self.server.due.set()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@contextmanager
def _serving() -> Iterator[_Server]:
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def kill_managers(kills: int, seed: int) -> Counter[str]:
    """Kill managers until *kills* of them were killed; return counts of runs and repeated steps.

    Raises:
        KillsError: A run was lost or doubled.

    """
    chance = random.Random(seed)
    found: Counter[str] = Counter()
    with _serving() as server:
        while found["kills"] < kills:
            with tempfile.TemporaryDirectory() as directory:
                server.posts.clear()
                here = 0
                while True:
                    last = found["kills"] >= kills
                    # At most half of the steps, so that a run is killed several times.
                    after = None if last else chance.randint(1, RUNS * STEPS // 2)
                    said = _manage(server, directory, after, chance.uniform(0, MOMENT_S))
                    if said is not None:
                        break
                    here += 1
                    found["kills"] += 1
                found["repeated steps"] += _check(json.loads(said), server.posts, here)
                found["runs"] += RUNS
    return found


def _manage(server: _Server, directory: str, kill_after: int | None, moment_s: float) -> str | None:
    """Start a manager; return what it says at its end, or None if it was killed before.

    Args:
        server: Counts the side effects.
        directory: The journals.
        kill_after: The number of side effects after which the manager is killed, or None.
        moment_s: Seconds between the last of them and the kill.

    """
    server.due.clear()
    server.left = kill_after or 0
    command = [sys.executable, "-c", _MANAGER, str(server.server_port), directory]
    command += [str(RUNS), str(STEPS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as manager:
        while kill_after is not None and manager.poll() is None:
            if server.due.wait(0.02):
                time.sleep(moment_s)
                manager.kill()
        said, _ = manager.communicate()
        if manager.returncode == -signal.SIGKILL:
            return None
    if manager.returncode != 0:
        raise KillsError(f"a manager ended with {manager.returncode}; see its output above")
    return said


def _check(ends: list[list[object]], posts: Counter[str], kills: int) -> int:
    """Check the runs of one directory; return the number of steps that were repeated."""
    names = [f"s{number}" for number in range(STEPS)]
    for number, end in enumerate(ends):
        if end != ["success", {"data": dict.fromkeys(names, 1)}, names]:
            raise KillsError(f"run {number} ended with {end}")
        counts = [posts[f"/{number}/{name}"] for name in names]
        if min(counts) < 1:
            raise KillsError(f"run {number} has lost a step: {counts}")
        if sum(counts) > STEPS + kills:
            raise KillsError(f"run {number} has repeated more than the steps in flight: {counts}")
    return sum(posts.values()) - RUNS * STEPS


def kill_commands(kills: int, seed: int) -> Counter[str]:
    """Kill `jobcell run --journal` and `jobcell resume` until *kills* of them were killed.

    Returns:
        The counts of kills, of runs, and of repeated steps.

    Raises:
        KillsError: A run was lost or doubled.

    """
    chance = random.Random(seed)
    found: Counter[str] = Counter()
    with _serving() as server, tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "state.json").write_text('{"data": {}}')
        _write_adaptor(directory, server.server_port)
        while found["kills"] < kills:
            found["runs"] += 1
            run_id = f"run-{found['runs']}"
            _write_plan(directory, run_id)
            here = 0
            while True:
                last = found["kills"] >= kills
                said = _command(server, directory, run_id, None if last else chance)
                if said is not None:
                    break
                here += 1
                found["kills"] += 1
            counts = [server.posts[f"/{run_id}:s{number}"] for number in range(STEPS)]
            found["repeated steps"] += _check_command(run_id, said, directory, counts, here)
    return found


def _write_adaptor(directory: Path, port: int) -> None:
    home = directory / "repo" / "effects"
    home.mkdir(parents=True)
    (home / "effects.py").write_text(_ADAPTOR.replace("PORT", str(port)))
    entry = {"name": "effects", "version": "1.0.0", "path": "effects", "module": "effects"}
    (directory / "repo" / "repo.json").write_text(json.dumps({"adaptors": [entry]}))


def _write_plan(directory: Path, run_id: str) -> None:
    steps = [
        {
            "id": f"s{number}",
            "adaptor": "effects",
            "expression": "work()",
            "next": {f"s{number + 1}": True} if number + 1 < STEPS else {},
        }
        for number in range(STEPS)
    ]
    plan = {"id": run_id, "workflow": {"steps": steps}}
    (directory / f"{run_id}.json").write_text(json.dumps(plan))


def _command(
    server: _Server, directory: Path, run_id: str, chance: random.Random | None
) -> str | None:
    """Resume a run, or begin it if it has no journal yet; return its final state.

    Args:
        server: Counts the side effects.
        directory: The plan, the state, the adaptor and the journal.
        run_id: The run, and the name of its files.
        chance: Chooses the moment of the kill; None lets the command end.

    Returns:
        None if the command was killed.

    """
    begin = ["run", f"{run_id}.json", "--state", "state.json", "--journal", run_id]
    begin += ["--repo", "repo", "--net", f"127.0.0.1:{server.server_port}"]
    for arguments in (["resume", run_id], begin):
        server.due.clear()
        server.left = chance.randint(1, STEPS) if chance is not None else sys.maxsize
        at_effect = chance is not None and chance.random() < 1 / 2
        command = [sys.executable, "-m", "jobcell", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=directory,
            env=environment,
        ) as process:
            if chance is not None:
                if at_effect:
                    while process.poll() is None and not server.due.wait(0.02):
                        pass
                _end_within(process, chance.uniform(0, MOMENT_S if at_effect else WHOLE_S))
            said, why = process.communicate()
        if process.returncode == -signal.SIGKILL:
            return None
        if process.returncode == 0:
            return said
        if arguments is begin or not _has_not_begun(why):
            raise KillsError(
                f"jobcell {' '.join(arguments)} ended with {process.returncode}: {why}"
            )
    raise AssertionError


def _end_within(process: subprocess.Popen[str], moment_s: float) -> None:
    """Kill a process after a moment, unless it ends before."""
    try:
        process.wait(moment_s)
    except subprocess.TimeoutExpired:
        process.kill()


def _has_not_begun(why: str) -> bool:
    return "nothing is recorded in it" in why or "No such file" in why


def _check_command(run_id: str, said: str, directory: Path, counts: list[int], kills: int) -> int:
    """Check one run; return the number of steps that were repeated."""
    names = [f"s{number}" for number in range(STEPS)]
    with FileJournal(directory / run_id) as journal:
        recorded = [record.step_run_id for record in journal.records()]
    if recorded != names or json.loads(said) != {"data": dict.fromkeys(names, 1)}:
        raise KillsError(f"{run_id} ended with {said}, and has recorded {recorded}")
    if min(counts) < 1:
        raise KillsError(f"{run_id} has lost a step: {counts}")
    if sum(counts) > STEPS + kills:
        raise KillsError(f"{run_id} has repeated more than the steps in flight: {counts}")
    return sum(counts) - STEPS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", nargs="?", type=int, default=KILLS)
    parser.add_argument("--commands", type=int, default=COMMANDS)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, seed {arguments.seed}, {Path(__file__).stem}")
    for what, kill, kills in (
        ("managers", kill_managers, arguments.kills),
        ("commands", kill_commands, arguments.commands),
    ):
        begun = time.monotonic()
        found = kill(kills, arguments.seed)
        print(
            f"{found['kills']} {what} killed, {found['runs']} runs in {time.monotonic() - begun:.0f} s:"
            f" none lost, none doubled, {found['repeated steps']} steps in flight repeated"
        )


if __name__ == "__main__":
    main()
