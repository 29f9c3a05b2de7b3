"""Decides which modules a step may import, and how it sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from sandbox_child.language.guards import JobImportError
from sandbox_child.linker import table, worlds
from sandbox_child.linker.failure import describe
from sandbox_child.linker.realm import Realm
from sandbox_child.linker.records import Log
from sandbox_child.linker.view import make_view, public_names

if TYPE_CHECKING:
    from protocol.adaptor import AdaptorLink
    from protocol.words import LogLevel


class Warm(Protocol):
    """The adaptors that were imported before the run."""

    def take(self, link: AdaptorLink) -> Realm | None:
        """Return the realm of an adaptor, and replay its import; None if it was not imported."""

    def ready(self, link: AdaptorLink) -> StepLinks | None:
        """Return, once, what a step that has this adaptor only may import; None if it was not made."""


class Linker:
    """All adaptors that a run may use; each is imported once, at its first use.

    Args:
        links: Every version that a step may have.  A step that imports a module without naming its
            adaptor gets the first version of several with that name.
        whitelist: Regular expressions.  A job may import a module of another adaptor than its own
            only if `re.search` finds one of them in its name.  None admits all modules.
        log: Takes ``(level, source, message)`` from adaptors.
        log_level: The least important level of lines that adaptors write through `logging` and
            `warnings`.
        warm: The adaptors that were imported before the run.

    """

    def __init__(
        self,
        links: Sequence[AdaptorLink],
        *,
        whitelist: Sequence[str] | None,
        log: Log,
        log_level: LogLevel = "warning",
        warm: Warm | None = None,
    ) -> None:
        self._links = {f"{link.name}@{link.version}": link for link in links}
        self._log = log
        self._log_level = log_level
        self._warm = warm
        self._realms: dict[str, Realm] = {}
        newest: dict[str, AdaptorLink] = {}
        for link in links:
            if not any(link.name == other.name for other in newest.values()):
                newest.setdefault(link.module, link)
        self._admitted = {
            module: link for module, link in newest.items() if _admits(whitelist, module)
        }

    @property
    def prefixes(self) -> dict[str, str]:
        """For each directory, the ``name@version`` of its frames; narrower directories first."""
        narrow = {f"{link.path}/{link.module}": label for label, link in self._links.items()}
        return {**narrow, **{link.path: label for label, link in self._links.items()}}

    def versions(self) -> dict[str, list[str]]:
        """Return the versions that were imported, by name."""
        versions: dict[str, list[str]] = {}
        for label in self._realms:
            name, _, version = label.rpartition("@")
            versions.setdefault(name, []).append(version)
        return versions

    def flush(self) -> None:
        """Write out unfinished lines that adaptors have printed."""
        for realm in self._realms.values():
            realm.printer.flush()

    def warm_up(self, link: AdaptorLink) -> tuple[Realm, StepLinks]:
        """Import an adaptor without a step; return its realm, and what a step that has it may import.

        Raises:
            JobImportError: It cannot be imported.

        """
        label = f"{link.name}@{link.version}"
        links = self.step((label,))
        return self._realms[label], links

    def step(self, adaptors: Sequence[str]) -> StepLinks:
        """Import the adaptors of a step.

        Args:
            adaptors: The adaptors as ``name@version``, in the order in which their names are in
                scope.

        Raises:
            JobImportError: An adaptor is unknown or broken.

        """
        own: dict[str, AdaptorLink] = {}
        for label in adaptors:
            link = self._links.get(label)
            if link is None:
                raise JobImportError(f"adaptor {label} was not linked into this run")
            own.setdefault(link.module, link)
        table.begin_step()
        ready = None
        if self._warm is not None and len(own) == 1:
            ready = self._warm.ready(next(iter(own.values())))
        return StepLinks(own, {**self._admitted, **own}, self._load, ready)

    def _load(self, link: AdaptorLink, name: str) -> ModuleType:
        """Import a module of an adaptor's realm."""
        label = f"{link.name}@{link.version}"
        realm = self._realms.get(label)
        if realm is None:
            taken = None if self._warm is None else self._warm.take(link)
            realm = self._realms[label] = taken or Realm(link, self._log, self._log_level)
        table.use(realm)
        loaded = realm.modules.get(name)
        if loaded is not None:
            return loaded
        try:
            return realm.load(name)
        except MemoryError:
            raise
        except ModuleNotFoundError as error:
            if error.name == name and name != link.module:
                raise JobImportError(f"adaptor {label} has no module {name!r}", name=name) from None
            raise describe(label, link.path, error) from error
        except BaseException as error:
            raise describe(label, link.path, error) from error
        finally:
            worlds.leave()


class StepLinks:
    """Modules that a step may import, and names that it has without import.

    Attributes:
        in_scope: The public names of the step's adaptors, and the adaptors themselves by their
            import names; the first adaptor wins.
        execute: The ``execute`` of the first adaptor that exports it.

    """

    def __init__(
        self,
        own: dict[str, AdaptorLink],
        links: dict[str, AdaptorLink],
        load: Callable[[AdaptorLink, str], ModuleType],
        ready: StepLinks | None = None,
    ) -> None:
        self._links = links
        self._load = load
        self._views: dict[str, ModuleType] = {}
        self.in_scope: dict[str, object] = {}
        self.execute: Callable[..., Any] | None = None
        if ready is not None:
            for module, link in own.items():
                load(link, module)
            self._views = ready._views  # noqa: SLF001 - another object of this class
            self.in_scope, self.execute = ready.in_scope, ready.execute
            return
        for module, link in own.items():
            view = self._view(link, module)
            for name in public_names(load(link, module)):
                if name not in self.in_scope:
                    value = getattr(view, name, None)
                    if value is not None or hasattr(view, name):
                        self.in_scope[name] = value
        for module in own:
            top = module.partition(".")[0]
            found = self.resolve_import(top)
            if found is not None:
                self.in_scope.setdefault(top, found)
        execute = self.in_scope.get("execute")
        if callable(execute):
            self.execute = execute

    def importable(self) -> list[str]:
        """Return the names of modules that the step may import."""
        return sorted(self._links)

    def resolve_import(self, name: str) -> ModuleType | None:
        """Return the view of a module, or None if the step may not have it.

        Raises:
            JobImportError: The step may have it, but the module is broken, or its adaptor lacks it.

        """
        parts = name.split(".")
        for length in range(len(parts), 0, -1):
            link = self._links.get(".".join(parts[:length]))
            if link is not None:
                if any(part.startswith("_") for part in parts[length:]):
                    raise JobImportError(f"{name!r} is private to its adaptor", name=name)
                if length < len(parts):
                    self._check_submodule(link, name)
                return self._view(link, name)
        for link in self._links.values():
            if link.module.startswith(f"{name}."):
                return self._parent(name)
        return None

    def _view(self, link: AdaptorLink, name: str) -> ModuleType:
        view = self._views.get(name)
        if view is None:
            module = self._load(link, name)

            def submodule(last: str) -> ModuleType | None:
                if "__path__" not in module.__dict__:
                    return None
                try:
                    return self._view(link, f"{name}.{last}")
                except JobImportError as error:
                    if error.name == f"{name}.{last}":
                        return None
                    raise

            view = self._views[name] = make_view(f"{name}@{link.version}", module, submodule)
        return view

    def _check_submodule(self, link: AdaptorLink, name: str) -> None:
        """Refuse to import a submodule that would replace a verb of the same name."""
        package, _, last = name.rpartition(".")
        taken = self._load(link, package).__dict__.get(last, None)
        if taken is not None and not isinstance(taken, ModuleType):
            raise JobImportError(f"{name!r} is not a module", name=name)

    def _parent(self, name: str) -> ModuleType:
        """Return the view of a package that exists only because adaptors are in it."""
        view = self._views.get(name)
        if view is None:
            view = self._views[name] = make_view(
                f"{name}@", None, lambda last: self.resolve_import(f"{name}.{last}")
            )
        return view


def _admits(whitelist: Sequence[str] | None, module: str) -> bool:
    if whitelist is None:
        return True
    import re

    return any(re.search(pattern, module) for pattern in whitelist)
