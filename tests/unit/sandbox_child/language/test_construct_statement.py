"""Statements and expressions that need no check work as they do in Python."""

from __future__ import annotations

import pytest

SOURCES = {
    "a chain of assignments calls once": (
        ("calls = []\ndef f():\n    calls.append(1)\n    return (1, 2)\n"
        "def main(state):\n    a = b, c = f()\n    return [a, b, c, len(calls)]"),
        [(1, 2), 1, 2, 1],
    ),
    "unpacking": (
        ("def main(state):\n    a, (b, *c), *d = 1, (2, 3, 4), 5, 6\n"
        "    [e, f] = 7, 8\n    return [a, b, c, d, e, f]"),
        [1, 2, [3, 4], [5, 6], 7, 8],
    ),
    "augmented assignment": (
        ("def main(state):\n    n = 1\n    n += 1; n *= 3; n -= 1; n //= 2; n **= 2; n %= 3\n"
        "    d = {'x': [1]}\n    d['x'] += [2]\n    n |= 8; n &= 12; n ^= 1; n <<= 1; n >>= 1\n"
        "    return [n, d]"),
        [9, {"x": [1, 2]}],
    ),
    "loops": (
        ("def main(state):\n    out = []\n    for i in range(10):\n        if i == 2:\n"
        "            continue\n        if i == 5:\n            break\n        out.append(i)\n"
        "    else:\n        out.append('else')\n    while True:\n        break\n"
        "    for k, (a, b) in {'x': (1, 2)}.items():\n        out += [k, a, b]\n    return out"),
        [0, 1, 3, 4, "x", 1, 2],
    ),
    "try": (
        ("def main(state):\n    out = []\n    try:\n        1 / 0\n"
        "    except (KeyError, ZeroDivisionError) as e:\n        out.append(str(e))\n"
        "    else:\n        out.append('else')\n    finally:\n        out.append('finally')\n"
        "    try:\n        raise ValueError('a') from KeyError('b')\n"
        "    except ValueError as e:\n        out.append(e.args[0])\n    return out"),
        ["division by zero", "finally", "a"],
    ),
    "except star": (
        ("def main(state):\n    out = []\n    try:\n"
        "        raise ExceptionGroup('g', [ValueError('v'), TypeError('t')])\n"
        "    except* ValueError as group:\n        out += [str(e) for e in group.exceptions]\n"
        "    except* TypeError as group:\n        out += [str(e) for e in group.exceptions]\n"
        "    return out"),
        ["v", "t"],
    ),
    "with": (
        ("from contextlib import contextmanager\n@contextmanager\n"
        "def pair():\n    yield 1, (2, 3)\n"
        "def main(state):\n    with pair() as (a, (b, c)), pair() as d:\n        return [a, b, c, d]"),
        [1, 2, 3, (1, (2, 3))],
    ),
    "comprehensions": (
        ("def main(state):\n    rows = [(1, (2, 3)), (4, (5, 6))]\n"
        "    return [[a + c for a, (b, c) in rows if b > 1], sorted({a for a, _ in rows}),"
        " {a: b for a, (b, _) in rows}, sum(x for r in rows for x in r[1])]"),
        [[4, 10], [1, 4], {1: 2, 4: 5}, 16],
    ),
    "walrus": (
        ("def main(state):\n    out = []\n    while (n := len(out)) < 3:\n        out.append(n)\n"
        "    return [out, [y for x in out if (y := x * 2)]]"),
        [[0, 1, 2], [2, 4]],
    ),
    "slices": (
        ("def main(state):\n    x = list(range(6))\n    x[1:3] = []\n    del x[-1:]\n"
        "    return [x, x[::-1], x[:2], x[1:None:2]]"),
        [[0, 3, 4], [4, 3, 0], [0, 3], [3]],
    ),
    "operators": (
        ("def main(state):\n    return [7 // 2, 7 % 4, 2 ** 3, 1 << 3, 6 & 3, 6 | 1, 6 ^ 2, ~1,"
        " -1, +1, not 1, 1 < 2 < 3, 1 in [1], 2 not in [1], None is None, 1 is not None,"
        " 1 and 2, 0 or 3, 4 if 0 else 5]"),
        [3, 3, 8, 8, 2, 7, 4, -2, -1, 1, False, True, True, True, True, True, 2, 3, 5],
    ),
    "f-strings": (
        ("def main(state):\n    x, w = 3.14159, 8\n"
        "    return [f'{x:.2f}', f'{x:>{w}.1f}', f'{x!r}', f'{x=:.1f}', f'{{}}',"
        " f'{\"a\" if x else \"b\"}', f'{[i for i in (1, 2)]}']"),
        ["3.14", "     3.1", "3.14159", "x=3.1", "{}", "a", "[1, 2]"],
    ),
    "literals": (
        ("def main(state):\n    a, b = [1], {'x': 1}\n"
        "    return [[*a, 2], {**b, 'y': 2}, len({*a, 3}), (*a,), 1_000, 0xff, 1e3, b'x', ...]"),
        [[1, 2], {"x": 1, "y": 2}, 2, (1,), 1000, 255, 1000.0, b"x", ...],
    ),
    "assert and pass": ("def main(state):\n    assert 1, 'm'\n    pass\n    return 1", 1),
    "del": (
        "def main(state):\n    a = b = 1\n    d = {'x': 1, 'y': 2}\n    del a, d['x']\n    return d",
        {"y": 2},
    ),
    "conditional imports": (
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from typing import Any\n"
        "try:\n    import json as j\nexcept ImportError:\n    j = None\n"
        "def main(state):\n    import math, re as r\n    return [j.dumps([1]), math.floor(1.5)]"),
        ["[1]", 1],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("language", [True, False], ids=["policy", "plain"])
def test_it_works_as_in_python(result_of, name, language):
    """The result is the same with the policy and without it."""
    source, expected = SOURCES[name]
    assert result_of(source, language=language) == expected
