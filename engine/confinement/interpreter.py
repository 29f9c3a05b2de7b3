"""The interpreter of a child: how it is called, and which files it must be able to read."""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from engine.confinement.certificates import certificates
from engine.confinement.libraries import libraries, needed

CHILD_ENVIRONMENT: Final = {"MALLOC_ARENA_MAX": "1"}
"""All of it.  With one arena, threads do not reserve 64 MB of address space each."""

ZYGOTE_ENVIRONMENT: Final = {**CHILD_ENVIRONMENT, "LD_BIND_NOW": "1"}
"""All of a zygote's: what the linker looks up when a function is first called, it looks up once and
not in every fork.  Source: ld.so(8)."""

PACKAGES: Final = ("protocol", "sandbox_child", "msgspec", "RestrictedPython")
"""The packages that a child finds besides the standard library."""

HIDDEN: Final = ("site-packages", "dist-packages", "ensurepip", "idlelib", "test", "turtledemo")
"""Directories of a standard library that are not it, or that no job needs."""

INTERACTIVE: Final = ("_curses", "_test", "_tkinter", "nis", "readline", "xx")
"""Extension modules that are for a person at a terminal, for a network, or for Python's own tests;
what they need is not looked up."""

HARMLESS_FILES: Final = (
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/etc/ld.so.cache",
    "/etc/localtime",
    # hashlib reads the settings of OpenSSL, too.
    "/etc/pki/tls/openssl.cnf",
    "/etc/ssl/openssl.cnf",
    "/usr/lib/ssl/openssl.cnf",
    "/usr/share/zoneinfo",
    # mimetypes opens every one that exists, and lets the refusal through to its user.
    "/etc/apache/mime.types",
    "/etc/apache2/mime.types",
    "/etc/httpd/conf/mime.types",
    "/etc/httpd/mime.types",
    "/etc/mime.types",
    "/usr/local/etc/httpd/conf/mime.types",
    "/usr/local/etc/mime.types",
    "/usr/local/lib/netscape/mime.types",
)
"""What libraries open by name, and what holds nothing but what every machine has."""

NETWORK_FILES: Final = (
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
)
"""What looking up a host needs; only with a network permission."""


def network_files() -> tuple[str, ...]:
    """Return what a run with a network permission may read: to find a host, and to verify it."""
    return (*NETWORK_FILES, *certificates())


def child_command() -> list[str]:
    """Return the command line of a child.

    ``-I -S``: no environment variables, no user or site packages, no directory of the script on
    the module path.  ``-u``: nothing that is written to a standard stream is kept back, neither by Python
    nor by the C library (``config_init_stdio`` of CPython), so a child that dies loses none of it.  The packages follow as ``name=directory``; see ``sandbox_child.finder``.
    """
    return _command("__main__.py")


def probe_command() -> list[str]:
    """Return the command line of a child that only tries which layers it can put on."""
    return _command("confine/__main__.py")


def _command(script: str) -> list[str]:
    path = f"{_package_directory('sandbox_child')}/{script}"
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
    """Return directories inside of `readable` ones that are not to be read."""
    return tuple(
        path
        for directory in sorted(_standard_library())
        for name in HIDDEN
        if Path(path := f"{directory}/{name}").is_dir()
    )


_LINKERS: Final = ("ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1")


def _executable() -> str:
    # Inside a virtual environment the interpreter proper: it looks for nothing beside itself.
    return getattr(sys, "_base_executable", None) or sys.executable


def _standard_library() -> set[str]:
    # A virtual environment has none of its own, whatever sysconfig says of "platstdlib" there.
    base = {"installed_base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    named = [sysconfig.get_path(name, vars=base) for name in ("stdlib", "platstdlib")]
    # Both as it is named and as it is: a child may find itself by way of a symbolic link.
    return {*named, *map(os.path.realpath, named)}


@functools.cache
def _package_directory(name: str) -> str:
    """Find a package without importing it: the engine never imports the child's code."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the child needs the package {name!r}, which is not installed")
    return os.path.realpath(next(iter(spec.submodule_search_locations)))
