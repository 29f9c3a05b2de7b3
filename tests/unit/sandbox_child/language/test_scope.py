"""The scope in which the code of a job runs, and its imports."""

import subprocess
import sys
from types import ModuleType

import pytest

from sandbox_child.language.compiler import compile_condition, compile_job
from sandbox_child.language.guards.refusals import JobImportError
from sandbox_child.language.scope import JobScope, condition_scope, make_ground


def make_scope(*, language=True, modules=None, in_scope=None, logged=None, step_id="a"):
    modules = modules or {}
    logged = [] if logged is None else logged
    return JobScope(
        step_id=step_id,
        language=language,
        resolve_import=modules.get,
        importable=lambda: list(modules),
        in_scope=in_scope or {},
        log=lambda level, message: logged.append((level, message)),
    )


def run(source, **options):
    scope = make_scope(**options)
    scope.execute(compile(source, "<job a>", "exec"))
    return scope.globals


def view(name, **names):
    module = ModuleType(f"view:{name}")
    module.__dict__.update(names)
    return module


@pytest.mark.parametrize(
    "source",
    [
        "import urllib.parse\nx = urllib.parse.quote('a b')",
        "from urllib import parse\nx = parse.quote('a b')",
        "from urllib.parse import quote as q\nx = q('a b')",
        "import urllib.parse as p\nx = p.quote('a b')",
        "import xml.etree.ElementTree as ET\nx = ET.tostring(ET.Element('a')).decode() and 'a%20b'",
        "from xml.etree import ElementTree\nx = 'a%20b'",
        "from email import message\nx = message.EmailMessage() is not None and 'a%20b'",
        "import collections\nx = isinstance({}, collections.abc.Mapping) and 'a%20b'",
        "import collections.abc\nx = collections.Counter and collections.abc.Mapping and 'a%20b'",
        "from __future__ import annotations\nx = 'a%20b'",
        "import os.path if False else json\nx = 'a%20b'".replace("os.path if False else ", ""),
    ],
)
def test_imports_of_standard_modules_work_as_in_python(source):
    """The imports are packages, submodules and aliases."""
    assert run(source)["x"] == "a%20b"


@pytest.mark.parametrize(
    "source",
    [
        "import os",
        "import sys",
        "import subprocess",
        "import builtins",
        "import importlib",
        "import os.path",
        "import json.decoder",
        "import urllib.request",
        "from urllib import request",
        "from json import codecs",
        "from asyncio import subprocess",
        "from string import Formatter",
        "from typing import get_type_hints",
        "from . import x",
        "import requests",
    ],
)
def test_other_imports_are_refused(source):
    """Modules outside of the list are refused, by name or through another module."""
    with pytest.raises(JobImportError):
        run(source)


def test_a_refused_import_says_what_is_allowed_and_what_is_near():
    """The author sees adaptors first, then the standard modules."""
    with pytest.raises(JobImportError) as caught:
        run("import jsn", modules={"rest": view("rest")})
    message = str(caught.value)
    assert "module 'jsn' cannot be imported in a job; did you mean 'json'?" in message
    assert "adaptors: rest" in message
    assert caught.value.name == "jsn"


def test_a_name_that_a_module_does_not_offer_is_refused_with_the_nearest():
    """The name might exist in Python, so the message lists the names that exist here."""
    with pytest.raises(JobImportError, match="did you mean 'dumps'"):
        run("from json import dump_s")


def test_an_attribute_that_a_module_does_not_offer_says_so():
    """A module that is reached through another module does not count as an attribute here."""
    with pytest.raises(AttributeError, match="module 'json' has no 'codecs' in a job"):
        run("import json\njson.codecs")


def test_modules_of_the_repo_come_before_the_standard_ones():
    """A job that imports a name of both gets the adaptor."""
    assert run("import json\nx = json.x", modules={"json": view("json", x=1)})["x"] == 1


def test_submodules_of_the_repo_are_imported():
    """Dotted names go to the linker unchanged."""
    inner = view("pkg.inner", x=1)
    modules = {"pkg": view("pkg", inner=inner), "pkg.inner": inner}
    assert run("import pkg.inner\nx = pkg.inner.x", modules=modules)["x"] == 1
    assert run("from pkg.inner import x", modules=modules)["x"] == 1
    assert run("from pkg import inner\nx = inner.x", modules=modules)["x"] == 1


def test_errors_of_the_linker_come_out():
    """A broken adaptor is reported as broken, and not as unknown."""

    def broken(name):
        raise JobImportError(f"{name} is broken")

    scope = JobScope(
        step_id="a",
        language=True,
        resolve_import=broken,
        importable=list,
        in_scope={},
        log=lambda level, message: None,
    )
    with pytest.raises(JobImportError, match="rest is broken"):
        scope.execute(compile("import rest", "<job a>", "exec"))


@pytest.mark.slow
def test_c_code_below_a_job_imports_what_it_needs():
    """datetime.strptime loads a private module through the job's ``__import__``."""
    program = (
        "from sandbox_child.language.scope import JobScope\n"
        "s = JobScope(step_id='a', language=True, resolve_import=lambda n: None,"
        " importable=list, in_scope={}, log=print)\n"
        "s.execute(compile('from datetime import datetime\\n"
        "assert datetime.strptime(\"2026\", \"%Y\").year == 2026', '<job a>', 'exec'))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)


def test_names_of_adaptors_are_in_scope_without_guards_among_them():
    """A public name is in scope; a name like that of a guard or of the built-ins is not."""
    names = run("x = get", in_scope={"get": 1, "_write_": 2, "__builtins__": {}})
    assert names["x"] == 1
    assert "_write_" not in names
    assert "len" in names["__builtins__"]


@pytest.mark.slow
def test_importing_the_scope_loads_no_module_that_only_jobs_need():
    """The start path of a child stays short: facades are made when a job asks for them."""
    program = (
        "import sys, RestrictedPython, msgspec; before = set(sys.modules)\n"
        "import sandbox_child.language.scope as s\n"
        "s.JobScope(step_id='a', language=True, resolve_import=lambda n: None,"
        " importable=list, in_scope={}, log=print)\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program],
        check=True,
        timeout=20,
        capture_output=True,
        text=True,
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split() if "job:" not in name}
    assert loaded <= {
        "sandbox_child",
        "protocol",
        "contextvars",
        "_contextvars",
        "_string",
        "__future__",
    }


def test_a_scope_without_the_language_wall_is_plain_python():
    """Built-ins and imports are Python's, but print and dotted state are ours."""
    logged = []
    names = run(
        "import os\nx = eval('1')\ny = open\nprint('hello')\nz = _state_attr_({'a': 1}, 'a')\n"
        "_state_target_(d := {}).b = 2",
        language=False,
        logged=logged,
    )
    assert names["x"] == names["z"] == 1
    assert names["d"] == {"b": 2}
    assert names["os"] is sys.modules["os"]
    assert logged == [("info", "hello")]


def test_a_scope_without_the_wall_imports_adaptors_first():
    """The repo belongs to the job in both cases."""
    modules = {"rest": view("rest", x=1)}
    assert run("from rest import x\nimport rest", language=False, modules=modules)["x"] == 1


def test_changing_the_builtins_of_an_open_scope_changes_no_other():
    """Each scope has a copy of its own."""
    run("__builtins__['len'] = None", language=False)
    assert run("x = len([])", language=False)["x"] == 0


def test_closing_a_scope_forgets_its_module():
    """The module is in sys.modules only as long as the step lasts."""
    scope = make_scope(step_id="closing")
    assert "job:closing" in sys.modules
    scope.close()
    assert "job:closing" not in sys.modules
    assert scope.call(len, "ab") == 2


@pytest.mark.parametrize("language", [True, False])
def test_conditions_see_built_ins_and_the_constants_of_json(language):
    """The constants are true, false and null; dotted state works as well."""
    condition = compile_condition(
        "len(state.data.rows) == 1 and state.ok == true and state.no == null", language=language
    )
    scope = condition_scope(language)
    scope["state"] = {"data": {"rows": [1]}, "ok": True, "no": None}
    assert eval(condition.code, scope) is True


def test_conditions_cannot_reach_out():
    """A condition cannot import, and cannot print."""
    scope = condition_scope(True)
    assert "open" not in scope["__builtins__"]
    with pytest.raises(ImportError):
        scope["__builtins__"]["__import__"]("os")


def test_a_scope_that_was_made_ready_is_nobody_elses():
    """The first scope that is needed gets it, under its own name; later ones are made on demand."""
    scopes = []
    make_ground()
    for step_id in ("a", "b", "c"):
        one = make_scope(step_id=step_id)
        one.execute(compile_job(CLASS, step_id=step_id).code)
        scopes.append(one)
    assert [one.globals["__name__"] for one in scopes] == ["job:a", "job:b", "job:c"]
    assert [one.globals["Box"].__module__ for one in scopes] == ["job:a", "job:b", "job:c"]
    assert len({id(one.globals["__builtins__"]) for one in scopes}) == 3
    for one in scopes:
        assert one.globals["__builtins__"]["print"] is one.printer
        assert one.call(one.globals["main"], {}) == {"n": 1}
        one.close()


CLASS = """
class Box:
    def __init__(self):
        self._n = 1

def main(state):
    return {"n": Box()._n}
"""
