"""Records the connections that the code of a run tries, for the report of a refused connection.

Exceptions and libraries do not name the target of a refused connection reliably.  Python itself
does, through its audit events (`sys.addaudithook`), before it makes the system call.  The hook is
installed when the first adaptor is linked, because a run without adaptors cannot reach a socket.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from protocol.words import place_of, refused_connection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_REFUSED = frozenset((errno.EPERM, errno.EACCES))
"""Error numbers that the filter of system calls and Landlock give."""

_NO_NAME = frozenset((-2, -5))
"""EAI_NONAME and EAI_NODATA of <netdb.h>: the name does not exist, or it has no address."""

_MAX_CHAIN = 30
_MAX_ATTEMPTS = 100
_MAX_REPORTED = 5
_MAX_HOST = 253

_CO_OPTIMIZED = 1
"""The flag of the code of a function; since Python 3.13, the local variables of its frame are not a dict."""

# Libraries in C (libpq, libcurl) name host and port only in the text of an error.
_PLACES_OF_C = (
    r'server at "(?P<host>[^"\s]+)"(?: \([^)]*\))?, port (?P<port>\d+)',
    r'host name "(?P<host>[^"\s]+)"',
    r"connect to (?P<host>\S+) port (?P<port>\d+)",
    r"resolve host:? '?(?P<host>[\w.-]+)",
)

_NAME = r"([a-z0-9_-]+\.)*[a-z_][a-z0-9_-]*"
"""A name in ASCII, and not an address: its last part does not begin with a digit."""

_CONNECTING = r"(?i)\bconnection\b|\bconnect\b|\bhost\b"


class Target(NamedTuple):
    """The target of a connection, as far as it is known."""

    host: str | None = None
    port: int | None = None

    def rule(self) -> str:
        """Return the network rule that would allow the connection."""
        return place_of(self.host, self.port)

    def advice(self) -> str:
        """Return how to allow the connection."""
        return refused_connection(self.rule())


class Attempts:
    """The connections that the code of a step has tried to make.

    Args:
        rules: The rules of the run, if a relay enforces them.  Then a port without a rule has no listener,
            and a name without a rule cannot be looked up.

    """

    def __init__(self, rules: tuple[str, ...] = ()) -> None:
        self._rules = rules
        self._targets: dict[Target, None] = {}
        self._names: dict[int | None, str] = {}
        """For each port, the name that was looked up last."""
        self._reported: set[Target] = set()
        self.hooked = False
        """Whether somebody has added an audit hook, which Python cannot remove again."""

    def clear(self) -> None:
        """Forget the attempts of the step before."""
        self._targets.clear()
        self._names.clear()

    def use_rules(self, rules: tuple[str, ...]) -> None:
        """Judge attempts by the rules of a run that has begun."""
        self._rules = rules

    def remember(self, targets: Iterable[Target]) -> None:
        """Take over attempts that were made before the run began."""
        for target in targets:
            self._add(target)

    def install(self) -> None:
        """Record attempts from now on; Python cannot remove the hook again."""
        sys.addaudithook(self._hear)

    def unreported(self) -> list[Target]:
        """Return attempts that failed for lack of a rule, each once in a run.

        The list is empty in the network of the machine.
        """
        found = [target for target in self._targets if target not in self._reported]
        if self._rules:
            found = [target for target in found if self._is_without_rule(target)]
        elif found and not no_network():
            return []
        self._reported.update(found[:_MAX_REPORTED])
        return found[:_MAX_REPORTED]

    @property
    def targets(self) -> list[Target]:
        """The attempts, in order."""
        return list(self._targets)

    def _is_without_rule(self, target: Target) -> bool:
        """Whether a private network has no socket for the port of a target, or does not know its name.

        The relay decides about addresses, and about names at a port; the engine reports that.
        """
        if not self._rules or target.host is None:
            return False
        from protocol.net_rules import parse_net_rules, ports_of

        rules = parse_net_rules(self._rules)
        ports = ports_of(rules)
        if ports is not None and target.port is not None and target.port not in ports:
            return True
        name = target.host.lower().removesuffix(".")
        known = name == "localhost" or any(rule.may_name(name) for rule in rules)
        return not known and re.fullmatch(_NAME, name) is not None

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            address = args[1]
            if type(address) is tuple and len(address) >= 2 and type(address[0]) is str:
                port = _port(address[1])
                self._add(Target(self._names.get(port, address[0])[:_MAX_HOST], port))
        elif event == "socket.getaddrinfo" or event == "socket.gethostbyname":  # noqa: PLR1714 - the hook hears every event there is
            host = args[0].decode("ascii", "replace") if type(args[0]) is bytes else args[0]
            port = _port(args[1]) if len(args) > 1 else None
            if type(host) is str and host and (port or event == "socket.gethostbyname"):
                if len(self._names) < _MAX_ATTEMPTS:
                    self._names[port] = host
                self._add(Target(host[:_MAX_HOST], port))
        elif event == "sys.addaudithook":
            self.hooked = True

    def _add(self, target: Target) -> None:
        self._targets.pop(target, None)
        if len(self._targets) < _MAX_ATTEMPTS:
            self._targets[target] = None

    def refused(self, error: BaseException, text: str) -> Target | None:
        """Return the target of the refused connection that has led to *error*, if there is one.

        Args:
            error: The exception of the job.
            text: Its message.

        """
        last = self.targets[-1] if self._targets else Target()
        closed: bool | None = None
        for cause in _chain(error):
            if not isinstance(cause, OSError):
                continue
            if type(cause).__name__ == "gaierror":
                if self._rules:
                    closed = cause.errno in _NO_NAME
                elif closed is None:
                    closed = no_network()
                if closed:
                    return last
            elif self._rules:
                if cause.errno == errno.ECONNREFUSED and self._is_without_rule(last):
                    return last
            elif cause.errno not in _REFUSED or cause.filename is not None:
                continue
            elif self._targets:
                return last
            elif _from_socket(cause):
                return _target_in_frames(error, cause)
        return self._refused_in_text(error, text)

    def _refused_in_text(self, error: BaseException, text: str) -> Target | None:
        """Return the target if a library names it only in the text of an error.

        Without any network, every failed connection was refused.  With a network, only an error of
        refusal counts.
        """
        if self._rules:
            return self._refused_by_rules(text)
        refused = any(os.strerror(number) in text for number in _REFUSED)
        place = next(filter(None, (re.search(pattern, text) for pattern in _PLACES_OF_C)), None)
        if place is not None and (refused or no_network()):
            return self._place(place)
        if not (refused or re.search(_CONNECTING, text)) or not no_network():
            return None
        found = self.targets[-1] if self._targets else _target_in_frames(error)
        return found if found.host else None

    def _place(self, found: re.Match[str]) -> Target:
        """Return the place that a text names; if it has no port, with that of the last attempt."""
        host, port = found["host"][:_MAX_HOST], found.groupdict().get("port")
        if port:
            return Target(host, int(port))
        tried = (target for target in reversed(self.targets) if target.host == host)
        return next(tried, Target(host))

    def _refused_by_rules(self, text: str) -> Target | None:
        """Return the target that a text names, if it has no listener or its name was not found."""
        for place in filter(None, (re.search(pattern, text) for pattern in _PLACES_OF_C)):
            target = self._place(place)
            if self._is_without_rule(target):
                return target
        if re.search(_CONNECTING, text):
            found = self.targets[-1] if self._targets else Target()
            if self._is_without_rule(found):
                return found
        return None


def no_network() -> bool:
    """Return whether this process cannot make a socket at all, by trying it."""
    import _socket

    try:
        _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM).close()
    except OSError:
        return True
    return False


def _port(value: object) -> int | None:
    if type(value) is int:
        return value or None
    if type(value) is str and value.isascii() and value.isdecimal():
        return int(value[:5]) or None
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and the errors that have led to it, as far as exceptions refer to them."""
    waiting = [error]
    seen: set[int] = set()
    while waiting and len(seen) < _MAX_CHAIN:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        carried = [
            current.__cause__,
            current.__context__,
            *BaseException.args.__get__(current),  # type: ignore[attr-defined]  # a getset descriptor
            *object.__getattribute__(current, "__dict__").values(),
            *(current.exceptions if isinstance(current, BaseExceptionGroup) else ()),
        ]
        waiting += [item for item in carried if isinstance(item, BaseException)]


def _from_socket(error: BaseException) -> bool:
    """Whether the innermost frame is in `socket`: the socket could not be made."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and traceback.tb_frame.f_globals.get("__name__") == "socket"


def _target_in_frames(*errors: BaseException) -> Target:
    """Return the host and port among the arguments of the innermost function that has them.

    asyncio does not look up an address, so audit events do not name it before the socket is
    refused.
    """
    for error in errors:
        found = Target()
        traceback = error.__traceback__
        while traceback is not None:
            frame = traceback.tb_frame
            names = frame.f_locals
            if frame.f_code.co_flags & _CO_OPTIMIZED:
                names = dict(names)
            # A class body may have a map of the job's own, whose methods must not run here.
            for given in (names, *names.values()) if type(names) is dict else ():
                if type(given) is dict:
                    host, port = given.get("host"), _port(given.get("port"))
                    if type(host) is str and host and (port or not found.port):
                        found = Target(host[:_MAX_HOST], port)
            traceback = traceback.tb_next
        if found.host:
            return found
    return Target()
