"""The adaptor fhir is installed with its libraries, and works in a confined child with a real server."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from fhir_server import FhirServer
from modes import let_everybody_in
from runs import QUICK, make_engine
from wheels import make_wheels

from engine import Permissions, check_plan
from engine.adaptors import Repo
from jobcell.repo import add, initialise, verify

README = Path(__file__).parents[2] / "adaptors" / "fhir" / "README.md"


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    """A repo with fhir and common, installed without an index."""
    root = tmp_path_factory.mktemp("fhir")
    let_everybody_in(root)
    wheels = make_wheels(root / "wheels", "httpx[http2]", "brotli")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", "")
        initialise(root / "repo")
        add(root / "repo", ["fhir", "common"], find_links=[str(wheels)])
    return root / "repo"


def example(name: str) -> str:
    """Return a block of the README."""
    found = re.search(rf"<!-- test: {name} -->\n```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def run(repo, expression, server, state, *, net=True, mode="zygote"):
    """Return the result of one step."""
    step = {
        "id": "a",
        "expression": expression,
        "adaptors": ["fhir", "common"],
        "configuration": {"base_url": server.url},
    }
    rules = (f"127.0.0.1:{server.port}",) if net else ()
    options = msgspec.structs.replace(QUICK, permissions=Permissions(net=rules))
    with make_engine(mode, repo_dir=repo, options=options) as eng:
        return eng.execute({"workflow": {"steps": [step]}}, state).result(60)


def test_fhir_brings_http_and_its_libraries(repo):
    """They are in the directory of fhir, and `http` is the bundled one."""
    link = Repo.read(repo).resolve("fhir")
    entry = next(one for one in Repo.read(repo).entries() if one.name == "fhir")
    assert (link.module, entry.dependencies["jobcell-http"]) == ("fhir", "1.0.0")
    assert "httpx" in entry.dependencies
    assert Path(link.path, "fhir", "structures.txt").is_file()
    assert {problem for _, problem in verify(repo)} == {None}


@pytest.mark.parametrize("mode", ["zygote", "exec"])
def test_the_job_of_the_readme_runs(repo, mode):
    """A conditional create, a transaction, and a search, with lazy builders."""
    person = {"family": "Lovelace", "given": "Ada", "born": "1815-12-10", "mrn": "7"}
    with FhirServer() as server:
        result = run(repo, example("job"), server, {"data": person}, mode=mode)
        assert result.error is None, result.error
        assert server.resources["Observation/pulse-1"]["subject"] == {"reference": "Patient/1"}
        assert server.resources["Observation/pulse-1"]["valueQuantity"]["value"] == 72
    (patient,) = result.state["data"]
    assert patient["name"] == [{"family": "Lovelace", "given": ["Ada"]}]
    assert patient["identifier"] == [{"value": "7", "system": "http://clinic.example/mrn"}]
    assert result.state["bundle"]["type"] == "transaction"


def test_the_builders_of_the_readme_give_what_it_shows(repo):
    """Each line is true in a run without network."""
    lines = example("builders").strip().splitlines()
    job = "def main(state):\n    return {'data': [" + ", ".join(lines) + "]}"
    with FhirServer() as server:
        result = run(repo, job, server, {}, net=False)
    assert result.state == {"data": [True] * len(lines)}, result.error


@pytest.mark.parametrize(
    ("job", "name", "detail"),
    [
        ("create(b.patient(gendr='x'))", "ResourceError", ("problems", [{"path": "Patient.gendr", "message": "does not exist in Patient", "fix": "did you mean 'gender'?"}])),
        ("create(b.patient(gender='unknown'))", "OutcomeError", ("status", 422)),
        ("read('Patient/../Patient/1')", "ArgumentError", ("got", "Patient/../Patient/1")),
    ],
)  # fmt: skip
def test_failures_are_errors_of_the_adaptor(repo, job, name, detail):
    """The report has the facts."""
    with FhirServer() as server:
        error = run(repo, job, server, {}).error
    assert (error.name, error.subtype) == ("AdaptorError", name)
    key, value = detail
    assert error.details[key] == value


def test_without_the_permission_nothing_is_sent(repo):
    """The error says which rule would allow it."""
    with FhirServer() as server:
        error = run(repo, "read('Patient/1')", server, {}, net=False).error
        assert server.seen == []
    assert error.name == "AdaptorError"
    assert error.option == "net"


def test_catch_and_check_know_the_verbs(repo):
    """A handled failure goes on, and a check finds wrong arguments."""
    job = "read('Patient/9').catch(lambda error, state: {**state, 'status': error.status})"
    with FhirServer() as server:
        assert run(repo, job, server, {}).state["status"] == 404
    wrong = {"id": "a", "expression": "read()\ncreate(b.patint())", "adaptor": "fhir"}
    found = check_plan({"workflow": {"steps": [wrong]}}, repo_dir=repo)
    assert [(one.line, one.fix) for one in found][1] == (2, "did you mean 'patient'?")
    assert "needs the argument 'reference'" in found[0].message
