"""The import statement of a job: it looks in the repo, then among the facades, then refuses."""

from __future__ import annotations

import builtins
import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sandbox_child.language.guards import JobImportError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sandbox_child.language.facades import Facades

    Resolve = Callable[[str], ModuleType | None]

__all__ = ["make_importer", "make_open_importer"]

_MAX_LISTED = 60


def make_importer(
    resolve_import: Resolve, importable: Callable[[], Sequence[str]], facades: Facades
) -> Callable[..., Any]:
    """Return the ``__import__`` of a scope.

    It raises JobImportError for modules that a job may not import, and for names that a module does
    not offer.  The message lists the allowed ones.
    """

    def find(name: str) -> ModuleType:
        module = resolve_import(name)
        if module is None:
            module = facades.get(name)
        if module is None:
            raise _refusal(name, [*importable()], facades.names())
        return module

    def importer(
        name: str,
        globals: Any = None,  # noqa: A002, ARG001 - the interpreter's own names
        locals: Any = None,  # noqa: A002, ARG001 - as above
        fromlist: Any = (),
        level: int = 0,
    ) -> Any:
        if type(fromlist) is list:
            # An import statement passes a tuple.  A list comes from C code that the job has called
            # (datetime.strptime loads _strptime), which takes the module from sys.modules.
            return importlib.import_module(name)
        if level:
            raise JobImportError("a job is not part of a package: relative imports lead nowhere")
        if type(name) is not str:
            raise JobImportError("the name of a module must be a string")
        module = find(name)
        if fromlist:
            _check_names(name, module, fromlist, find)
            return module
        top, dot, _ = name.partition(".")
        return find(top) if dot else module

    return importer


def make_open_importer(resolve_import: Resolve) -> Callable[..., Any]:
    """Return the ``__import__`` of a scope without the language wall."""

    def importer(
        name: str,
        globals: Any = None,  # noqa: A002 - the interpreter's own names
        locals: Any = None,  # noqa: A002 - as above
        fromlist: Any = (),
        level: int = 0,
    ) -> Any:
        if not level and type(fromlist) is not list:
            module = resolve_import(name)
            if module is not None:
                top = name.partition(".")[0]
                return module if fromlist or top == name else resolve_import(top)
        return builtins.__import__(name, globals, locals, fromlist, level)

    return importer


def _check_names(
    module_name: str, module: ModuleType, names: Sequence[str], find: Callable[[str], ModuleType]
) -> None:
    for name in names:
        if name in module.__dict__ or name == "*":
            continue
        try:
            find(f"{module_name}.{name}")
        except JobImportError:
            pass
        else:
            continue
        if hasattr(module, name):  # a view makes its attributes at their first use
            continue
        beside = _adaptor_beside(module_name, name, find)
        if beside is not None:
            raise JobImportError(
                f"{name!r} is not in the standard module {module_name!r}, but in the adaptor: write"
                f" `from {beside} import {name}`",
                name=module_name,
            )
        offered = sorted(name for name in dir(module) if name[:1] != "_")
        raise JobImportError(
            f"cannot import {name!r} from {module_name!r} in a job"
            f"{_nearest(name, offered)}; it offers: {_listed(offered)}",
            name=module_name,
        )


def _adaptor_beside(module_name: str, name: str, find: Callable[[str], ModuleType]) -> str | None:
    """Return the module of an adaptor whose own name is that of a standard module, if it has *name*.

    The module of the adaptor `http` is called `http_`.
    """
    try:
        module = find(f"{module_name}_")
    except JobImportError:
        return None
    return f"{module_name}_" if hasattr(module, name) else None


def _refusal(name: str, adaptors: list[str], standard: list[str]) -> JobImportError:
    ours = "jobcell_context"  # it is among the names, and is not a standard module
    allowed = f"standard modules: {_listed([module for module in standard if module != ours])}"
    if adaptors:
        allowed = f"adaptors: {_listed(sorted(adaptors))}; {allowed}"
    nearest = _nearest(name, adaptors + standard)
    return JobImportError(
        f"module {name!r} cannot be imported in a job{nearest}; allowed are {allowed}"
        "; and jobcell_context",
        name=name,
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MAX_LISTED
    shown = ", ".join(names[:_MAX_LISTED])
    return f"{shown} and {more} more" if more > 0 else shown or "nothing"


def _nearest(name: str, names: Sequence[str]) -> str:
    from protocol.suggestion import NEAR_AMONG_FEW, nearest  # only for a message

    near = nearest(name, names, NEAR_AMONG_FEW)
    return f"; did you mean {near!r}?" if near else ""
