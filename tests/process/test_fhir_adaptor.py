"""The adaptor fhir is installed with its libraries, and works in a confined child with a real server."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from bundled_repo import make_bundled_repo
from fhir_server import FhirServer
from modes import let_everybody_in
from runs import QUICK, make_engine
from wheels import make_small_wheel

from engine import Permissions, check_plan
from engine.adaptors import Repo
from jobcell.repo import add, initialise, verify

README = Path(__file__).parents[2] / "adaptors" / "fhir" / "README.md"


@pytest.fixture(autouse=True)
def no_leak(no_leak_of_file, engine):
    """The engine and the server of this file outlive each test."""


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    """A repo with fhir and common."""
    root = tmp_path_factory.mktemp("fhir")
    let_everybody_in(root)
    return make_bundled_repo(root / "repo", "fhir", "common")


@pytest.fixture(scope="module")
def engine(repo):
    """An engine with the repo, which imports the adaptors once for many runs."""
    with make_engine("zygote", repo_dir=repo) as made:
        yield made


@pytest.fixture(scope="module")
def shared_server():
    """A server for all tests: the permission to reach it is one of what a warm interpreter serves."""
    with FhirServer() as running:
        yield running


@pytest.fixture
def server(shared_server):
    """The server without resources."""
    shared_server.resources.clear()
    shared_server.seen.clear()
    return shared_server


def example(name: str) -> str:
    """Return a block of the README."""
    found = re.search(rf"<!-- test: {name} -->\n```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def run(engine, expression, server, state, *, net=True):
    """Return the result of one step."""
    step = {
        "id": "a",
        "expression": expression,
        "adaptors": ["fhir", "common"],
        "configuration": {"base_url": server.url},
    }
    rules = (f"127.0.0.1:{server.port}",) if net else ()
    options = msgspec.structs.replace(QUICK, permissions=Permissions(net=rules))
    return engine.execute({"workflow": {"steps": [step]}}, state, options=options).result(60)


def test_fhir_brings_http_and_its_libraries(tmp_path, monkeypatch):
    """They are in the directory of fhir, and `http` is the bundled one; here the other libraries are nearly empty."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    for name in ("httpx", "brotli"):
        make_small_wheel(tmp_path / "wheels", name)
    repo = tmp_path / "repo"
    initialise(repo)
    add(repo, ["fhir"], find_links=[str(tmp_path / "wheels")])
    link = Repo.read(repo).resolve("fhir")
    entry = next(one for one in Repo.read(repo).entries() if one.name == "fhir")
    assert (link.module, entry.dependencies["jobcell-http"]) == ("fhir", "1.0.0")
    assert "httpx" in entry.dependencies
    assert Path(link.path, "fhir", "structures.txt").is_file()
    assert Path(link.path, "http_", "__init__.py").is_file()
    assert {problem for _, problem in verify(repo)} == {None}


def check_job_of_readme(engine, server):
    """Run it, and look at its result and at the server."""
    person = {"family": "Lovelace", "given": "Ada", "born": "1815-12-10", "mrn": "7"}
    result = run(engine, example("job"), server, {"data": person})
    assert result.error is None, result.error
    assert server.resources["Observation/pulse-1"]["subject"] == {"reference": "Patient/1"}
    assert server.resources["Observation/pulse-1"]["valueQuantity"]["value"] == 72
    (patient,) = result.state["data"]
    assert patient["name"] == [{"family": "Lovelace", "given": ["Ada"]}]
    assert patient["identifier"] == [{"value": "7", "system": "http://clinic.example/mrn"}]
    assert result.state["bundle"]["type"] == "transaction"


def test_the_job_of_the_readme_runs(engine, server):
    """A conditional create, a transaction, and a search, with lazy builders."""
    check_job_of_readme(engine, server)


def test_the_job_of_the_readme_runs_in_a_new_interpreter(repo, server):
    """It imports the adaptors behind the walls."""
    with make_engine("exec", repo_dir=repo) as cold:
        check_job_of_readme(cold, server)


def test_the_builders_of_the_readme_give_what_it_shows(engine, server):
    """Each line is true in a run without network."""
    lines = example("builders").strip().splitlines()
    job = "def main(state):\n    return {'data': [" + ", ".join(lines) + "]}"
    result = run(engine, job, server, {}, net=False)
    assert result.state == {"data": [True] * len(lines)}, result.error


@pytest.mark.parametrize(
    ("job", "name", "detail"),
    [
        ("create(b.patient(gendr='x'))", "ResourceError", ("problems", [{"path": "Patient.gendr", "message": "does not exist in Patient", "fix": "did you mean 'gender'?"}])),
        ("create(b.patient(gender='unknown'))", "OutcomeError", ("status", 422)),
        ("read('Patient/../Patient/1')", "ArgumentError", ("got", "Patient/../Patient/1")),
    ],
)  # fmt: skip
def test_failures_are_errors_of_the_adaptor(engine, server, job, name, detail):
    """The report has the facts."""
    error = run(engine, job, server, {}).error
    assert (error.name, error.subtype) == ("AdaptorError", name)
    key, value = detail
    assert error.details[key] == value


def test_without_the_permission_nothing_is_sent(engine, server):
    """The error says which rule would allow it."""
    error = run(engine, "read('Patient/1')", server, {}, net=False).error
    assert server.seen == []
    assert error.name == "AdaptorError"
    assert error.option == "net"


def test_catch_and_check_know_the_verbs(repo, engine, server):
    """A handled failure goes on, and a check finds wrong arguments."""
    job = "read('Patient/9').catch(lambda error, state: {**state, 'status': error.status})"
    assert run(engine, job, server, {}).state["status"] == 404
    wrong = {"id": "a", "expression": "read()\ncreate(b.patint())", "adaptor": "fhir"}
    found = check_plan({"workflow": {"steps": [wrong]}}, repo_dir=repo)
    assert [(one.line, one.fix) for one in found][1] == (2, "did you mean 'patient'?")
    assert "needs the argument 'reference'" in found[0].message
