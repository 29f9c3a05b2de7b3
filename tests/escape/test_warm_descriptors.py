"""No open file connects the runs of a warm set, whatever a hostile adaptor does with descriptors.

A fork begins with the descriptors of its warm zygote.  So that process may have none when it forks.
"""

from __future__ import annotations

import pytest
from hostile_adaptors import answer
from warm_pairs import set_of, wait_until_decided

from engine import Engine

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

LOOK = ("warm/seen.py", 'kept = self._names(f"{pid}/fd")', "kept = []")

ADAPTORS = {
    "keeps": KEEPS_A_PIPE,
    "later": OPENS_LATER,
    "hides": HIDES_A_PIPE,
    "ignores": HIDES_A_PIPE + IGNORES_CLOSING,
}
"""Each has a warm zygote of its own in the shared engine."""

WHOLE = pytest.mark.parametrize("shared", [None], indirect=True, ids=["whole"])
WITHOUT_LOOK = pytest.mark.parametrize("shared", [LOOK], indirect=True, ids=["without"])
# The twins are together at the end, so that there are two engines.


@pytest.fixture(autouse=True)
def no_descriptor_is_left(shared: Engine) -> None:
    """Descriptors of the shared engine come and go: it looks for some that are left at its end."""


@WHOLE
def test_a_pipe_that_an_import_keeps_connects_no_runs(shared: Engine):
    """The clean zygote looks at the descriptors from outside, and ends such a warm zygote."""
    decided = wait_until_decided(shared, "keeps")
    assert decided.reason == "it keeps 2 open descriptors (a file, a pipe...)"
    answer(shared, "tell('secret of A')", "keeps")
    assert answer(shared, "hear()", "keeps") == 11, "a pipe of its own, which is empty"


@WHOLE
def test_a_pipe_that_is_made_between_two_forks_connects_no_runs(shared: Engine):
    """The clean zygote looks again before each fork."""
    wait_until_decided(shared, "later")  # the first fork is made at once
    assert [answer(shared, "tell('secret')", "later"), answer(shared, "hear()", "later")] == [
        None,
        None,
    ]
    assert "open descriptors" in str(set_of(shared, "later").reason)


@WHOLE
def test_a_pipe_in_place_of_standard_streams_connects_no_runs(shared: Engine):
    """They are closed while the process forks, so its forks share none."""
    assert wait_until_decided(shared, "hides").warm
    answer(shared, "tell('secret of A')", "hides")
    assert answer(shared, "hear()", "hides") == "", "the end of /dev/null"


@WHOLE
def test_standard_streams_that_stay_open_end_a_warm_zygote(shared: Engine):
    """A fork can copy its standard streams before it gets those of its run."""
    decided = wait_until_decided(shared, "ignores")
    assert decided.reason == "it keeps 3 open descriptors (a file, a pipe...)"
    assert answer(shared, "nothing()", "ignores") is None


@WITHOUT_LOOK
def test_without_the_look_a_pipe_connects_runs(shared: Engine):
    """The twin: one run reads what another has written."""
    assert wait_until_decided(shared, "keeps").warm
    answer(shared, "tell('secret of A')", "keeps")
    assert answer(shared, "hear()", "keeps") == "secret of A"


@WITHOUT_LOOK
def test_without_the_look_a_later_pipe_connects_runs(shared: Engine):
    """The twin: from the second fork on, runs have the pipe in common."""
    assert wait_until_decided(shared, "later").warm
    answer(shared, "nothing()", "later")
    answer(shared, "tell('secret of A')", "later")
    assert answer(shared, "hear()", "later") == "secret of A"


@WITHOUT_LOOK
def test_without_the_look_standard_streams_connect_runs(shared: Engine):
    """The twin: one run reads what another has written."""
    assert wait_until_decided(shared, "ignores").warm
    answer(shared, "tell('secret of A')", "ignores")
    assert answer(shared, "hear()", "ignores") == "secret of A"
