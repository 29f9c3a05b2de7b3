"""Bundles in the state: made, filled and uploaded as a transaction."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final

from .datatypes import plain
from .errors import ArgumentError
from .exchange import exchange, issues_of
from .laziness import Operation, State, resolve
from .systems import with_systems
from .validation import check

_DEFAULT: Final = "bundle"
_SHOWN: Final = 5
"""Most entries that a warning names."""

logger: logging.Logger = logging.getLogger("fhir")


def create_bundle(name: Any = _DEFAULT, type: Any = "transaction", **more: Any) -> Operation:  # noqa: A002 - the name of the element
    """Put an empty Bundle into the state; a bundle of that name is replaced.

    Args:
        name: The key in the state.
        type: The type of the bundle, such as `"batch"`.
        more: Other elements of the bundle, such as `timestamp`.

    Example:
        `create_bundle("upload", "batch")`

    """

    def run(state: State) -> State:
        key, kind, elements = resolve(state, (name, type, more))
        bundle = {"resourceType": "Bundle", "type": kind, "entry": [], **plain(elements)}
        return {**state, _key(key): bundle}

    return run


def add_to_bundle(resources: Any, name: Any = _DEFAULT) -> Operation:
    """Add resources to a Bundle in the state, which is made if it does not exist.

    A resource with an id is written under that id (PUT).  A resource without an id is created (POST).

    Args:
        resources: A resource, or a list of them.
        name: The key in the state.

    Raises:
        ResourceError: A resource is wrong.  The operation raises this error.

    Example:
        `add_to_bundle(b.patient(id="123", active=True))`

    """

    def run(state: State) -> State:
        key = _key(resolve(state, name))
        given = with_systems(resolve(state, resources))
        items = given if isinstance(given, list) else [given]
        for item in items:
            check(item)
        before = state.get(key) or {"resourceType": "Bundle", "type": "transaction", "entry": []}
        if not isinstance(before, dict) or before.get("resourceType") != "Bundle":
            raise ArgumentError(f"the state has {key!r:.60} already, which is not a bundle")
        entry = [*(before.get("entry") or ()), *(_entry(item) for item in items)]
        return {**state, key: {**before, "entry": entry}}

    return run


def upload_bundle(bundle: Any = _DEFAULT) -> Operation:
    """Send a Bundle to the server; `data` is the Bundle of the answers.

    Entries come after the entries that they refer to.  A server may refuse some entries of a batch; then
    the log has a warning that names them.

    Args:
        bundle: The key of a bundle in the state, or a bundle.

    Raises:
        ArgumentError: The state does not have such a bundle.  The operation raises the errors.
        ResourceError: The bundle is wrong.
        OutcomeError: The server refuses the bundle.

    Example:
        `upload_bundle("upload")`

    """

    def run(state: State) -> State:
        given = resolve(state, bundle)
        found = state.get(given) if isinstance(given, str) else given
        if not isinstance(found, dict) or found.get("resourceType") != "Bundle":
            shown = f"{given!r:.60}" if isinstance(given, str) else "the argument"
            raise ArgumentError(f"{shown} is not a bundle; make one with add_to_bundle(...)")
        whole = {key: value for key, value in found.items() if key != "entry" or value}
        check(whole)
        entries = sorted_entries(list(whole.get("entry", ())))
        result = exchange(state, "POST", "", body=whole | ({"entry": entries} if entries else {}))
        _warn_of_failures(entries, result["data"])
        return result

    return run


def _warn_of_failures(entries: list[dict[str, Any]], answer: Any) -> None:
    """Write a warning for the entries of a batch that the server has refused: the others are done."""
    given = answer.get("entry") if isinstance(answer, dict) else None
    answers = given if isinstance(given, list) else []
    failed = []
    for sent, got in zip(
        entries, answers, strict=False
    ):  # a server answers in the order of the entries
        response = got.get("response") if isinstance(got, dict) else None
        status = str(response.get("status", "")) if isinstance(response, dict) else ""
        if isinstance(response, dict) and status[:1] in ("4", "5"):
            outcome = response.get("outcome")
            issues = issues_of(outcome) if isinstance(outcome, dict) else []
            texts = [status[:3], *(issue["text"] for issue in issues[:1])]
            request = sent["request"]
            failed.append(f"{request.get('method')} {request.get('url')} ({', '.join(texts)})")
    if failed:
        shown = ", ".join(failed[:_SHOWN])
        more = f" and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
        logger.warning("the server has refused entries of the bundle: %s%s", shown, more)


def sorted_entries(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return entries in an order in which each follows those that it refers to.

    Entries that refer to each other in a circle come last, in their own order.
    """
    places: dict[str, int] = {}
    for number, entry in enumerate(entries):
        resource = entry.get("resource") or {}
        names = [f"{resource.get('resourceType')}/{resource.get('id')}", entry.get("fullUrl")]
        places.update((name, number) for name in names if isinstance(name, str))
    needs = [
        {places[ref] for ref in _references(entry) if places.get(ref, number) != number}
        for number, entry in enumerate(entries)
    ]
    users: list[list[int]] = [[] for _ in entries]
    for number, others in enumerate(needs):
        for other in others:
            users[other].append(number)
    missing = [len(others) for others in needs]
    order = [number for number, count in enumerate(missing) if not count]
    for number in order:  # which grows on the way
        for user in users[number]:
            missing[user] -= 1
            if not missing[user]:
                order.append(user)
    circles = (number for number, count in enumerate(missing) if count)
    return [entries[number] for number in [*order, *circles]]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _entry(resource: dict[str, Any]) -> dict[str, Any]:
    kind, own_id = resource["resourceType"], resource.get("id")
    if own_id:
        return {"resource": resource, "request": {"method": "PUT", "url": f"{kind}/{own_id}"}}
    return {"resource": resource, "request": {"method": "POST", "url": kind}}


def _key(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise ArgumentError(f"the name of a bundle is a text, not {name!r:.60}")
    return name
