"""Adaptors that were imported before the run began, and what a run would have seen of that.

A warm zygote imports them without a run.  What they write, log and warn is recorded, and is replayed
when a step links the adaptor, which is when it would have been imported.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
from typing import TYPE_CHECKING, Any, Final, Protocol

from sandbox_child.facts import watch_facts
from sandbox_child.linker import Linker
from sandbox_child.running import seeds
from sandbox_child.running.attempts import Attempts
from sandbox_child.running.leaving import leave_with_output
from sandbox_child.running.shared import changed, shared_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.adaptor import AdaptorLink
    from protocol.words import LogLevel, LogSource
    from protocol.zygote import AdaptorSet
    from sandbox_child.linker import Realm, StepLinks
    from sandbox_child.running.attempts import Target

_MOST_BYTES: Final = 1 << 20
"""Most bytes of output that are recorded."""
_READ_BYTES: Final = 1 << 16
_HIGHEST: Final = 1 << 10
"""The descriptors below this number are looked at."""


class _Logs(Protocol):
    def add(self, level: LogLevel, source: LogSource, message: str) -> None: ...


class Run(Protocol):
    """The parts of a run to which the hooks of a child refer."""

    @property
    def logs(self) -> _Logs:
        """Takes log lines."""

    @property
    def adaptor_directories(self) -> Mapping[str, str]:
        """For each directory, the adaptor whose code may be in a traceback."""

    def flush(self) -> None:
        """Send the lines that adaptors have printed so far."""


class NotWarmError(Exception):
    """The adaptors cannot be imported before a run; the text says why."""


class _Record:
    """The import of one adaptor."""

    def __init__(self, link: AdaptorLink, realm: Realm, links: StepLinks) -> None:
        self.link = link
        self.realm = realm
        self.links: StepLinks | None = links
        """What a step that has only this adaptor may import, until a step has taken it."""
        self.entries: list[tuple[LogLevel, LogSource, str]] = []
        self.held: dict[LogLevel, str] = {}
        """Lines that the import has begun and not ended."""
        self.output: dict[int, bytes] = {}
        """For each standard stream, the bytes that did not come as log lines."""
        self.targets: list[Target] = []
        """The connections that were tried."""
        self.numpy: list[Any] = []
        """Numpy's global generators that the adaptor has not seeded."""


class Warmed:
    """The imported adaptors of a set, for the run of a fork.

    It stands in for the run while they are imported: `logs` and `adaptor_directories` are those of the
    run as soon as there is one.

    Args:
        adaptors: The adaptors.
        net: Whether the runs have a network.

    """

    def __init__(self, adaptors: AdaptorSet, *, net: bool = False) -> None:
        self.logs = self
        self.attempts = Attempts()
        self.collects = True
        """Whether the adaptors have left the collector of garbage on."""
        self._adaptors = adaptors
        self._net = net
        self._records: dict[str, _Record] = {}
        self._entries: list[tuple[LogLevel, LogSource, str]] | None = None
        self._bytes = 0
        self._run: Run | None = None
        self._linker: Linker | None = None
        self._random: object = None
        """The state of `random` that an adaptor has chosen."""
        self._facts_read = False

    # --- what a run offers to the hooks of a child ---

    def add(self, level: LogLevel, source: LogSource, message: str) -> None:
        """Take a log line: record it, or pass it on to the run."""
        if self._run is not None:
            self._run.logs.add(level, source, message)
        elif self._entries is not None and self._bytes < _MOST_BYTES:
            self._bytes += len(message)
            self._entries.append((level, source, message))

    @property
    def adaptor_directories(self) -> Mapping[str, str]:
        """See `Runtime.adaptor_directories`."""
        if self._run is not None:
            return self._run.adaptor_directories
        return {} if self._linker is None else self._linker.prefixes

    def _flush(self) -> None:
        if self._run is not None:
            self._run.flush()

    # --- in the warm zygote ---

    def import_all(self, outputs: Mapping[int, int]) -> None:
        """Import the adaptors, and record what a run would have seen.

        Args:
            outputs: For each standard stream, the descriptor to read from what was written to it.

        Raises:
            NotWarmError: An adaptor cannot be imported, or a run could tell that it was imported before.

        """
        watch_facts(self._note_reader)
        linker = self._linker = Linker(
            self._adaptors.links, whitelist=None, log=self.add, log_level=self._adaptors.log_level
        )
        leave_with_output(self._flush)
        self.attempts.install()
        opened = _open_descriptors()
        before = random.getstate()
        gc.enable()
        for link in self._adaptors.links:
            self._import(linker, link, outputs)
        for record in self._records.values():
            record.held = record.realm.printer.held
        self.collects = gc.isenabled()
        gc.disable()
        watch_facts(None)
        if not seeds.follows(random.getstate(), before):
            self._random = random.getstate()
            if len(self._adaptors.links) > 1:
                raise NotWarmError(
                    "an adaptor seeds random while it is imported, which a step with another adaptor"
                    " could see too early"
                )
        self._refuse(opened)

    def _import(self, linker: Linker, link: AdaptorLink, outputs: Mapping[int, int]) -> None:
        from sandbox_child.language.guards import JobImportError

        entries = self._entries = []
        alone = len(self._adaptors.links) == 1
        before = {} if alone else shared_state()
        try:
            realm, links = linker.warm_up(link)
        except JobImportError as error:
            raise NotWarmError(str(error)) from None
        record = self._records[_label(link)] = _Record(link, realm, links)
        self._entries = None
        record.entries = entries
        record.targets = self.attempts.targets
        if self._net and record.targets:
            # A run would have its own connection, with an event for it.
            raise NotWarmError(f"{_label(link)} connects while it is imported")
        self.attempts.clear()
        what = changed(before)
        if what is None and not alone and self.attempts.hooked:
            what = "the audit hooks"
        if what is not None:
            raise NotWarmError(
                f"{_label(link)} changes {what} while it is imported, which a step with another"
                " adaptor could see too early"
            )
        record.numpy = seeds.unseeded_generators(realm.modules)
        for stream, end in outputs.items():
            for name in ("stdout", "stderr"):
                flush = getattr(getattr(sys, name, None), "flush", None)
                if callable(flush):
                    try:
                        flush()
                    except Exception:  # noqa: BLE001, S110 - whatever the adaptor has put there
                        pass
            record.output[stream] = _read_all(end)
            self._bytes += len(record.output[stream])
        if self._bytes >= _MOST_BYTES:
            raise NotWarmError(f"{_label(link)} writes more than 1 MB while it is imported")

    def _refuse(self, opened: set[int]) -> None:
        """Refuse adaptors of which a fork would not have all."""
        import threading

        running = [thread.name for thread in threading.enumerate()[1:]]
        if running or len(sys._current_frames()) > 1:  # noqa: SLF001 - also threads of C code
            named = f" ({running[0][:60]})" if running else ""
            raise NotWarmError(f"it starts a thread{named} while it is imported")
        kept = sorted(_open_descriptors() - opened)
        if kept:
            raise NotWarmError(
                f"it keeps {_count(len(kept), 'descriptor')} open (a file, a pipe...)"
            )
        for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            if signal.getitimer(timer)[0]:
                raise NotWarmError("it sets a timer while it is imported")
        if self._facts_read:
            raise NotWarmError(
                "it reads jobcell_context, or asks for a collection, while it is imported"
            )

    def _note_reader(self) -> None:
        self._facts_read = True

    def seed_next(self) -> None:
        """Give the next fork numbers of its own from numpy.

        It takes most of a millisecond, and here nobody waits for it.
        """
        for record in self._records.values():
            for generator in record.numpy:
                generator.seed()

    # --- in a fork ---

    def begin_fork(self) -> None:
        """Give the fork of a warm zygote what a new run has: seeds of its own, and the collector."""
        for record in self._records.values():
            # A hook at the fork may have printed, and so have ended or lengthened a line of the import.
            record.realm.printer.held = record.held
        if self._random is not None:
            random.setstate(self._random)  # type: ignore[arg-type]  # the fork handler of that module has changed it
        if self.collects:
            gc.enable()

    def begin(self, run: Run) -> None:
        """Pass on to *run* what comes from now on."""
        self._run = run

    def ready(self, link: AdaptorLink) -> StepLinks | None:
        """See `sandbox_child.linker.linker.Warm`: a later step may find other values in the module."""
        record = self._records.get(_label(link))
        if record is None or record.link != link:
            return None
        links, record.links = record.links, None
        return links

    def take(self, link: AdaptorLink) -> Realm | None:
        """See `sandbox_child.linker.linker.Warm`."""
        record = self._records.get(_label(link))
        if record is None or record.link != link:
            return None
        self.attempts.remember(record.targets)
        for entry in record.entries:
            self.add(*entry)
        for stream, output in record.output.items():
            rest = memoryview(output)
            while rest:
                rest = rest[os.write(stream, rest) :]
        return record.realm


def _label(link: AdaptorLink) -> str:
    return f"{link.name}@{link.version}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _open_descriptors() -> set[int]:
    found = set()
    for number in range(_HIGHEST):
        try:
            os.fstat(number)
        except OSError:
            continue
        found.add(number)
    return found


def _read_all(end: int) -> bytes:
    """Return all bytes that a pipe holds; its reading end does not wait."""
    pieces: list[bytes] = []
    while True:
        try:
            piece = os.read(end, _READ_BYTES)
        except BlockingIOError:
            return b"".join(pieces)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
