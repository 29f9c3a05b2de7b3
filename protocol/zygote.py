"""Between the engine and its zygote: one datagram for each message, on a socket of their own.

A zygote never runs a job, so both sides believe each other.  It answers requests in their order, and no
message counts runs: a fork inherits the memory of its zygote, and finds there what it has heard.
"""

from __future__ import annotations

from typing import Final

import msgspec

from protocol.confinement import ConfinementRequest

MAX_DATAGRAM_BYTES: Final = 1 << 17


class Prepare(msgspec.Struct, frozen=True, tag="prepare"):
    """Confine yourself, and be ready; the first message."""

    pid: int
    """Of the engine: a zygote does not outlive it."""
    request: ConfinementRequest


class Fork(msgspec.Struct, frozen=True, tag="fork"):
    """Fork a child on the descriptors that come along: requests, answers, stdout, stderr."""

    request: ConfinementRequest | None = None
    """What it is to put on; None: what the zygote was prepared for."""


class Forked(msgspec.Struct, frozen=True, tag="forked"):
    """There is a child; a pidfd of it comes along."""

    pid: int


class ForkFailed(msgspec.Struct, frozen=True, tag="fork-failed"):
    """There is no child."""

    error: int
    """An error number of fork(2), or EMFILE where the zygote has no descriptor left."""


class ForkEnded(msgspec.Struct, frozen=True, tag="fork-ended"):
    """A child was reaped; as wait4(2) tells it."""

    pid: int
    status: int
    cpu_s: float
    peak_kilobytes: int


encode: Final = msgspec.msgpack.Encoder().encode
decode_to_zygote: Final = msgspec.msgpack.Decoder(Prepare | Fork).decode
decode_from_zygote: Final = msgspec.msgpack.Decoder(Forked | ForkFailed | ForkEnded).decode
