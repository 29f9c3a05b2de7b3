"""The actions that a session asks of its lane.

A session decides and does not act. Each of its methods returns effects, and the lane carries them out
in their order. All effects are harmless for a child that is gone.
"""

from __future__ import annotations

from typing import Final

import msgspec

from engine.api import StepRecord
from engine.running.session.loading import Request
from protocol.collection_messages import CollectionRequest


class Send(msgspec.Struct, frozen=True):
    """Send one frame to the child."""

    body: bytes

    def __repr__(self) -> str:
        return f"Send(<{len(self.body)} bytes>)"  # the body may contain a credential


class Resolve(msgspec.Struct, frozen=True):
    """Have a resolver called in a thread of its own, and give its answer to `Session.loaded`."""

    request: Request


class Collect(msgspec.Struct, frozen=True):
    """Have the collections carry out a request in a thread, and give the answer to `Session.loaded`."""

    request: CollectionRequest

    def __repr__(self) -> str:
        return f"Collect(<request {self.request.number}>)"  # it has values of the job


class Kill(msgspec.Struct, frozen=True):
    """Kill the child at once, with all processes that it started.

    Its earlier messages and output still count.
    """


class AskWhere(msgspec.Struct, frozen=True):
    """Have the child write its stack to its standard error."""


class Dismiss(msgspec.Struct, frozen=True):
    """End the child that has sent its last message, once everything that it wrote is taken."""


class Record(msgspec.Struct, frozen=True):
    """Have the journal keep a record in a thread of its own, and call `Session.recorded`."""

    record: StepRecord


Effect = Send | Resolve | Collect | Kill | AskWhere | Dismiss | Record
Effects = tuple[Effect, ...]

NO_EFFECTS: Final[Effects] = ()
KILL: Final[Effects] = (Kill(),)
ASK_WHERE: Final[Effects] = (AskWhere(),)
DISMISS: Final[Effects] = (Dismiss(),)
