"""The interpreter of a child: its command line, and the files that it must be able to read."""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from engine.confinement.certificates import certificates, settings
from engine.confinement.libraries import libraries, needed

CHILD_ENVIRONMENT: Final = {
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""The whole environment of a child.  With one arena, threads do not reserve 64 MB of address space
each.  Without the other two, numpy starts a thread for each processor when it is imported."""

PACKAGES: Final = ("protocol", "sandbox_child", "msgspec", "RestrictedPython")
"""Packages that a child can import besides the standard library."""

HIDDEN: Final = ("site-packages", "dist-packages", "ensurepip", "idlelib", "test", "turtledemo")
"""Directories inside a standard library that do not belong to it, or that jobs do not need."""

INTERACTIVE: Final = ("_curses", "_test", "_tkinter", "nis", "readline", "xx")
"""Extension modules for a terminal, for a network service, or for Python's own tests; their
libraries are not looked up."""

HARMLESS_FILES: Final = (
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/etc/ld.so.cache",
    "/etc/localtime",
    # hashlib reads the settings of OpenSSL.
    "/etc/pki/tls/openssl.cnf",
    "/etc/ssl/openssl.cnf",
    "/usr/lib/ssl/openssl.cnf",
    "/usr/share/zoneinfo",
    # mimetypes opens each of these that exists, and an error reaches its user.
    "/etc/apache/mime.types",
    "/etc/apache2/mime.types",
    "/etc/httpd/conf/mime.types",
    "/etc/httpd/mime.types",
    "/etc/mime.types",
    "/usr/local/etc/httpd/conf/mime.types",
    "/usr/local/etc/mime.types",
    "/usr/local/lib/netscape/mime.types",
)
"""Files that libraries open by name, and that contain only what every machine has."""

PRIVATE_NETWORK_FILES: Final = (
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
)
"""Files that are needed to look up a host in a private network."""

NETWORK_FILES: Final = (*PRIVATE_NETWORK_FILES, "/etc/hosts", "/etc/nsswitch.conf")
"""The same for a run in the network of the machine.  They are left out of a private network: there the
relay must be asked for every name, because only then it knows the name of a connection."""


def network_files(*, private: bool = False, ca_file: str = "") -> tuple[str, ...]:
    """Return the files that a run with a network permission may read to find and verify hosts.

    Args:
        private: Whether the run has a network of its own.
        ca_file: The authorities that the run trusts; empty for those of this machine.

    """
    trusted = (ca_file, *settings()) if ca_file else certificates()
    return (*(PRIVATE_NETWORK_FILES if private else NETWORK_FILES), *trusted)


def child_command() -> list[str]:
    """Return the command line of a child.

    ``-I -S``: no environment variables, no user or site packages, no directory of the script on the
    module path.  ``-u``: neither Python nor the C library holds back text for a standard stream, so
    a child that dies does not lose any of it (``config_init_stdio`` of CPython).  The packages
    follow as ``name=directory``; see ``sandbox_child.finder``.
    """
    return _command("__main__.py")


def probe_command() -> list[str]:
    """Return the command line of a child that only tries to put on each layer."""
    return _command("confine/__main__.py")


def debug_command() -> list[str]:
    """Return the command line of a child that runs a step in a debugger."""
    return _command("debugger/__main__.py")


def relay_command() -> list[str]:
    """Return the command line of the process that carries the network traffic of runs."""
    directory = _package_directory("engine")
    return [*_interpreter(f"{directory}/network/relay/__main__.py"), f"engine={directory}"]


def _command(script: str) -> list[str]:
    return _interpreter(f"{_package_directory('sandbox_child')}/{script}")


def _interpreter(path: str) -> list[str]:
    return [_executable(), "-I", "-u", "-S", path, *package_arguments()]


def package_arguments() -> list[str]:
    """Return ``name=directory`` for each package of the child."""
    return [f"{name}={_package_directory(name)}" for name in PACKAGES]


@functools.cache
def readable() -> tuple[str, ...]:
    """Return the directories and files that every child may read; found once for a process."""
    standard = sorted(_standard_library())
    extensions = [
        file
        for directory in standard
        for file in Path(directory, "lib-dynload").glob("*.so")
        if not file.name.startswith(INTERACTIVE)
    ]
    extensions += Path(_package_directory("msgspec")).glob("*.so")
    own = Path(_executable())
    shared = str(sysconfig.get_config_var("LIBDIR") or "/usr/lib")
    library = str(sysconfig.get_config_var("INSTSONAME") or "")
    loaded = libraries(
        extensions,
        loaded=[*needed(own), *needed(Path(shared, library)), library, *_LINKERS],
        directories=[shared],
    )
    packages = [_package_directory(name) for name in PACKAGES]
    candidates = [*standard, *packages, *loaded, *HARMLESS_FILES]
    return tuple(path for path in dict.fromkeys(candidates) if Path(path).exists())


@functools.cache
def hidden() -> tuple[str, ...]:
    """Return directories below those of `readable` that must not be read."""
    return tuple(
        path
        for directory in sorted(_standard_library())
        for name in HIDDEN
        if Path(path := f"{directory}/{name}").is_dir()
    )


_LINKERS: Final = ("ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1")


def _executable() -> str:
    # In a virtual environment, the interpreter that it was made from: it needs no files beside
    # itself.
    return getattr(sys, "_base_executable", None) or sys.executable


def _standard_library() -> set[str]:
    # A virtual environment has no standard library of its own, though sysconfig names a
    # "platstdlib".
    base = {"installed_base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    named = [sysconfig.get_path(name, vars=base) for name in ("stdlib", "platstdlib")]
    # Both the name and the real path: a child may find its library through a symbolic link.
    return {*named, *map(os.path.realpath, named)}


@functools.cache
def _package_directory(name: str) -> str:
    """Return the directory of a package without importing the package."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the child needs the package {name!r}, which is not installed")
    return os.path.realpath(next(iter(spec.submodule_search_locations)))
