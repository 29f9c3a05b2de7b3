"""The verbs that talk to a FHIR server.  Each returns an operation: a function from state to state.

Any argument may be a function of state.  After an operation `data` is the answer, and the data before is
the last item of `references`.
"""

from __future__ import annotations

import re
from typing import Any, Final

from .datatypes import camel
from .errors import ArgumentError
from .exchange import exchange
from .laziness import Operation, State, resolve
from .pages import matches, next_page
from .systems import with_systems
from .validation import check

_REFERENCE: Final = re.compile(
    r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9.-]{1,64}(?:/_history/[A-Za-z0-9.-]{1,64})?"
)
_KIND: Final = re.compile(r"[A-Z][A-Za-z]{1,63}")
_SPECIAL: Final = frozenset(
    {"id", "lastUpdated", "tag", "profile", "security", "source", "text", "content", "list", "has"}
    | {"type", "sort", "count", "include", "revinclude", "summary", "total", "elements"}
    | {"contained", "containedType"}
)
"""Parameters of a search whose names begin with an underscore there."""

_WHOLE: Final = {"Prefer": "return=representation"}
"""Asks the server to answer with the resource, and not with an empty body."""

MOST_PAGES: Final = 10_000


def read(reference: Any) -> Operation:
    """Read one resource.

    Args:
        reference: Its type and id, such as `"Patient/123"`, or a version of it
            (`"Patient/123/_history/2"`).

    Raises:
        ArgumentError: *reference* is not of that form.  The operation raises this error and the next.
        OutcomeError: The server refuses the request.

    Example:
        `read("Patient/123")`

    """
    return lambda state: exchange(state, "GET", _reference(state, reference, versions=True))


def create(resource: Any, *, if_none_exist: Any = None, validate: Any = True) -> Operation:
    """Create a resource; `data` is the resource as the server returns it.

    Args:
        resource: The resource; a builder such as `b.patient(...)` makes it.
        if_none_exist: A search such as `"identifier=123"`: the server creates the resource only if
            nothing matches.  So a repeated step does not create it twice.
        validate: False sends the resource without a check.

    Raises:
        ArgumentError: *resource* does not have a `resourceType`.  The operation raises the errors.
        ResourceError: The resource is wrong.
        OutcomeError: The server refuses the resource.

    Example:
        `create(b.patient(name={"family": "Lovelace"}), if_none_exist="identifier=123")`

    """

    def run(state: State) -> State:
        made = _checked(state, resource, validate)
        condition = resolve(state, if_none_exist)
        headers = {} if condition is None else {"If-None-Exist": str(condition)}
        return exchange(state, "POST", made["resourceType"], body=made, headers=_WHOLE | headers)

    return run


def update(reference: Any, resource: Any, *, validate: Any = True) -> Operation:
    """Replace a resource, or create it with that id.

    Args:
        reference: Its type and id, such as `"Patient/123"`.
        resource: The new resource.  Its id is set if it does not have one.
        validate: False sends the resource without a check.

    Raises:
        ArgumentError: The type or the id of the resource is not that of *reference*.  The operation
            raises the errors.
        ResourceError: The resource is wrong.
        OutcomeError: The server refuses the resource.

    Example:
        `update("Patient/123", b.patient(name={"family": "Lovelace"}))`

    """

    def run(state: State) -> State:
        place = _reference(state, reference)
        kind, _, own_id = place.partition("/")
        made = resolve(state, resource)
        if isinstance(made, dict) and "id" not in made:
            made = {**made, "id": own_id}
        made = _checked(state, made, validate)
        if (made["resourceType"], made["id"]) != (kind, own_id):
            there = f"{made['resourceType']}/{made['id']}"
            raise ArgumentError(f"the resource is {there}, and the reference is {place}")
        return exchange(state, "PUT", place, body=made, headers=_WHOLE)

    return run


def delete(reference: Any) -> Operation:
    """Delete one resource.

    Raises:
        ArgumentError: *reference* is not a type and an id.  The operation raises the errors.
        OutcomeError: The server refuses the request.

    Example:
        `delete("Patient/123")`

    """
    return lambda state: exchange(state, "DELETE", _reference(state, reference))


def search(kind: Any, options: Any = None, *, pages: Any = 1, **parameters: Any) -> Operation:
    """Search for resources; `data` is the list of those that match.

    `response` also has `total`, if the server gives it, and `next`, the URL of the next page or None.

    Args:
        kind: The type of the resources, such as `"Patient"`.
        options: A dict of parameters, which may be keyword arguments as well.  The parameters of every
            search lose their underscore: `last_updated` is `_lastUpdated`, `count` is `_count`.  `query`
            is a dict of parameters that are sent as they are (`{"given:contains": "eve"}`).
        pages: The number of pages to fetch; None for all of them.
        parameters: More parameters.

    Raises:
        ArgumentError: An argument is wrong.  The operation raises the errors.
        OutcomeError: The server refuses the search.

    Example:
        `search("Patient", last_updated=state.cursor, count=10, query={"given": "Ada"})`

    """

    def run(state: State) -> State:
        name = resolve(state, kind)
        if not isinstance(name, str) or not _KIND.fullmatch(name):
            raise ArgumentError(
                f"search needs the type of a resource, such as 'Patient', not {name!r:.60}"
            )
        most = resolve(state, pages)
        if most is not None and (not isinstance(most, int) or not 1 <= most <= MOST_PAGES):
            raise ArgumentError(
                f"pages is a number from 1 to {MOST_PAGES}, or None, not {most!r:.60}"
            )
        query = _query({**(resolve(state, options) or {}), **resolve(state, parameters)})
        result = exchange(state, "GET", name, query=query)
        first, found = result["data"], matches(result["data"])
        following, done = next_page(result), set[str]()
        while following is not None and len(done) + 1 < (most or MOST_PAGES + 1):
            if following in done or len(done) + 1 >= MOST_PAGES:
                raise ArgumentError(
                    f"the next page {following!r:.300} was read already"
                    if following in done
                    else f"the search has more than {MOST_PAGES} pages; ask for fewer with pages"
                )
            done.add(following)
            result = exchange(state, "GET", following)
            found += matches(result["data"])
            following = next_page(result)
        response = {**result["response"], "next": following}
        if isinstance(first.get("total"), int):
            response["total"] = first["total"]
        return {**result, "data": found, "response": response}

    return run


def _query(given: dict[str, Any]) -> dict[str, Any]:
    more = given.pop("query", None) or {}
    if not isinstance(more, dict):
        raise ArgumentError(f"query is a dict, not a {type(more).__name__}")
    names = {name: camel(name) for name in given}
    return {f"_{n}" if n in _SPECIAL else n: given[name] for name, n in names.items()} | more


def _reference(state: State, given: Any, *, versions: bool = False) -> str:
    text = resolve(state, given)
    if isinstance(text, dict) and isinstance(text.get("reference"), str):
        text = text["reference"]
    if (
        not isinstance(text, str)
        or not _REFERENCE.fullmatch(text)
        or set(text.split("/")) & {".", ".."}
    ):
        raise ArgumentError(
            f"a resource is named as 'Patient/123', not {text!r:.80}", got=str(text)[:80]
        )
    if "/_history/" in text and not versions:
        raise ArgumentError(f"{text!r} is a version of a resource, which cannot be changed")
    return text


def _checked(state: State, resource: Any, validate: Any) -> dict[str, Any]:
    made = with_systems(resolve(state, resource))
    kind = made.get("resourceType") if isinstance(made, dict) else None
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise ArgumentError(
            "the resource has no resourceType; use a builder, such as b.patient(...)"
        )
    if resolve(state, validate):
        check(made)
    result: dict[str, Any] = made
    return result
