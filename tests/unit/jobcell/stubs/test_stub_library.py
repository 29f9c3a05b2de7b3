"""A checker with the library refuses the same code as the sandbox, and knows the real types."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys

import pytest

from jobcell.stubs.library import (
    _places,
    _quick_places,
    find_typeshed,
    hidden,
    hide_imports,
    write_library,
)
from jobcell.stubs.source import imported_names, to_stub

pytestmark = pytest.mark.slow

MODULES = {
    "asyncio": {"gather", "sleep"},
    "collections": {"Counter", "namedtuple"},
    "collections.abc": {"Iterable"},
    "dataclasses": {"dataclass", "field"},
    "datetime": {"date", "datetime", "timedelta"},
    "enum": {"Enum"},
    "functools": {"reduce"},
    "json": {"JSONDecodeError", "dumps", "loads"},
    "re": {"sub"},
    "xml.etree.ElementTree": {"fromstring"},
}

GOOD = """
import json, re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from functools import reduce
import asyncio

@dataclass
class Patient:
    age: int
    tags: list[str] = field(default_factory=list)

class Kind(Enum):
    A = 1

async def wait(state):
    await asyncio.sleep(1)
    return state

def main(state):
    text = json.dumps([Patient(1, tags=["a"]).age + 1, Kind.A.value])
    total = reduce(lambda a, b: a + b, [1, 2])
    when = datetime.now() - timedelta(days=1)
    match total:
        case 3:
            text += re.sub("a", "b", f"{when:%d}")
    return {**state, "x": ET.fromstring("<a/>").tag, "n": Counter(text).most_common(1)}
"""

BAD = [
    ("import os", "os"),
    ("import subprocess, json", "subprocess"),
    ("from pathlib import Path", "pathlib"),
    ("import sys; sys.exit()", "exit"),
    ("open('x')", "open"),
    ("eval('1')", "eval"),
    ("exit()", "exit"),
    ("import json; json.load(1)", "load"),
    ("import json; json.codecs", "codecs"),
    ("import datetime; datetime.sys", "sys"),
    ("from functools import update_wrapper", "update_wrapper"),
    ("import xml.etree.ElementTree as e; e.parse('x')", "parse"),
    ("import collections.abc; collections.abc.nope", "nope"),
    ("'a'.nope()", "nope"),
    ("len(1)", "len"),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The library, written once."""
    target = tmp_path_factory.mktemp("stubs") / "typeshed"
    write_library(
        target,
        builtins=frozenset({"len", "print", "isinstance"}),
        modules={name: frozenset(names) for name, names in MODULES.items()},
        prelude="state: Any\n",
    )
    return target


@pytest.fixture(scope="module")
def complaints(library, tmp_path_factory):
    """The complaints of mypy about both jobs: (file, line, message), in order."""
    jobs = tmp_path_factory.mktemp("jobs")
    (jobs / "good.py").write_text(GOOD + "print(state.data.rows[0])\n")
    (jobs / "bad.py").write_text("\n".join(text for text, _ in BAD))
    command = [sys.executable, "-m", "mypy", "--custom-typeshed-dir", str(library)]
    command += ["--no-site-packages", "--check-untyped-defs", "--config-file="]
    command += ["--cache-dir", os.devnull, "--python-version", "3.11"]
    done = subprocess.run(
        [*command, "good.py", "bad.py"],
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
def test_a_good_job_has_nothing_to_complain_about(complaints):
    """The job has allowed modules, special forms that checkers know by name, and free `state`."""
    assert [complaint for complaint in complaints if complaint[0] != "bad.py"] == []


def test_everything_refused_is_flagged_in_its_line(complaints):
    """Each line gives one complaint, whose message names the refused part."""
    messages = {line: text for file, line, text in reversed(complaints) if file == "bad.py"}
    assert sorted(messages) == list(range(1, len(BAD) + 1)), complaints
    for line, (text, name) in enumerate(BAD, 1):
        assert f'"{name}"' in messages[line], (text, messages[line])


IMPORTS = [
    "import os\nimport os.path as way, json\n\nx: os.PathLike[str]\n",
    "from collections import (\n    abc,\n    deque as line,\n)\nfrom json import loads\n",
    "if sys.version_info >= (3, 12):\n    from os import name\nelse:\n    import os\n",
    "def f(text: str = '\u00e9'): ...\nimport os  # (ours\nimport json\n",
    "from os import \\\n    name\nimport os; import json\n",
    'x = """\nimport os\n"""\nimport json\n',
    "if True: import os\nimport json\n",
    "from os import (  # all (or most)\n    name,\n)\n",
    "# import os\nimport json\n",
]


@pytest.mark.parametrize("source", IMPORTS)
def test_imports_are_rewritten_as_in_the_whole_tree(source):
    """It makes no difference whether the lines with imports are read alone or with all others."""
    whole = [place[:2] for place in _places(source.encode())]
    quick = _quick_places(source.encode())
    assert quick is None or [place[:2] for place in quick] == whole
    text, found = hide_imports(source)
    assert whole
    assert found
    wanted = {hidden(name) for name in found}
    names = [
        alias.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import)
        for alias in node.names
    ]
    names += [node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    assert set(names) == wanted


def test_most_files_of_the_standard_library_are_read_quickly():
    """Only their lines with imports are parsed."""
    files = list(find_typeshed().stdlib.glob("*.pyi"))
    quick = [file for file in files if _quick_places(file.read_bytes()) is not None]
    assert len(quick) > 0.9 * len(files)


SOURCE = '''
"""Verbs."""

from __future__ import annotations

import logging
from typing import TypeVar

T = TypeVar("T")
Alias = dict[str, T]
__all__ = ["verb", "Thing"]
logger = logging.getLogger("x")
LIMIT: int = compute()

def verb(path: str, *rest: T, size: int = 3, mode=object()) -> Alias:
    """Do it."""
    if path:
        raise ValueError
    return {}

class Thing:
    """A thing."""

    size: int
    kind = "x"

    def __init__(self, name: str) -> None:
        self.name = name
        self.count: int = 0
        self.size = 1

if True:
    async def later(): return 1
else:
    later = None
for one in (): pass
'''

STUB = '''"""Verbs."""
from typing import Any as _Any
import logging
from typing import TypeVar
T = TypeVar('T')
Alias = dict[str, T]
__all__ = ['verb', 'Thing']
logger: _Any
LIMIT: int

def verb(path: str, *rest: T, size: int=3, mode=...) -> Alias:
    """Do it."""
    ...

class Thing:
    """A thing."""
    name: _Any
    count: int
    size: int
    kind: _Any

    def __init__(self, name: str) -> None:
        ...
if True:

    async def later():
        ...
else:
    later: _Any
'''


def test_a_stub_has_signatures_and_no_bodies():
    """The stub has the facts on which a reader may rely, and nothing else."""
    assert to_stub(SOURCE, filename="verbs.py") == STUB


LIBRARIES = '''
import ssl
import httpx
from dataclasses import dataclass
from typing import Any, TYPE_CHECKING
from .inner import Kept, Passed, Quoted, Unused
from . import beta as alias, gamma

def verb(value: Kept, other: "Quoted") -> Any:
    """Unused is only a word here."""
    return httpx.get(value)

@_decorate
def decorated() -> None: ...

def _decorate(function): ...

def _hidden(client: httpx.Client) -> ssl.SSLContext: ...
'''


def test_a_stub_for_a_checker_leaves_out_what_only_bodies_use():
    """The libraries of an adaptor would bring everything that they import."""
    stub = to_stub(LIBRARIES, filename="verbs.py", passed_on=frozenset({"Passed", "gamma"}))

    lines = [line for line in stub.splitlines() if "import" in line and "_Any" not in line]
    assert lines == [
        "from typing import Any",
        "from .inner import Kept, Passed, Quoted",
        "from . import gamma",
    ]
    assert "def _decorate" in stub
    assert "_hidden" not in stub


@pytest.mark.parametrize(
    ("text", "is_package", "found"),
    [
        ("from .inner import A, B as C", True, {("pack.inner", "A"), ("pack.inner", "B")}),
        ("from .inner import A", False, {("inner", "A")}),
        ("from . import a", True, {("pack", "a")}),
        ("from json import loads", True, {("json", "loads")}),
        ("def f():\n    from .late import D", True, {("pack.late", "D")}),
        ("import os", True, set()),
    ],
)
def test_imports_are_found_with_the_module_that_has_the_name(text, is_package, found):
    """A relative import means a module of the same package."""
    assert imported_names(text, module="pack", is_package=is_package) == found
