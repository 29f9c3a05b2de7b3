"""Run other people's workflow code: every name of `engine`, and the command `jobcell`.

Raises:
    ImportError: Another module called ``engine`` or ``protocol`` comes first on the import path.

"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobcell import interrupts


def _check_engine() -> None:
    """Check that ``engine`` is the package beside this one; `engine` checks the others itself."""
    spec = importlib.util.find_spec("engine")  # does not run it
    found = None if spec is None or spec.origin is None else Path(spec.origin)
    ours = Path(__file__).parent.parent / "engine" / "__init__.py"
    if found is not None and not found.samefile(ours):
        raise ImportError(
            f"jobcell found {found} in place of its own package 'engine' ({ours.parent});"
            " rename that file, or put its directory later in sys.path",
            name="engine",
            path=str(found),
        )


interrupts.hold()
_check_engine()

import engine as _engine
from engine import *  # noqa: F403 - all of it
from engine import __version__ as __version__

if TYPE_CHECKING:
    from jobcell.store import RunConflictError as RunConflictError
    from jobcell.store import RunInfo as RunInfo
    from jobcell.store import RunNotOverError as RunNotOverError
    from jobcell.store import Store as Store
    from jobcell.store import StoreDamagedError as StoreDamagedError
    from jobcell.store import StoreError as StoreError
    from jobcell.store import StoreKeyError as StoreKeyError
    from jobcell.store import StoreRun as StoreRun
    from jobcell.store import StoreStatus as StoreStatus
    from jobcell.store import StoreUnavailableError as StoreUnavailableError
    from jobcell.store import StoreUrlError as StoreUrlError
    from jobcell.store import StoreVersionError as StoreVersionError
    from jobcell.store import TenantCounts as TenantCounts
    from jobcell.store import UnknownRunError as UnknownRunError
    from jobcell.store import WorkerInfo as WorkerInfo
    from jobcell.worker import Worker as Worker

__all__: list[str] = []
__all__ += _engine.__all__  # a form that type checkers understand

_OF_STORE = frozenset(
    (
        "RunConflictError",
        "RunInfo",
        "RunNotOverError",
        "Store",
        "StoreDamagedError",
        "StoreError",
        "StoreKeyError",
        "StoreRun",
        "StoreStatus",
        "StoreUnavailableError",
        "StoreUrlError",
        "StoreVersionError",
        "TenantCounts",
        "UnknownRunError",
        "WorkerInfo",
        "Worker",
    )
)
"""Names that are imported at their first use: a store takes packages of an extra, and half a second.
They are not in `__all__`, because ``from jobcell import *`` must not need an extra."""


def __getattr__(name: str) -> Any:
    if name not in _OF_STORE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = "jobcell.worker" if name == "Worker" else "jobcell.store"
        room = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in {"jobcell", "engine", "protocol"}:
            raise
        raise ImportError(
            f"jobcell.{name} needs more packages ({error.name!r} is missing):"
            " pip install 'jobcell[store]'",
            name=error.name,
        ) from None
    value = globals()[name] = getattr(room, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_OF_STORE})
