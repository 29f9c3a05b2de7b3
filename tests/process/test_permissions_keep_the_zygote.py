"""From its second run on, a set of permissions is served by a zygote, with the same walls."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
from runs import make_engine
from warm_children import children_of_engines

from engine import Engine, Permissions, Policy, RunOptions, RunResult
from engine.start import shelf

WHO = "import os\ndef main(state): return {'parent': os.getppid()}"
READ = "def main(state): return {'text': open(state['path']).read(), 'x': state.get('x')}"
CONNECT = (
    "import socket\ndef main(state):\n"
    "    socket.create_connection(('127.0.0.1', state['port']), timeout=5).close()\n    return state"
)


@pytest.fixture
def plain() -> Iterator[Engine]:
    with make_engine("zygote", max_runs=1, policy=Policy(language=False)) as engine:
        yield engine


def allowing(**permissions: object) -> RunOptions:
    return RunOptions(permissions=Permissions(**permissions))


def run(engine: Engine, source: str, state: object = None, **permissions: object) -> RunResult:
    return engine.execute(source, state, options=allowing(**permissions)).result(40)


def warm(engine: Engine, **permissions: object) -> None:
    """Use a set of permissions twice, because the second use makes a zygote for it."""
    parents = [run(engine, WHO, **permissions).state["parent"] for _ in range(3)]
    assert parents[0] == os.getpid(), "the first use is not worth a zygote"
    assert parents[1] == parents[2] != os.getpid(), parents


@pytest.mark.parametrize("kind", ["net", "read", "both"])
def test_the_walls_are_those_of_a_new_interpreter(plain: Engine, tmp_path: Path, kind: str):
    """Every layer and every probe gives the same report in both start modes."""
    net, read = ("127.0.0.1:5432",), (str(tmp_path),)
    permissions = {"net": {"net": net}, "read": {"read": read}, "both": {"net": net, "read": read}}
    first = run(plain, WHO, **permissions[kind])
    warm_one = [run(plain, WHO, **permissions[kind]) for _ in range(2)][-1]
    assert first.state["parent"] == os.getpid() != warm_one.state["parent"]

    def comparable(result: RunResult) -> object:
        report = msgspec.to_builtins(result.confinement)
        for layer in report["layers"]:
            # The user id comes from the child's own number, and a fork has the count of open files.
            layer["detail"] = None if layer["name"] == "identity" else layer.get("detail")
        return report

    assert comparable(warm_one) == comparable(first)


def test_a_fork_reads_what_its_run_may_read_and_nothing_else(plain: Engine, tmp_path: Path):
    """The paths of other runs are not there, and neither are the paths of earlier runs."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    for place in (mine, other):
        place.mkdir()
        (place / "file").write_text(place.name)
    for _ in range(3):
        for place, not_mine in ((mine, other), (other, mine)):
            good = run(plain, READ, {"path": str(place / "file")}, read=[str(place)])
            assert good.state["text"] == place.name, good.error
            bad = run(plain, READ, {"path": str(not_mine / "file")}, read=[str(place)])
            assert bad.reason in ("fail", "crash"), bad.state
    bad = run(plain, READ, {"path": str(mine / "file")})
    assert bad.reason in ("fail", "crash"), bad.state


def test_a_file_that_was_replaced_is_seen_by_the_next_run(plain: Engine, tmp_path: Path):
    """A mount keeps the file that a name meant at its time, so the zygote is replaced."""
    file = tmp_path / "file"
    file.write_text("old")
    for _ in range(2):
        assert run(plain, READ, {"path": str(file)}, read=[str(file)]).state["text"] == "old"
    (tmp_path / "next").write_text("new")
    (tmp_path / "next").rename(file)
    assert run(plain, READ, {"path": str(file)}, read=[str(file)]).state["text"] == "new"


def test_a_fork_reaches_the_ports_of_its_run_and_no_others(plain: Engine):
    """A run without a permission has no network, even after a run that had one."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        ports = [server.getsockname()[1] for server in (one, two)]
        for _ in range(3):
            for port, other in (ports, ports[::-1]):
                rule = f"127.0.0.1:{port}"
                assert run(plain, CONNECT, {"port": port}, net=[rule]).reason == "success"
                assert run(plain, CONNECT, {"port": other}, net=[rule]).reason != "success"
        assert run(plain, CONNECT, {"port": ports[0]}).reason != "success"


def test_limits_of_a_run_hold_in_a_zygote_for_its_permissions(plain: Engine, tmp_path: Path):
    """A single zygote serves all limits of a set of permissions."""
    warm(plain, read=[str(tmp_path)])
    source = (
        "import resource\ndef main(state): return {'n': resource.getrlimit(resource.RLIMIT_DATA)}"
    )
    options = RunOptions(memory_mb=321, permissions=Permissions(read=[str(tmp_path)]))
    before = len(psutil.Process().children())
    assert plain.execute(source, options=options).result(20).state["n"][0] == 321_000_000
    assert len(psutil.Process().children()) == before


def test_ten_sets_in_turns_are_all_served_by_forks(plain: Engine, tmp_path: Path):
    """From the third use on no run needs a new interpreter."""
    places = [tmp_path / str(number) for number in range(10)]
    for place in places:
        place.mkdir()
        warm(plain, read=[str(place)])
    parents = [run(plain, WHO, read=[str(place)]).state["parent"] for place in places]
    assert os.getpid() not in parents
    assert len(set(parents)) == 10


def test_the_memory_of_zygotes_is_limited(plain: Engine, tmp_path: Path, monkeypatch):
    """The engine drops the zygote that was used least recently; sets in alternation do not force
    new zygotes each time.
    """
    most = 3
    monkeypatch.setattr(shelf, "MOST_BYTES", int((most + 0.5) * shelf.ZYGOTE_BYTES))
    places = [tmp_path / str(number) for number in range(most + 2)]
    for place in places:
        place.mkdir()
    for place in places[:most]:
        warm(plain, read=[str(place)])
    late = str(places[-1])
    assert [run(plain, WHO, read=[late]).state["parent"] for _ in range(3)] == [os.getpid()] * 3
    monkeypatch.setattr(shelf, "IN_USE_S", 0.0)
    assert run(plain, WHO, read=[late]).state["parent"] != os.getpid()
    assert len(children_of_engines()) == 1 + most
