"""Everything that the steps of a run share: the linker, the loop, the log, and the collector."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Final

from sandbox_child.facts import set_access
from sandbox_child.pipes import streams
from sandbox_child.running.step_input import PlanValues

if TYPE_CHECKING:
    from protocol import messages as m
    from sandbox_child.linker import Linker
    from sandbox_child.pipes.channel import Channel
    from sandbox_child.running.attempts import Attempts
    from sandbox_child.running.collecting import Collecting
    from sandbox_child.running.log_sender import LogSender
    from sandbox_child.running.loop import RunLoop
    from sandbox_child.running.warmed import Warmed

_LARGE_BLOCKS: Final = 50_000
"""Number of Python's small blocks that a state of a megabyte or more takes."""


class Runtime:
    """All objects that the steps of a run share; none of them belongs to a job."""

    def __init__(
        self,
        start: m.Start,
        channel: Channel,
        logs: LogSender,
        warmed: Warmed | None = None,
    ) -> None:
        self.start = start
        self.channel = channel
        self.logs = logs
        self.values = PlanValues()
        self._warmed = warmed
        """The adaptors that were imported before the run."""
        self._linker: Linker | None = None
        self._loop: RunLoop | None = None
        self._collecting: Collecting | None = None
        self.attempts: Attempts | None = None
        """The connections that were tried; None before the first adaptor was linked."""
        self._blocks: int | None = None
        if not start.language and start.net:
            self.hear_attempts()  # without the language wall, a job itself may reach a socket

    def open_collections(self) -> None:
        """Let adaptors send requests for collections: a job runs from now on."""
        if self._collecting is not None:
            self._collecting.begin_step()
        set_access(self._get_collecting)

    def close_collections(self) -> None:
        """Let adaptors send no requests for collections: no job runs."""
        set_access(None)

    def _get_collecting(self) -> Collecting:
        if self._collecting is None:
            from sandbox_child.running.collecting import Collecting  # most runs use none

            self._collecting = Collecting(self.channel)
        return self._collecting

    def hide_from_collector(self) -> None:
        """Keep the collector from walking through a large state, which stays."""
        gc.freeze()

    def expect_large_state(self) -> None:
        """Collect garbage before a large state hides it, and note the number of blocks."""
        gc.collect()
        if self._blocks is None:
            self._blocks = sys.getallocatedblocks()

    def let_go(self) -> None:
        """Collect a large state that a job has left in a cycle: hidden, it would stay."""
        if self._blocks is None or sys.getallocatedblocks() < self._blocks + _LARGE_BLOCKS:
            return
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    def get_loop(self) -> RunLoop:
        """Return the event loop of the run; the first job that awaits makes and imports it."""
        if self._loop is None:
            from sandbox_child.running.loop import RunLoop

            self._loop = RunLoop(
                self.channel, lambda text: self.logs.add("warning", "runtime", text)
            )
        return self._loop

    @property
    def linker(self) -> Linker:
        """The linker, which is imported and made for the first job that can link a module."""
        if self._linker is None:
            from sandbox_child.linker import Linker

            self._linker = Linker(
                self.start.adaptors,
                whitelist=self.start.whitelist,
                log=self.logs.add,
                log_level=self.start.adaptor_log_level,
                warm=self._warmed,
            )
            if self._warmed is None:
                from sandbox_child.running.leaving import leave_with_output

                leave_with_output(self.flush)
            self.hear_attempts()
        return self._linker

    def hear_attempts(self) -> None:
        """Record the connections that are tried from now on."""
        if self._warmed is not None:
            self.attempts = self._warmed.attempts
            self.attempts.clear()  # the trial of the private network was heard, too
            self.attempts.use_rules(self.start.net)
        elif self.attempts is None:
            from sandbox_child.running.attempts import Attempts

            self.attempts = Attempts(self.start.net)
            self.attempts.install()

    def send_output(self) -> None:
        """Send the output of the running step, even if it has replaced the standard streams."""
        writes_itself = self._linker is not None or not self.start.language
        if self._linker is not None:
            self._linker.flush()
        if writes_itself:
            streams.put_back(lambda text: self.logs.add("warning", "runtime", text))
        self.logs.flush()
        if writes_itself:
            streams.wait_until_read()

    def flush(self) -> None:
        """Send the lines that adaptors have printed so far."""
        if self._linker is not None:
            self._linker.flush()
        self.logs.flush()

    @property
    def adaptor_directories(self) -> dict[str, str]:
        """For each directory, the adaptor whose code may be in a traceback."""
        return {} if self._linker is None else self._linker.prefixes
