"""`jobcell check` compiles a job in a confined child; an editor can jump to the lines it prints."""

from __future__ import annotations

import json
import re

import pytest

from jobcell.desk.checking import run
from jobcell.input.errors import BadInputError

GOOD = "from rest import get\nget('patients', since=state.data.cursor)\nfn(lambda state: state)\n"
BAD = "import os\nx = eval('1')\n\ndef main(state):\n    y = 'ü'; return x.__class__\n"


@pytest.fixture
def job(tmp_path):
    """Write a job, return its path."""

    def write(source: str | bytes, name: str = "job.py"):
        path = tmp_path / name
        path.write_bytes(source.encode() if isinstance(source, str) else source)
        return path

    return write


@pytest.fixture
def repo(tmp_path):
    """A repo with one adaptor."""
    directory = tmp_path / "repo"
    (directory / "rest_1.0.0").mkdir(parents=True)
    (directory / "rest_1.0.0" / "rest.py").write_text(
        "import os\nfrom json import loads\n_x = BASE = 1\n"
        "def get(path):\n    return lambda state: state\nclass Client: ...\n"
    )
    (directory / "repo.json").write_text(
        '{"adaptors": [{"name": "rest", "version": "1.0.0", "path": "rest_1.0.0"}]}'
    )
    return directory


def test_a_good_job_prints_nothing_and_ends_with_0(job, capsys):
    """Silence is success."""
    assert run(job(GOOD), show=False, json=False) == 0
    assert capsys.readouterr().out == ""


def test_all_violations_are_lines_an_editor_understands(job, capsys):
    """Lines are in the file's order, count columns in characters, and give the right text."""
    path = job(BAD)
    assert run(path, show=False, json=False) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [
        re.match(rf"{re.escape(str(path))}:(\d+):(\d+): (\w+): ", x).groups() for x in lines
    ] == [
        ("1", "1", "ImportError"),
        ("2", "5", "SecurityError"),
        ("5", "21", "SecurityError"),
    ]
    assert "type(x)" in lines[2]


def test_a_syntax_error_is_one_line(job, capsys):
    """After a syntax error, other mistakes cannot be known."""
    path = job("def main(state)\n    return state")
    assert run(path, show=False, json=False) == 1
    assert capsys.readouterr().out.startswith(f"{path}:1:16: SyntaxError: expected ':'")


def test_show_prints_the_operations(job, capsys):
    """Each line has the number, the name, and the place of the call."""
    path = job(GOOD)
    assert run(path, show=True, json=False) == 0
    first, *operations = capsys.readouterr().out.splitlines()
    assert first == "form: script, 2 operations"
    assert operations[0].split() == ["1", "get", f"{path}:2:1"]
    assert operations[1].split() == ["2", "fn", f"{path}:3:1"]


def test_json_has_it_all(job, capsys):
    """The JSON is for tools that are not editors."""
    path = job(BAD)
    assert run(path, show=False, json=True) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == str(path)
    assert [violation["line"] for violation in found["violations"]] == [1, 2, 5]


def test_with_a_repo_unknown_modules_are_reported(job, repo, capsys):
    """Without a repo the command cannot know which modules exist."""
    path = job("import rest, rets\nimport json\nrest.get(1)\n")
    assert run(path, show=False, json=False) == 0
    assert run(path, ["rest"], repo, show=False, json=False) == 1
    lines = capsys.readouterr().out.splitlines()
    message = "module 'rets' cannot be imported in a job"
    assert lines == [f"{path}:1:1: ImportError: {message} (did you mean 'rest'?)"]


def test_names_of_adaptors_that_are_not_named_may_be_verbs(job, repo, capsys):
    """Without the adaptor the name is only a note; with the adaptor it is known, or wrong."""
    path = job("def main(state):\n    get('x')(state)\n    return stat\n")
    assert run(path, show=False, json=False) == 1
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        f"{path}:3:12: NameError: the name 'stat' is not defined (did you mean state?)"
    ]
    assert shown.err.startswith(f"{path}:2:5: note: the name 'get' is not defined")
    assert run(path, ["rest"], repo, show=False, json=False) == 1
    assert capsys.readouterr().err == ""
    typo = job("gett('x')\n", "typo.py")
    assert run(typo, ["rest"], repo, show=False, json=False) == 1
    assert "did you mean get?" in capsys.readouterr().out


def test_an_operation_that_never_runs_is_a_violation(job, repo, capsys):
    """The message gives the line and the verb; an unknown verb only gives a note."""
    path = job("def main(state):\n    get('x')\n    return state\n")
    assert run(path, ["rest"], repo, show=False, json=False) == 1
    assert "get(...) on line 2 is never run" in capsys.readouterr().out
    assert run(path, show=False, json=False) == 0
    shown = capsys.readouterr()
    assert (shown.out, "get(...) on line 2 is thrown away" in shown.err) == ("", True)


def test_the_repo_is_found_without_being_named(job, repo, capsys, monkeypatch):
    """The command finds the repo by JOBCELL_REPO, or as ./repo."""
    path = job("get('x', 1)\n")
    monkeypatch.setenv("JOBCELL_REPO", str(repo))
    assert run(path, ["rest"], show=False, json=False) == 1
    monkeypatch.delenv("JOBCELL_REPO")
    monkeypatch.chdir(repo.parent)
    assert run(path, ["rest"], show=False, json=False) == 1
    assert capsys.readouterr().out.count("get() takes 1 positional argument, and 2 are given") == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"\x7fELF\x00\xff", "not text", id="binary"),
        pytest.param("x = 1".encode("utf-16"), "not text", id="another encoding"),
    ],
)
def test_what_is_no_text_is_bad_input(job, content, message):
    """The error is one line, which names the problem of the file."""
    with pytest.raises(BadInputError) as caught:
        run(job(content), show=False, json=False)
    assert message in caught.value.lines[0]


def test_a_missing_file_or_adaptor_is_bad_input(tmp_path, job, repo):
    """The error comes before any process is started."""
    with pytest.raises(BadInputError):
        run(tmp_path / "missing.py", show=False, json=False)
    with pytest.raises(BadInputError):
        run(job(GOOD), ["rest"], show=False, json=False)
    with pytest.raises(BadInputError):
        run(job(GOOD), ["rest@9"], repo, show=False, json=False)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("x = " + "lambda: " * 90_000 + "1", id="deep"),
        pytest.param("x = " + "-" * 900_000 + "1", id="deeper"),
        pytest.param("x = " + "(" * 900_000, id="brackets"),
        pytest.param("x = '" + "a" * 2_000_000 + "'", id="huge"),
        pytest.param("x = [" + "a," * 30_000 + "]", id="long"),
    ],
)
def test_a_parser_bomb_is_a_violation_like_others(job, source, capsys):
    """The bomb can only harm the child."""
    status = run(job(f"def main(state): ...\n{source}\n"), show=False, json=False)
    out = capsys.readouterr().out
    assert (status == 1) == bool(out)
    assert len(out) < 2000


def test_a_plan_is_for_another_command(job):
    """Errors about its JSON as a job would only be confusing."""
    with pytest.raises(BadInputError, match="jobcell validate"):
        run(job("{}", "plan.json"), show=False, json=False)


@pytest.mark.parametrize(
    ("source", "places"),
    [
        ("fn(lambda state: {**state, 'h': lambda x: x, 'n': 1})", [("1:33", "state['h']")]),
        ("def main(state):\n    state.h.deep = lambda x: x\n    return state", [("2:20", "state.h.deep")]),
        ("def f(x): return x\ndef main(state):\n    state['h'] = f\n    return state", [("3:18", "state['h']")]),
        ("def f(x): return x\ndef main(state):\n    return {**state, 'h': f(1), 'g': sorted([1], key=f)}", []),
        ("def main(state):\n    helpers = {'h': lambda x: x}\n    return {**state, 'n': helpers['h'](1)}", []),
    ],
)  # fmt: skip
def test_a_function_that_is_put_into_the_state_is_noted(job, capsys, source, places):
    """The step would fail; the note has the place of the function."""
    path = job(source)
    run(path, show=False, json=False)
    lines = [line for line in capsys.readouterr().err.splitlines() if "into the state" in line]
    assert len(lines) == len(places)
    for line, (place, key) in zip(lines, places, strict=True):
        assert line.startswith(f"{path}:{place}: note: a function is put into the state ({key})")
        assert "at the top of the job" in line
