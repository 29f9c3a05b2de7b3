"""Fills the gaps in this process's heap, so that new objects of its forks lie together.

An allocator reuses freed memory, which lies everywhere after a few thousand imports.  A fork copies
each page that it writes to.  So a hundred small objects in a hundred gaps cost it a hundred pages,
but next to each other they cost a few.
"""

from __future__ import annotations

from typing import Final

from sandbox_child.tested import is_tested

_ALIGNMENT: Final = 16
_SMALL_BYTES: Final = 512
"""Largest object of pymalloc; larger ones come from malloc.  Source: Objects/obmalloc.c."""
_LARGE_BYTES: Final = 4096
_NO_GAP_BYTES: Final = 100_000
"""A block of this size comes from the end of the heap: it is too small for a mapping of its own,
and too large for a gap."""
_POOL_BYTES: Final = 1 << 14
_FIRST_IN_POOL: Final = 48
"""Offset of the first object in a pool, after its header; a pool has small objects of one size."""
_IN_ORDER: Final = 4
"""Number of objects next to each other, from the start of a pool, that mean that the pool is
new."""
_MOST: Final = 5_000
"""Most gaps that are filled for a size; filling more does not pay."""

_OVERHEAD: Final = bytes.__basicsize__
"""Size of an object of `bytes` without its content."""

_plugs: list[object] = []
"""The objects in the gaps, which stay as long as the process."""


def close_gaps() -> None:
    """Fill all gaps with unused objects, so that later objects come after them.

    Only a tested interpreter does this; on any other, forks copy more pages.
    """
    if not is_tested():
        return
    for size in range(_ALIGNMENT, _SMALL_BYTES + 1, _ALIGNMENT):
        _fill_pools(size)
    end = id(bytes(_NO_GAP_BYTES))
    for size in range(_LARGE_BYTES, _SMALL_BYTES, -_ALIGNMENT):
        _fill_heap(size, end)


def _fill_pools(size: int) -> None:
    """Make objects of one size until they follow each other from the start of a new pool.

    The first place of a pool in use may also be a gap, but the places after it hardly are.
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
    """Take blocks of one size until a block lies at the end of the heap, after all gaps."""
    for _ in range(_MOST):
        plug = _plug(size)
        if id(plug) >= end:
            return
        _plugs.append(plug)


def _plug(size: int) -> object:
    """Return an object that takes *size* bytes and does not refer to other objects."""
    if size <= _ALIGNMENT:
        return object()
    if size <= 2 * _ALIGNMENT:
        return float(len(_plugs))  # of 24 bytes; small ones of `bytes` are shared
    return bytes(size - _OVERHEAD)
