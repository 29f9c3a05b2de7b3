"""Messages between the engine and its zygote, each a datagram on a socket of their own.

A zygote never runs a job, so both sides trust each other.  It answers requests in their order.
Messages do not count runs: a fork inherits the memory of its zygote, and would find all earlier
messages there.
"""

from __future__ import annotations

from typing import Final

import msgspec

from protocol.confinement import ConfinementRequest

MAX_DATAGRAM_BYTES: Final = 1 << 17


class Prepare(msgspec.Struct, frozen=True, tag="prepare"):
    """The first message: put on your layers, and be ready."""

    pid: int
    """The pid of the engine, which a zygote does not outlive."""
    request: ConfinementRequest


class Fork(msgspec.Struct, frozen=True, tag="fork"):
    """Fork a child on the descriptors that come along: requests, answers, stdout, stderr.

    A fifth one is the link of a child with a private network.
    """

    request: ConfinementRequest | None = None
    """The layers that the child puts on; None means those that the zygote was prepared for."""


class Forked(msgspec.Struct, frozen=True, tag="forked"):
    """The child was forked; its pidfd comes along."""

    pid: int


class ForkFailed(msgspec.Struct, frozen=True, tag="fork-failed"):
    """The child could not be forked."""

    error: int
    """An error number of fork(2), or EMFILE if the zygote has used up its descriptors."""


class ForkEnded(msgspec.Struct, frozen=True, tag="fork-ended"):
    """A child was reaped; the fields are those of wait4(2)."""

    pid: int
    status: int
    cpu_s: float
    peak_kilobytes: int


encode: Final = msgspec.msgpack.Encoder().encode
decode_to_zygote: Final = msgspec.msgpack.Decoder(Prepare | Fork).decode
decode_from_zygote: Final = msgspec.msgpack.Decoder(Forked | ForkFailed | ForkEnded).decode
