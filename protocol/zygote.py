"""Messages between the engine and its zygote, each a datagram on a socket of their own.

A zygote never runs a job, so both sides trust each other.  It answers requests in their order, and
those that are meant for a warm zygote in an order of their own.
Messages do not count runs: a fork inherits the memory of its zygote, and would find all earlier
messages there.
"""

from typing import Final

import msgspec

from protocol.adaptor import AdaptorLink
from protocol.confinement import ConfinementRequest
from protocol.words import LogLevel

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
    warm: int = 0
    """The warm zygote that the child is forked from; 0, and one that has gone: the zygote itself."""


class AdaptorSet(msgspec.Struct, frozen=True):
    """The adaptors of a warm zygote.  It serves no run that has others."""

    links: tuple[AdaptorLink, ...]
    """The adaptors in the order in which they are imported."""
    log_level: LogLevel = "warning"
    """The least important level of lines that they write through `logging` and `warnings`."""


class Warm(msgspec.Struct, frozen=True, tag="warm"):
    """Fork a warm zygote, which puts on these layers and imports these adaptors."""

    number: int
    """Its number in later messages, which is never used again."""
    request: ConfinementRequest
    adaptors: AdaptorSet


class Cool(msgspec.Struct, frozen=True, tag="cool"):
    """End a warm zygote; its forks go on."""

    number: int


class Warmed(msgspec.Struct, frozen=True, tag="warmed"):
    """The warm zygote has imported its adaptors, and can fork."""

    number: int
    memory_bytes: int
    """Its private memory."""


class Cooled(msgspec.Struct, frozen=True, tag="cooled"):
    """The warm zygote has ended, or could not become one."""

    number: int
    reason: str


class Forked(msgspec.Struct, frozen=True, tag="forked"):
    """The child was forked; its pidfd comes along."""

    pid: int
    warm: int = 0
    """The number in the request."""


class ForkFailed(msgspec.Struct, frozen=True, tag="fork-failed"):
    """The child could not be forked."""

    error: int
    """An error number of fork(2), or EMFILE if the zygote has used up its descriptors."""
    warm: int = 0
    """The number in the request."""


class ForkEnded(msgspec.Struct, frozen=True, tag="fork-ended"):
    """A child was reaped; the fields are those of wait4(2)."""

    pid: int
    status: int
    cpu_s: float
    peak_kilobytes: int


encode: Final = msgspec.msgpack.Encoder().encode
decode_to_zygote: Final = msgspec.msgpack.Decoder(Prepare | Fork | Warm | Cool).decode
decode_from_zygote: Final = msgspec.msgpack.Decoder(
    Forked | ForkFailed | ForkEnded | Warmed | Cooled
).decode
