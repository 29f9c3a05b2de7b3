"""The link between a child and the relay: the child passes the sockets of its network over it.

It is a pair of `SOCK_SEQPACKET` sockets.  The engine gives one end to the relay, with `protocol.relay.Open`.
"""

from __future__ import annotations

from typing import Final

LINK_MORE: Final = b"more"
"""The body of a message of a link, which carries descriptors."""
LINK_END: Final = b"end"
"""The body of the last message of a link.  The relay closes the link after it."""
MAX_LINK_DESCRIPTORS: Final = 200
"""Most descriptors of one message of a link; the kernel refuses more than 253 (SCM_MAX_FD)."""

BACKLOG: Final = 128
"""Most connections of a listener that wait to be accepted."""

NAME_PORT: Final = 53
