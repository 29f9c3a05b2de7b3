"""Runs with network rules are forked from a warm zygote, and each has a network of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from network_jobs import CONNECTOR, echo
from warm_pairs import PATIENCE_S, WarmRepo, comparable, pair, run, set_of, wait_until_decided

from engine import Engine, Permissions, Policy, RunOptions

SOURCE = (
    CONNECTOR
    + """
import os, random, threading, time
at_import = random.random()
try:
    probe = socket.socket()  # urllib3 does so
    probe.close()
except OSError:
    pass

def import_number():
    return lambda state: {"data": at_import}

def in_threads(*places):
    def operation(state):
        answers = {}
        threads = [threading.Thread(target=lambda p=p: answers.__setitem__(str(p), attempt(*p))) for p in places]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        return {"data": answers}
    return operation

def forms():
    told = []
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_PACKET):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
            try:
                with socket.socket(family, kind) as end:
                    told.append([end.family, end.type, os.get_inheritable(end.fileno()), end.gettimeout()])
            except OSError as error:
                told.append(error.errno)
    with socket.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as end:
        told.append(os.get_blocking(end.fileno()))
    return lambda state: {"data": told}

def exhaust():
    ends = []
    try:
        while len(ends) < 2000:
            ends.append(socket.socket())
    except OSError as error:
        return lambda state: {"data": [len(ends), error.errno]}
"""
)


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[tuple[Engine, Engine]]:
    repo = WarmRepo(tmp_path / "repo")
    repo.add("net", SOURCE)
    with pair(repo, max_runs=4, policy=Policy(language=False)) as both:
        yield both


def plan(call: str) -> dict[str, Any]:
    return {"workflow": {"steps": [{"id": "s", "adaptor": "net", "expression": call}]}}


def allowing(*rules: str) -> dict[str, Any]:
    return {"permissions": Permissions(net=rules)}


def warm_up(engine: Engine, *rules: str) -> None:
    for _ in range(2):
        assert run(engine, plan("import_number()"), **allowing(*rules))[0].error is None
    assert wait_until_decided(engine, "net").warm, engine.warm()
    numbers = [run(engine, plan("import_number()"), **allowing(*rules))[0].state for _ in range(2)]
    assert numbers[0] == numbers[1], "forked from the same warm zygote"


def seen(engine: Engine, call: str, *rules: str) -> dict[str, Any]:
    """Return what can be compared of a run; connections have no order."""
    found = comparable(*run(engine, plan(call), **allowing(*rules)))
    events = found.pop("events")
    found["connections"] = sorted(
        (
            one["host"],
            one["port"],
            one["outcome"],
            one["outcome"] == "open" and one["bytes_received"],
        )
        for one in events
        if one["type"] == "net-connect"
    )
    # Threads connect in any order, and so do the hints about their connections come.
    found["hints"] = sorted(one["message"] for one in events if one["type"] == "log")
    found["events"] = [one for one in events if one["type"] not in ("net-connect", "log")]
    return found


def test_a_warm_run_reaches_what_a_cold_one_reaches(engines: tuple[Engine, Engine]):
    """Names, addresses, ports, threads and kinds of sockets: all events and results are the same."""
    cold, warm = engines
    with echo() as server, echo() as other:
        rules = (f"127.0.0.1:{server.port}", f"localhost:{server.port}")
        places = [
            ("127.0.0.1", server.port),
            ("localhost", server.port),
            ("10.1.2.3", server.port),
            ("127.0.0.1", other.port),
            ("nobody.example.org", server.port),
        ]
        listed = ", ".join(map(repr, places))
        warm_up(warm, *rules)
        for call in (f"reach({listed})", f"in_threads({listed})", "forms()", "exhaust()"):
            assert seen(warm, call, *rules) == seen(cold, call, *rules), call
        assert set_of(warm, "net").warm


def test_runs_of_one_set_have_networks_of_their_own(engines: tuple[Engine, Engine]):
    """Each reaches the hosts of its own rules only, at the same time and from the same zygote."""
    _, warm = engines
    with echo() as one, echo() as two:
        warm_up(warm, f"127.0.0.1:{one.port}")
        call = f"reach(('127.0.0.1', {one.port}), ('127.0.0.1', {two.port}))"
        handles = [
            warm.execute(
                plan(call),
                options=RunOptions(**allowing(f"127.0.0.1:{(one, two)[number % 2].port}")),
            )
            for number in range(12)
        ]
        answers = [handle.result(PATIENCE_S).state["data"] for handle in handles]
    assert answers == [["ping", "ConnectionRefusedError"], ["ConnectionRefusedError", "ping"]] * 6


def test_an_adaptor_that_connects_at_import_is_not_warm(tmp_path: Path):
    """Each run has its own connection, and an event for it."""
    repo = WarmRepo(tmp_path / "repo")
    with echo() as server:
        repo.add(
            "net",
            CONNECTOR
            + f"\nanswer = attempt('127.0.0.1', {server.port})\ndef use():\n    return lambda state: {{'data': answer}}\n",
        )
        for rules in ((f"127.0.0.1:{server.port}",), ("*",)):
            with pair(repo) as (_, warm):
                for _ in range(2):
                    result, _ = run(warm, plan("use()"), **allowing(*rules))
                    assert result.state == {"data": "ping"}
                while (found := set_of(warm, "net")) is None or "connects" not in str(found.reason):
                    result, _ = run(warm, plan("use()"), **allowing(*rules))
                    assert result.state == {"data": "ping"}
                assert found.reason == "net@1.0.0 connects while it is imported"
