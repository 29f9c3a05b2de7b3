"""No open file connects the runs of a warm set, whatever a hostile adaptor does with descriptors.

A fork begins with the descriptors of its warm zygote.  So that process may have none when it forks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hostile_adaptors import answer, engine_with
from warm_pairs import WarmRepo, set_of, wait_until_decided

KEEPS_A_PIPE = """
    without_own_filter()
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    @verb
    def tell(secret):
        return os.write(writing, secret.encode())

    @verb
    def hear():
        try:
            return os.read(reading, 100).decode()
        except OSError as error:
            return error.errno
"""
LOOK = ("warm/seen.py", 'kept = self._names(f"{pid}/fd")', "kept = []")


def test_a_pipe_that_an_import_keeps_connects_no_runs(repo: WarmRepo):
    """The clean zygote looks at the descriptors from outside, and ends such a warm zygote."""
    with engine_with(repo, KEEPS_A_PIPE) as engine:
        decided = wait_until_decided(engine, "hostile")
        assert decided.reason == "it keeps 2 open descriptors (a file, a pipe...)"
        answer(engine, "tell('secret of A')")
        assert answer(engine, "hear()") == 11, "a pipe of its own, which is empty"


def test_without_the_look_a_pipe_connects_runs(repo: WarmRepo, edited: Callable[..., Path]):
    """The twin: one run reads what another has written."""
    edited(*LOOK)
    with engine_with(repo, KEEPS_A_PIPE) as engine:
        assert wait_until_decided(engine, "hostile").warm
        answer(engine, "tell('secret of A')")
        assert answer(engine, "hear()") == "secret of A"


OPENS_LATER = """
    without_own_filter()
    ends = []
    def later():
        if not ends:
            ends.extend(os.pipe())
            os.set_blocking(ends[0], False)
    os.register_at_fork(after_in_parent=later)

    @verb
    def tell(secret):
        return os.write(ends[1], secret.encode()) if ends else None

    @verb
    def hear():
        return os.read(ends[0], 100).decode() if ends else None
"""


def test_a_pipe_that_is_made_between_two_forks_connects_no_runs(repo: WarmRepo):
    """The clean zygote looks again before each fork."""
    with engine_with(repo, OPENS_LATER) as engine:
        wait_until_decided(engine, "hostile")  # the first fork is made at once
        assert [answer(engine, "tell('secret')"), answer(engine, "hear()")] == [None, None]
        assert "open descriptors" in str(set_of(engine, "hostile").reason)


def test_without_the_look_a_later_pipe_connects_runs(repo: WarmRepo, edited: Callable[..., Path]):
    """The twin: from the second fork on, runs have the pipe in common."""
    edited(*LOOK)
    with engine_with(repo, OPENS_LATER) as engine:
        assert wait_until_decided(engine, "hostile").warm
        answer(engine, "nothing()")
        answer(engine, "tell('secret of A')")
        assert answer(engine, "hear()") == "secret of A"


HIDES_A_PIPE = """
    without_own_filter()
    ends = []

    def hide():
        if not ends:
            made = os.pipe()
            os.set_blocking(made[0], False)
            for end, stream in zip(made, (1, 2)):
                os.dup2(end, stream)
                os.close(end)
            ends.extend((1, 2))

    def keep():
        copies = [[os.dup(stream) for _ in range(10)] for stream in (1, 2)]
        ends[:] = [of_stream[-1] for of_stream in copies]  # the pipes of a run come to low numbers

    os.register_at_fork(before=hide, after_in_child=keep)

    @verb
    def tell(secret):
        return os.write(ends[1], secret.encode())

    @verb
    def hear():
        try:
            return os.read(ends[0], 100).decode()
        except OSError as error:
            return error.errno
"""
IGNORES_CLOSING = """
    (Call,) = {type(one) for one in gc.get_objects() if type(one).__name__ == "Call"} or {object}
    if hasattr(Call, "attempt"):  # a cold run has none
        attempt = Call.attempt
        Call.attempt = lambda self: 0 if self.name == "close_range" else attempt(self)
"""


def test_a_pipe_in_place_of_standard_streams_connects_no_runs(repo: WarmRepo):
    """They are closed while the process forks, so its forks share none."""
    with engine_with(repo, HIDES_A_PIPE) as engine:
        assert wait_until_decided(engine, "hostile").warm
        answer(engine, "tell('secret of A')")
        assert answer(engine, "hear()") == "", "the end of /dev/null"


def test_standard_streams_that_stay_open_end_a_warm_zygote(repo: WarmRepo):
    """A fork can copy its standard streams before it gets those of its run."""
    with engine_with(repo, HIDES_A_PIPE + IGNORES_CLOSING) as engine:
        decided = wait_until_decided(engine, "hostile")
        assert decided.reason == "it keeps 3 open descriptors (a file, a pipe...)"
        assert answer(engine, "nothing()") is None


def test_without_the_look_standard_streams_connect_runs(
    repo: WarmRepo, edited: Callable[..., Path]
):
    """The twin: one run reads what another has written."""
    edited(*LOOK)
    with engine_with(repo, HIDES_A_PIPE + IGNORES_CLOSING) as engine:
        assert wait_until_decided(engine, "hostile").warm
        answer(engine, "tell('secret of A')")
        assert answer(engine, "hear()") == "secret of A"
