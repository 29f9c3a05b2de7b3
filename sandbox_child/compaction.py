"""Closes the gaps in this process's heap, so that what its forks allocate lies together.

An allocator hands out again what was freed, wherever that lies; after a few thousand imports it lies
everywhere.  A fork copies each page that it writes to, so a hundred small objects in a hundred gaps
cost it a hundred pages, and next to each other they cost a few.
"""

from __future__ import annotations

import sys
from typing import Final

_ALIGNMENT: Final = 16
_SMALL_BYTES: Final = 512
"""What is larger comes from malloc.  Source: pymalloc, Objects/obmalloc.c."""
_LARGE_BYTES: Final = 4096
_NO_GAP_BYTES: Final = 100_000
"""A block of this size is taken from the end of the heap: below what malloc maps by itself, above
what it finds room for."""
_POOL_BYTES: Final = 1 << 14
_FIRST_IN_POOL: Final = 48
"""After the header of a pool, which takes small objects of one size."""
_IN_ORDER: Final = 4
"""So many objects next to each other, from the start of a pool on, mean that the pool is new."""
_MOST: Final = 5_000
"""For one size: what has more gaps than that is not worth it."""

_OVERHEAD: Final = bytes.__basicsize__
"""Of an object of `bytes` beyond its bytes."""

_plugs: list[object] = []
"""What lies in the gaps now; it stays for as long as the process."""


def close_gaps() -> None:
    """Fill all gaps with objects of no use; what is allocated next lies behind them."""
    if sys.abiflags:
        return  # built for debugging or without a lock: the allocator is another one
    for size in range(_ALIGNMENT, _SMALL_BYTES + 1, _ALIGNMENT):
        _fill_pools(size)
    end = id(bytes(_NO_GAP_BYTES))
    for size in range(_LARGE_BYTES, _SMALL_BYTES, -_ALIGNMENT):
        _fill_heap(size, end)


def _fill_pools(size: int) -> None:
    """Take objects of one size until they come one after the other from the start of a new pool.

    The place at the start of a pool in use may be a gap as well, but the places behind it hardly are.
    """
    expected, in_order = -1, 0
    for _ in range(_MOST):
        plug = _plug(size)
        _plugs.append(plug)
        if id(plug) % _POOL_BYTES == _FIRST_IN_POOL:
            in_order = 1
        else:
            in_order = in_order + 1 if in_order and id(plug) == expected else 0
        if in_order == _IN_ORDER:
            return
        expected = id(plug) + size


def _fill_heap(size: int, end: int) -> None:
    """Take blocks of one size until one lies at the end, where no gaps are."""
    for _ in range(_MOST):
        plug = _plug(size)
        if id(plug) >= end:
            return
        _plugs.append(plug)


def _plug(size: int) -> object:
    """Return an object that takes *size* bytes and refers to nothing."""
    if size <= _ALIGNMENT:
        return object()
    if size <= 2 * _ALIGNMENT:
        return float(len(_plugs))  # of 24 bytes; small ones of `bytes` are shared
    return bytes(size - _OVERHEAD)
