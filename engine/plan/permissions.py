"""The permissions of a step: how they are written, and whether they are within those of its run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from engine.api import Permissions, Problem, parse_collection_rule, read_authorities
from engine.api import is_covered as opens
from engine.plan.source import name_type
from protocol.plan import StepPermissions
from protocol.suggestion import shorten

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.plan.objects import PlanObject
    from protocol.net_rules import NetRule

PERMISSION_KEYS: Final = ("net", "read", "scratch_mb", "ca_file", "collections")


def read_permissions(reader: PlanObject, run: Permissions | None) -> StepPermissions | None:
    """Return the ``permissions`` of a step; None if they are missing.

    Args:
        reader: The reader of the step.
        run: Permissions of the run, to compare with them; None if they are not known.

    """
    found = reader.child("permissions", known=PERMISSION_KEYS)
    if found is None:
        return None
    return StepPermissions(
        net=_net(found, run),
        read=_read(found, run),
        scratch_mb=_scratch(found, run),
        ca_file=_ca_file(found, run),
        collections=_collections(found, run),
    )


def problems_of_run(permissions: Permissions) -> list[Problem]:
    """Return what is wrong with the permissions of a run now: a file may have changed since."""
    if permissions.ca_file is None:
        return []

    try:
        read_authorities(permissions.ca_file)
    except ValueError as error:
        return [Problem("permissions.ca_file", str(error).removeprefix("Permissions.ca_file has "))]
    return []


def _net(found: PlanObject, run: Permissions | None) -> tuple[str, ...] | None:
    texts = _texts(found, "net", "network rules", "api.example.org:443")
    if texts is None:
        return None
    from protocol.net_rules import parse_net_rule, parse_net_rules  # most runs have no network

    rules: list[NetRule] = []
    allowed = None if run is None else run.net_rules
    for text, place in texts:
        try:
            rule = parse_net_rule(text)
        except ValueError as error:
            found.add_problem(place, str(error))
            continue
        rules.append(rule)
        if allowed is not None and not is_covered(rule, allowed):
            found.add_problem(place, f"{shorten(text)} is not among {_shown('net', run)}")
    try:
        parse_net_rules(str(rule) for rule in rules)
    except ValueError as error:  # each is right, but together they name too many ports
        found.note("net", str(error))
    return tuple(text for text, _ in texts)


def _read(found: PlanObject, run: Permissions | None) -> tuple[str, ...] | None:
    texts = _texts(found, "read", "absolute paths", "/srv/data")
    if texts is None:
        return None
    for text, place in texts:
        try:
            Permissions(read=(text,))
        except ValueError as error:
            found.add_problem(place, str(error).removeprefix("Permissions.read "))
            continue
        if run is not None and not any(_is_within(text, path) for path in run.read):
            found.add_problem(place, f"{shorten(text)} is not among {_shown('read', run)}")
    return tuple(text for text, _ in texts)


def _scratch(found: PlanObject, run: Permissions | None) -> float | bool | None:
    """Return the size of the scratch directory of a step; False for none, None for that of the run."""
    value = found.get("scratch_mb")
    if value is None or value is False:
        return value
    try:
        Permissions(scratch_mb=value)
    except ValueError:
        shown = value if isinstance(value, (int, float)) else name_type(value)
        found.note(
            "scratch_mb",
            f"must be a number of megabytes above 0, or false for no scratch directory, not {shown}",
        )
        return None
    if run is not None and value > (run.scratch_mb or 0):
        own = "none" if run.scratch_mb is None else f"{run.scratch_mb:g}"
        found.note(
            "scratch_mb",
            f"{value:g} is more than the permissions of the run (scratch_mb: {own});"
            " a step can only narrow them",
        )
    return float(value)


def _ca_file(found: PlanObject, run: Permissions | None) -> str | None:
    """Return the file of authorities; it has a part of those of the run.

    A plan must not find out about files of the machine.  So a file is only read if the run may read it.
    """
    text = found.text("ca_file")
    if text is None or run is None:
        return text
    place = found.where("ca_file")
    if run.ca_file is None:
        message = "the run has no ca_file; a step can only narrow the permissions of the run"
        found.add_problem(place, message)
        return text

    known = (run.ca_file, *run.read)
    if not text.startswith("/") or not any(_is_within(text, path) for path in known):
        shown = (
            f"{shorten(text)} is neither the ca_file of the run nor among its permissions to read"
        )
        found.add_problem(place, f"{shown}; a step can only narrow them")
        return text
    try:
        more = read_authorities(text) - read_authorities(run.ca_file)
    except ValueError as error:
        found.add_problem(place, str(error).removeprefix("Permissions.ca_file has "))
        return text
    if more:
        number = f"{len(more)} {'certificate' if len(more) == 1 else 'certificates'}"
        found.add_problem(
            place,
            f"{shorten(text)} has {number} that the ca_file of the run does not have; a step can only"
            " narrow the permissions of the run",
        )
    return text


def _collections(found: PlanObject, run: Permissions | None) -> tuple[str, ...] | None:
    texts = _texts(found, "collections", "rules for collections", "visits:read")
    if texts is None:
        return None
    allowed = None if run is None else run.collection_rules
    for text, place in texts:
        try:
            rule = parse_collection_rule(text)
        except ValueError as error:
            found.add_problem(place, str(error))
            continue
        if allowed is not None and not opens(rule, allowed):
            found.add_problem(place, f"{shorten(text)} is not among {_shown('collections', run)}")
    return tuple(text for text, _ in texts)


def _texts(found: PlanObject, name: str, what: str, example: str) -> list[tuple[str, str]] | None:
    """Return each text of a list with its path; None if the list is missing."""
    value = found.get(name)
    if value is None:
        return None
    if not isinstance(value, (list, tuple)):
        shown = f"text; write [{shorten(value)}]" if isinstance(value, str) else name_type(value)
        found.note(name, f"must be a list of {what}, such as [{example!r}], not {shown}")
        return None
    path = found.where(name)
    texts = [
        (found.check_text(item, f"{path}[{index}]", "text", empty=True), f"{path}[{index}]")
        for index, item in enumerate(value)
    ]
    return [(text, place) for text, place in texts if text is not None]


def _shown(name: str, run: Permissions | None) -> str:
    given: tuple[Any, ...] = getattr(run, name)
    rules = ", ".join(shorten(text) for text in given[:5])
    rest = f" and {len(given) - 5} more" if len(given) > 5 else ""
    own = f"{rules}{rest}" if given else "none"
    return f"the permissions of the run ({name}: {own}); a step can only narrow them"


def _is_within(path: str, directory: str) -> bool:
    inner, outer = os.path.realpath(path), os.path.realpath(directory)
    return inner == outer or inner.startswith(outer.rstrip("/") + "/")


def is_covered(rule: NetRule, allowed: Iterable[NetRule]) -> bool:
    """Return whether *allowed* rules together allow all that *rule* allows."""
    allowed = tuple(allowed)
    if any(outer.everything for outer in allowed):
        return True
    if rule.everything:
        return False
    spans = sorted(
        span for outer in allowed if _host_is_covered(rule, outer) for span in outer.ports
    )
    return all(_span_is_covered(span, spans) for span in rule.ports)


def _span_is_covered(span: tuple[int, int], spans: list[tuple[int, int]]) -> bool:
    next_port, last = span
    for low, high in spans:
        if low <= next_port <= high:
            next_port = high + 1
    return next_port > last


def _host_is_covered(rule: NetRule, outer: NetRule) -> bool:
    if outer.kind == "any":
        return rule.kind == "any" or not _is_local(rule)
    if rule.kind == outer.kind and rule.host == outer.host:
        return True
    if outer.kind == "wildcard":
        return rule.kind == "name" and rule.host.partition(".")[2] == outer.host
    if outer.kind == "block" and rule.kind in ("address", "block"):
        import ipaddress  # only for rules that need it

        within: Any = ipaddress.ip_network(rule.host)
        block: Any = ipaddress.ip_network(outer.host)
        inside = within.version == block.version and within.subnet_of(block)
        # A block allows a local address only if it lies inside of the local range itself.
        return inside and (_is_local(outer) or not _is_local(rule))
    return False


def _is_local(rule: NetRule) -> bool:
    if rule.kind in ("name", "wildcard"):
        return rule.host == "localhost"
    import ipaddress  # only for rules that need it

    from protocol.near_addresses import inside_special, special

    if rule.kind == "address":
        return special(ipaddress.ip_address(rule.host)) is not None
    return inside_special(ipaddress.ip_network(rule.host))
