"""Log lines on their way to the engine, in batches that never hold a line back for long."""

from __future__ import annotations

import threading
import time
from typing import Final

from protocol.limits import LOG_ENTRY_BYTES, LOG_LINE_BYTES, MAX_LOG_BATCH_BYTES, MEGABYTE
from protocol.messages import LogBatch, LogEntry
from protocol.words import LEVEL_RANK, LogLevel, LogSource, left_out
from sandbox_child.language import encodable
from sandbox_child.pipes.channel import Channel

_BURST: Final = 16
"""Number of lines that are sent at once: a sent line is not lost if the process dies in native
code."""

_REGAINED_PER_S: Final = 200
"""Number of such lines for each second, once they are used up."""

_FLUSH_S: Final = 0.02
"""Longest time that a line waits for others."""


class LogSender:
    """Takes lines from the job, the adaptors and the runtime, from any thread."""

    def __init__(
        self, channel: Channel, *, level: LogLevel, max_bytes: int, max_line_bytes: int
    ) -> None:
        self._channel = channel
        self._lowest = LEVEL_RANK[level]
        self._max_bytes = max_bytes
        self._max_line = max_line_bytes
        self._lock = threading.Lock()
        self._entries: list[LogEntry] = []
        self._pending = 0
        self._bytes = 0
        self._dropped = 0
        self._dropped_bytes = 0
        self._at_once: float = _BURST
        self._added_at = 0.0
        self._flusher: threading.Thread | None = None
        self._filled: threading.Event | None = None

    def add(self, level: LogLevel, source: LogSource, message: str) -> None:
        """Add a line, which is sent within 20 ms."""
        if LEVEL_RANK[level] < self._lowest:
            return
        size = len(message)
        with self._lock:
            self._bytes += size
            if self._bytes > self._max_bytes:
                # The engine counts dropped lines, so their text need not be sent.
                self._dropped += 1
                self._dropped_bytes += size + LOG_LINE_BYTES
                self._pending += LOG_ENTRY_BYTES
            else:
                self._entries.append(self._entry(level, source, message))
                self._pending += size + LOG_ENTRY_BYTES
            if self._pending >= MAX_LOG_BATCH_BYTES or self._goes_at_once():
                self._send()
            else:
                self._have_flushed()

    def flush(self) -> None:
        """Send the waiting lines."""
        with self._lock:
            if self._pending:
                self._send()

    def _goes_at_once(self) -> bool:
        """Return whether the added line need not wait, because few lines were sent lately."""
        now = time.monotonic()
        regained = (now - self._added_at) * _REGAINED_PER_S
        self._added_at = now
        self._at_once = min(_BURST, self._at_once + regained)
        if self._at_once < 1:
            return False
        self._at_once -= 1
        return True

    def _entry(self, level: LogLevel, source: LogSource, message: str) -> LogEntry:
        if len(message) <= self._max_line:
            return LogEntry(level, source, encodable(message))
        text = left_out(len(message), self._max_line / MEGABYTE)
        return LogEntry(level, source, text, redacted=True)

    def _send(self) -> None:
        if self._entries or self._dropped:
            self._channel.send(
                LogBatch(
                    entries=tuple(self._entries),
                    dropped=self._dropped,
                    dropped_bytes=self._dropped_bytes,
                )
            )
        self._entries.clear()
        self._pending = self._dropped = self._dropped_bytes = 0
        if self._filled is not None:
            self._filled.clear()

    def _have_flushed(self) -> None:
        """Have the waiting lines sent soon."""
        if self._filled is None:
            self._filled = threading.Event()
        self._filled.set()
        if self._flusher is None:
            self._flusher = threading.Thread(
                target=self._keep_flushing, args=(self._filled,), daemon=True
            )
            try:
                self._flusher.start()
            except RuntimeError:  # the job has used up its threads: lines wait for a full batch
                pass

    def _keep_flushing(self, filled: threading.Event) -> None:
        while True:
            filled.wait()
            time.sleep(_FLUSH_S)
            self.flush()
