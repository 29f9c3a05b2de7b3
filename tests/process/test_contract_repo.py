"""CONTRACT section 1, repo: versions, overrides, the whitelist, and broken adaptors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runs import QUICK, finish, make_engine

import engine as api
from engine import Engine, ModuleRef, RunOptions

SAY = """
VERSION = "{version}"
_calls = []

def version():
    def operation(state):
        _calls.append(1)
        return {{**state, "v": [*state.get("v", []), VERSION], "calls": len(_calls)}}
    return operation
"""


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repo with three versions of `tool` and a package `lib`."""
    root = tmp_path_factory.mktemp("repo")
    entries: list[dict[str, Any]] = []

    def add(name: str, version: str, files: dict[str, str], **more: Any) -> None:
        path = f"{name}_{version}"
        for file, text in files.items():
            target = root / path / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        entries.append(
            {
                "name": name,
                "version": version,
                "path": path,
                "module": name.replace("-", "_"),
                **more,
            }
        )

    for version in ("1.9.0", "1.10.0", "1.2.0"):
        add("tool", version, {"tool.py": SAY.format(version=version)}, extra="any key")
    add("tool", "2.0.0rc1", {"tool.py": SAY.format(version="2.0.0rc1")})
    add(
        "lib",
        "1.0.0",
        {
            "lib/__init__.py": "from lib.sub import helper\nfrom .sub import helper as again\n__all__ = ['use', 'lazy']\n"
            "def use():\n    return lambda state: {**state, 'lib': helper()}\n"
            "def lazy():\n    def op(state):\n        from lib.late import word\n        return {**state, 'late': word}\n    return op\n"
            "def hidden():\n    return 1\n",
            "lib/sub.py": "import tool\ndef helper():\n    return 'helped by ' + tool.VERSION\n",
            "lib/late.py": "word = 'late'\n",
            "tool.py": "VERSION = 'private'\n",
        },
    )
    add(
        "my-dash",
        "1.0.0",
        {"my_dash.py": "def go():\n    return lambda state: {**state, 'dash': 1}\n"},
    )
    for name, text in BROKEN.items():
        add(name, "1.0.0", {f"{name}.py": text})
    add("lost", "1.0.0", {})
    (root / "repo.json").write_text(json.dumps({"adaptors": entries, "more": "keys"}))
    return root


BROKEN = {
    "syntax": "def f(:\n",
    "raises": "raise ValueError('no luck')\n",
    "exits": "raise SystemExit(3)\n",
    "needs": "import not_installed_anywhere\n",
    "reads": "open('/etc/shadow')\n",
    "prints": "print('hello from import')\ndef fn(f): return f\n",
    "threads": "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\ndef fn(f): return f\n",
}


@pytest.fixture(scope="module")
def shared(repo: Path) -> Iterator[Engine]:
    """All tests of this file share this engine."""
    with make_engine("zygote", repo_dir=repo, options=QUICK) as made:
        yield made


@pytest.fixture(autouse=True)
def no_leak() -> None:
    """The engine outlives the single test."""


def one(expression: str, **rest: Any) -> dict[str, Any]:
    """Return a plan of one step."""
    return {"workflow": {"steps": [{"id": "a", "expression": expression, **rest}]}}


@pytest.mark.parametrize(
    ("spec", "version"),
    [
        ("tool", "1.10.0"),
        ("tool@1.9.0", "1.9.0"),
        ("tool@1.10.0", "1.10.0"),
        ("tool@2.0.0rc1", "2.0.0rc1"),
        ("tool@latest", "1.10.0"),
        ("tool@1.10", None),
        ("tool@3", None),
    ],
)
def test_a_name_is_the_newest_version_by_pep_440(shared: Engine, spec: str, version: str | None):
    """1.10 is newer than 1.9; a full version means itself; a pre-release needs its full version."""
    run = shared.execute(one("version()", adaptor=spec))
    result = run.result(20)
    if version is None or (result.error and spec == "tool@latest"):
        assert result.error is None or (
            result.error.name,
            spec.split("@", maxsplit=1)[0] in result.error.message,
        ) == ("ImportError", True)
        return
    assert result.error is None, result.error
    assert result.state["v"][0] == version
    assert result.versions.adaptors == {"tool": [version]}
    assert run.poll(after=0)[0].versions.adaptors == {"tool": [version]}


def test_two_versions_in_one_run(shared: Engine):
    """The module of each version keeps its own state for the whole run."""
    step = {"expression": "version()"}
    plan = {
        "workflow": {
            "steps": [
                {"id": "a", **step, "adaptor": "tool@1.9.0", "next": "b"},
                {"id": "b", **step, "adaptor": "tool", "next": "c"},
                {"id": "c", **step, "adaptor": "tool@1.9.0"},
            ]
        }
    }
    for _ in range(2):
        result = shared.execute(plan).result(20)
        assert result.state == {"data": {}, "v": ["1.9.0", "1.10.0", "1.9.0"], "calls": 2}
        assert {k: sorted(v) for k, v in result.versions.adaptors.items()} == {
            "tool": ["1.10.0", "1.9.0"]
        }


def test_packages_dependencies_and_lazy_imports(shared: Engine):
    """An adaptor sees its own dependencies, and not those of another adaptor."""
    result = shared.execute(one("use()\nlazy()", adaptor="lib")).result(20)
    assert result.error is None, result.error
    assert (result.state["lib"], result.state["late"]) == ("helped by private", "late")
    both = one("use()\nversion()", adaptors=["lib", "tool@1.2.0"])
    state = shared.execute(both).result(20).state
    assert (state["lib"], state["v"]) == ("helped by private", ["1.2.0"])
    hidden = shared.execute(one("def main(state):\n    return hidden()", adaptor="lib")).result(20)
    assert hidden.error.name == "RuntimeCrash"


def test_a_dashed_name(shared: Engine):
    """The name of an adaptor may differ from the name of its module."""
    assert shared.execute(one("go()", adaptor="my-dash")).result(20).state["dash"] == 1
    assert (
        shared.execute(one("from my_dash import go\ngo()", adaptor="my-dash"))
        .result(20)
        .state["dash"]
        == 1
    )


def test_modules_choose_a_version_of_the_repo(shared: Engine):
    """The chosen version wins over the plan's, and a job without an adaptor imports it too."""
    options = RunOptions(modules={"tool": ModuleRef(version="1.2.0")})
    for job in (
        one("version()", adaptor="tool"),
        one("version()", adaptor="tool@1.10.0"),
        one("from tool import version\nversion()"),
    ):
        result = shared.execute(job, options=options).result(20)
        assert result.error is None, result.error
        assert result.state["v"] == ["1.2.0"]
    options = RunOptions(modules={"tool": ModuleRef(version="7")})
    error = shared.execute(one("version()", adaptor="tool"), options=options).result(20).error
    assert error.name == "ImportError"
    assert "no version '7'" in error.message


def test_modules_override_by_name(shared: Engine, repo: Path, tmp_path: Path):
    """The path may be anywhere, and the version is the one that the caller names."""
    (tmp_path / "tool.py").write_text(SAY.format(version="mine"))
    options = RunOptions(modules={"tool": ModuleRef(path=str(tmp_path), version="9.9.9")})
    result = shared.execute(one("version()", adaptor="tool"), options=options).result(20)
    assert result.error is None, result.error
    assert result.state["v"] == ["mine"]
    assert result.versions.adaptors == {"tool": ["9.9.9"]}
    with make_engine("zygote", options=QUICK) as without_repo:
        result = without_repo.execute(one("version()", adaptor="tool"), options=options).result(20)
        assert result.error is None, result.error
        assert result.state["v"] == ["mine"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("syntax", ["syntax", "1.0.0", "line 1"]),
        ("raises", ["raises", "1.0.0", "no luck"]),
        ("exits", ["exits", "1.0.0"]),
        ("needs", ["needs", "1.0.0", "not_installed_anywhere"]),
        ("reads", ["reads", "1.0.0"]),
        ("lost", ["lost", "1.0.0"]),
        ("unheard", ["unheard"]),
        ("tool@0.1", ["tool", "0.1", "1.9.0"]),
        ("", None),
    ],
)
def test_a_broken_adaptor_is_a_clear_import_error(
    shared: Engine, repo: Path, name: str, words: list[str] | None
):
    """The error names the adaptor, its version and the reason, without host paths."""
    if words is None:
        with pytest.raises(api.PlanError):
            shared.execute(one("x()", adaptor=name))
        return
    run = shared.execute(one("def main(state): return state", adaptor=name))
    result = run.result(20)
    finish(run)
    assert (result.reason, result.error.name, result.error.severity) == (
        "crash",
        "ImportError",
        "crash",
    )
    assert result.error.step_id == "a"
    for word in words:
        assert word in result.error.message, result.error.message
    assert str(repo) not in repr(result.error)


def test_an_adaptor_may_print_and_start_threads_on_import(shared: Engine):
    """The adaptor is honest, so it works, and its output is in the log with the source adaptor."""
    for name in ("prints", "threads"):
        run = shared.execute(one("fn(lambda state: {'n': 1})", adaptor=name))
        assert run.result(20).state == {"n": 1}
        logs = [(e.source, e.message) for e in finish(run) if e.type == "log"]
        assert name == "threads" or ("adaptor", "hello from import") in logs


def test_a_step_without_adaptor_may_import_from_the_repo(shared: Engine):
    """A job may import any adaptor of the repo, unless the whitelist narrows it."""
    source = "from tool import version\nversion()"
    assert shared.execute(one(source)).result(20).state["v"] == ["1.10.0"]
    assert (
        shared.execute(one(source), options=RunOptions(whitelist=("lib",))).result(20).error.name
        == "ImportError"
    )


def test_jobs_cannot_change_an_adaptor(shared: Engine):
    """A job cannot set an attribute or an item of an adaptor."""
    for line in (
        "tool.VERSION = 'x'",
        "del tool.VERSION",
        "setattr(tool, 'VERSION', 'x')",
        "tool.version.x = 1",
    ):
        plan = {
            "workflow": {
                "steps": [
                    {
                        "id": "a",
                        "adaptor": "tool",
                        "expression": f"import tool\ndef main(state):\n    {line}\n    return state",
                        "next": {"b": "always"},
                    },
                    {"id": "b", "adaptor": "tool", "expression": "version()"},
                ]
            }
        }
        result = shared.execute(plan).result(20)
        assert result.reason in ("kill", "crash") or result.state["errors"]["a"], line


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"adaptors": {}}', '{"adaptors": [1]}', '{"adaptors": [{"name": "x"}]}',
     '{"adaptors": [{"name": "x", "version": "1.0.0", "path": "../..", "module": "x"}]}',
     '{"adaptors": [{"name": "x", "version": "1.0.0", "path": "/etc", "module": "x"}]}',
     '{"adaptors": [{"name": "x", "version": "nonsense", "path": "x", "module": "x"}]}',
     '{"adaptors": [{"name": "x", "version": "1.0.0", "path": "x", "module": "x"}, {"name": "x", "version": "1.0.0", "path": "y", "module": "x"}]}'],
)  # fmt: skip
def test_a_corrupt_index_is_a_clear_import_error(tmp_path: Path, text: str):
    """The engine does not crash, does not show a host path, and continues with other runs."""
    (tmp_path / "repo.json").write_text(text)
    with make_engine("zygote", repo_dir=tmp_path, options=QUICK) as made:
        result = made.execute(one("def main(state): return state", adaptor="x")).result(20)
        assert (result.reason, result.error.name) == ("crash", "ImportError")
        assert str(tmp_path) not in repr(result.error)
        plain = made.execute("def main(state): return {'n': 1}").result(20)
        assert plain.error is None or plain.error.name == "ImportError"


def test_the_child_may_not_read_beside_the_repo(tmp_path: Path):
    """An adaptor may read the files of its version and permissions.read, and no others."""
    (tmp_path / "secret.txt").write_text("hidden")
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "f.txt").write_text("shown")
    root = tmp_path / "repo"
    (root / "reader").mkdir(parents=True)
    (root / "reader" / "reader.py").write_text(
        "def read(path):\n    def op(state):\n        with open(path) as f:\n            return {**state, 'text': f.read()}\n    return op\n"
    )
    (root / "repo.json").write_text(
        '{"adaptors": [{"name": "reader", "version": "1", "path": "reader", "module": "reader"}]}'
    )
    with make_engine("zygote", repo_dir=root, options=QUICK) as made:
        result = made.execute(
            one(f"read({str(tmp_path / 'secret.txt')!r})", adaptor="reader")
        ).result(20)
        assert result.error is not None
        assert result.error.name == "AdaptorError"
        assert result.error.subtype in ("PermissionError", "FileNotFoundError")
        options = RunOptions(permissions=api.Permissions(read=(str(allowed),)))
        plan = one(f"read({str(allowed / 'f.txt')!r})", adaptor="reader")
        assert made.execute(plan, options=options).result(20).state["text"] == "shown"
        assert made.execute(plan).result(20).error is not None
