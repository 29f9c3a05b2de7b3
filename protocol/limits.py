"""Every limit of the wire, with its unit and its reason."""

from __future__ import annotations

from typing import Final

PROTOCOL_VERSION: Final = 5
"""Changes whenever the schema of the messages does (tests/unit/protocol/schema.json)."""

MEGABYTE: Final = 1_000_000
"""Sizes that users give in ``_mb`` are decimal megabytes."""

HEADER_BYTES: Final = 4
"""Length prefix: u32, little endian."""

MAX_FRAME_BYTES: Final = 2**31 - 1
"""No frame is longer, whatever the options say: the prefix is a u32, and half of it is plenty."""

FRAME_SLACK_BYTES: Final = 2 * MEGABYTE
"""What a message may need on top of its payload: names, positions, reports, a batch of logs."""

READ_BYTES: Final = 1 << 16
"""How much is read at once of what is small; each run has such a buffer.  A large frame gets one of
its own, and pipes are enlarged, so that a large state comes in few reads."""

CHILD_READ_BYTES: Final = 1 << 14
"""The same for a child: it hears little, and every page it touches is copied for it."""

PIPE_BYTES: Final = 1 << 20
"""Wanted capacity of the protocol pipes; 1 MiB is what an ordinary user may have (pipe(7))."""

MAX_ERROR_TEXT: Final = 10_000
"""Characters of a message or a stack line that a report carries at the most."""

MAX_LOG_BATCH_BYTES: Final = 1 << 14
"""A batch is sent when it has grown to this, so that nothing waits long behind one."""

LOG_ENTRY_BYTES: Final = 64
"""What an entry counts towards a batch besides its text: 256 empty ones are a batch."""

MAX_LOG_ENTRIES: Final = 1_024
"""Entries of one batch that the engine reads."""

MAX_NEXT: Final = 10_000
"""Steps that follow one execution; the plan is asked about each."""

MAX_WORDS: Final = 100
"""Features of a peer."""

MAX_SENT_FRAMES: Final = 200
"""Frames of a stack that the engine reads; an honest child sends fewer, and a report keeps fewer."""

MAX_FINDINGS: Final = 10_000
"""Things to say of one checked text."""

MAX_MESSAGE_BYTES: Final = MEGABYTE
"""Any message of a child, without its state and without log lines.

The largest honest one is an error: 100 kB of details, a message of 20,000 characters, 51 frames of a
stack.  To decode the worst one of this size takes 5 ms."""

MAX_DETAILS_BYTES: Final = 100_000
MAX_DETAILS_ITEMS: Final = 10_000
"""Details of one error.  Above either limit they are left out."""

MAX_STATE_ITEMS: Final = 5_000_000
"""Default limit of the items of a state: each key and each value is one, a list or map as well.

A state of 6 MB can have six million items, which take a gigabyte once they are decoded."""

REQUESTS_FD: Final = 10
"""The descriptor on which a child reads what the engine sends."""

ANSWERS_FD: Final = 11
"""The descriptor on which a child writes to the engine."""

CONTROL_FD: Final = 12
"""The descriptor on which a zygote talks to the engine."""

OUT_OF_MEMORY_CODE: Final = 5
"""The exit code of a child that met its memory limit where it could not report it."""
