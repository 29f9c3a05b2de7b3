"""Other ways to run such workflows, where they are available: each does the work of this engine.

Packages that must be installed go into a temporary directory, which is removed afterwards.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.helper import Helper
from benchmarks.workloads import WORKLOADS, Workload

PEERS = {
    "openfn": "@openfn/runtime, warm, in process, no isolation",
    "monty": "pydantic-monty, worker reused, own interpreter",
    "forkserver": "multiprocessing forkserver, no sandbox",
    "subprocess": "subprocess + json, `python -I -S`, no sandbox",
}
_INSTALL_S = 300


class AbsentError(Exception):
    """The peer is not available here."""


class Peer:
    """A peer that is ready to be measured."""

    def __init__(
        self, name: str, workloads: tuple[str, ...], latency: Callable[[str], float]
    ) -> None:
        self.name = name
        self.workloads = workloads
        self.latency = latency
        """Returns the ms of one run, whose result it has checked."""


def open_peers(stack: ExitStack) -> tuple[list[Peer], dict[str, str]]:
    """Return the available peers, and the reasons why the others are missing."""
    peers: list[Peer] = []
    absent: dict[str, str] = {}
    for name, make in _MAKERS.items():
        try:
            peer = make(stack)
            for workload in peer.workloads:
                peer.latency(workload)  # The peer is warm, and its result is known to be right.
        except (AbsentError, OSError, RuntimeError) as error:
            absent[PEERS[name]] = str(error)
        else:
            peers.append(peer)
    return peers, absent


def _temporary(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jobcell-peers-")))


def _install(command: list[str], directory: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, timeout=_INSTALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise AbsentError(f"`{command[0]}` took more than {_INSTALL_S} s") from None
    if done.returncode:
        raise AbsentError("it could not be installed from its registry")


# --- @openfn/runtime ---

_OPENFN = """
import readline from 'node:readline';
import fs from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import run from '@openfn/runtime';
const quiet = new Proxy({}, { get: () => () => {} });
const loads = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { load, expected } = loads[JSON.parse(line).name];
  const state = structuredClone(load.state);
  const begin = performance.now();
  const result = await run(load.plan, state, { logger: quiet });
  const taken = performance.now() - begin;
  const right = expected === null ? result.data.x === 4 : isDeepStrictEqual(
    JSON.parse(JSON.stringify(result)), expected);
  console.log(JSON.stringify(right ? taken : { error: 'wrong result ' + JSON.stringify(result).slice(0, 200) }));
}
"""
_ADD_ONE_JS = "export default [(state) => { state.data.x += 1; return state; }];"
_SUM_JS = (  # in doubles, as JavaScript does it: the last digits are lost
    "export default [(state) => { let s = 0; for (let i = 1; i <= 1000000; i++) s += i * i;"
    " state.data.sum = Math.round(s / 1e9); return state; }];"
)


def _openfn(stack: ExitStack) -> Peer:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise AbsentError("node and npm are not installed")
    directory = _temporary(stack)
    (directory / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    _install(
        [npm, "install", "--silent", "--no-audit", "--no-fund", "@openfn/runtime@1"], directory
    )
    loads = {}
    for name in ("W1", "W2", "W3", "W4", "W5", "W6"):
        load = WORKLOADS[name]
        source = _SUM_JS if name == "W6" else _ADD_ONE_JS
        steps = [{**step, "expression": source} for step in load.plan["workflow"]["steps"]]
        for step in steps:
            following = step.get("next")
            if isinstance(following, str):
                step["next"] = {following: True}
        loads[name] = {
            "load": {"plan": {"workflow": {"steps": steps}}, "state": load.make_state()},
            "expected": _expected_openfn(name),
        }
    (directory / "loads.json").write_text(json.dumps(loads), encoding="utf-8")
    (directory / "peer.mjs").write_text(_OPENFN, encoding="utf-8")
    helper = Helper(
        [node, "--experimental-vm-modules", "--no-warnings", "peer.mjs", "loads.json"],
        cwd=str(directory),
    )
    stack.callback(helper.close)
    return Peer("openfn", tuple(loads), lambda name: float(helper.ask(name=name)))


def _expected_openfn(name: str) -> Any:
    if name == "W4":
        return None
    if name == "W5":
        return {f"c{i}": {"data": {"x": 3}} for i in range(20)}
    if name == "W6":
        return {"data": {"x": 1, "sum": 333333833}}
    return {"data": {"x": {"W1": 2, "W2": 11, "W3": 101}[name]}}


# --- pydantic-monty ---

_MONTY = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from pydantic_monty import Monty
add = "state['data']['x'] += 1\\nstate"
total = "state['data']['sum'] = sum(i * i for i in range(1, 1000001))\\nstate"
pool = Monty().__enter__()
for line in sys.stdin:
    steps, name, state = json.loads(line)["load"]
    begin = time.perf_counter()
    for _ in range(steps):
        with pool.checkout() as session:
            state = session.feed_run(total if name == "W6" else add, inputs={"state": state})
    taken = (time.perf_counter() - begin) * 1000
    print(json.dumps([taken, state]), flush=True)
"""


def _monty(stack: ExitStack) -> Peer:
    directory = _temporary(stack)
    _install(
        [sys.executable, "-m", "pip", "install", "-q", "--target", "lib", "pydantic-monty"],
        directory,
    )
    (directory / "peer.py").write_text(_MONTY, encoding="utf-8")
    environment = {**os.environ, "MONTY_BIN": str(directory / "lib" / "bin" / "monty")}
    helper = Helper(
        [sys.executable, str(directory / "peer.py"), str(directory / "lib")], env=environment
    )
    stack.callback(helper.close)
    steps = {"W1": 1, "W2": 10, "W3": 100, "W6": 1}

    def latency(name: str) -> float:
        load = WORKLOADS[name]
        taken, state = helper.ask(load=[steps[name], name, load.make_state()])
        _check(load, state)
        return float(taken)

    return Peer("monty", tuple(steps), latency)


# --- peers of the standard library ---


def _execute(source: str, state: Any) -> Any:
    """Run one job without any wall; the processes of a forkserver import this function."""
    scope: dict[str, Any] = {}
    exec(source, scope)
    return scope["main"](state)


def _forkserver(stack: ExitStack) -> Peer:
    del stack
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])

    def latency(name: str) -> float:
        load = WORKLOADS[name]
        state = load.make_state()
        begin = time.perf_counter()
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve_once, args=(theirs,))
        process.start()
        theirs.close()
        ours.send((_source(load), state))
        result = ours.recv()
        process.join()
        taken = (time.perf_counter() - begin) * 1000
        ours.close()
        _check(load, result)
        return taken

    return Peer("forkserver", ("W1", "W6"), latency)


def _serve_once(connection: Any) -> None:
    source, state = connection.recv()
    connection.send(_execute(source, state))


_SUBPROCESS = """
import json, sys
sources, state = json.load(sys.stdin)
for source in sources:
    scope = {}
    exec(source, scope)
    state = scope["main"](state)
json.dump(state, sys.stdout)
"""


def _subprocess(stack: ExitStack) -> Peer:
    del stack
    python = getattr(sys, "_base_executable", None) or sys.executable

    def latency(name: str) -> float:
        load = WORKLOADS[name]
        state = load.make_state()
        begin = time.perf_counter()
        sources = [_source(load)] * len(load.plan["workflow"]["steps"])
        done = subprocess.run(
            [python, "-I", "-S", "-c", _SUBPROCESS],
            input=json.dumps([sources, state]).encode(),
            capture_output=True,
            check=True,
            env={},
        )
        result = json.loads(done.stdout)
        taken = (time.perf_counter() - begin) * 1000
        _check(load, result)
        return taken

    return Peer("subprocess", ("W1", "W2", "W3", "W4", "W6"), latency)


def _source(load: Workload) -> str:
    """Return the job with subscripts in place of dots, for peers that do not know dotted state."""
    source: str = load.plan["workflow"]["steps"][0]["expression"]
    return source.replace("state.data.x", 'state["data"]["x"]')


def _check(load: Workload, state: Any) -> None:
    if not load.right(state):
        raise RuntimeError(f"wrong result of {load.name}")


_MAKERS: dict[str, Callable[[ExitStack], Peer]] = {
    "openfn": _openfn,
    "monty": _monty,
    "forkserver": _forkserver,
    "subprocess": _subprocess,
}
