"""Functions: every kind of parameter, decorators, closures, generators, async."""

from __future__ import annotations

import pytest

SOURCES = {
    "all kinds of parameters": (
        (
            "def f(a, /, b, *c, d=4, **e):\n    return [a, b, c, d, e]\n"
            "def main(state):\n    return f(1, 2, 3, d=5, x=6)"
        ),
        [1, 2, (3,), 5, {"x": 6}],
    ),
    "star arguments": (
        "def main(state):\n    f = lambda *a, **k: [*a, {**k}]\n    return f(*[1], 2, **{'x': 3})",
        [1, 2, {"x": 3}],
    ),
    "decorator with arguments": (
        (
            "from functools import wraps\n"
            "def times(n):\n    def outer(f):\n        @wraps(f)\n        def inner(*a):\n"
            "            return f(*a) * n\n        return inner\n    return outer\n"
            "@times(3)\ndef one():\n    return 1\n"
            "def main(state):\n    return [one(), one.__name__]"
        ),
        [3, "one"],
    ),
    "nonlocal and global": (
        (
            "n = 0\n"
            "def main(state):\n    m = 0\n    def f():\n        nonlocal m\n        global n\n"
            "        m += 1\n        n += 2\n    f()\n    f()\n    return [m, n]"
        ),
        [2, 4],
    ),
    "generator": (
        (
            "def g():\n    got = yield 1\n    yield from (got, 3)\n"
            "def main(state):\n    i = g()\n    return [next(i), i.send(2), *i]"
        ),
        [1, 2, 3],
    ),
    "async with everything": (
        (
            "import asyncio\nfrom contextlib import asynccontextmanager\n"
            "@asynccontextmanager\nasync def ctx():\n    yield 1\n"
            "async def gen():\n    for i in range(3):\n        await asyncio.sleep(0)\n        yield i\n"
            "async def main(state):\n    total = 0\n    async with ctx() as one:\n        total += one\n"
            "    async for i in gen():\n        total += i\n"
            "    found = [i async for i in gen() if i]\n"
            "    both = await asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0, 2))\n"
            "    return [total, found, list(both)]"
        ),
        [4, [1, 2], [1, 2]],
    ),
    "annotations": (
        (
            "def f(a: int, *b: str, c: 'list[int]' = None, **d: dict[str, int]) -> list[int] | None:\n"
            "    x: int\n    y: list[int] = []\n    return y\n"
            "def main(state: dict) -> list:\n    return f(1)"
        ),
        [],
    ),
    "lambda with defaults": (
        "def main(state):\n    return [f(1) for f in [lambda x, i=i: x + i for i in range(3)]]",
        [1, 2, 3],
    ),
    "recursion": (
        (
            "def fact(n):\n    return 1 if n < 2 else n * fact(n - 1)\n"
            "def main(state):\n    return fact(10)"
        ),
        3628800,
    ),
    "attributes of a function": (
        (
            "def f():\n    f.calls += 1\nf.calls = 0\n"
            "def main(state):\n    f()\n    f()\n    return f.calls"
        ),
        2,
    ),
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("language", [True, False], ids=["policy", "plain"])
def test_it_works_as_in_python(result_of, name, language):
    """The result is the same with the policy and without it."""
    source, expected = SOURCES[name]
    assert result_of(source, language=language) == expected
