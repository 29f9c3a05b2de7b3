"""A small assembler for seccomp filters.  It does not know our policy.

An instruction is a 64-bit number, as in the memory of a little-endian machine: code 16 bits, jump
if true 8, jump if false 8, operand 32.  Jumps go forward only, and are counted from the next
instruction.  Source: linux/bpf_common.h, linux/seccomp.h, seccomp(2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

LOAD: Final = 0x20
"""Load the 32-bit word at an offset of struct seccomp_data."""
AND: Final = 0x54
JUMP: Final = 0x05
JUMP_EQUAL: Final = 0x15
JUMP_AT_LEAST: Final = 0x35
RETURN: Final = 0x06

NUMBER_OFFSET: Final = 0
ARCH_OFFSET: Final = 4
ARGUMENTS_OFFSET: Final = 16

ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
"""Kill the whole process, with SIGSYS."""
LONGEST_JUMP: Final = 255
WORD: Final = 0xFFFFFFFF

Code = list[int]


def refuse(errno: int) -> int:
    """Return the verdict that lets the call fail with *errno*."""
    return 0x00050000 | errno


def instruction(code: int, operand: int, true: int = 0, false: int = 0) -> int:
    """Return an instruction."""
    return code | true << 16 | false << 24 | operand << 32


class Question:
    """A question about an argument of a call: whether ``argument & mask`` is one of the values.

    It looks at the low 32 bits.  The kernel reads most arguments as ``int`` and ignores the upper
    half of such a register; ``wide`` also demands that the upper half is 0.
    """

    __slots__ = ("argument", "mask", "unless", "values", "wide")

    def __init__(
        self,
        argument: int,
        *values: int,
        mask: int = WORD,
        unless: bool = False,
        wide: bool = False,
    ) -> None:
        self.argument = argument
        self.values = values
        self.mask = mask
        self.unless = unless
        self.wide = wide

    def before(self, code: Code, rest: int) -> Code:
        """Return *code* with this test before it; a call that fails goes on *rest* from its end."""
        offset = ARGUMENTS_OFFSET + 8 * self.argument
        if self.wide:
            upper = [
                instruction(LOAD, offset + 4),
                instruction(JUMP_EQUAL, 0, false=len(code) - rest + self._length()),
            ]
        else:
            upper = []
        lower = [instruction(LOAD, offset)]
        if self.mask != WORD:
            lower.append(instruction(AND, self.mask))
        for left, value in zip(range(len(self.values) - 1, -1, -1), self.values, strict=True):
            if self.unless:
                lower.append(instruction(JUMP_EQUAL, value, true=left + len(code) - rest))
            else:
                failing = 0 if left else len(code) - rest
                lower.append(instruction(JUMP_EQUAL, value, true=left, false=failing))
        return upper + lower + code

    def _length(self) -> int:
        return 1 + (self.mask != WORD) + len(self.values)


def flags(argument: int, *allowed: int) -> Question:
    """Return the question whether an argument has only *allowed* bits."""
    mask = WORD
    for bits in allowed:
        mask &= ~bits
    return Question(argument, 0, mask=mask)


def checked(tests: Sequence[Question], otherwise: int) -> Code:
    """Return code that allows a call whose arguments pass all *tests*."""
    return either([tests], otherwise)


def either(alternatives: Sequence[Sequence[Question]], otherwise: int) -> Code:
    """Return code that allows a call whose arguments pass all tests of one of the *alternatives*."""
    rest = verdict(otherwise)
    for tests in reversed(alternatives):
        code = [*verdict(ALLOW), *rest]
        for test in reversed(tests):
            code = test.before(code, len(rest))
        rest = code
    return rest


def verdict(action: int) -> Code:
    """Return code that ends with *action* for all arguments."""
    return [instruction(RETURN, action)]


def assemble(
    arch: int, verdicts: Iterable[tuple[int, Code]], *, otherwise: int, past_the_end: int
) -> Code:
    """Return a whole filter.

    Args:
        arch: The architecture of the filter; a call of any other architecture is killed.
        verdicts: For each system call number, its code.
        otherwise: The verdict for any other number.
        past_the_end: From this number on every call is killed (the x32 numbers of x86-64).

    """
    ranges: list[tuple[int, Code]] = []
    following = 0
    default = verdict(otherwise)
    for number, code in (*sorted(verdicts), (past_the_end, verdict(KILL))):
        if number > following:
            _extend(ranges, following, default)
        _extend(ranges, number, code)
        following = number + 1
    return [
        instruction(LOAD, ARCH_OFFSET),
        instruction(JUMP_EQUAL, arch, true=1),
        instruction(RETURN, KILL),
        instruction(LOAD, NUMBER_OFFSET),
        *_search(ranges),
    ]


def _extend(ranges: list[tuple[int, Code]], number: int, code: Code) -> None:
    if not ranges or ranges[-1][1] != code:
        ranges.append((number, code))


def _search(ranges: list[tuple[int, Code]]) -> Code:
    """Return a binary search for the last range that begins at or below the number.

    It takes eight comparisons for each call; a list of numbers would take up to four hundred.
    """
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    start = ranges[middle][0]
    if len(below) <= LONGEST_JUMP:
        return [instruction(JUMP_AT_LEAST, start, true=len(below)), *below, *above]
    return [
        instruction(JUMP_AT_LEAST, start, false=1),
        instruction(JUMP, len(below)),
        *below,
        *above,
    ]
