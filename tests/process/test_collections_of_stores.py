"""Collections with `jobcell worker` and `jobcell run`: in the store, for each tenant its own."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from shelf import Shelf
from warm import run_warm
from workers import WorkerProcess, wait_for

import jobcell
from engine import CollectionQuery, Engine, Resolvers
from jobcell import Store, Worker
from protocol.state import encode_state

ADAPTORS = Path(__file__).parents[2] / "adaptors"
SETS = "collections.set('visits', 'k', state.data)"
GETS = "collections.get('visits', 'k')"


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repo with the adaptor."""
    root = tmp_path_factory.mktemp("repo")
    place = root / "collections_1.0.0"
    shutil.copytree(ADAPTORS / "collections" / "collections_", place / "collections_")
    entry = {
        "name": "collections",
        "version": "1.0.0",
        "path": place.name,
        "module": "collections_",
    }
    (root / "repo.json").write_text(json.dumps({"adaptors": [entry]}))
    return root


def plan_of(*expressions: str, **step: Any) -> dict[str, Any]:
    steps = [
        {"id": f"s{n}", "adaptor": "collections", "expression": text, "next": f"s{n + 1}", **step}
        for n, text in enumerate(expressions)
    ]
    del steps[-1]["next"]
    return {"workflow": {"steps": steps}}


def test_a_worker_gives_each_tenant_its_own_collections(store_url: str, repo: Path):
    """The permission of the worker is for all tenants, but each tenant sees only its own values."""
    with (
        Store.open(store_url) as store,
        WorkerProcess(store_url, "--repo", repo, "--collection", "visits"),
    ):
        mine = store.enqueue(plan_of(SETS), {"data": "mine"}, tenant="acme")
        assert mine.result(60).reason == "success"
        theirs = store.enqueue(plan_of(GETS), tenant="evil").result(60)
        again = store.enqueue(plan_of(GETS), tenant="acme").result(60)
        refused = store.enqueue(plan_of("collections.get('secret', 'k')"), tenant="acme").result(60)
        assert (theirs.state["data"], again.state["data"]) == ({}, "mine")
        assert "the step may not read the collection 'secret'" in refused.error.message
        found = store.collections("acme").get("visits", CollectionQuery())
        assert [(item.key, item.value) for item in found.items] == [("k", encode_state("mine"))]


def test_a_step_that_is_repeated_by_another_worker_leaves_the_same_values(
    store_url: str, repo: Path
):
    """The first worker dies after the set, and before the step is recorded."""
    job = """
import jobcell_context, time
def wait(state):
    if jobcell_context.attempt == 1:
        print("was set")
        time.sleep(300)
    return state
operations = [collections.set("visits", lambda n: f"k{n}", [1, 2, 3]), wait]
"""
    options = ("--repo", repo, "--collection", "visits")
    with Store.open(store_url) as store:
        shelf = store.collections("acme")
        with WorkerProcess(store_url, *options) as first:
            run = store.enqueue(plan_of(job), tenant="acme")
            wait_for(lambda: any(e.type == "log" for e in run.poll(after=0)))
            first.send(signal.SIGKILL)
            first.wait()
            before = shelf.get("visits", CollectionQuery()).items
        with WorkerProcess(store_url, *options):
            assert run.result(60).reason == "success"
        after = shelf.get("visits", CollectionQuery()).items
    assert [item.key for item in after] == ["k1", "k2", "k3"]
    assert [item.created_ms for item in after] == [item.created_ms for item in before]
    assert all(new.updated_ms >= old.updated_ms for new, old in zip(after, before, strict=True))


def test_a_worker_refuses_collections_that_are_not_of_its_store(tmp_path: Path):
    """With an object for all tenants each of them could read the values of the others."""
    with (
        Store.open(tmp_path / "store.db") as store,
        Engine(start_mode="exec") as engine,
        pytest.raises(ValueError, match="resolvers must not have collections"),
    ):
        Worker(store, engine, resolvers=Resolvers(collections=Shelf()))


@pytest.fixture
def run(tmp_path: Path, repo: Path):
    """Runs the command in a directory with plans, and returns its result."""
    (tmp_path / "sets.json").write_text(json.dumps(plan_of(SETS)))
    (tmp_path / "gets.json").write_text(json.dumps(plan_of(GETS)))
    (tmp_path / "state.json").write_text('{"data": {"n": 7}}')

    def call(*words: str, code: int = 0) -> Any:
        env = {"JOBCELL_REPO": str(repo), "XDG_STATE_HOME": str(tmp_path / "state")}
        done = run_warm(None, *words, cwd=tmp_path, env=env)
        assert done.returncode == code, (done.stdout, done.stderr)
        return done

    return call


@pytest.mark.parametrize("store", [(), ("--store", "sqlite:///runs.db")], ids=["default", "named"])
def test_the_command_keeps_values_from_run_to_run(run, tmp_path, store):
    """Without a name they are in the default store, where `jobcell enqueue` has its runs, too."""
    run("run", "sets.json", "--state", "state.json", "--collection", "visits", *store)
    done = run("run", "gets.json", "--collection", "visits:read", *store)
    assert json.loads(done.stdout)["data"] == {"n": 7}
    file = tmp_path / ("runs.db" if store else "state/jobcell/store.db")
    with Store.open(file) as opened:
        assert len(opened.collections().get("visits", CollectionQuery()).items) == 1


def test_without_the_option_a_run_has_no_collections(run, tmp_path):
    """The message names the option."""
    done = run("run", "gets.json", code=1)
    assert "jobcell run --collection visits:read" in done.stderr
    assert not (tmp_path / "state").exists()


def test_wrong_options_are_one_clear_line(run):
    """Nothing is started."""
    done = run("run", "gets.json", "--collection", "a/b", code=2)
    assert "--collection: 'a/b' is not a rule for a collection" in done.stderr
    done = run("run", "gets.json", "--collection", "visits", "--store", "mysql://x", code=2)
    assert "mysql" in done.stderr
    url = "postgresql://me:hunter2hunter2@host/db"
    words = ("--collection", "visits", "--store", url, "--journal", "run.journal")
    done = run("run", "gets.json", *words, code=2)
    assert "the journal would keep the password" in done.stderr
    assert "hunter2" not in done.stderr


def test_validate_compares_the_permissions_of_steps(run, tmp_path):
    """As for the other permissions."""
    plan = plan_of(GETS, permissions={"collections": ["visits"]})
    (tmp_path / "narrow.json").write_text(json.dumps(plan))
    assert "--collection" in run("validate", "narrow.json").stdout
    run("validate", "narrow.json", "--collection", "visits")
    done = run("validate", "narrow.json", "--collection", "visits:read", code=2)
    assert "'visits' is not among the permissions of the run" in done.stderr


def test_resume_has_the_collections_of_the_run(run, tmp_path):
    """The journal keeps the rules and the address of the store."""
    crashes = "def main(state):\n    return unknown"
    (tmp_path / "crash.json").write_text(json.dumps(plan_of(SETS, crashes, GETS)))
    words = ("--state", "state.json", "--journal", "run.journal", "--store", "sqlite:///runs.db")
    run("run", "crash.json", *words, "--collection", "visits", code=3)
    done = run("resume", "run.journal", code=3)
    assert "--collection 'visits'" in done.stderr
    assert f"--store 'sqlite:///{tmp_path}/runs.db'" in done.stderr


def test_the_package_gives_the_names(tmp_path: Path):
    """Users import one package."""
    assert jobcell.CollectionQuery is CollectionQuery
    assert jobcell.Collections is not None
    assert issubclass(jobcell.CollectionsError, jobcell.EngineError)
