"""The log lines of a run on their way to the manager: limited, split into lines, redacted."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable
from typing import Final

import msgspec

from engine.api import RunOptions
from engine.reporting.redaction import Redactor
from protocol.limits import LOG_LINE_BYTES, MEGABYTE
from protocol.messages import LogEntry
from protocol.words import LEVEL_RANK, LogLevel, LogSource, left_out

_STREAM_LEVEL: Final[dict[LogSource, LogLevel]] = {"stdout": "info", "stderr": "warning"}
_EXCESS: Final = 10


class LogBook:
    """Takes log entries and raw output, and passes on the lines that the manager may see."""

    def __init__(
        self, options: RunOptions, redactor: Redactor, emit: Callable[[LogEntry], None]
    ) -> None:
        self.bytes = 0
        """Bytes of all logged lines, including dropped lines and those below the level."""
        self._options = options
        self._redactor = redactor
        self._records = redactor.records(_is_own)
        self._emit = emit
        self._wanted_bytes = 0
        self._may_hold = False
        """Whether a line may be held back."""
        self._dropped = 0
        self._decoders = {
            source: codecs.getincrementaldecoder("utf-8")("replace") for source in _STREAM_LEVEL
        }
        self._partial = {source: io.StringIO(newline="") for source in _STREAM_LEVEL}
        """Unfinished lines, which grow in place, because making a new text each time would take
        quadratic time."""

    @property
    def excessive(self) -> bool:
        """Whether the run must end because it has logged too much."""
        return self.bytes > _EXCESS * self._options.max_log_bytes

    @property
    def loss(self) -> str | None:
        """The message about dropped lines; None if none were dropped."""
        if not self._dropped:
            return None
        limit = self._options.max_log_bytes
        return (
            f"{self._dropped} log lines were dropped: the run may log {limit} bytes (max_log_bytes)"
        )

    def close(self) -> None:
        """Take note that the run is over; lines are not reported any more."""
        self._emit = _nobody

    def add(self, entry: LogEntry) -> None:
        """Take a log entry."""
        size = _size(entry.message)
        self.bytes += size + LOG_LINE_BYTES
        if LEVEL_RANK[entry.level] < LEVEL_RANK[self._options.log_level]:
            return
        self._wanted_bytes += size + LOG_LINE_BYTES
        if self._wanted_bytes > self._options.max_log_bytes:
            self._dropped += 1
            return
        if size > self._options.log_payload_mb * MEGABYTE:
            entry = self._left_out(entry)
        if not self._redactor.active:
            self._emit(entry)
            return
        self._may_hold = True
        for settled, text in self._records.feed(entry, entry.message):
            self._emit(msgspec.structs.replace(settled, message=text))

    def output(self, source: LogSource, data: bytes) -> None:
        """Take bytes of a standard stream; each of its lines becomes an entry."""
        self._may_hold = True
        first, *lines = self._decoders[source].decode(data).split("\n")
        self._partial[source].write(first)
        for line in lines:
            self._add_line(source, self._taken(source).removesuffix("\r"))
            self._partial[source].write(line)
        if self._partial[source].tell() > self._options.log_payload_mb * MEGABYTE:
            self._add_line(source, self._taken(source).removesuffix("\r"))

    def _taken(self, source: LogSource) -> str:
        """Return an unfinished line, and empty its buffer."""
        line = self._partial[source].getvalue()
        self._partial[source].seek(0)
        self._partial[source].truncate()
        return line

    def _add_line(self, source: LogSource, line: str) -> None:
        self.add(LogEntry(_STREAM_LEVEL[source], source, line))

    def count_dropped(self, lines: int, size: int) -> None:
        """Take note of lines that the child itself has dropped."""
        self._dropped += max(0, lines)
        self.bytes += max(0, size)

    def flush(self, *, final: bool = False) -> None:
        """Pass on held-back lines: unfinished lines, and possible parts of secrets."""
        if not (self._may_hold or final):
            return
        self._may_hold = False
        for source in _STREAM_LEVEL:
            if final:
                self._partial[source].write(self._decoders[source].decode(b"", final=True))
            if self._partial[source].tell():
                self._add_line(source, self._taken(source))
        for settled, text in self._records.flush():
            self._emit(msgspec.structs.replace(settled, message=text))

    def _left_out(self, entry: LogEntry) -> LogEntry:
        limit = self._options.log_payload_mb
        message = left_out(len(entry.message), limit)
        return LogEntry(entry.level, entry.source, message, redacted=True)


def _is_own(entry: LogEntry) -> bool:
    """Whether the engine has written the message, perhaps in place of one that was too long."""
    return entry.source == "runtime" or entry.redacted


def _size(text: str) -> int:
    """Return the length in UTF-8, in bytes; ASCII text need not be encoded for that."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _nobody(_entry: LogEntry) -> None:
    pass
