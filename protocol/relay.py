"""Messages between the engine and its relay, each a datagram on a socket of their own.

The relay is a process that carries the network traffic of runs (`engine.network.relay`).  It trusts
the engine, and the engine trusts the relay.  Neither trusts a job.

The child of a run sends the sockets of its network to the relay over a link: see `protocol.link`.
"""

from typing import Final

import msgspec

from protocol.confinement import LayerReport
from protocol.words import NetOutcome

MAX_DATAGRAM_BYTES: Final = 1 << 18
"""Size of the longest message."""

CONTROL_FD: Final = 3
"""The descriptor on which the relay finds its socket to the engine."""

MAX_ENDED: Final = 1_000
"""Most messages `Ended` for one run; those above are only counted."""


class Configure(msgspec.Struct, frozen=True, tag="configure"):
    """The first message: put on your walls, and be ready."""

    pid: int
    """The pid of the engine, which the relay does not outlive."""
    proxy: str | None = None
    """The HTTP proxy for all connections, as `protocol.net_proxy` reads it."""
    idle_s: float = 600.0
    """A connection without a byte for this time is reset."""
    without: tuple[str, ...] = ()
    """Walls left out on purpose; tests use it to show what each wall stops."""


class Open(msgspec.Struct, frozen=True, tag="open"):
    """Serve a run; the relay's end of its link comes along."""

    run: int
    """A number that the engine has not used for another run of this relay."""
    rules: tuple[str, ...]
    """Rules as `protocol.net_rules` reads them."""
    max_connections: int = 256
    net_bytes: int | None = None
    """Most bytes of the run, in both directions together; None: no limit."""


class Close(msgspec.Struct, frozen=True, tag="close"):
    """The child of the run has ended: end its connections, and report."""

    run: int


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The answer to `Configure`."""

    layers: tuple[LayerReport, ...]
    """The walls of the relay."""


class Opened(msgspec.Struct, frozen=True, tag="opened"):
    """The run is served: the child may send its sockets."""

    run: int


class OpenFailed(msgspec.Struct, frozen=True, tag="open-failed"):
    """The run has no network, and nothing of it is left in the relay.

    It comes in place of `Opened`, or later if the link brought something other than sockets of a run.
    A `Close` of this run is still answered.
    """

    run: int
    reason: str


class Ended(msgspec.Struct, frozen=True, tag="ended", omit_defaults=True):
    """A connection has ended, or a name or a connection was refused."""

    run: int
    host: str
    """The name or address that the job named; characters that are not printable are escaped."""
    port: int
    """0 for a name that was refused."""
    outcome: NetOutcome
    reason: str = ""
    """Empty for ``open``."""
    bytes_sent: int = 0
    """Bytes from the job."""
    bytes_received: int = 0
    """Bytes to the job."""
    duration_ms: float = 0.0


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """The bytes of the run until now; sent every 100 ms at most, while bytes flow."""

    run: int
    sent: int
    received: int


class LimitReached(msgspec.Struct, frozen=True, tag="limit-reached"):
    """The run wanted to pass more than `Open.net_bytes`; its traffic has ended."""

    run: int
    sent: int
    received: int


class Closed(msgspec.Struct, frozen=True, tag="closed"):
    """The answer to `Close`, and the last message about the run."""

    run: int
    connections: int = 0
    """Number of connections with the outcome ``open``."""
    sent: int = 0
    received: int = 0
    dropped: int = 0
    """Number of messages `Ended` that were not sent."""


class RelayLost(msgspec.Struct, frozen=True, tag="relay-lost"):
    """The relay has died, and the connections of the run have ended with it.

    The engine itself makes this message, in place of the relay.  `Closed` follows.
    """

    run: int


FromRelay = Opened | OpenFailed | Ended | Progress | LimitReached | RelayLost | Closed
"""Every message about a run."""

encode: Final = msgspec.msgpack.Encoder().encode
decode_to_relay: Final = msgspec.msgpack.Decoder(Configure | Open | Close).decode
decode_from_relay: Final = msgspec.msgpack.Decoder(Ready | FromRelay).decode
