"""A child starts with a fixed command and environment, and may read only the files that it needs."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from engine.confinement import interpreter
from engine.confinement.libraries import libraries, needed


def test_the_environment_of_a_child_holds_only_limits():
    """The child gets no variable of the manager; libraries read from it to have one arena and one thread."""
    assert interpreter.CHILD_ENVIRONMENT == {
        "MALLOC_ARENA_MAX": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def test_the_command_is_isolated():
    """The command turns off site-packages, environment variables and the directory of the user."""
    command = interpreter.child_command()

    assert command[1:4] == ["-I", "-u", "-S"]
    assert command[4].endswith("/sandbox_child/__main__.py")
    assert [pair.split("=")[0] for pair in command[5:]] == list(interpreter.PACKAGES)
    assert all(Path(pair.split("=")[1]).is_dir() for pair in command[5:])


def test_a_child_finds_the_four_packages_and_no_other():
    """The packages may be installed in one directory with all the packages of the manager."""
    source = """
import os, sys
pairs = sys.argv[1:]
sys.path.insert(0, dict(p.split("=", 1) for p in pairs)["sandbox_child"])
import finder
del sys.path[0]
finder.install(pairs)
import msgspec, protocol.plan, sandbox_child.finder, RestrictedPython.transformer
assert not hasattr(RestrictedPython, "compile_restricted")
for name in ("engine", "jobcell", "psutil", "pytest", "pip"):
    try:
        __import__(name)
    except ImportError:
        continue
    sys.exit(f"{name} was found")
"""
    command = interpreter.child_command()
    done = subprocess.run(
        [*command[:4], "-c", source, *command[5:]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_no_directory_of_installed_packages_is_readable():
    """The standard library is readable, but a site-packages directory inside of it is hidden."""
    readable, hidden = interpreter.readable(), interpreter.hidden()
    stdlib = os.path.realpath(sysconfig.get_path("stdlib"))

    assert stdlib in readable
    for path in readable:
        assert not path.endswith(("site-packages", "dist-packages"))
        assert Path(path).exists()
    for name in ("site-packages", "dist-packages"):
        inside = Path(stdlib, name)
        assert not inside.is_dir() or str(inside) in hidden


def test_no_secret_directory_of_the_machine_is_readable():
    """Certificates are readable; private keys, home directories, /proc and the rest are hidden."""
    for path in interpreter.readable():
        for private in ("/etc/ssl/private", "/root", "/home", "/proc", "/sys", "/etc", "/var", "/"):
            assert path != private
            assert not private.startswith(path.rstrip("/") + "/") or private == "/"


def test_needed_libraries_of_an_extension_are_found():
    """The result for the ssl module is the same as the output of `ldd`."""
    import _ssl

    names = needed(Path(_ssl.__file__))
    said = subprocess.run(
        ["ldd", _ssl.__file__], capture_output=True, text=True, check=False
    ).stdout

    assert names
    assert all(name in said for name in names)
    found = {Path(path).name for path in libraries([Path(_ssl.__file__)])}
    assert {name for name in names if name.startswith(("libssl", "libcrypto"))} <= found


def test_a_file_that_is_no_library_needs_nothing(tmp_path):
    """Text files, empty files, truncated libraries and missing files have an empty list of needs."""
    import _ssl

    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "cut").write_bytes(Path(_ssl.__file__).read_bytes()[:100])

    for name in ("text", "empty", "cut", "missing"):
        assert needed(tmp_path / name) == []


def test_only_the_needed_parts_of_a_library_are_read(tmp_path):
    """The first run of a program waits for this, and the library of Python has 23 MB."""
    import _ssl

    huge = tmp_path / "huge"
    huge.write_bytes(Path(_ssl.__file__).read_bytes())
    os.truncate(huge, 1 << 40)

    assert needed(huge) == needed(Path(_ssl.__file__))


def test_libraries_of_a_screen_or_a_network_are_left_out():
    """A child does not run at a terminal, so it does not need these libraries."""
    names = {Path(path).name for path in interpreter.readable()}

    assert not {name for name in names if name.startswith(("libX", "libtk", "libreadline"))}


@pytest.mark.slow
def test_finding_it_all_takes_no_import_of_the_child():
    """The engine finds all of these without an import of the child's code."""
    source = (
        "import sys; from engine.confinement import interpreter as i; i.readable(); i.child_command();"
        "assert not any(n.startswith(('sandbox_child', 'RestrictedPython')) for n in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", source], check=True)
