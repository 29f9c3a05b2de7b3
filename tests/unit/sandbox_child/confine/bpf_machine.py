"""Runs a seccomp filter as the kernel would; written from the manual, not from our assembler."""

from __future__ import annotations

import functools
import struct


@functools.cache
def instructions(program: bytes) -> list[tuple[int, int, int, int]]:
    """Return the instructions of *program*: code, two distances of a jump, and an operand."""
    return [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]


def run_filter(program: bytes, *, number: int, arch: int, arguments=(0,) * 6) -> int:
    """Return the verdict of *program* about one system call."""
    padded = [value & (2**64 - 1) for value in (*arguments, 0, 0, 0, 0, 0, 0)][:6]
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, arch, 0, *padded)
    code = instructions(program)
    accumulator = at = 0
    while True:
        operation, true, false, operand = code[at]
        at += 1
        match operation:
            case 0x20:  # BPF_LD | BPF_W | BPF_ABS
                (accumulator,) = struct.unpack_from("<I", data, operand)
            case 0x54:  # BPF_ALU | BPF_AND | BPF_K
                accumulator &= operand
            case 0x05:  # BPF_JMP | BPF_JA
                at += operand
            case 0x15:  # BPF_JEQ
                at += true if accumulator == operand else false
            case 0x25:  # BPF_JGT
                at += true if accumulator > operand else false
            case 0x35:  # BPF_JGE
                at += true if accumulator >= operand else false
            case 0x45:  # BPF_JSET
                at += true if accumulator & operand else false
            case 0x06:  # BPF_RET | BPF_K
                return operand
            case _:
                raise AssertionError(f"unknown operation {operation:#x}")
