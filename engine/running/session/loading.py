"""The credentials and stored states of a run, from the question of its child to the answer.

A question goes one way: `ask` checks it, and `known` may answer it from earlier values. Otherwise
the lane has the resolver called. `study` turns the value into an answer in the resolver's thread,
and `take` accepts it.
"""

from __future__ import annotations

import msgspec

from engine.reporting import Redactor, Studied
from engine.running.session.resolution import Kind, Resolution, late
from protocol.errors import RemoteProtocolError
from protocol.messages import Loaded, LoadFailed
from protocol.report import ErrorReport
from protocol.state import decode_state


class Request(msgspec.Struct, frozen=True):
    """The question of a child for a credential or a state."""

    kind: Kind
    id: str
    step_id: str
    step_run_id: str


class Answer(msgspec.Struct, frozen=True):
    """The outcome of a question, and the secrets of a value that was resolved for it."""

    request: Request
    outcome: Resolution | ErrorReport
    secrets: Studied | None = None


class Loading:
    """All loading of a run. Its methods are for the supervisor's thread, except `study`."""

    def __init__(
        self,
        *,
        credential_ids: frozenset[str],
        state_ids: frozenset[str],
        redactor: Redactor,
    ) -> None:
        self.waiting: Request | None = None
        """The question that has no answer yet. A child has one at a time."""
        self._since_s = 0.0
        self._known_ids = {"credential": credential_ids, "state": state_ids}
        self._redactor = redactor
        self._resolved: dict[tuple[Kind, str], Resolution] = {}
        self._asked_by: dict[tuple[Kind, str], str] = {}
        """For each id, the execution of a step for which it was resolved last."""
        self._failed: set[tuple[Kind, str]] = set()

    def ask(self, request: Request, now_s: float) -> None:
        """Take a question of the child.

        Raises:
            RemoteProtocolError: The child may not ask this now.

        """
        kind = request.kind
        if request.id not in self._known_ids[kind]:
            raise RemoteProtocolError(f"child asked for a {kind} that its plan does not name")
        if self.waiting is not None:
            raise RemoteProtocolError(f"child asked for a {kind} before it had the last answer")
        if (kind, request.id) in self._failed:
            raise RemoteProtocolError(f"child asked again for a {kind} that could not be had")
        self.waiting = request
        self._since_s = now_s

    def known(self, request: Request, now_s: float) -> Answer | None:
        """Return the answer from a value that was resolved before and has not expired."""
        key = (request.kind, request.id)
        value = self._resolved.get(key)
        if value is None:
            return None
        # A child may ask any number of times, but the resolver is called once for each execution of
        # a step.
        repeated = self._asked_by.get(key) == request.step_run_id
        if repeated or value.expires is None or now_s < value.expires:
            return Answer(request, value)
        return None

    def study(self, request: Request, outcome: Resolution | ErrorReport) -> Answer:
        """Return the answer with the secrets of its value. For the resolver's thread: it may take long."""
        if isinstance(outcome, ErrorReport):
            return Answer(request, outcome)
        try:
            secrets = self._redactor.study(_secret_part(request, outcome))
        except Exception:  # noqa: BLE001 - of a foreign object; `take` meets it again and ends the run
            secrets = None
        return Answer(request, outcome, secrets)

    def late(self, timeout_s: float) -> Answer:
        """Return the answer to a question whose resolver has not answered in time."""
        request = self.waiting
        assert request is not None
        return Answer(request, late(request.kind, request.id, request.step_id, timeout_s))

    def awaits(self, answer: Answer) -> bool:
        """Whether this is the answer to the open question, and does not come too late."""
        return answer.request is self.waiting

    def take(self, answer: Answer) -> tuple[Loaded | LoadFailed, bool]:
        """Take the answer to the open question.

        Returns:
            The message for the child, and whether a value was resolved for it just now.

        """
        request, outcome = answer.request, answer.outcome
        key = (request.kind, request.id)
        self.waiting = None
        if isinstance(outcome, ErrorReport):
            self._failed.add(key)
            return LoadFailed(error=outcome), False
        self._asked_by[key] = request.step_run_id
        new = self._resolved.get(key) is not outcome
        if new:
            self._resolved[key] = outcome
            # Learn the secrets before the child knows the value, so that its messages cannot carry
            # the value out.
            secrets = answer.secrets or self._redactor.study(_secret_part(request, outcome))
            self._redactor.adopt(secrets)
        return Loaded(value=msgspec.Raw(outcome.encoded)), new

    def drop(self) -> None:
        """Drop the open question: its child is gone, and the next one asks by itself."""
        self.waiting = None

    def lasted_s(self, now_s: float) -> float:
        """Return the seconds since the last question."""
        return now_s - self._since_s

    def forget(self) -> None:
        """Drop every value."""
        self._resolved.clear()


def _secret_part(request: Request, outcome: Resolution) -> object:
    """Return the part of a resolved value that has secrets; for a state, its configuration."""
    if request.kind == "credential":
        return outcome.value
    state = outcome.value
    if not isinstance(state, dict):
        state = decode_state(outcome.encoded)
    return state.get("configuration") if isinstance(state, dict) else None
