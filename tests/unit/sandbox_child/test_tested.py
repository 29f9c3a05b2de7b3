"""A shortcut that depends on the inside of Python or of the C library is taken only where it was tested."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

from sandbox_child import tested


def version_of(*numbers):
    return SimpleNamespace(implementation=sys.implementation, version_info=numbers, abiflags="")


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    tested.is_tested.cache_clear()
    yield
    monkeypatch.undo()
    tested.is_tested.cache_clear()


@pytest.mark.parametrize("version", sorted(tested.PYTHONS))
def test_the_versions_that_were_tested(version, monkeypatch):
    """The patch level does not matter."""
    monkeypatch.setattr(tested, "sys", version_of(*version, 99))
    monkeypatch.setattr(tested, "_c_library", lambda: "glibc")
    assert tested.is_tested()


@pytest.mark.parametrize(
    "other",
    [
        version_of(3, 10, 9),
        version_of(3, 99, 0),
        SimpleNamespace(**{**vars(version_of(3, 13, 0)), "abiflags": "t"}),
        SimpleNamespace(
            **{**vars(version_of(3, 11, 1)), "implementation": SimpleNamespace(name="pypy")}
        ),
    ],
    ids=["older", "newer", "without the lock", "PyPy"],
)
def test_other_interpreters(other, monkeypatch):
    """An unknown version, build or implementation was not tested."""
    monkeypatch.setattr(tested, "sys", other)
    monkeypatch.setattr(tested, "_c_library", lambda: "glibc")
    assert not tested.is_tested()


def test_another_c_library(monkeypatch):
    """Musl does not know the name, and another library has another one."""

    def refuse(_name):
        raise ValueError("unrecognized configuration name")

    for confstr in (refuse, lambda _name: None, lambda _name: "other 1.0"):
        tested.is_tested.cache_clear()
        monkeypatch.setattr(tested, "os", SimpleNamespace(confstr=confstr))
        assert not tested.is_tested()


def test_this_machine_is_one_of_those():
    """So the tests of the shortcuts test the shortcuts, wherever they are taken."""
    known = sys.implementation.name == "cpython" and sys.version_info[:2] in tested.PYTHONS
    assert tested.is_tested() is (
        known
        and not sys.abiflags
        and "CS_GNU_LIBC_VERSION" in os.confstr_names
        and (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc ")
    )
