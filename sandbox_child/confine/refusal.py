"""The error of the kernel wall."""

from __future__ import annotations


class ConfinementRefused(Exception):  # noqa: N818 - the name says what happened
    """A layer that the policy requires cannot be put on, so the child must not read a job."""

    def __init__(self, layer: str, reason: str, remedy: str) -> None:
        super().__init__(f"layer {layer!r} is required: {reason}")
        self.layer = layer
        self.reason = reason
        self.remedy = remedy
