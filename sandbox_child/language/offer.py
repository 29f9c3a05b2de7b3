"""Everything that a job may use without an adaptor, for `jobcell stubs`: no run needs this file."""

from __future__ import annotations

from sandbox_child.language.facades import Facades
from sandbox_child.language.guards import Guards
from sandbox_child.language.scope import condition_scope


def allowed_names() -> tuple[frozenset[str], dict[str, frozenset[str]]]:
    """Return which built-in names a job has, and what it gets of each standard module.

    The answer comes from the sandbox itself, so only one list has to be kept.
    """
    scope = condition_scope(language=True)  # the built-ins of a job are the same
    facades = Facades(Guards(scope), scope, lambda _level, _message: None)
    modules = {
        name: frozenset(public for public in vars(facades.get(name)) if public[0] != "_")
        for name in facades.names()
    }
    return frozenset(scope["__builtins__"]), modules
