"""Decides about a child's requests for collections: whether they are allowed, and how they are answered.

A run has at most one request that is being carried out.  The engine refuses by an answer what a job may
want by mistake, and breaks with a child for what an honest child never sends.
"""

from __future__ import annotations

from typing import Final

import msgspec

from engine.api import CollectionRule, Right, RunOptions, allows
from engine.reporting import Reporter
from engine.running.session.deadlines import Deadlines
from engine.running.session.effects import NO_EFFECTS, Collect, Effects, Send
from engine.running.session.limits import too_many_collection_requests
from engine.running.session.verdict import Verdict
from protocol import codec
from protocol import collection_messages as m
from protocol.collection import is_name, problem_of_key, problem_of_query
from protocol.errors import RemoteProtocolError
from protocol.limits import MAX_COLLECTION_VALUE
from protocol.report import ErrorReport
from protocol.suggestion import shorten

_MOST_SHOWN: Final = 5


class Collected(msgspec.Struct, frozen=True):
    """The answer to a request, or to one that the child does not wait for any more."""

    request: m.CollectionRequest
    message: m.CollectionAnswer

    def __repr__(self) -> str:
        return f"<Collected {self.request.number}>"


class Collecting:
    """The requests of a run for collections.  For the supervisor's thread."""

    def __init__(self, options: RunOptions, reporter: Reporter, verdict: Verdict) -> None:
        self.waiting: m.CollectionRequest | None = None
        """The request for whose answer the child waits."""
        self._called: m.CollectionRequest | None = None
        """The request that the manager's code is carrying out."""
        self._options = options
        self._reporter = reporter
        self._verdict = verdict
        self._number = 0
        """The number of the last request of the present child."""
        self._count = 0

    def receive(
        self,
        request: m.CollectionRequest,
        rules: tuple[CollectionRule, ...],
        deadlines: Deadlines,
        now_s: float,
    ) -> Effects | ErrorReport:
        """Take a request of the child; return what to do, or the report of a limit.

        Args:
            request: The request.
            rules: The collections that the child may use.
            deadlines: They learn that the child waits.
            now_s: The time on the monotonic clock.

        Raises:
            RemoteProtocolError: An honest child would not send this request now.

        """
        done = self._take(request, rules)
        if self._verdict.report is not None:
            return NO_EFFECTS  # the run is to end, so nobody answers
        if isinstance(done, m.CollectionFailed):
            return (Send(codec.encode(done)),)
        if done is None:
            deadlines.loading(now_s)
            return (Collect(request),)
        return done

    def _take(
        self, request: m.CollectionRequest, rules: tuple[CollectionRule, ...]
    ) -> m.CollectionFailed | ErrorReport | None:
        self._check(request)
        self._number = request.number
        self._count += 1
        if self._count > self._options.max_collection_requests:
            return too_many_collection_requests(self._options)
        refusal = _refusal(request, rules) or self._secret(request)
        if refusal is None and self._called is not None:
            refusal = m.CollectionFailed(
                number=request.number, reason="an earlier request of the run is still carried out"
            )
        if refusal is None:
            self.waiting = self._called = request
        return refusal

    def _check(self, request: m.CollectionRequest) -> None:
        if self.waiting is not None:
            raise RemoteProtocolError("child asked for a collection before it had the last answer")
        if request.number != self._number + 1:
            raise RemoteProtocolError(
                f"child sent the request {request.number} for a collection; due: {self._number + 1}"
            )
        if not is_name(request.name):
            raise RemoteProtocolError("child named a collection that cannot exist")
        if not isinstance(request, m.CollectionSet):
            problem = problem_of_query(request.query)
        else:
            problem = next(filter(None, (problem_of_key(item.key) for item in request.items)), None)
            if len({item.key for item in request.items}) < len(request.items):
                problem = "a key occurs twice"
            elif any(len(item.value) > MAX_COLLECTION_VALUE for item in request.items):
                problem = f"a value has more than {MAX_COLLECTION_VALUE} bytes"
        if problem is not None:
            raise RemoteProtocolError(f"child sent a bad request for a collection: {problem}")

    def _secret(self, request: m.CollectionRequest) -> m.CollectionFailed | None:
        """Return the refusal of values that have a secret of the run in them."""
        redactor = self._reporter.redactor
        if not isinstance(request, m.CollectionSet) or not redactor.active:
            return None
        pack = msgspec.msgpack.encode
        # Nearly always no value has one, and one search finds that.
        every = b"".join(part for item in request.items for part in (pack(item.key), item.value))
        head = b"\xdd" + (2 * len(request.items)).to_bytes(4, "big")
        if redactor.raw(head + every) is None:
            return None
        for item in request.items:
            if redactor.raw(b"\x92" + pack(item.key) + item.value) is not None:
                break
        return m.CollectionFailed(
            number=request.number,
            reason=f"the value under {redactor.text(shorten(item.key))} has a secret of the"
            " configuration in it, and collections do not keep secrets",
            fix="leave it out; if it is not secret, name its key of the configuration in"
            " public_credential_keys",
            refused=True,
        )

    def answered(self, answer: Collected, deadlines: Deadlines, now_s: float) -> Effects:
        """Take the answer of the manager's code; one that comes too late has no effect."""
        if answer.request is self._called:
            self._called = None
        return NO_EFFECTS if self._verdict.report else self._answer(answer, deadlines, now_s)

    def late(self, deadlines: Deadlines, now_s: float) -> Effects:
        """Answer in place of the manager's code, if it has not answered in time; it goes on."""
        request = self.waiting
        if request is None or not deadlines.load_is_late(now_s):
            return NO_EFFECTS
        reason = (
            f"the collections did not answer within {self._options.resolve_timeout_s:g} s"
            " (resolve_timeout_s)"
        )
        if not isinstance(request, m.CollectionGet):
            reason += "; the request may be carried out all the same"
        failed = m.CollectionFailed(number=request.number, reason=reason)
        return self._answer(Collected(request, failed), deadlines, now_s)

    def _answer(self, answer: Collected, deadlines: Deadlines, now_s: float) -> Effects:
        if self.waiting is None or answer.request is not self.waiting:
            return NO_EFFECTS
        self.waiting = None
        deadlines.loaded(now_s)
        return (Send(codec.encode(answer.message)),)

    def step_ended(self, deadlines: Deadlines, now_s: float) -> None:
        """Drop the open request: its step has ended, and nobody waits for the answer."""
        if self.waiting is not None:
            self.waiting = None
            deadlines.loaded(now_s)

    def next_child(self) -> None:
        """Take note that another child goes on, and counts from 1."""
        self.waiting = None
        self._number = 0


def unread(what: str) -> RemoteProtocolError:
    """Return the error about a child that does not read its answers, so that they would pile up."""
    return RemoteProtocolError(f"child asked for {what} before it has read what it was sent")


def _refusal(
    request: m.CollectionRequest, rules: tuple[CollectionRule, ...]
) -> m.CollectionFailed | None:
    """Return the refusal of a request that no rule allows."""
    changes = isinstance(request, m.CollectionSet) or (
        isinstance(request, m.CollectionRemove) and not request.dry_run
    )
    right: Right = "write" if changes else "read"  # a dry run answers with keys
    if allows(rules, request.name, right):
        return None
    shown = ", ".join(repr(str(rule)) for rule in rules[:_MOST_SHOWN])
    more = f" and {len(rules) - _MOST_SHOWN} more" if len(rules) > _MOST_SHOWN else ""
    own = f"its permissions are {shown}{more}" if rules else "it may use none"
    return m.CollectionFailed(
        number=request.number,
        reason=f"the step may not {right} the collection {request.name!r}; {own}",
        fix=f"allow it with Permissions(collections=['{request.name}:{right}']), or jobcell run"
        f" --collection {request.name}:{right}",
        refused=True,
    )
