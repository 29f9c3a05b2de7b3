"""A child whose parent is the zygote, as the engine sees it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Final

from engine.start.child import ask_where, is_readable
from engine.start.exit import Exit

HANG_LOOKS: Final = 8
"""Number of looks in a row at which an answer about a child is due, before the zygote is replaced.
A zygote answers within milliseconds, or after it has loaded its modules."""

KILLED_LOOKS: Final = 3
"""The same for a child that was killed, because a limit or a cancel must end its run in a few
seconds."""


class ForkedChild:
    """A child whose parent is the zygote: it is killed through a pidfd, and the zygote reaps it."""

    def __init__(self) -> None:
        self.pid: int | None = None
        self.exit_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._pidfd = -1
        self._kill_wanted = False
        self._exit: Exit | None = None
        self._due_looks = 0
        self._known: Callable[[], None] | None = None

    def when_known(self, known: Callable[[], None]) -> None:
        """See `Child.when_known`."""
        if self.pid is None:
            self._known = known
        else:
            known()

    def gone(self) -> bool:
        """See `Child.gone`."""
        return self._exit is not None or (self._pidfd >= 0 and is_readable(self._pidfd))

    def kill(self) -> None:
        """See `Child.kill`."""
        self._kill_wanted = True
        if self.pid is None or self._exit is not None:
            return
        try:
            if self._pidfd >= 0:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            else:
                # This process had no descriptor free for a pidfd.  The pid is the child's until the
                # zygote has waited for it, and the zygote reports that at once.
                os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it is gone

    def ask_where(self) -> None:
        """See `Child.ask_where`; without a pidfd, the child cannot be asked."""
        if self._pidfd >= 0 and self._exit is None:
            ask_where(self._pidfd)

    def reap(self) -> Exit:
        """See `Child.reap`."""
        assert self._exit is not None
        os.close(self.exit_fd)
        if self._pidfd >= 0:
            os.close(self._pidfd)
        return self._exit

    def born(self, pid: int, pidfd: int) -> None:
        """Take note of the pid; a kill that came too early is done now."""
        self.pid, self._pidfd = pid, pidfd
        if self._kill_wanted:
            self.kill()
        known, self._known = self._known, None
        if known is not None:
            known()

    def overdue(self) -> bool:
        """Count a look; return whether the answer about the child is overdue."""
        self._due_looks = self._due_looks + 1 if self.pid is None or self.gone() else 0
        return self._due_looks >= (KILLED_LOOKS if self._kill_wanted else HANG_LOOKS)

    def ended(self, how: Exit) -> None:
        """Take note of how the child ended."""
        self._known = None  # it may refer to the owner of this object
        if self._exit is None:
            self._exit = how
            os.eventfd_write(self.exit_fd, 1)
