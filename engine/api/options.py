"""Options that a caller may set for a run.  Units are in the names; `None` means no limit."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeGuard, cast, get_args

import msgspec

from engine.api.authorities import read_authorities
from engine.api.collections import CollectionRule, parse_collection_rules
from protocol.adaptor import ModuleRef
from protocol.limits import MAX_STATE_ITEMS, MEGABYTE
from protocol.words import LogLevel

if TYPE_CHECKING:
    from protocol.net_rules import NetRule

LIMITS: Final = (
    "timeout_s",
    "step_timeout_s",
    "idle_timeout_s",
    "resolve_timeout_s",
    "cpu_s",
    "memory_mb",
    "state_mb",
    "state_items",
    "payload_mb",
    "log_payload_mb",
    "max_log_bytes",
    "max_step_runs",
    "max_events",
    "net_mb",
    "max_connections",
    "max_collection_requests",
)
"""The limits among the options: numbers above zero, of which the smaller one is the stricter one."""

MOST: Final = 1_000_000_000_000
"""Most of every limit: as megabytes or as a number the kernel and the wire can still carry it, in 64 bits."""
_MOST_SHOWN: Final = 10**30
"""Python writes no integers of more than 4,300 digits."""

DEFAULT_PUBLIC_KEYS: Final = (
    "username", "user", "email", "host", "hostname", "port", "baseUrl", "base_url", "url",
    "database", "schema", "apiVersion", "api_version", "client_id", "clientId", "account", "region",
)  # fmt: skip
"""Keys of a configuration whose values are not secret; upper and lower case are the same."""

_COUNTS: Final = (
    "state_items",
    "max_log_bytes",
    "max_step_runs",
    "max_events",
    "max_connections",
    "max_collection_requests",
)


_LISTS: Final = (("net", "example.org:443"), ("read", "/srv/data"), ("collections", "visits"))
"""The permissions that are lists, with an example."""


def _is_names(value: Any) -> TypeGuard[Collection[str]]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Collection):
        return False
    return all(isinstance(item, str) for item in cast("Collection[object]", value))


class Permissions(msgspec.Struct, frozen=True, kw_only=True):
    """Hosts and files that a run may reach beyond its state.

    ``net``: rules as in `protocol.net_rules` (``"host:port"``, ``"*.example.org:443"``, ``"*"``);
    ``read``: extra absolute paths, read-only;
    ``scratch_mb``: the size of an empty private ``/tmp``, which counts against ``memory_mb`` and is
    gone with the run;
    ``ca_file``: absolute path of a PEM file with the certificate authorities that the run trusts, in
    place of those of the machine;
    ``collections``: the collections that the run may use: ``"visits"``, ``"visits:read"``,
    ``"visits:write"``, or ``"*"`` for all.

    Raises:
        TypeError: A field is not a sequence of text; ``ca_file`` is not text.
        ValueError: A rule, a path, a size or a file is not valid; the text quotes it.

    """

    net: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    scratch_mb: float | None = None
    ca_file: str | None = None
    collections: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, example in _LISTS:
            value = getattr(self, name)
            if not _is_names(value):
                raise TypeError(
                    f"Permissions.{name} must be a sequence of str, not {value!r};"
                    f" write {name}=[{(value if isinstance(value, str) else example)!r}]"
                )
            msgspec.structs.force_setattr(self, name, tuple(value))
        if self.net:
            from protocol.net_rules import parse_net_rules  # most runs have no network

            parse_net_rules(self.net)
        for path in self.read:
            _check_read_path(path)
        if self.scratch_mb is not None:
            _check_scratch(self.scratch_mb, self.read)
        if self.ca_file is not None:
            if not isinstance(self.ca_file, str):
                raise TypeError(f"Permissions.ca_file must be str, not {self.ca_file!r}")
            read_authorities(self.ca_file)
        if self.collections:
            parse_collection_rules(self.collections)

    @property
    def scratch_bytes(self) -> int:
        """The size of the scratch directory in bytes; 0 if there is none."""
        return max(1, int(self.scratch_mb * MEGABYTE)) if self.scratch_mb else 0

    @property
    def net_rules(self) -> tuple[NetRule, ...]:
        """The rules of ``net``, parsed."""
        from protocol.net_rules import parse_net_rules

        return parse_net_rules(self.net)

    @property
    def collection_rules(self) -> tuple[CollectionRule, ...]:
        """The rules of ``collections``, parsed."""
        return parse_collection_rules(self.collections)


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The limits and the scope of one run.

    Raises:
        ValueError, TypeError: A value is not valid; the text quotes it and says what would be
        right.

    """

    timeout_s: float | None = 600.0
    """Limit of the whole run, from the start of its child; waiting in the queue does not count."""
    step_timeout_s: float | None = None
    """Limit of each job, from its ``job-start``."""
    idle_timeout_s: float | None = None
    """Longest time without an event, a log line or output of any kind."""
    resolve_timeout_s: float = 30.0
    """Limit of each call of a resolver."""
    cancel_grace_s: float = 0.25
    """Time for a cancelled run to end by itself, before it is killed."""
    memory_mb: float = 500
    """Memory of the child, its interpreter included."""
    cpu_s: float | None = None
    """Processor time of each child of the run."""
    state_mb: float | None = None
    """Size of a serialised state; a quarter of ``memory_mb`` if not given."""
    state_items: int = MAX_STATE_ITEMS
    """Items of a state: each key, each value, each list and each map is an item."""
    payload_mb: float = 10.0
    """Size of a state in an event; a larger state is replaced in the event only."""
    log_payload_mb: float = 1.0
    """Size of a log message; a larger message is replaced."""
    max_log_bytes: int = 10 * MEGABYTE
    """Size of all log messages together; more are dropped and counted, and ten times as many end
    the run."""
    max_step_runs: int | None = None
    """Number of step runs.  If not given, ten for each step of the plan, but at least 1,000."""
    max_events: int = 1_000_000
    """Number of events; a run with more is ended."""
    net_mb: float | None = None
    """Bytes over the network, in both directions together; a run that needs more is ended."""
    max_collection_requests: int = 100_000
    """Number of requests for collections; a run with more is ended."""
    max_connections: int = 256
    """Number of connections at once; one more fails."""
    log_level: LogLevel = "debug"
    """The least important level of log lines that are reported."""
    adaptor_log_level: LogLevel = "warning"
    """The same for lines that adaptors and their libraries write with `logging` and `warnings`."""
    sanitize: Literal["none", "remove", "obfuscate", "summarize"] = "none"
    """How objects in log lines are shown."""
    modules: dict[str, ModuleRef] = {}
    """Another version or path for an adaptor, by its name."""
    whitelist: tuple[str, ...] | None = None
    """Regular expressions.  A job may import a module of the repo if `re.search` finds one of them
    in its name; ``^`` and ``$`` match the ends of the name.  None admits all modules."""
    permissions: Permissions = Permissions()
    """The hosts and files that the run may reach."""
    remove_from_state: tuple[str, ...] = ("configuration",)
    """Keys that are removed from the state after each step."""
    public_credential_keys: tuple[str, ...] = tuple(DEFAULT_PUBLIC_KEYS)
    """Keys of a configuration whose values are not secret; upper and lower case are the same."""
    event_state: bool = True
    """Whether ``job-complete`` and ``job-error`` carry the state."""
    start: str | None = None
    """The id of the first step; it wins over the plan."""
    end: str | None = None
    """The id of the last step: its state is the result. It wins over the plan."""

    def __post_init__(self) -> None:
        for name in LIMITS:
            _check_positive(name, getattr(self, name))
        for name in _COUNTS:
            if not isinstance(getattr(self, name), int | None):
                raise TypeError(f"{name} must be an int, not {getattr(self, name)!r}")
        if not (_is_number(self.cancel_grace_s) and 0 <= self.cancel_grace_s <= MOST):
            shown = _shown(self.cancel_grace_s)
            raise ValueError(f"cancel_grace_s must be seconds >= 0, at most {MOST:,}, not {shown}")
        for name in ("whitelist", "remove_from_state", "public_credential_keys"):
            _check_names(self, name)
        for pattern in self.whitelist or ():
            _check_pattern(pattern)
        for name, allowed in (
            ("log_level", get_args(LogLevel)),
            ("adaptor_log_level", get_args(LogLevel)),
            ("sanitize", ("none", "remove", "obfuscate", "summarize")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, not {getattr(self, name)!r}")
        if not isinstance(self.event_state, bool):
            raise TypeError(f"event_state must be True or False, not {self.event_state!r}")
        if not isinstance(self.modules, dict) or not all(isinstance(n, str) for n in self.modules):
            raise TypeError(f"modules must be a dict of name to ModuleRef, not {self.modules!r}")
        for name, ref in self.modules.items():
            if not isinstance(ref, ModuleRef):
                raise TypeError(f"modules[{name!r}] must be a ModuleRef, not {ref!r}")
        if not isinstance(self.permissions, Permissions):
            raise TypeError(f"permissions must be Permissions, not {self.permissions!r}")
        _check_counted(self.net_mb, self.permissions.net)
        if (self.permissions.scratch_mb or 0) > self.memory_mb:
            raise ValueError(
                f"permissions.scratch_mb is {self.permissions.scratch_mb:g}, which is more than"
                f" memory_mb ({self.memory_mb:g}), in which it is counted"
            )

    @property
    def memory_bytes(self) -> int:
        """The memory limit in bytes."""
        return int(self.memory_mb * MEGABYTE)

    @property
    def net_bytes(self) -> int | None:
        """The limit of the network in bytes; None without a limit."""
        return None if self.net_mb is None else int(self.net_mb * MEGABYTE)

    @property
    def state_bytes(self) -> int:
        """The largest serialised state in bytes."""
        return int((self.memory_mb / 4 if self.state_mb is None else self.state_mb) * MEGABYTE)


def _check_read_path(path: str) -> None:
    """Raise ValueError if *path* is not absolute: it would depend on where the engine runs."""
    if "\0" in path:
        raise ValueError(f"Permissions.read has a path with a NUL in it: {path!r}")
    if not path.startswith("/"):
        right = "/srv/data" if not path or path.startswith("~") else os.path.realpath(path)
        raise ValueError(
            f"Permissions.read has {path!r}, which is not an absolute path; write {right!r}"
        )


def _check_scratch(size_mb: Any, read: tuple[str, ...]) -> None:
    """Raise an error if *size_mb* is not a size, or a readable path contains ``/tmp``."""
    if not _is_number(size_mb) or not 0 < size_mb <= MOST:
        raise ValueError(
            "Permissions.scratch_mb must be a finite number above 0 or None,"
            f" and at most {MOST:,}, not {_shown(size_mb)}"
        )
    for path in read:
        if os.path.normpath(path).lstrip("/") in ("", "tmp"):
            raise ValueError(
                f"Permissions.read has {path!r}, which the scratch directory /tmp would hide;"
                " name the directories below it, or leave out scratch_mb"
            )


def _is_number(value: Any) -> TypeGuard[float]:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return isinstance(value, int) or math.isfinite(value)


def _check_positive(name: str, value: Any) -> None:
    optional = RunOptions.__annotations__[name].endswith("None")
    if value is None and optional:
        return
    hint = " or None" if optional else ""
    if not _is_number(value) or value <= 0:
        raise ValueError(f"{name} must be a finite number above 0{hint}, not {_shown(value)}")
    if value > MOST:
        raise ValueError(f"{name} must be at most {MOST:,}{hint}, not {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, int) and abs(value) >= _MOST_SHOWN:
        return "a number of more than 30 digits"
    return repr(value)


def _check_counted(net_mb: float | None, net: tuple[str, ...]) -> None:
    """Raise ValueError if nobody can count the bytes of a run that has a limit for them."""
    if net_mb is not None and "*" in net:
        raise ValueError(
            f"net_mb is {net_mb:g}, but the network rule '*' lets the run reach everything directly,"
            " so that nobody counts its bytes; name its hosts, or leave out net_mb"
        )


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    # The last two: a repetition that is too large, brackets that nest too deep.
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"whitelist: {pattern!r} is not a regular expression: {error}") from None


def _check_names(options: RunOptions, name: str) -> None:
    value = getattr(options, name)
    if value is None and name == "whitelist":
        return
    if not _is_names(value):
        raise TypeError(f"{name} must be a sequence of str, not {value!r}")
    msgspec.structs.force_setattr(options, name, tuple(value))
