"""`jobcell stubs` writes for a checker what a job may use, from the lists of the sandbox."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from bundled_repo import make_bundled_repo

from jobcell.desk.new_project import run as new_project
from jobcell.input.inputs import BadInputError
from jobcell.stubs.command import public_names, run

pytestmark = pytest.mark.slow

ADAPTORS = Path(__file__).parents[4] / "adaptors"

GOOD = """
import json
import jobcell_context
from datetime import datetime
from common import each, fn as make

make(lambda state: {**state, "text": json.dumps(state["data"])})
each(state.data.rows, fn(lambda state: {**state, "n": len(state["data"])}))
fn(lambda state: {**state, "n": len(state.data), "first": state.data.rows[0].name})
get("patients", lambda state: {"query": {"since": state.since}}).then(lambda state: state.data)
get("patients", query={"since": state.data.cursor})
cursor(datetime.now().isoformat(), default="today")
put(jobcell_context.idempotency_key.lower(), {"n": jobcell_context.attempt + 1})
get("x").then(lambda state: state).catch(lambda error, state: {**state, "e": str(error)})
fnIf(state.data.ok, post("x", state.data).then(fn(lambda state: state)))
get("x", callback=lambda state: state)
each(state.rows, put("x", 1), lambda state: {**state, "done": True})
beta.each("$.data[*]", fn(lambda state: state)).then(log(dataValue("name")))
"""

BAD = [
    ("import os", "os"),
    ("open('x')", "open"),
    ("eech(state.rows, fn(print))", "eech"),
    ("from common import nope", "nope"),
    ("get('x').than(log(1))", "than"),
    ("get('x').then(1)", "then"),
    ("import json; json.codecs", "codecs"),
    ("chunk([1], 'x')", "int"),
    ("split_keys({'a': 1}, ['a']).a", "a"),
    ("import jobcell_context; jobcell_context.credential", "credential"),
    ("import jobcell_context; jobcell_context.attempt.lower()", "lower"),
    ("get('x', qery={})", "qery"),
    ("post('x', 1, timeot_s=2)", "timeot_s"),
    ("cursor(1, defalt=2)", "defalt"),
]

MODULES = """\
collections.get('visits', '2024-*', limit=3, created_after=state.since)
collections.set('x', lambda row: row['id'], state.rows).then(lambda state: state)
create('Patient', b.patient({'birthDate': '2024-01-01'}))
collections.get('visits', lmit=3)
collections.gett('visits')
b.patiend({})
"""
"""A job with verbs in modules of adaptors."""


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    """A repo with adaptors of this project, and two broken adaptors."""
    root = tmp_path_factory.mktemp("repo")
    make_bundled_repo(root, "common", "rest", "collections", "fhir")
    entries = json.loads((root / "repo.json").read_text())["adaptors"]
    for name, version, module in [
        ("broken", "1.0.0", "broken"),
        ("other", "2.0.0", "common"),
    ]:
        path = f"{name}_{version}"
        if (ADAPTORS / name).is_dir():
            shutil.copytree(ADAPTORS / name / module, root / path / module)
        else:
            (root / path).mkdir()
            (root / path / f"{module}.py").write_text("def (:\n")
        entries.append({"name": name, "version": version, "path": path, "module": module})
    (root / "repo.json").write_text(json.dumps({"adaptors": entries}))
    return root


@pytest.fixture(scope="module")
def stubs(repo, tmp_path_factory):
    """The stubs of four adaptors, written once. If two have a verb of one name, mypy takes the first."""
    output = tmp_path_factory.mktemp("out") / "deep" / "stubs"
    assert run(["common@1.0.0", "rest", "collections", "fhir"], output, repo) == 0
    return output


@pytest.fixture(scope="module")
def complaints(stubs, tmp_path_factory):
    """The complaints of mypy about all jobs: (file, line, message), in order."""
    jobs = tmp_path_factory.mktemp("jobs")
    (jobs / "good.py").write_text(GOOD)
    (jobs / "modules.py").write_text(MODULES)
    (jobs / "bad.py").write_text("\n".join(text for text, _ in BAD))
    command = [sys.executable, "-m", "mypy", "--config-file", str(stubs / "mypy.ini")]
    done = subprocess.run(
        [*command, "--cache-dir", os.devnull, "good.py", "bad.py", "modules.py"],
        cwd=jobs,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    pattern = re.compile(r"^([^:\n]+):(\d+): error: (.*)$", re.MULTILINE)
    found = [(file, int(line), text) for file, line, text in pattern.findall(done.stdout)]
    assert found, done.stdout + done.stderr
    return found


@pytest.mark.slow
def test_mypy_has_nothing_against_a_good_job(complaints):
    """The job has verbs with and without import, allowed modules, and lazy state."""
    assert [one for one in complaints if one[0] not in ("bad.py", "modules.py")] == []


def test_mypy_flags_what_the_sandbox_would_refuse(complaints):
    """Each line of the bad job gets its error."""
    messages = {line: text for file, line, text in reversed(complaints) if file == "bad.py"}
    assert sorted(messages) == list(range(1, len(BAD) + 1)), complaints
    for line, (text, name) in enumerate(BAD, 1):
        assert f'"{name}"' in messages[line], (text, messages[line])


@pytest.mark.slow
def test_writing_again_replaces_what_was_written(stubs, repo, capsys):
    """Stubs of an earlier call for rest are gone if the new call does not name rest."""
    again = stubs.with_name("again")
    (again / "rest").mkdir(parents=True)
    (again / "mypy.ini").write_text((stubs / "mypy.ini").read_text())
    run(["common"], again, repo)
    assert not (again / "rest").exists()
    assert f"mypy --config-file {again}/mypy.ini JOB.py" in capsys.readouterr().out
    assert [path.name for path in stubs.parent.iterdir() if path.name[0] == "."] == []


@pytest.mark.parametrize(
    ("adaptors", "message"),
    [
        (["nope"], "nope"),
        (["common@9"], "common"),
        (["broken"], r"broken@1\.0\.0: broken\.py: .*syntax"),
        (["common", "other"], "both imported as 'common'"),
    ],
)
def test_wrong_adaptors_are_told_and_nothing_is_written(repo, tmp_path, adaptors, message):
    """The message names the adaptor and no path of this machine."""
    with pytest.raises(BadInputError, match=message) as caught:
        run(adaptors, tmp_path / "stubs", repo)
    assert str(repo) not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_of_somebody_else_is_left_alone(repo, tmp_path):
    """The command replaces only files that it wrote itself."""
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(BadInputError, match="was not written by this command"):
        run(["common"], tmp_path, repo)
    assert (tmp_path / "precious.txt").read_text() == "x"


def test_a_place_that_cannot_be_written_is_bad_input(tmp_path):
    """The error names the directory and the reason of the system."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match=r"file/stubs: cannot be written: File exists"):
        run([], tmp_path / "file" / "stubs", None)


def test_public_names_are_those_a_job_sees():
    """Without `__all__` these are the module's own names that do not begin with an underscore."""
    assert public_names('__all__ = ["b"]\ndef a(): ...') == ["b"]
    source = "import os\nfrom .x import y, _z\nfrom json import dumps\n"
    source += "def a(): ...\nclass B: ...\nC = D = 1\nE: int = 2\n_f = 3\n"
    assert public_names(source) == ["y", "a", "B", "C", "D", "E"]


@pytest.mark.slow
def test_pyright_accepts_the_same_jobs_and_rejects_a_wrong_keyword(repo, tmp_path):
    """The settings of `jobcell new` are used, and the stubs come from a machine without mypy."""
    pytest.importorskip("pyright")
    assert new_project(tmp_path / "people") == 0
    project = tmp_path / "people"
    with without_mypy():
        assert run(["common@1.0.0", "rest"], project / "stubs", repo) == 0
    assert (project / "stubs" / "typeshed" / "stdlib" / "builtins.pyi").is_file()
    (project / "jobs" / "good.py").write_text(GOOD)
    wrong = [text for text, name in BAD if name in {"qery", "timeot_s", "defalt"}]
    assert len(wrong) == 3
    (project / "jobs" / "bad.py").write_text("\n".join(wrong))
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "-p", str(project)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    errors = [one for one in found if one["severity"] == "error"]
    assert {Path(one["file"]).name for one in errors} == {"bad.py"}, errors
    lines = sorted(one["range"]["start"]["line"] for one in errors)
    assert lines == [0, 1, 2], errors
    assert all("parameter" in one["message"] for one in errors), errors


def test_mypy_accepts_stubs_of_a_machine_without_it(repo, tmp_path):
    """A colleague with mypy can use a directory that was written without."""
    with without_mypy():
        assert run(["common@1.0.0", "rest"], tmp_path / "stubs", repo) == 0
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "bad.py").write_text("get('x', qery={})\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--config-file", "stubs/mypy.ini"),
            *("--cache-dir", os.devnull, "good.py", "bad.py"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(errors) == 1, done.stdout + done.stderr
    assert errors[0].startswith("bad.py:1: error: Unexpected keyword argument")


def test_verbs_in_a_module_of_the_adaptor_are_known(complaints):
    """`collections.get` has the options of the verb, and so has `b.patient` of fhir."""
    lines = [line for file, line, _ in complaints if file == "modules.py"]
    assert lines == [4, 5, 6], complaints


def test_without_any_stubs_of_python_the_command_says_what_to_install(tmp_path):
    """Nothing is written."""
    with without_mypy("typeshed_client"), pytest.raises(BadInputError) as raised:
        run([], tmp_path / "stubs", None)
    assert "pip install 'jobcell[stubs]'" in str(raised.value)
    assert not (tmp_path / "stubs").exists()


@contextmanager
def without_mypy(*others):
    """As if packages were not installed."""
    find = importlib.util.find_spec
    gone = {"mypy", *others}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *rest: None if name in gone else find(name, *rest),
        )
        yield
