"""The assembler turns a table of verdicts into a filter with exactly these verdicts."""

from __future__ import annotations

import errno

import pytest
from bpf_machine import run_filter
from hypothesis import given
from hypothesis import strategies as st

from sandbox_child.confine.bpf import ALLOW, KILL, Question, assemble, checked, refuse, verdict

ARCH = 0xC000003E
ENOSYS = refuse(errno.ENOSYS)
EPERM = refuse(errno.EPERM)


def program(verdicts, *, past_the_end=0x40000000):
    code = assemble(ARCH, verdicts.items(), otherwise=ENOSYS, past_the_end=past_the_end)
    return b"".join(one.to_bytes(8, "little") for one in code)


def ask(code, number, *arguments, arch=ARCH):
    return run_filter(code, number=number, arch=arch, arguments=arguments)


@given(st.dictionaries(st.integers(0, 600), st.sampled_from([ALLOW, EPERM, KILL]), max_size=200))
def test_every_number_gets_the_verdict_of_the_table(table):
    """Numbers in the table have their verdict, others the default; past the end there is death."""
    code = program({number: verdict(action) for number, action in table.items()})

    for number in range(610):
        assert ask(code, number) == table.get(number, ENOSYS)
    for number in (0x40000000, 0x40000001, 0x7FFFFFFF, 0xFFFFFFFF):
        assert ask(code, number) == KILL


def test_another_architecture_is_killed_whatever_the_number():
    """The numbers have another meaning on another architecture."""
    code = program({1: verdict(ALLOW)})

    assert ask(code, 1) == ALLOW
    for arch in (0x40000003, 0xC00000B7, 0, ARCH ^ 1):
        assert ask(code, 1, arch=arch) == KILL


words = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 7), st.integers(2**32, 2**32 + 7))


@given(
    tests=st.lists(
        st.builds(
            lambda argument, values, mask, unless, wide: Question(
                argument, *(v & mask for v in values), mask=mask, unless=unless, wide=wide
            ),
            st.integers(0, 5),
            st.lists(st.integers(0, 7), min_size=1, max_size=4),
            st.sampled_from([0xFFFFFFFF, 3, 5]),
            st.booleans(),
            st.booleans(),
        ),
        min_size=1,
        max_size=3,
    ),
    arguments=st.tuples(*[words] * 6),
)
def test_a_checked_call_is_allowed_when_all_tests_pass(tests, arguments):
    """By definition, the masked low half is in the list, and the upper half is empty."""
    code = program({9: checked(tests, EPERM)})

    def passes(test):
        value = arguments[test.argument]
        inside = (value & 0xFFFFFFFF & test.mask) in test.values
        return inside != test.unless and not (test.wide and value >> 32)

    expected = ALLOW if all(map(passes, tests)) else EPERM
    assert ask(code, 9, *arguments) == expected


@pytest.mark.slow
def test_a_long_filter_has_jumps_that_reach_across_it():
    """A conditional jump spans 255 instructions; a longer one is made of two."""
    long = {n: checked([Question(a, n + 1) for a in range(6)], EPERM) for n in range(0, 400, 2)}
    code = program(long)

    assert len(code) // 8 > 2000
    for number in range(400):
        wanted = (number + 1,) * 6
        assert ask(code, number, *wanted) == (ENOSYS if number % 2 else ALLOW)
        assert ask(code, number) == (ENOSYS if number % 2 else EPERM)
