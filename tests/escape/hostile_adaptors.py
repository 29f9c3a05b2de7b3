"""Adaptors that attack from a warm zygote, and engines that run them.

The adaptors reach our own objects in their process, and switch off all that depends on them.
"""

from __future__ import annotations

import textwrap
from typing import Any

import psutil
from runs import make_engine
from warm_children import children_of_engines
from warm_pairs import PATIENCE_S, WarmRepo, run

from engine import Engine, RunOptions

HOSTILE = """
import ctypes, gc, os, signal, sys, threading, time

gc.unfreeze()  # the objects of the zygote are hidden from the collector

# Nothing in this process looks for what an adaptor keeps any more.  A cold run has no such class.
for one in gc.get_objects():
    if type(one) is type and one.__name__ == "Warmed":
        one._refuse = lambda self, opened: None

def without_own_filter():
    # A fork puts on only the first layers, with which its pipes come.
    for wall in gc.get_objects():
        if type(wall).__name__ == "ReadyWall" and len(wall._calls) >= 5:
            first = ("session", "powerless", "pdeathsig", "waiting")
            wall._calls = tuple(pair for pair in wall._calls if pair[0].NAME in first)

def prctl(*arguments):
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    return 0 if syscall(157, *map(ctypes.c_long, arguments)) == 0 else ctypes.get_errno()

def verb(function):
    def call(*args):
        return lambda state: {"answer": function(*args)}
    return call

@verb
def nothing():
    return None
"""


def engine_with(repo: WarmRepo, source: str, **settings: Any) -> Engine:
    repo.add("hostile", HOSTILE + textwrap.dedent(source))
    repo.add("honest", "def use():\n    return lambda state: {'answer': 'honest'}\n")
    defaults: dict[str, Any] = {"preload": ["hostile"], "max_runs": 2}
    return make_engine(repo_dir=repo.path, **defaults | settings)


def engine_for_all(repo: WarmRepo, sources: dict[str, str], **settings: Any) -> Engine:
    """Return an engine that is to have each of these adaptors warm, apart from each other."""
    for name, source in sources.items():
        repo.add(name, HOSTILE + textwrap.dedent(source))
    return make_engine(repo_dir=repo.path, preload=list(sources), max_runs=2, **settings)


def plan(call: str, adaptor: str = "hostile") -> dict[str, Any]:
    return {"workflow": {"steps": [{"id": "s", "adaptor": adaptor, "expression": call}]}}


def answer(engine: Engine, call: str, adaptor: str = "hostile", **options: Any) -> Any:
    result, _ = run(engine, plan(call, adaptor), **options)
    assert result.reason == "success", result.error
    return result.state["answer"]


def zygote_of(engine: Engine) -> psutil.Process:
    """Return the clean zygote of the only engine."""
    del engine
    (clean,) = children_of_engines()
    return clean


def warm_zygote_of(engine: Engine) -> psutil.Process:
    """Return the warm zygote, which is older than its forks."""
    return min(zygote_of(engine).children(), key=lambda one: (one.create_time(), one.pid))


def started(engine: Engine, call: str, **options: Any) -> tuple[Any, int]:
    """Start a run that prints its pid; return its handle and the pid."""
    handle = engine.execute(plan(call), options=RunOptions(**options) if options else None)
    after = 0
    while True:
        for event in handle.poll(after=after, timeout_s=PATIENCE_S):
            after = event.seq
            if event.type == "log" and event.message.startswith("pid "):
                return handle, int(event.message.split()[1])
        assert not handle.done, handle.result()
