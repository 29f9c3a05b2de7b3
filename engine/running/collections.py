"""Has the manager's collections carry out a request of a run, in a thread that may be left behind.

The session has checked the request.  Here the values are checked, because that takes time, and so are
the answers of the manager's code, which may be wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, TypeGuard

from engine.api import CollectionItem, CollectionPage, Collections, CollectionsError
from engine.running.resolvers import awaited
from protocol import collection_messages as m
from protocol.collection import MAX_PAGE_BYTES, CollectionQuery, problem_of_key, size_of
from protocol.errors import TooManyItemsError
from protocol.limits import MAX_COLLECTION_KEY, MAX_COLLECTION_VALUE
from protocol.packed import PackedError, check_keys, count_items

_MAX_REASON: Final = 500
_NONE_GIVEN: Final = "this run has no collections"
_FIX: Final = (
    "the program that runs it passes Resolvers(collections=...); a worker, jobcell run and jobcell serve"
    " do so with --collection"
)


class _WrongAnswerError(Exception):
    """The manager's code has given an answer that does not fit the request."""


def carry_out(
    collections: Collections | None,
    request: m.CollectionRequest,
    done: Callable[[m.CollectionAnswer], None],
    wanted: Callable[[], bool] = lambda: True,
) -> None:
    """Carry out *request* in a thread of its own; *done* is called there with the answer.

    Args:
        collections: The manager's object; None if the run has none.
        request: The request, which the session has checked.
        done: Called once.
        wanted: Called in the new thread just before the request is carried out, because the run may
            have been cancelled while the thread was starting.

    """
    if collections is None:
        done(_failed(request, _NONE_GIVEN, fix=_FIX, refused=True))
        return

    def call() -> None:
        if not wanted():
            done(_failed(request, "the run was cancelled"))
            return
        done(answer(collections, request))

    thread = threading.Thread(target=call, name="jobcell-collections", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # the manager has used up its threads
        done(_failed(request, f"the collections were not called: {error}"))


def answer(collections: Collections, request: m.CollectionRequest) -> m.CollectionAnswer:
    """Carry out *request* in this thread, and return the answer, whatever the manager's code does."""
    try:
        return _answer(collections, request)
    except CollectionsError as error:
        return _failed(request, _text(error), fix=error.fix, refused=not error.retryable)
    except _WrongAnswerError as error:
        return _failed(request, f"the collections have given {error}")
    # The manager's code may raise anything, even SystemExit, and the job must get an answer.
    except BaseException as error:  # noqa: BLE001
        return _failed(request, f"the collections raised {type(error).__name__}: {_text(error)}")


def _answer(collections: Collections, request: m.CollectionRequest) -> m.CollectionAnswer:
    number = request.number
    if isinstance(request, m.CollectionGet):
        page = _checked_page(awaited(collections.get(request.name, request.query)), request.query)
        return m.CollectionGiven(number=number, items=page.items, cursor=page.cursor)
    if isinstance(request, m.CollectionSet):
        items = []
        for sent in request.items:
            value = bytes(sent.value)
            problem = _problem_of_value(value)
            if problem is not None:
                return _failed(request, f"the value under {sent.key!r} is not valid: {problem}")
            items.append(CollectionItem(sent.key, value))
        return m.CollectionGiven(
            number=number, count=_count(awaited(collections.set(request.name, items)))
        )
    removed = collections.remove(request.name, request.query, dry_run=request.dry_run)
    count, keys = _removed(awaited(removed))
    shown = keys[: request.query.limit] if request.dry_run else ()
    kept = tuple(CollectionItem(key, b"") for key in shown)
    return m.CollectionGiven(number=number, items=kept, count=count)


def _problem_of_value(value: bytes) -> str | None:
    """Return why bytes of a child are not the msgpack of a value; None if they are."""
    try:
        count_items(value, MAX_COLLECTION_VALUE)
        check_keys(value)
    except (PackedError, TooManyItemsError, RecursionError) as error:
        return str(error)
    return None


def _checked_page(page: Any, query: CollectionQuery) -> CollectionPage:
    if not isinstance(page, CollectionPage):
        raise _WrongAnswerError(f"{type(page).__name__}, not a CollectionPage")
    items = tuple(page.items)
    if len(items) > query.limit:
        raise _WrongAnswerError(f"{len(items)} values; asked for: {query.limit}")
    for item in items:
        wrong: Any = item
        if not isinstance(wrong, CollectionItem) or not isinstance(item.value, bytes):
            raise _WrongAnswerError("a value that is not a CollectionItem with bytes")
        if problem_of_key(item.key) is not None or len(item.value) > MAX_COLLECTION_VALUE:
            raise _WrongAnswerError("a key or a value that no collection can have")
    if len(items) > 1 and size_of(items) > MAX_PAGE_BYTES:
        raise _WrongAnswerError(f"a page of more than {MAX_PAGE_BYTES} bytes")
    cursor: Any = page.cursor
    if cursor is not None and not (isinstance(cursor, str) and len(cursor) <= MAX_COLLECTION_KEY):
        raise _WrongAnswerError(
            f"a cursor that is not text of at most {MAX_COLLECTION_KEY} characters"
        )
    return CollectionPage(items, page.cursor)


def _count(count: Any) -> int:
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count < 2**53:
        raise _WrongAnswerError(f"{type(count).__name__} in place of a number of values")
    return count


def _removed(given: Any) -> tuple[int, tuple[str, ...]]:
    if not _is_pair(given):
        raise _WrongAnswerError("no pair of a number and keys")
    keys = tuple(given[1])
    if not all(isinstance(key, str) and problem_of_key(key) is None for key in keys):
        raise _WrongAnswerError("keys that no collection can have")
    return _count(given[0]), keys


def _is_pair(given: Any) -> TypeGuard[tuple[Any, Any]]:
    return isinstance(given, tuple) and len(given) == 2


def _failed(
    request: m.CollectionRequest, reason: str, *, fix: str | None = None, refused: bool = False
) -> m.CollectionFailed:
    # A message has no lone surrogates.
    reason, fix = _encodable(reason) or "", _encodable(fix)
    return m.CollectionFailed(number=request.number, reason=reason, fix=fix, refused=refused)


def _encodable(text: str | None) -> str | None:
    return None if text is None else text.encode(errors="backslashreplace").decode()


def _text(error: BaseException) -> str:
    try:
        return str(error)[:_MAX_REASON]
    except Exception:  # noqa: BLE001 - an exception class of the manager
        return "an exception without a text"
