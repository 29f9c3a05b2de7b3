"""Every limit of the wire, with its unit and its reason."""

from __future__ import annotations

from typing import Final

PROTOCOL_VERSION: Final = 4
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

MAX_LOG_BATCH_BYTES: Final = 1 << 16
"""A batch is sent when it has grown to this, so that nothing waits long behind one."""

REQUESTS_FD: Final = 10
"""The descriptor on which a child reads what the engine sends."""

ANSWERS_FD: Final = 11
"""The descriptor on which a child writes to the engine."""

CONTROL_FD: Final = 12
"""The descriptor on which a zygote talks to the engine."""

OUT_OF_MEMORY_CODE: Final = 5
"""The exit code of a child that met its memory limit where it could not report it."""
