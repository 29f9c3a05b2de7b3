"""The network of runs that a journal or a store keeps: rules, a file of authorities, an audit."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from modes import let_everybody_in
from tls_verbs import VERBS
from warm import run_warm
from web import Reply, Web, server_tls

from engine import FileJournal

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def no_leak():
    """Replace the check of leaks: each run is a process of its own."""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A directory with two authorities, and a repo with an adaptor that speaks TLS."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make certificates")
    directory = tmp_path_factory.mktemp("kept")
    let_everybody_in(directory)
    for name in ("ours", "stranger"):
        Authority(directory, name).certificate.chmod(0o644)
    package = directory / "repo/tls_1/tls"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(VERBS)
    entry = {"name": "tls", "version": "1", "path": "tls_1", "module": "tls"}
    (directory / "repo/repo.json").write_text(json.dumps({"adaptors": [entry]}))
    let_everybody_in(package)
    return directory


@pytest.fixture(scope="module")
def server(place) -> Iterator[Web]:
    """A TLS server with a certificate of our authority."""
    authority = object.__new__(Authority)
    authority.directory, authority.certificate = place, place / "ours.pem"
    authority._key = place / "ours.key"
    tls = server_tls(authority.issue("server", "localhost"))
    with Web({"/": lambda seen: Reply(body=b"secure")}, tls=tls) as made:
        yield made


@pytest.fixture(scope="module")
def jobcell(place) -> Command:
    """Run the command: `jobcell(directory, *arguments)`."""

    def run(directory: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
        env = {"PATH": "/usr/bin:/bin", "JOBCELL_REPO": str(place / "repo")}
        return run_warm(None, *arguments, cwd=directory, env=env, timeout_s=120)

    return run


def plan(server: Web) -> dict[str, Any]:
    """Return two steps that fetch a document over TLS, one after another."""
    step = {"adaptor": "tls", "expression": f"by_urllib('https://localhost:{server.port}/')"}
    return {"workflow": {"steps": [{"id": "a", "next": "b", **step}, {"id": "b", **step}]}}


@pytest.fixture(scope="module")
def cut(place, server, jobcell, tmp_path_factory) -> Path:
    """A directory with the journal of a run that was cut after its first step; its authorities are beside it."""
    directory = tmp_path_factory.mktemp("cut")
    (directory / "plan.json").write_text(json.dumps(plan(server)))
    shutil.copy(place / "ours.pem", directory / "ca.pem")
    let_everybody_in(directory)
    net = ("--net", f"localhost:{server.port}", "--ca-file", "ca.pem")
    whole = jobcell(directory, "run", "plan.json", "--journal", "whole", *net)
    assert json.loads(whole.stdout) == {"data": "secure"}, whole.stderr
    with FileJournal(directory / "whole") as found:
        about, records = found.about, list(found.records())
    with FileJournal(directory / "j") as journal:
        journal.describe(about)
        journal.record(records[0])
    return directory


@pytest.fixture
def journal(cut, server, tmp_path) -> Path:
    """A copy of that journal for one test."""
    server.seen.clear()
    return Path(shutil.copy(cut / "j", tmp_path / "j"))


def test_a_resumed_run_has_its_rules_and_its_authorities(journal, server, jobcell):
    """Both are in the journal; only the second step connects."""
    done = jobcell(journal.parent, "resume", journal)
    assert json.loads(done.stdout) == {"data": "secure"}, done.stderr
    assert len(server.seen) == 1
    [line] = [one for one in done.stderr.splitlines() if one.startswith("options of the journal")]
    assert f"--net 'localhost:{server.port}' --ca-file '" in line


def test_a_resumed_run_may_get_other_authorities(journal, place, server, jobcell):
    """With those of a stranger the server is refused, as in any run."""
    done = jobcell(journal.parent, "resume", journal, "--ca-file", place / "stranger.pem")
    assert done.returncode == 1
    assert "certificate verify failed" in done.stderr
    assert server.seen == []


def test_a_resumed_run_whose_authorities_are_gone_does_not_start(journal, cut, server, jobcell):
    """The error names the file, and nothing else is trusted in its place."""
    (cut / "ca.pem").rename(cut / "away")
    try:
        done = jobcell(journal.parent, "resume", journal)
    finally:
        (cut / "away").rename(cut / "ca.pem")
    assert (done.returncode, done.stdout) == (2, "")
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "ca.pem" in line
    assert "does not exist" in line
    assert server.seen == []


def test_a_resumed_run_can_be_audited(journal, server, jobcell):
    """The audit sees the steps that run now, and says that others were replayed."""
    rule = f"localhost:{server.port}"
    done = jobcell(journal.parent, "resume", journal, "--net-audit", "--net", rule)
    assert json.loads(done.stdout) == {"data": "secure"}, done.stderr
    lines = [line for line in done.stderr.splitlines() if "net audit" in line or line[:3] == "  ["]
    assert lines == [
        "net audit: a run with these rules reaches the same hosts:",
        f'  ["{rule}"]',
        "net audit: 1 step was replayed from the journal; their connections are not in the list",
    ]


def test_a_worker_gives_runs_its_rules_and_its_authorities(place, server, tmp_path):
    """`jobcell worker --net --ca-file`: a run of the store trusts that file, and nobody else."""
    pytest.importorskip("sqlalchemy")
    from workers import PATIENCE_S, WorkerProcess

    from jobcell import Store

    server.seen.clear()
    url = f"sqlite:///{tmp_path}/runs.db"
    # On a busy machine a worker must not take itself for dead, and repeat a request.
    lives = ("--dead-after", PATIENCE_S)
    net = ("--net", f"localhost:{server.port}", "--repo", str(place / "repo"), *lives)
    outcomes = {}
    for name in ("ours", "stranger"):
        file = str(place / f"{name}.pem")
        with (
            WorkerProcess(url, *net, "--ca-file", file) as worker,
            closing(Store.open(url)) as store,
        ):
            run = store.enqueue(plan(server))
            outcomes[name] = run.result(timeout_s=PATIENCE_S)
            worker.send(signal.SIGTERM)
            assert worker.wait() == 0
    assert outcomes["ours"].state == {"data": "secure"}
    assert "certificate verify failed" in str(outcomes["stranger"].state["errors"])
    assert len(server.seen) == 2
