"""Small changes of bytes and of plain values, made with a seeded generator."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from random import Random
from typing import Any

SECRET = "correct-horse-battery"

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 127, 128, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**64 - 1, -(2**63),
    0.0, -0.0, 1e308, float("inf"), float("nan"), "", "a", "b", "state", "error", SECRET, "x" * 300,
    "\x00", "\x1b[2J", "\ud7ff", "é日\U0001f511", "-1", "a-2", "a-1", b"", b"\xff", SECRET.encode(),
    [], {}, [[]], {"": {}}, [None] * 20, {"a": {"b": {"c": [1]}}}, [[[[[[[[[[[[]]]]]]]]]]]],
)  # fmt: skip
"""Values at the edges of types, and the words of the borders."""


def mutate_bytes(data: bytes, rng: Random, words: Sequence[bytes] = ()) -> bytes:
    """Return *data* with one to three places changed."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        place = rng.randint(0, len(changed))
        end = min(len(changed), place + rng.choice((1, 1, 2, 4, 16, 64)))
        kind = rng.randrange(6)
        if kind == 0 and changed:
            changed[place % len(changed)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del changed[place:end]
        elif kind == 2:
            changed[place:place] = changed[place:end] * rng.choice((1, 2, 30))
        elif kind == 3:
            changed[place:place] = rng.choice(words) if words else rng.randbytes(rng.randint(1, 4))
        elif kind == 4:
            changed[place:end] = rng.randbytes(end - place)
        elif words:
            changed[place:end] = rng.choice(words)
    return bytes(changed)


def mutate_value(value: Any, rng: Random, values: Sequence[Any] = VALUES) -> Any:
    """Return a copy of *value*, made of lists and dicts, with one to three nodes changed."""
    box = [copy.deepcopy(value)]
    for _ in range(rng.randint(1, 3)):
        nodes = list(_nodes(box))
        holder, key = rng.choice(nodes)
        kind = rng.randrange(7)
        if kind <= 2:
            holder[key] = copy.deepcopy(rng.choice(values))
        elif kind == 3:
            other, name = rng.choice(nodes)
            holder[key] = copy.deepcopy(other[name])
        elif kind == 4 and holder is not box:
            del holder[key]
        elif kind == 5:
            _add(holder, key, rng, values)
        elif kind == 6 and isinstance(holder[key], bytes):
            holder[key] = mutate_bytes(holder[key], rng)
        elif kind == 6 and isinstance(holder[key], str):
            text = holder[key].encode("utf-8", "surrogatepass")
            holder[key] = mutate_bytes(text, rng).decode("utf-8", "replace")
    return box[0] if box else None


def _nodes(root: Any) -> Any:
    pending = [root]
    while pending:
        holder = pending.pop()
        for key, item in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
            yield holder, key
            if isinstance(item, (list, dict)):
                pending.append(item)


def _add(holder: Any, key: Any, rng: Random, values: Sequence[Any]) -> None:
    """Add a member beside the one at *key*: under a new name, or a second time."""
    inner = holder[key]
    if isinstance(inner, dict):
        name = rng.choice([*map(str, inner), "a", "b", "", SECRET, "next", "error"])
        inner[name] = copy.deepcopy(rng.choice(values))
    elif isinstance(inner, list):
        inner.extend(copy.deepcopy(inner[:3]) or [copy.deepcopy(rng.choice(values))])
    elif isinstance(holder, dict):
        holder[f"{key}{rng.choice(('', '2', '_'))}"] = holder.pop(key)
