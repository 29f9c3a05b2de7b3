"""Looks at a warm zygote from outside, through ``/proc``, while it waits at its gate.

Nothing can change then: the process has one thread, and this thread waits.
"""

from __future__ import annotations

import os
import resource


class Proc:
    """The directory ``/proc``, opened before the process has lost it from its root.

    Raises:
        OSError: It is not there.

    """

    def __init__(self) -> None:
        self.fd = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def network(self) -> int:
        """Return a descriptor of the network that this process is in.

        Raises:
            OSError: It cannot be opened.

        """
        return os.open("self/ns/net", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.fd)

    def mounts(self) -> int:
        """Return a descriptor of the mounts that this process has.

        Raises:
            OSError: They cannot be opened.

        """
        return os.open("self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.fd)

    def is_powerless(self, pid: int) -> bool:
        """Return whether the process has one thread, and this thread no capability.

        Raises:
            OSError: It is gone.

        """
        lines = dict(
            line.split(b":", 1) for line in self._read(f"{pid}/status").splitlines() if b":" in line
        )
        names = (b"CapInh", b"CapPrm", b"CapEff", b"CapAmb")
        return int(lines[b"Threads"]) == 1 and not any(int(lines[name], 16) for name in names)

    def map_ids(self, pid: int) -> None:
        """Give the ids of this process's users to a process in a new user namespace.

        An ordinary user has one id, and the processes of its runs do not see it either.

        Raises:
            OSError: The process is gone, or this one lacks the rights of root.

        """
        if os.geteuid() != 0:
            return
        for name in ("uid_map", "gid_map"):
            rows = [row.split() for row in self._read(f"self/{name}").splitlines()]
            text = b"".join(b"%s %s %s\n" % (first, first, count) for first, _, count in rows)
            file = os.open(f"{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC, dir_fd=self.fd)
            try:
                os.write(file, text)
            finally:
                os.close(file)

    def offence(self, pid: int) -> str | None:
        """Return why forks of the process would not be separate from it, or nothing.

        Raises:
            OSError: It cannot be looked at.

        """
        if len(self._names(f"{pid}/task")) != 1:
            return "it starts a thread while it is imported"
        # A fork shares an open file, and its position and flags, with the process and with other
        # forks.  That holds for standard streams as well: a fork can copy them before it gets its own.
        kept = self._names(f"{pid}/fd")
        if kept:
            return f"it keeps {len(kept)} open descriptors (a file, a pipe...)"
        return None

    def threads(self, thread: int) -> int:
        """Return the number of threads of the process that *thread* belongs to.

        Raises:
            OSError: It is gone.

        """
        return int(self._read(f"{thread}/status").partition(b"\nThreads:")[2].split(maxsplit=1)[0])

    def user(self, pid: int) -> tuple[int, int]:
        """Return the user id and the group id of a process.

        Raises:
            OSError: It is gone.

        """
        text = self._read(f"{pid}/status")
        uid, gid = (
            int(text.partition(b"\n%s:" % name)[2].split(maxsplit=1)[0])
            for name in (b"Uid", b"Gid")
        )
        return uid, gid

    def data_bytes(self, pid: int) -> int:
        """Return the memory of the process that RLIMIT_DATA counts, and its stack.

        Raises:
            OSError: It is gone.

        """
        return int(self._read(f"{pid}/statm").split()[5]) * resource.getpagesize()

    def private_bytes(self, pid: int) -> int:
        """Return the memory that the process shares with no other; 0 if it cannot be read."""
        try:
            text = self._read(f"{pid}/smaps_rollup")
        except OSError:
            return 0
        lines = (line.split() for line in text.splitlines())
        return sum(
            int(words[1]) * 1024
            for words in lines
            if words and words[0] in (b"Private_Clean:", b"Private_Dirty:")
        )

    def _names(self, path: str) -> list[str]:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.fd)
        try:
            return os.listdir(directory)
        finally:
            os.close(directory)

    def _read(self, path: str) -> bytes:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.fd)
        try:
            return os.read(file, 1 << 14)
        finally:
            os.close(file)
