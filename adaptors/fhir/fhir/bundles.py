"""Bundles in the state: made, filled and uploaded as a transaction."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from .datatypes import plain
from .errors import ArgumentError
from .exchange import exchange
from .laziness import Operation, State, resolve
from .systems import with_systems
from .validation import check

_DEFAULT: Final = "bundle"


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
        entry = [*(before.get("entry") or ()), *(_entry(item) for item in items)]
        return {**state, key: {**before, "entry": entry}}

    return run


def upload_bundle(bundle: Any = _DEFAULT) -> Operation:
    """Send a Bundle to the server; `data` is the Bundle of the answers.

    Entries come after the entries that they refer to.

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
        entries = sorted_entries(list(found.get("entry") or ()))
        whole = {key: value for key, value in found.items() if key != "entry"}
        whole |= {"entry": entries} if entries else {}
        check(whole)
        return exchange(state, "POST", "", body=whole)

    return run


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
    order: list[int] = []
    done: set[int] = set()
    waiting = deque(range(len(entries)))
    left = len(waiting)
    while waiting and left:
        number = waiting.popleft()
        if needs[number] <= done:
            order.append(number)
            done.add(number)
            left = len(waiting)
        else:
            waiting.append(number)
            left -= 1
    return [entries[number] for number in [*order, *sorted(waiting)]]


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
