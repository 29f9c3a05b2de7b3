"""Every limit of the wire, with its unit and its reason."""

from __future__ import annotations

from typing import Final

PROTOCOL_VERSION: Final = 10
"""Changes whenever the schema of the messages does (tests/unit/protocol/schema.json)."""

MEGABYTE: Final = 1_000_000
"""Sizes that users give in ``_mb`` are decimal megabytes."""

HEADER_BYTES: Final = 4
"""Length prefix: u32, little endian."""

MAX_FRAME_BYTES: Final = 2**31 - 1
"""The length of the longest frame under any options: the prefix is a u32, and half of its range is
enough."""

FRAME_SLACK_BYTES: Final = 2 * MEGABYTE
"""Room for the rest of a message besides its payload: names, positions, reports, a batch of
logs."""

READ_BYTES: Final = 1 << 16
"""Size of the buffer that each run has for small frames.  A large frame gets a buffer of its own,
and pipes are enlarged, so that a large state arrives in few reads."""

CHILD_READ_BYTES: Final = 1 << 14
"""The same for a child: it receives little, and the kernel copies every page that it touches."""

PIPE_BYTES: Final = 1 << 20
"""Wanted capacity of the protocol pipes; an ordinary user may have up to 1 MiB (pipe(7))."""

MAX_ERROR_TEXT: Final = 10_000
"""Most characters of a message or a stack line that a report carries."""

MAX_LOG_BATCH_BYTES: Final = 1 << 14
"""A batch of this size is sent, so that other messages do not wait long behind it."""

LOG_LINE_BYTES: Final = 16
"""Bytes that each log line of a run counts besides its text: empty lines are not free."""

LOG_ENTRY_BYTES: Final = 64
"""Bytes that each entry of a batch counts besides its text, so that 256 empty entries fill a
batch."""

MAX_LOG_ENTRIES: Final = 1_024
"""Most entries in a batch that the engine accepts."""

MAX_NEXT: Final = 10_000
"""Most steps that follow an execution; the engine looks each of them up in the plan."""

MAX_WORDS: Final = 100
"""Most features that a peer may name."""

MAX_SENT_FRAMES: Final = 200
"""Most frames of a stack that the engine accepts; an honest child sends fewer, and a report keeps
fewer."""

MAX_FINDINGS: Final = 10_000
"""Most findings about one checked text."""

MAX_MESSAGE_BYTES: Final = MEGABYTE
"""Largest message of a child, not counting its state and log lines.

The largest honest message is an error: 100 kB of details, a text of 20,000 characters, 51 frames of
a stack.  Decoding the worst message of this size takes 5 ms."""

MAX_DETAILS_BYTES: Final = 100_000
MAX_DETAILS_ITEMS: Final = 10_000
"""Limit of the items in an error's details.  Details above this limit, or above the one in bytes,
are left out."""

MAX_STATE_ITEMS: Final = 5_000_000
"""Default limit of the items of a state: each key, each value, each list and each map is an item.

A state of 6 MB can have six million items, which take a gigabyte after decoding."""

MAX_COLLECTION_BYTES: Final = 8 * MEGABYTE
"""Largest message with values of a collection, and largest page of an answer."""

MAX_COLLECTION_ITEMS: Final = 10_000
"""Most values in one such message.  Decoding the worst message takes 11 ms, and checking it 6 ms."""

MAX_COLLECTION_VALUE: Final = MEGABYTE
"""Most bytes of one value of a collection."""

MAX_COLLECTION_KEY: Final = 500
"""Most characters of a key or a pattern of a collection; an index of PostgreSQL takes 2,700 bytes."""

MAX_COLLECTION_NAME: Final = 100
"""Most characters of the name of a collection."""

MAX_COLLECTION_STARS: Final = 10
"""Most ``*`` in a pattern, because a database tries each of them at each place of a key."""

REQUESTS_FD: Final = 10
"""The descriptor on which a child reads from the engine."""

ANSWERS_FD: Final = 11
"""The descriptor on which a child writes to the engine."""

CONTROL_FD: Final = 12
"""The descriptor on which a zygote exchanges messages with the engine."""

LINK_FD: Final = 13
"""The descriptor over which a child passes the sockets of its private network."""

OUT_OF_MEMORY_CODE: Final = 5
"""The exit code of a child that met its memory limit and could not report it."""
