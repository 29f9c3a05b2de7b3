"""Learns the secrets of the steps that a journal has recorded, before the first child starts.

The states of these steps are in the records.  So a resumed run needs the secrets, to redact its output
as before.
"""

from __future__ import annotations

from engine.running.session.deadlines import Deadlines
from engine.running.session.loading import Answer, Loading, Request
from protocol.messages import LoadFailed
from protocol.report import ErrorReport


class Learning:
    """The questions about recorded steps.

    Args:
        questions: The questions.
        loading: Keeps the answers.

    """

    def __init__(self, questions: tuple[Request, ...], loading: Loading) -> None:
        self.needed = bool(questions)
        """Whether the run has such questions, or had them."""
        self.open: Request | None = None
        """The question that has no answer yet."""
        self._questions = [*questions]
        self._loading = loading

    def ask(self, now_s: float, deadlines: Deadlines) -> Request | None:
        """Return the next question, or None if all of them have an answer."""
        if not self._questions:
            return None
        deadlines.leave_queue(now_s)
        self.open = request = self._questions.pop()
        self._loading.ask(request, now_s)
        deadlines.loading(now_s)
        return request

    def take(self, answer: Answer, now_s: float, deadlines: Deadlines) -> ErrorReport | None:
        """Take an answer; return the report of a value that could not be had."""
        if not self._loading.awaits(answer):
            return None
        self.open = None
        deadlines.loaded(now_s)
        message, _ = self._loading.take(answer)
        return message.error if isinstance(message, LoadFailed) else None
