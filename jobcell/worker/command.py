"""The command `jobcell worker`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Literal, NamedTuple

import msgspec

import engine
from jobcell.input.errors import BadInputError
from jobcell.input.following import followed
from jobcell.input.inputs import find_repo, read_permissions, read_policy, with_limits
from jobcell.output.exit_codes import EXCEPTION, SUCCESS
from jobcell.output.wording import FLAGS, printable
from jobcell.store import Store, StoreError, StoreKeyError, StoreUrlError, StoreVersionError
from jobcell.worker.json_logs import set_up
from jobcell.worker.resolvers import ResolversError, load_resolvers
from jobcell.worker.worker import Worker

PATIENCE_S = 30.0
"""Seconds for which a worker that starts waits for its store."""


class Given(NamedTuple):
    """The options of the command, as they were given."""

    store: str | None
    max_runs: int
    tenant_limit: int | None
    heartbeat: float
    dead_after: float
    drain: float | None
    repo: Path | None
    net: Sequence[str]
    net_proxy: str | None
    net_by_port: bool
    read: Sequence[Path]
    scratch: float | None
    ca_file: Path | None
    collections: Sequence[str]
    timeout: float | None
    step_timeout: float | None
    memory: float | None
    sandbox: bool | None
    resolvers: str | None
    health: str | None
    log_json: bool
    otel: bool = False


def run(given: Given) -> int:
    """Serve a store until a signal comes; return the exit code.

    Raises:
        BadInputError: An option is wrong, or names a store that cannot be used.

    """
    set_up(as_json=given.log_json)
    # Until the worker serves: the first process of a container ignores signals without a handler.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    try:
        resolvers = None if given.resolvers is None else load_resolvers(given.resolvers)
        level: Literal["none", "default"] = "none" if given.sandbox is False else "default"
        policy = read_policy(level, net_proxy=given.net_proxy, net_by_port=given.net_by_port)
        options = _options(given)
        repo = find_repo(given.repo)
        with (
            Store.open(given.store, timeout_s=PATIENCE_S) as store,
            engine.Engine(
                repo_dir=repo, max_runs=given.max_runs, policy=policy, options=options
            ) as eng,
        ):
            worker = Worker(
                store,
                eng,
                max_runs=given.max_runs,
                tenant_limit=given.tenant_limit,
                heartbeat_s=given.heartbeat,
                dead_s=given.dead_after,
                drain_s=given.drain,
                resolvers=resolvers,
                health=given.health,
            )
            with followed(worker=worker, wanted=given.otel):
                worker.serve()
    except (StoreKeyError, StoreUrlError, StoreVersionError, ResolversError) as error:
        raise BadInputError([str(error)]) from None
    except StoreError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return EXCEPTION
    except (ValueError, engine.EngineError) as error:
        raise BadInputError([_as_option(str(error))]) from None
    except OSError as error:
        if given.health is None or error.filename is not None:
            raise
        raise BadInputError([f"--health {given.health}: {error.strerror or error}"]) from None
    return SUCCESS


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(SUCCESS)


def _options(given: Given) -> engine.RunOptions:
    chosen = {
        "timeout_s": given.timeout,
        "step_timeout_s": given.step_timeout,
        "memory_mb": given.memory,
    }
    permissions = read_permissions(
        given.net, given.read, given.scratch, given.ca_file, given.collections
    )
    # The limits come first: an error about both is then one about the permission.
    options = with_limits(engine.RunOptions(), chosen, FLAGS)
    return msgspec.structs.replace(options, permissions=permissions)


_OPTIONS = {
    "max_runs": "--max-runs",
    "tenant_limit": "--tenant-limit",
    "heartbeat_s": "--heartbeat",
    "dead_s": "--dead-after",
    "drain_s": "--drain",
    "memory_mb": "--memory",
    "permissions.scratch_mb": "--scratch",
    "Permissions.scratch_mb": "--scratch",
    "health": "--health",
}


def _as_option(message: str) -> str:
    """Return the message about an argument with the names of the options."""
    words = [_OPTIONS.get(word, word) for word in message.split(" ")]
    return " ".join(words)
