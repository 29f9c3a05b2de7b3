"""The options of a run in a store.

A client may set limits, logging and the part of a plan that runs.  Everything that opens something,
such as the network, files or modules, belongs to the worker, and so does the question which keys of a
credential are public.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from engine.api import LIMITS, PlanError, Problem, RunOptions
from jobcell.store.errors import StoreDamagedError

_LIMITS: Final = (*LIMITS, "cancel_grace_s")
"""Options of which the smaller value holds, that of the client or that of the worker."""

_OF_WORKER: Final = ("modules", "whitelist", "permissions", "public_credential_keys")
_OF_PLAN: Final = ("start", "end")
"""They are written into the plan before it is stored."""


def pack_options(options: RunOptions | None) -> bytes | None:
    """Return the column ``options`` of a run: the options that differ from the defaults.

    Raises:
        PlanError: An option belongs to the worker.

    """
    if options is None:
        return None
    usual = RunOptions()
    changed = {
        name: getattr(options, name)
        for name in options.__struct_fields__
        if name not in _OF_PLAN and getattr(options, name) != getattr(usual, name)
    }
    problems = [
        Problem(f"options.{name}", "belongs to the worker; a run in a store cannot set it")
        for name in _OF_WORKER
        if name in changed
    ]
    if problems:
        raise PlanError(problems)
    return msgspec.msgpack.encode(changed) if changed else None


def merge_options(own: RunOptions, stored: bytes | None) -> RunOptions:
    """Return the options of a run in a worker.

    Args:
        own: The options of the worker's engine.  Of two limits the smaller one holds.
        stored: The column ``options`` of the run.

    Raises:
        StoreDamagedError: The column was changed.

    """
    if stored is None:
        return own
    try:
        given: dict[str, Any] = msgspec.msgpack.decode(bytes(stored), type=dict[str, Any])
        known = {
            name: value
            for name, value in given.items()
            if name in own.__struct_fields__ and name not in _OF_WORKER
        }
        for name in _LIMITS:
            limit = getattr(own, name, None)
            if name in known and limit is not None:
                known[name] = limit if known[name] is None else min(known[name], limit)
        if "remove_from_state" in known:
            known["remove_from_state"] = tuple(known["remove_from_state"])
        return msgspec.structs.replace(own, **known)
    except (ValueError, TypeError) as error:
        raise StoreDamagedError(f"the store is damaged: the options of a run: {error}") from None
