"""Two versions of one adaptor in one run, each with its own dependencies, behind both walls."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from engine import Engine, ModuleRef, Policy, RunOptions

QUICK = RunOptions(timeout_s=20.0)


class RepoDirectory:
    """A repo that a test fills."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[dict[str, str]] = []

    def add(self, spec: str, files: dict[str, str], module: str | None = None) -> Path:
        name, _, version = spec.rpartition("@")
        directory = self.path / f"{name}_{version}"
        for file, text in files.items():
            (directory / file).parent.mkdir(parents=True, exist_ok=True)
            (directory / file).write_text(text)
        entry = {"name": name, "version": version, "path": directory.name, "module": module or name}
        self.entries.append(entry)
        (self.path / "repo.json").write_text(json.dumps({"adaptors": self.entries}))
        return directory

    def run(self, *steps, options=QUICK, policy=None, globals_=None):
        """Run steps one after the other, each ``(adaptors, source)``."""
        made = []
        for number, (adaptors, source) in enumerate(steps):
            step = {"id": f"s{number}", "expression": source, "adaptors": adaptors}
            if number + 1 < len(steps):
                step["next"] = f"s{number + 1}"
            made.append(step)
        plan = {"workflow": {"steps": made}}
        # For one run, a new interpreter takes a third of the time of a zygote.
        with Engine(start_mode="exec", repo_dir=self.path, policy=policy or Policy()) as engine:
            run = engine.execute(plan, options=options)
            result = run.result(30)
            self.logs = [
                (e.level, e.source, e.message) for e in run.poll(after=0) if e.type == "log"
            ]
        return result


@pytest.fixture
def repo(tmp_path):
    return RepoDirectory(tmp_path)


def error_of(result):
    assert result.error is not None, result.state
    return result.error


COMMON = """
import sys
from dataclasses import dataclass
from typing import get_type_hints
from . import sub
from common.sub import where
import common.sub as again

__all__ = ["facts", "called", "count", "cached", "table", "VERSION", "call"]
VERSION = {version!r}
_hits = []
table = {{"rows": [1]}}

@dataclass
class Box:
    x: "int" = 0

def facts(state):
    import importlib, importlib.metadata, importlib.resources, importlib.util
    import dep.inner                      # lazy, a submodule
    from dep import VALUE
    from .late import LATE                # lazy, relative
    try:
        importlib.metadata.version("msgspec")
        host = "seen"
    except importlib.metadata.PackageNotFoundError:
        host = "hidden"
    return {{**state, VERSION: {{
        "dep": VALUE, "late": LATE, "where": where, "same": again is sub,
        "module": importlib.import_module("dep.other").OTHER,
        "relative": importlib.import_module(".sub", __name__).where,
        "metadata": importlib.metadata.version("dep"),
        "resource": importlib.resources.files("dep").joinpath("data.txt").read_text(),
        "namespace": importlib.import_module("space.part").PART,
        "table": sys.modules[__name__].VERSION, "hints": get_type_hints(Box)["x"].__name__,
        "host": [host, importlib.util.find_spec("msgspec"), importlib.util.find_spec("protocol"),
                 "sandbox_child" in sys.modules],
    }}}}

def called():
    _hits.append(1)
    return len(_hits)

def count(state):
    return {{**state, "count": called()}}

def cached(_store={{}}):
    return _store.setdefault("k", [])

def call(function):
    return function()
"""


def add_common(repo: RepoDirectory, version: str) -> Path:
    return repo.add(
        f"common@{version}",
        {
            "common/__init__.py": COMMON.format(version=version),
            "common/sub.py": "where = __name__",
            "common/late.py": f"LATE = 'late {version}'",
            "dep/__init__.py": f"VALUE = 'dep {version}'",
            "dep/inner.py": "",
            "dep/other.py": f"OTHER = 'other {version}'",
            "dep/data.txt": f"data {version}",
            f"dep-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: dep\nVersion: {version}\n",
            "space/part.py": f"PART = 'part {version}'",
        },
    )


def expected(version: str) -> dict[str, object]:
    return {
        "dep": f"dep {version}",
        "late": f"late {version}",
        "where": "common.sub",
        "same": True,
        "module": f"other {version}",
        "relative": "common.sub",
        "metadata": version,
        "resource": f"data {version}",
        "namespace": f"part {version}",
        "table": version,
        "hints": "int",
        "host": ["hidden", None, None, False],
    }


@pytest.mark.parametrize("language", [True, False])
def test_two_versions_run_in_one_workflow_with_their_own_dependencies(repo, language):
    """Every way to import stays in the realm of the version that imports."""
    for version in ("1.9.0", "1.10.0"):
        add_common(repo, version)
    result = repo.run(
        (["common@1.9.0"], "operations = [facts]\n"),
        (["common"], "from common import facts as f\noperations = [f]\n"),
        (["common@1.9.0"], "import common\noperations = [common.facts]\n"),
        policy=Policy(language=language),
    )
    assert result.error is None
    assert result.state["1.9.0"] == expected("1.9.0")
    assert result.state["1.10.0"] == expected("1.10.0")
    assert sorted(result.versions.adaptors["common"]) == ["1.10.0", "1.9.0"]


def test_one_realm_can_call_back_into_another(repo):
    """A function that another version calls still imports in its own realm."""
    for version in ("1.0.0", "2.0.0"):
        add_common(repo, version)
    repo.add(
        "other@1",
        {
            "other.py": "def where():\n    import dep\n    return dep.VALUE\n",
            "dep.py": "VALUE = 'other'",
        },
    )
    source = "def main(state):\n    return {'got': [call(where), where(), facts({})]}\n"
    state = repo.run((["common@1.0.0", "other"], source)).state
    assert state["got"][:2] == ["other", "other"]
    assert state["got"][2]["1.0.0"] == expected("1.0.0")


def test_module_state_lives_as_long_as_the_run(repo):
    """Steps with one version share its module; the next run begins anew."""
    for version in ("1.0.0", "2.0.0"):
        add_common(repo, version)
    steps = [(["common@1.0.0"], "operations = [count]\n")] * 2
    assert repo.run(*steps).state["count"] == 2
    assert repo.run(*steps, (["common@2.0.0"], "operations = [count]\n")).state["count"] == 1


def test_a_job_cannot_change_an_adaptor_for_the_next_job(repo):
    """A job gets copies of containers, and cannot set names, even if the language wall is off."""
    add_common(repo, "1.0.0")
    first = (
        "import common\n"
        "def main(state):\n"
        "    table['rows'].append('mine')\n"
        "    common.table['rows'].append('mine')\n"
        "    try:\n"
        "        common.facts = None\n"
        "    except Exception as error:\n"
        "        return {'refused': type(error).__name__}\n"
    )
    second = "import common\ndef main(state):\n    return {**state, 'table': common.table, 'scope': table}\n"
    result = repo.run((["common"], first), (["common"], second), policy=Policy(language=False))
    assert result.state["refused"] == "AttributeError"
    assert result.state["table"] == result.state["scope"] == {"rows": [1]}


def test_a_step_without_the_adaptor_imports_the_newest_admitted_version(repo):
    """The whitelist narrows the imports of a job, but not its adaptor or the adaptor's imports."""
    for version in ("1.0.0", "2.0.0"):
        add_common(repo, version)
    repo.add("other@1", {"other.py": "X = 1"})
    source = "import common\ndef main(state):\n    return {'v': common.VERSION}\n"
    assert repo.run(([], source)).state["v"] == "2.0.0"
    only_other = RunOptions(timeout_s=20.0, whitelist=["oth.*"])
    refused = error_of(repo.run(([], source), options=only_other))
    assert refused.name == "ImportError"
    assert "'common'" in refused.message
    assert "other" in refused.message
    allowed = repo.run((["common@1.0.0"], source), options=only_other)
    assert allowed.state["v"] == "1.0.0"


def test_dependencies_of_an_adaptor_are_not_importable_by_jobs(repo):
    """The dependencies belong to the adaptor alone."""
    add_common(repo, "1.0.0")
    for name in ("dep", "common.nope", "sandbox_child.linker", "msgspec"):
        report = error_of(repo.run((["common"], f"import {name}\nfn(1)\n")))
        assert report.name == "ImportError", name


def test_submodules_can_be_imported_and_verbs_are_not_replaced_by_them(repo):
    """`from common import group` is the function, although a file has the same name."""
    repo.add(
        "common@1",
        {
            "common/__init__.py": "def group(state):\n    return {**state, 'g': callable(group)}\n",
            "common/group.py": "X = 1",
            "common/tools.py": "Y = 2",
        },
    )
    source = (
        "import common.tools\nfrom common import group, tools\nfrom common.tools import Y\n"
        "def main(state):\n    return {**group(state), 'y': [Y, tools.Y, common.tools.Y]}\n"
    )
    assert repo.run((["common"], source)).state == {"data": {}, "g": True, "y": [2, 2, 2]}


def test_execute_of_an_adaptor_builds_the_pipeline(repo):
    """The pipeline is `execute(*operations)(state)`."""
    repo.add(
        "common@1",
        {
            "common.py": (
                "def execute(*operations):\n"
                "    def run(state):\n"
                "        for operation in operations:\n"
                "            state = operation(state)\n"
                "        return {**state, 'by': 'execute'}\n"
                "    return run\n"
                "def fn(f):\n    return f\n"
            )
        },
    )
    assert repo.run((["common"], "fn(lambda state: {'n': 1})\n")).state == {"n": 1, "by": "execute"}


def test_what_adaptors_say_becomes_log_events(repo):
    """Output of print, logging and warnings each has its level."""
    repo.add(
        "common@1",
        {
            "common.py": (
                "import logging, warnings\nprint('on', 'import', sep='-')\n"
                "def say(state):\n"
                "    logging.getLogger(__name__).error('bad %s', 'luck')\n"
                "    logging.getLogger('x').debug('small')\n"
                "    warnings.warn('careful')\n"
                "    return state\n"
            )
        },
    )
    options = RunOptions(timeout_s=20.0, adaptor_log_level="debug")
    repo.run((["common"], "def main(state):\n    return say(state)\n"), options=options)
    for line in [
        ("info", "adaptor", "on-import"),
        ("error", "adaptor", "bad luck"),
        ("debug", "adaptor", "small"),
        ("warning", "adaptor", "UserWarning: careful"),
    ]:
        assert line in repo.logs


BROKEN = {
    "raises": ("x = {}\nx['gone']", ["KeyError: 'gone'", "bad.py, line 2"]),
    "syntax": ("def f(:\n", ["syntax error (bad.py, line 1)"]),
    "exits": ("import sys\nsys.exit(3)", ["ends the interpreter"]),
    "missing": ("import nowhere", ["No module named 'nowhere'"]),
    "host": ("import msgspec", ["No module named 'msgspec'"]),
    "reads": ("open('/etc/shadow').read()", ["Error: ", "'shadow'"]),
    "path": ("raise ValueError(__file__)", ["ValueError: bad.py"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_adaptor_that_cannot_be_imported_is_a_clear_import_error(repo, case):
    """The error has adaptor, version, reason and place, and no path of this host."""
    source, reasons = BROKEN[case]
    repo.add("bad@1.2.3", {"bad.py": source})
    for adaptors, job in (
        (["bad"], "fn(1)\n"),
        ([], "import bad\ndef main(state): return state\n"),
    ):
        result = repo.run((adaptors, job))
        report = error_of(result)
        assert (report.name, result.reason) == ("ImportError", "crash")
        for text in ("bad@1.2.3", *reasons):
            assert text in report.message
        assert str(repo.path) not in report.message
        assert "/etc" not in report.message


def test_a_thread_started_on_import_does_not_keep_the_run(repo):
    """The child ends together with the workflow."""
    repo.add(
        "bad@1",
        {
            "bad.py": "import threading\nthreading.Thread(target=threading.Event().wait).start()\nX = 1"
        },
    )
    assert repo.run((["bad"], "def main(state): return {'x': X}\n")).state == {"x": 1}


def test_a_thread_that_imports_while_its_module_is_imported_is_no_deadlock(repo):
    """Each module has its own lock, as everywhere in Python."""
    text = (
        "import threading\ngot = []\n"
        "def work():\n    import helper\n    got.append(helper.H)\n"
        "t = threading.Thread(target=work)\nt.start()\nt.join()\nX = got[0]\n"
    )
    repo.add("good@1", {"good.py": text, "helper.py": "H = 5"})
    assert repo.run((["good"], "def main(state): return {'x': X}\n")).state == {"x": 5}


def test_a_file_with_the_name_of_a_standard_module_is_not_used(repo):
    """The standard library comes first, as for all installed packages; a warning says so."""
    repo.add(
        "good@1",
        {
            "good.py": "import json\ndef f(state): return {'j': json.dumps([1])}\n",
            "json.py": "dumps = len",
        },
    )
    assert repo.run((["good"], "def main(state): return f(state)\n")).state == {"j": "[1]"}
    assert any("'json' lies in its directory" in message for _, _, message in repo.logs)


def test_an_adaptor_named_like_a_standard_module_is_refused(repo):
    """An adaptor with this name could never be imported."""
    repo.add("json@1", {"json.py": ""})
    report = error_of(repo.run((["json"], "fn(1)\n")))
    assert report.name == "ImportError"
    assert "json@1: its module 'json' has the name of a standard module" in report.message


def test_what_an_adaptor_changes_in_builtins_stays_in_its_realm(repo):
    """Changes of sys.modules and sys.meta_path stay in the realm as well."""
    repo.add(
        "a@1",
        {
            "a.py": (
                "import builtins, sys, types\nbuiltins.len = lambda x: 99\n"
                "sys.modules['json'] = types.SimpleNamespace(dumps=None)\n"
                "class Finder:\n"
                "    def find_spec(name, path=None, target=None):\n"
                "        raise SystemError(name)\n"
                "sys.meta_path.insert(0, Finder)\n"
                "def probe(): return len([])\n"
            )
        },
    )
    repo.add("b@1", {"b.py": "import json\ndef other(): return [len([]), json.dumps(1)]\n"})
    source = "def main(state): return {'got': [probe(), other(), len([])]}\n"
    assert repo.run((["a", "b"], source)).state == {"got": [99, [0, "1"], 0]}


def test_a_module_ref_replaces_the_adaptor_of_the_repo(repo, tmp_path_factory):
    """The path may be the package's own directory; the child may not list its neighbours."""
    add_common(repo, "1.0.0")
    package = tmp_path_factory.mktemp("dev") / "common"
    package.mkdir()
    (package / "__init__.py").write_text("from .x import VERSION\n")
    (package / "x.py").write_text("VERSION = 'dev'\n")
    (package.parent / "neighbour.py").write_text("")
    options = RunOptions(
        timeout_s=20.0, modules={"common": ModuleRef(path=str(package), version="9")}
    )
    source = "import common\ndef main(state): return {'v': common.VERSION}\n"
    result = repo.run((["common@1.0.0"], source), options=options)
    assert result.state == {"v": "dev"}
    assert result.versions.adaptors == {"common": ["9"]}


EXTENSION = """
#include <Python.h>
static int calls = 0;
static PyObject *tick(PyObject *self, PyObject *args) { return PyLong_FromLong(++calls); }
static PyMethodDef methods[] = {{"tick", tick, METH_NOARGS, NULL}, {NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_tick", NULL, -1, methods};
PyMODINIT_FUNC PyInit__tick(void) { return PyModule_Create(&module); }
"""


@pytest.fixture(scope="session")
def extension(tmp_path_factory):
    """A single-phase extension module with static data."""
    gcc = shutil.which("gcc")
    include = sysconfig.get_path("include")
    if gcc is None or not Path(include, "Python.h").exists():
        pytest.skip("no C compiler, or no headers of Python, to make an extension module")
    directory = tmp_path_factory.mktemp("extension")
    (directory / "tick.c").write_text(EXTENSION)
    target = directory / "_tick.so"
    subprocess.run(
        [gcc, "-shared", "-fPIC", f"-I{include}", "-o", target, directory / "tick.c"], check=True
    )
    return target


def _add_ticking(repo, extension, version, place):
    directory = repo.add(
        f"clock@{version}",
        {
            "clock.py": "from _tick import tick\n"
            f"def t(state): return {{**state, {version!r}: tick()}}\n"
        },
    )
    place(extension, directory / "_tick.so")


def test_copies_of_an_extension_module_have_their_own_data(repo, extension):
    """Two copies are two libraries, even if the module is single-phase."""
    for version in ("1", "2"):
        _add_ticking(repo, extension, version, shutil.copy)
    job = "def main(state): return t(state)\n"
    result = repo.run((["clock@1"], job), (["clock@1"], job), (["clock@2"], job))
    assert result.error is None
    assert (result.state["1"], result.state["2"]) == (2, 1)


def test_one_extension_file_in_two_realms_is_refused(repo, extension):
    """To the dynamic linker a hard link is the same library; the error says so."""
    _add_ticking(repo, extension, "1", shutil.copy)
    _add_ticking(repo, repo.path / "clock_1" / "_tick.so", "2", lambda a, b: b.hardlink_to(a))
    job = "def main(state): return t(state)\n"
    report = error_of(repo.run((["clock@1"], job), (["clock@2"], job)))
    assert report.name == "ImportError"
    assert "clock@2" in report.message
    assert "cannot be loaded twice in one run" in report.message
    assert str(repo.path) not in report.message


def test_a_wheel_with_an_extension_module_works_in_two_realms(repo):
    """Each version has a copy of msgspec beside it, while the child uses its own copy."""
    import msgspec

    source = Path(msgspec.__file__).parent
    for version in ("1", "2"):
        directory = repo.add(
            f"packs@{version}",
            {
                "packs.py": "import msgspec\nclass S(msgspec.Struct):\n    x: int\n"
                "def p(state):\n    text = msgspec.json.encode(S(1)).decode()\n"
                f"    return {{**state, {version!r}: [text, msgspec.__file__.split('/')[-3]]}}\n"
            },
        )
        shutil.copytree(source, directory / "msgspec", ignore=shutil.ignore_patterns("__pycache__"))
    job = "def main(state): return p(state)\n"
    result = repo.run((["packs@1"], job), (["packs@2"], job), (["packs@1"], job))
    assert result.error is None
    assert result.state["1"] == ['{"x":1}', "packs_1"]
    assert result.state["2"] == ['{"x":1}', "packs_2"]


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        ("{", "corrupt"),
        (
            '{"adaptors": [{"name": "common", "version": "1", "path": "../x"}]}',
            "leads out of the repo",
        ),
        ('{"adaptors": [{"name": "common", "version": "1", "path": "x"}]}', "is missing"),
    ],
)
def test_a_broken_repo_is_an_import_error_of_the_step(repo, index, reason):
    """The run that needs the repo reports the error, without a path of this host."""
    (repo.path / "repo.json").write_text(index)
    result = repo.run((["common"], "fn(1)\n"))
    report = error_of(result)
    assert (report.name, result.reason) == ("ImportError", "crash")
    assert reason in report.message
    assert str(repo.path) not in report.message
