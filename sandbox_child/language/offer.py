"""The names that a job may use without an adaptor, for `jobcell stubs`; runs do not need it."""

from __future__ import annotations

from sandbox_child.language.facades import Facades
from sandbox_child.language.guards import Guards
from sandbox_child.language.scope import condition_scope


def allowed_names() -> tuple[frozenset[str], dict[str, frozenset[str]]]:
    """Return the built-in names of a job, and the names that it gets of each standard module.

    The answer comes from the sandbox itself, so only one list has to be kept.
    """
    scope = condition_scope(language=True)  # the built-ins of a job are the same
    facades = Facades(Guards(scope), scope, lambda _level, _message: None)
    modules = {
        name: frozenset(public for public in vars(facades.get(name)) if public[0] != "_")
        for name in facades.names()
    }
    return frozenset(scope["__builtins__"]), modules
