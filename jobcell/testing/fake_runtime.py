"""The verbs of a fake adaptor, in the child.

`jobcell.testing.fakes` copies this file into the package of the fake, beside the replies.  The child
knows nothing of jobcell, so the file imports the standard library only.
"""

from __future__ import annotations

import copy
import difflib
import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

_LONGEST = 500_000
"""Number of characters of a call that is reported in full."""
_SHOWN = 1_000
"""Number of characters of each argument of a longer call."""

_log = logging.getLogger("jobcell.fake")


def install(names: dict[str, Any]) -> None:
    """Replace verbs in the namespace of an adaptor.

    Args:
        names: The namespace, whose other names stay as they are.

    Raises:
        ValueError: The adaptor does not have a verb. The job would call the real one under its right name.

    """
    file = Path(__file__).with_name("_jobcell_fake.pickle")
    content = pickle.loads(file.read_bytes())  # noqa: S301 - written by the test itself
    public = names.get("__all__")
    places = {verb: _place_of(verb, names) for verb in content["verbs"]}
    for verb, place in places.items():
        if content["real"] and verb not in place:
            raise ValueError(_unknown_verb(content["adaptor"], verb, names))
    if public is not None:
        own = [verb for verb, place in places.items() if place is names and verb not in public]
        names["__all__"] = [*public, *own]
    else:
        names.pop("install", None)
    counts: dict[str, int] = {}
    for verb, forms in content["verbs"].items():
        places[verb][verb] = _make_verb(verb, forms, content, counts, names)


def _place_of(verb: str, names: dict[str, Any]) -> dict[str, Any]:
    """Return the namespace that has a verb: that of the adaptor, or of a module among its public names."""
    if verb in names:
        return names
    modules = [
        vars(names[name]) for name in names.get("__all__") or () if _is_module(names.get(name))
    ]
    return next((place for place in modules if verb in place.get("__all__", ())), names)


def _unknown_verb(adaptor: str, verb: str, names: dict[str, Any]) -> str:
    known = [name for name in names.get("__all__") or names if callable(names.get(name))]
    near = difflib.get_close_matches(verb, known, n=1)
    advice = f"; did you mean {near[0]!r}?" if near else ""
    return f"fake_adaptor({adaptor!r}): the adaptor has no verb {verb!r}{advice}"


def _is_module(value: object) -> bool:
    return isinstance(value, ModuleType)


def _make_verb(
    verb: str,
    forms: list[tuple[str, Any]],
    content: dict[str, Any],
    counts: dict[str, int],
    names: dict[str, Any],
) -> Callable[..., Any]:
    def fake(*args: Any, **kwargs: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
        def operation(state: dict[str, Any]) -> dict[str, Any]:
            given, named = _resolve(state, list(args)), _resolve(state, kwargs)
            _report(content, verb, given, named)
            number = counts.get(verb, 0)
            counts[verb] = number + 1
            if number >= len(forms) and content["once"][verb]:
                raise AssertionError(
                    f"the fake verb {verb} has {len(forms)} replies, and this is call {number + 1}"
                )
            kind, reply = forms[min(number, len(forms) - 1)]
            if kind == "error":
                raise _make_error(names, *reply)
            data = reply(*given, **named) if kind == "function" else copy.deepcopy(reply)
            before = state.get("data")
            kept = [*state.get("references", []), before] if before is not None else None
            return {**state, "data": data, **({} if kept is None else {"references": kept})}

        operation.__name__ = verb
        return operation

    fake.__name__ = fake.__qualname__ = verb
    return fake


def _resolve(state: dict[str, Any], value: Any) -> Any:
    if callable(value):
        return _resolve(state, value(state))
    if isinstance(value, dict):
        return {key: _resolve(state, inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_resolve(state, inner) for inner in value]
    return value


def _report(content: dict[str, Any], verb: str, args: Any, kwargs: Any) -> None:
    text = json.dumps([content["adaptor"], verb, args, kwargs], default=repr)
    if len(text) > _LONGEST:  # a longer line would be left out of the events
        args = [repr(arg)[:_SHOWN] for arg in args]
        kwargs = {key: repr(value)[:_SHOWN] for key, value in kwargs.items()}
        text = json.dumps([content["adaptor"], verb, args, kwargs])
    record = _log.makeRecord(
        _log.name, logging.WARNING, "", 0, "%s", (content["mark"] + text,), None,
        extra={"for_author": True},
    )  # fmt: skip
    _log.handle(record)


def _make_error(
    names: dict[str, Any], name: str, message: str, attributes: dict[str, Any]
) -> Exception:
    real = names.get(name)
    found = isinstance(real, type) and issubclass(real, Exception)
    kind: Any = real if found else type(name, (Exception,), {})
    # Its own constructor may need arguments that the test does not give.
    error: Exception = kind.__new__(kind, message)
    error.args = (message,)
    for attribute, value in attributes.items():
        setattr(error, attribute, value)
    return error
