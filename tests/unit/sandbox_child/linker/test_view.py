"""A job sees public names of an adaptor, and cannot change the adaptor through them."""

from __future__ import annotations

from types import ModuleType

import pytest

from sandbox_child.linker.view import copy_containers, make_view, public_names


def module(source: str) -> ModuleType:
    made = ModuleType("demo", "A demo.")
    exec(source, made.__dict__)
    return made


def view(source: str) -> ModuleType:
    return make_view("demo@1", module(source), lambda name: None)


def test_all_decides_what_is_public():
    """Names of the guards' own hooks stay private, even if an adaptor lists them."""
    made = module("__all__ = ['b', '_getattr_', '__builtins__', 'no name', 3]\na = b = 1")
    assert public_names(made) == ["b"]


def test_without_all_names_without_an_underscore_are_public():
    """Modules that the adaptor has imported for itself stay private."""
    made = module("from __future__ import annotations\nimport os, json as j\na = 1\n_b = 2")
    assert public_names(made) == ["a"]


def test_a_view_refuses_every_change():
    """The error of an assignment and of a deletion says that a module cannot be changed."""
    made = view("a = 1")
    with pytest.raises(AttributeError, match="demo@1 cannot be changed: 'a'"):
        made.a = 2
    with pytest.raises(AttributeError, match="cannot be changed"):
        del made.a
    assert made.a == 1


def test_a_view_gives_copies_of_containers():
    """The copies are deep, so changes of the job stay with the job."""
    real = module("T = {'a': [1, {2}], 'c': (bytearray(b'x'),)}\ndef get(): return T")
    made = make_view("demo@1", real, lambda name: None)
    made.T["a"][1].add(3)
    made.T["c"][0].extend(b"y")
    assert real.get() == {"a": [1, {2}], "c": (bytearray(b"x"),)}
    assert made.T["a"] == [1, {2, 3}]


def test_a_container_that_holds_itself_is_copied():
    """Cycles stay cycles."""
    loop: list[object] = []
    loop.append(loop)
    copied = copy_containers(loop)
    assert copied is not loop
    assert copied[0] is copied


def test_private_names_and_modules_do_not_exist_in_a_view():
    """The error proposes names that exist."""
    made = view("import os\n_secret = 1\nfetch = 2")
    for name in ("_secret", "os", "__spam__"):
        with pytest.raises(AttributeError, match="has no public name"):
            getattr(made, name)
    with pytest.raises(AttributeError, match="did you mean 'fetch'"):
        made.fetsh  # noqa: B018
    assert dir(made) == ["fetch"]
    assert made.__doc__ == "A demo."


def test_names_that_a_module_makes_when_asked_are_found():
    """PEP 562: ``__getattr__`` of the module makes such names."""
    made = view("__all__ = ['late']\ndef __getattr__(name): return name.upper()")
    assert made.late == "LATE"


def test_a_memoised_function_remembers_nothing_that_a_job_did():
    """Otherwise all callers would get the same list."""
    made = view(
        "import functools\n@functools.lru_cache\ndef hits(key):\n    'Doc.'\n    return {key: []}"
    )
    made.hits("k")["k"].append("poison")
    assert made.hits("k") == {"k": []}
    assert (made.hits.__name__, made.hits.__doc__) == ("hits", "Doc.")
