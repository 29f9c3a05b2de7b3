"""The child finds a few packages by name, and ignores others beside them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from sandbox_child import finder


@pytest.fixture
def packages(tmp_path):
    """A directory like a site-packages, with a wanted package and an unwanted one."""
    for name in ("wanted", "unwanted", "RestrictedPython"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"loaded = {name!r}\n")
        (tmp_path / name / "part.py").write_text("value = 42\n")
    return tmp_path


def run_with(packages, source, *pairs):
    code = f"""
import sys
sys.path.insert(0, {finder.__file__.rpartition("/")[0]!r})
import finder
del sys.path[0]
finder.install(sys.argv[1:])
{source}
"""
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, *(f"{name}={packages / name}" for name in pairs)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_named_package_is_found_with_its_modules(packages):
    """The package works as if its directory were on the path."""
    done = run_with(
        packages,
        "import wanted.part; print(wanted.loaded, wanted.part.value, wanted.__file__)",
        "wanted",
    )

    assert done.stdout == f"wanted 42 {packages / 'wanted' / '__init__.py'}\n", done.stderr


def test_what_lies_beside_it_is_not_found(packages):
    """The directory itself is not on the import path."""
    done = run_with(packages, "import wanted, unwanted", "wanted")

    assert "No module named 'unwanted'" in done.stderr


def test_a_bare_package_is_not_executed(packages):
    """Its modules can be imported, but its own file is not executed."""
    done = run_with(
        packages,
        "import RestrictedPython.part as part, RestrictedPython as whole\n"
        "print(part.value, hasattr(whole, 'loaded'))",
        "RestrictedPython",
    )

    assert done.stdout == "42 False\n", done.stderr


def test_msgspec_has_all_of_its_c_half_and_the_other_parts_on_demand():
    """An import by name still finds the parts that the child leaves out."""
    directory = Path(msgspec.__file__).parent
    names = sorted(name for name in vars(msgspec._core) if not name.startswith("_"))
    done = run_with(
        directory.parent,
        "import msgspec\n"
        f"print([name for name in {names!r} if not hasattr(msgspec, name)], hasattr(msgspec, 'json'))\n"
        "import msgspec.json\n"
        "class Row(msgspec.Struct):\n    n: int = msgspec.field(default=3)\n"
        "print(msgspec.json.encode(msgspec.structs.replace(Row(1), n=2)), Row())",
        "msgspec",
    )

    assert done.stdout == "[] False\nb'{\"n\":2}' Row(n=3)\n", done.stderr


@pytest.mark.parametrize("argument", ["", "name", "name=", "name=relative", "na-me=/dir", "=/dir"])
def test_an_argument_that_is_no_pair_is_refused(argument):
    """The error says that the command line is wrong."""
    with pytest.raises(ValueError, match="expected name=/directory"):
        finder.install([argument])


def test_datetime_is_what_python_makes_of_it(packages):
    """The classes and their names are the same as in Python."""
    source = (
        "import datetime, _datetime\n"
        "print(sorted(datetime.__all__), [name for name in datetime.__all__"
        " if vars(datetime)[name] is not vars(_datetime)[name]])"
    )
    ours = run_with(packages, source)
    plain = subprocess.run(
        [sys.executable, "-I", "-S", "-c", source], capture_output=True, text=True, check=True
    )

    assert ours.stdout == plain.stdout != "", ours.stderr


def test_a_lazy_module_is_loaded_when_something_else_is_asked_of_it(packages):
    """The answers for uuid are known in advance; any other name loads the whole module."""
    done = run_with(
        packages,
        "import sys, uuid, platform, textwrap\n"
        "print(platform.system(), 're' in vars(platform), hasattr(textwrap, '__file__'))\n"
        "from platform import python_version\n"
        "print(python_version() == sys.version.split()[0], 're' in vars(platform), platform.system())\n"
        "print(textwrap.dedent('  a'), platform is sys.modules['platform'])\n"
        "print(hasattr(platform, 'no_such_name'))",
    )

    system = os.uname().sysname
    assert done.stdout == f"{system} False False\nTrue True {system}\na True\nFalse\n", done.stderr


def test_all_of_a_lazy_module_can_be_had_at_once(packages):
    """A zygote does this, because each of its forks would otherwise load the module."""
    done = run_with(
        packages, "import textwrap\nprint('dedent' in textwrap.__all__, 'wrap' in vars(textwrap))"
    )

    assert done.stdout == "True True\n", done.stderr


def test_threads_that_ask_at_once_all_get_it(packages):
    """A single thread loads the module, and the others wait."""
    done = run_with(
        packages,
        "import platform, threading\n"
        "sys.setswitchinterval(1e-6)\n"
        "gate = threading.Barrier(8)\n"
        "found = []\n"
        "def ask():\n"
        "    gate.wait()\n"
        "    found.append(platform.python_branch())\n"
        "threads = [threading.Thread(target=ask) for _ in range(8)]\n"
        "[one.start() for one in threads]; [one.join() for one in threads]\n"
        "print(found == [platform.python_branch()] * 8, platform.__file__ == platform.__spec__.origin)",
    )

    assert done.stdout == "True True\n", done.stderr
