"""The operations: each verb here returns a function from state to state.

They do not change their state, but return a new dict.  Arguments may be functions of state ("lazy
state").  If an operation given to a verb is asynchronous, the operation that the verb returns is
also asynchronous.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from .errors import ArgumentError, AssertionFailedError, kind
from .flow import Operation, State, after, perform, require_operation, run_all
from .paths import find
from .references import (
    bind,
    dereference,
    is_reference,
    items_of,
    lazily,
    parameters,
    resolve,
    without_absent,
)


def fn(function: Operation) -> Operation:
    """Make an operation from a function.

    Args:
        function: Gets the state and returns the next one, or an awaitable of it.

    Example:
        `fn(lambda state: {**state, "n": len(state["data"])})`

    """
    operation = require_operation(function, verb="fn")
    return lambda state: perform(operation, state)


def alter_state(function: Operation) -> Operation:
    """Do the same as `fn`; this is its old name."""
    operation = require_operation(function, verb="alter_state")
    return lambda state: perform(operation, state)


def fn_if(condition: Any, operation: Operation, otherwise: Operation | None = None) -> Operation:
    """Run an operation only if a condition is true; otherwise the state stays unchanged.

    Args:
        condition: A value, or a function of state.
        operation: The operation to run if *condition* is true.
        otherwise: The operation to run if it is false.

    Example:
        `fn_if(state.data.name, post("patients", state.data))`

    """
    require_operation(operation, verb="fn_if")
    if otherwise is not None:
        require_operation(otherwise, verb="fn_if")

    def run(state: State) -> Any:
        if dereference(state, condition):
            return perform(operation, state)
        return state if otherwise is None else perform(otherwise, state)

    return run


def each(items: Any, operation: Operation, *, restore_data: Any = False) -> Operation:
    """Run an operation once for every item of a list.

    The operation gets the state that it returned for the item before, with `data` set to the item
    and `index` to its number (from 0).  The result is the state after the last item, with the
    `data` that the operation left in it.

    Args:
        items: A list, a JSONPath into the state, or a function of state that returns either.
        operation: The operation to run for every item.
        restore_data: Whether to set `data` and `index` back to their old values at the end.

    Example:
        `each("$.data.rows[*]", post("patients", state.data))`

    """
    require_operation(operation, verb="each")

    def run(state: State) -> Any:
        def steps() -> Iterator[Operation]:
            for index, item in enumerate(items_of(items, state, verb="each")):
                yield lambda current, item=item, index=index: perform(  # type: ignore[misc]  # mypy cannot infer a lambda with defaults
                    operation, {**current, "data": item, "index": index}
                )

        result = run_all(steps(), state)
        if not dereference(state, restore_data):
            return result
        return after(result, lambda last: _put_back(last, state))

    return run


def _put_back(result: State | None, before: State) -> State:
    """Return *result* with the keys that `each` sets, but with their values from *before*."""
    kept = {key: value for key, value in (result or {}).items() if key not in ("data", "index")}
    return kept | {key: before[key] for key in ("data", "index") if key in before}


def combine(*operations: Operation) -> Operation:
    """Make an operation that runs several operations in order.

    Example:
        `fn_if(state.data.ok, combine(post("a", state.data), post("b", state.data)))`

    """
    for operation in operations:
        require_operation(operation, verb="combine")
    return lambda state: run_all(iter(operations), state)


def as_(key: str | Callable[[State], str], operation: Operation) -> Operation:
    """Run an operation and save its `data` under another key; `data` itself stays as it was.

    Example:
        `as_("patients", get("patients"))`

    """
    require_operation(operation, verb="as_")

    def run(state: State) -> Any:
        def save(result: State | None) -> State:
            after_state = result or {}
            kept = {name: value for name, value in after_state.items() if name != "data"}
            kept |= {"data": state["data"]} if "data" in state else {}
            return {**kept, dereference(state, key): after_state.get("data")}

        return after(perform(operation, state), save)

    return run


def map_(items: Any, function: Callable[..., Any]) -> Operation:
    """Replace `data` by the results of a function for every item of a list.

    Args:
        items: A list, a JSONPath into the state, or a function of state that returns either.
        function: Called with as many of (item, index, state) as it has parameters.  If its only
            parameter is called `state`, it gets the state with `data` set to the item and `index`
            to its number.  It may be asynchronous.

    Example:
        `map_("$.data.books[*]", lambda book, index: {"id": index, "title": book["title"]})`

    """
    require_operation(function, verb="map_")

    def run(state: State) -> Any:
        results: list[Any] = []

        def steps() -> Iterator[Operation]:
            for index, item in enumerate(items_of(items, state, verb="map_")):
                yield lambda _, item=item, index=index: after(  # type: ignore[misc]  # as in `each`
                    _mapped(function, item, index, state), results.append
                )

        return after(run_all(steps(), state), lambda _: {**state, "data": results})

    return run


def _mapped(function: Callable[..., Any], item: Any, index: int, state: State) -> Any:
    names = parameters(function)
    if names == ("state",):
        try:
            result = function({**state, "data": item, "index": index})
        except Exception:
            if not _gives_a_function(function, state):
                raise
        else:
            if not is_reference(result):
                return result
        # The engine has made this function from an argument that uses the state.  In it, `state`
        # is the state of the verb.
        function = bind(function, state)
        names = parameters(function)
    arguments = (item, index, state)
    return function(*arguments[: 1 if names is None else len(names)])


def _gives_a_function(function: Callable[..., Any], state: State) -> bool:
    try:
        return is_reference(function(state))
    except Exception:  # noqa: BLE001 - the first error is the one to report
        return False


def group_by(items: Any, key: Any) -> Operation:
    """Group the items of a list by a value in them; `data` becomes `{value: [items]}`.

    Items without that value, or with the value None, are left out.

    Args:
        items: A list, a JSONPath into the state, or a function of state that returns either.
        key: A JSONPath into an item, a function of an item, or a function whose only parameter
            is called `state` and that returns one of these.

    Example:
        `group_by("$.data.visits[*]", "patient.id")`

    """

    def run(state: State) -> State:
        wanted = key
        if parameters(key) == ("state",):
            wanted = key(state)
            wanted = bind(wanted, state) if is_reference(wanted) else wanted
        groups: dict[Any, list[Any]] = {}
        for item in items_of(items, state, verb="group_by"):
            values = [wanted(item)] if callable(wanted) else find(item, _path(wanted))
            if values and values[0] is not None:
                groups.setdefault(_hashable(values[0]), []).append(item)
        return {**state, "data": groups}

    return run


def _path(key: object) -> str:
    if not isinstance(key, str):
        raise ArgumentError(
            f"group_by: the key is a JSONPath or a function, not {kind(key)}", got=kind(key)
        )
    return key


def _hashable(value: Any) -> Any:
    """Return *value* in a form that a dict can have as a key."""
    return json.dumps(value, default=str) if isinstance(value, dict | list) else value


def assert_(condition: Any, message: Any = None) -> Operation:
    """Stop the job if a condition is false.

    Args:
        condition: A value, or a function of state.
        message: The message of the error; a text, or a function of state.

    Raises:
        AssertionFailedError: Raised by the operation if *condition* is false.

    Example:
        `assert_(state.data.rows, "there are no rows")`

    """

    def run(state: State) -> State:
        value = dereference(state, condition)
        if not value:
            text = dereference(state, message)
            shown = f"assertion statement failed with {value!r}" if text is None else str(text)
            raise AssertionFailedError(shown, value=value)
        return state

    return run


def log(*values: Any) -> Operation:
    """Write values to the log, each on its own line; the state stays unchanged.

    Args:
        values: Values, or functions of state.  Values other than text are written as JSON.

    Example:
        `log("patients:", state.data.patients)`

    """

    def run(state: State) -> State:
        for value in values:
            print(_shown(resolve(state, value)))  # noqa: T201  # the engine makes a log event of it
        return state

    return run


def debug(*values: Any) -> Operation:
    """Write values to the log at level `debug`, each on its own line; the state stays unchanged.

    Example:
        `debug(state.references)`

    """

    def run(state: State) -> State:
        import logging  # late: a quarter of the time that importing this package would take

        logger = logging.getLogger("common")
        for value in values:
            text = _shown(resolve(state, value))
            if logger.hasHandlers():
                # The job asks for this line, so `adaptor_log_level` does not drop it.
                asked = {"for_author": True}
                level, here = logging.DEBUG, __name__
                logger.handle(
                    logger.makeRecord("common", level, here, 0, text, (), None, extra=asked)
                )
            else:  # `logging` has no handler here, and the line must not be lost
                print(text)  # noqa: T201  # the engine makes a log event of it
        return state

    return run


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def merge(items: Any, fields: dict[str, Any]) -> Callable[[State], list[dict[str, Any]]]:
    """Return a reference to the items of a list, with the same fields added to each.

    Args:
        items: A list, a JSONPath into the state, or a function of state that returns either.
        fields: The fields to add to every item; functions in it are resolved against the state.  A field
            whose path finds nothing is not added.

    Example:
        `merge("$.data.books[*]", fields(field("publisher", source_value("$.data.publisher"))))`

    """

    def run(state: State) -> list[dict[str, Any]]:
        given = dereference(state, fields)
        added = without_absent(state, given) if isinstance(given, dict) else given
        return [{**item, **added} for item in items_of(items, state, verb="merge")]

    return run


@lazily
def join(target_path: str, source_path: str, target_key: str) -> Callable[[State], list[Any]]:
    """Return a reference to the items at a path, with a value from another path added to each.

    If the other path finds nothing, nothing is added.

    Example:
        `join("$.data.books[*]", "$.data.publisher", "publisher")`

    """

    def run(state: State) -> list[Any]:
        found = find(state, source_path)
        added = {target_key: found[0]} if found else {}
        return [{**item, **added} for item in find(state, target_path)]

    return run


def compose_next_state(state: State, response: Any) -> State:
    """Return a state whose `data` is *response* and whose `references` end with the data before.

    Example:
        `fn(lambda state: compose_next_state(state, {"id": 1}))`

    """
    references = [*(state.get("references") or ()), state.get("data")]
    return {**state, "references": references, "data": response}
