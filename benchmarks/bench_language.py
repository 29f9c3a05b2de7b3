"""The cost of the job language: a job against the same Python, and the time of a compilation.

python -m benchmarks.bench_language

Each job runs under plain ``exec`` and under the job language alternately, round by round, in this
one process.  The best rounds are compared.  The two results of each job must be equal.
"""

from __future__ import annotations

import ast
import math
import platform
import sys
import time
from typing import TYPE_CHECKING, Any

from sandbox_child.language import OPERATIONS, JobScope, compile_job

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 15
COMPILE_ROUNDS = 100

JOBS = {
    "loop": """
def main(state):
    total = 0
    for i in range(40000):
        if i % 3:
            total += i * i
    return total
""",
    "dict": """
def main(state):
    counts = {}
    for i in range(15000):
        key = "k%d" % (i % 97)
        counts[key] = counts.get(key, 0) + 1
        state["n"] = counts[key]
    return sorted(counts.items())
""",
    "unpacking": """
def main(state):
    rows = [(i, (i + 1, i + 2)) for i in range(5000)]
    total = 0
    for a, (b, c) in rows:
        first, *rest = a, b, c
        total += first + sum(rest)
        a, b = b, a
    return total
""",
    "method call": """
class Counter:
    def __init__(self):
        self.n = 0
    def step(self, by):
        return by + 1

def main(state):
    counter = Counter()
    total = 0
    for i in range(15000):
        total = counter.step(total)
    return total
""",
    "string methods": """
def main(state):
    out = []
    for i in range(5000):
        name = " Ada Lovelace ".strip().lower().replace(" ", "-")
        out.append("{}-{:03d}".format(name, i) + f"{i:>5}" + name.title().split("-")[0])
    return out[-1]
""",
    "attribute": """
class Point:
    def __init__(self, x, y):
        self.x = x
        self.y = y

def main(state):
    points = [Point(i, i + 1) for i in range(200)]
    total = 0
    for _ in range(40):
        for p in points:
            total += p.x * p.y + p.x - p.y
    return total
""",
    "comprehension": """
def main(state):
    rows = [{"id": i, "tags": [i, i + 1]} for i in range(3000)]
    return [
        sum(x for row in rows for x in row["tags"] if x % 2),
        len({row["id"] % 7: row for row in rows}),
        len({x * y for x in range(50) for y in range(50)}),
    ]
""",
    "class-heavy": """
class Account:
    def __init__(self, balance):
        self._balance = balance
        self._history = []

    @property
    def balance(self):
        return self._balance

    def deposit(self, amount):
        self._balance += amount
        self._history.append(amount)
        return self

    def __add__(self, other):
        return Account(self._balance + other._balance)

    def __eq__(self, other):
        return self._balance == other._balance

def main(state):
    total = Account(0)
    for i in range(3000):
        account = Account(i).deposit(2).deposit(3)
        if account == total:
            continue
        total = total + account
    return total.balance
""",
    "async": """
import asyncio

async def fetch(i):
    await asyncio.sleep(0)
    return i * 2

async def main(state):
    total = 0
    for i in range(40):
        total += sum(await asyncio.gather(*[fetch(j) for j in range(20)]))
    return total
""",
    "dotted state": """
def main(state):
    total = 0
    for i in range(3000):
        total += state["data"]["rows"][i % 10]["age"]
        state["data"]["n"] = total
    return total
""",
}
"""Name to source.  The last job has a twin: the same job with dots."""

DOTTED = """
def main(state):
    total = 0
    for i in range(3000):
        total += state.data.rows[i % 10].age
        state.data.n = total
    return total
"""

CLINIC = '''
from dataclasses import dataclass, field
from datetime import date

LIMITS = {"weight": (0.3, 400.0), "height": (20, 260)}


@dataclass
class Patient:
    id: str
    name: str
    born: date
    weight: float
    problems: list[str] = field(default_factory=list)

    @property
    def age(self) -> int:
        return (date(2024, 1, 1) - self.born).days // 365

    def check(self) -> bool:
        low, high = LIMITS["weight"]
        if not low <= self.weight <= high:
            self.problems.append(f"weight {self.weight:.1f} is outside of {low} to {high}")
        if not self.name.strip():
            self.problems.append("no name")
        return not self.problems


def parse(row: dict) -> Patient:
    """Turn one row of the export into a patient."""
    return Patient(
        id=row["id"].strip().upper(),
        name=" ".join(part.capitalize() for part in row["name"].split()),
        born=date.fromisoformat(row["born"]),
        weight=float(row.get("weight") or 0),
    )


def group(patients, key):
    groups = {}
    for patient in patients:
        groups.setdefault(key(patient), []).append(patient)
    return groups
'''


def hundred_lines() -> str:
    """Return 100 lines of a job as an author writes them."""
    steps = "\n".join(
        f"""
def step_{number}(state):
    rows = [row for row in state["data"]["rows"] if row.get("kind") == {number}]
    found, bad = [], []
    for row in rows:
        patient = parse(row)
        (found if patient.check() else bad).append(patient)
    by_age = group(found, key=lambda patient: patient.age // 10)
    state["data"]["n_{number}"] = len(found)
    state.data.bad = [{{"id": patient.id, "why": patient.problems}} for patient in bad]
    return {{**state, "groups": {{age: len(group) for age, group in by_age.items()}}}}
"""
        for number in range(6)
    )
    lines = f"{CLINIC}\n{steps}".splitlines()
    return "\n".join([*lines[:96], "", "", "def main(state):", "    return step_1(step_0(state))"])


def plain(source: str) -> Callable[[Any], Any]:
    """Return ``main`` as Python itself makes it."""
    scope: dict[str, Any] = {"__name__": "plain"}
    exec(compile(source, "<plain>", "exec"), scope)
    return scope["main"]


def restricted(source: str) -> Callable[[Any], Any]:
    """Return ``main`` as a step makes it."""
    scope = JobScope(
        step_id="bench",
        language=True,
        resolve_import=lambda _: None,
        importable=tuple,
        in_scope={},
        log=lambda *_: None,
    )
    scope.execute(compile_job(source, step_id="bench").code)
    return scope.globals[OPERATIONS][0]


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = function()
    return time.perf_counter() - begun, result


def run(main: Callable[[Any], Any]) -> Any:
    import asyncio

    state = {"data": {"rows": [{"age": n} for n in range(10)]}}
    result = main(state)
    return asyncio.run(result) if asyncio.iscoroutine(result) else result


def compare(
    first: Callable[[], Any], second: Callable[[], Any], rounds: int, *, equal: bool = True
) -> tuple[float, float]:
    """Return the best time of each in seconds, measured alternately; check for equal results."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        one, result = timed(first)
        two, other = timed(second)
        times[0].append(one)
        times[1].append(two)
        assert not equal or result == other
    return min(times[0]), min(times[1])


def main() -> None:
    print(f"CPython {platform.python_version()}, {platform.machine()}, best of {ROUNDS} rounds")
    print(f"{'job':16} {'plain ms':>9} {'job ms':>9} {'ratio':>6}")
    ratios = {}
    for name, source in JOBS.items():
        ours, theirs = restricted(source), plain(source)
        one, two = compare(lambda m=theirs: run(m), lambda m=ours: run(m), ROUNDS)
        ratios[name] = two / one
        print(f"{name:16} {one * 1e3:9.2f} {two * 1e3:9.2f} {two / one:6.2f}")
    mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
    print(f"{'geometric mean':16} {'':9} {'':9} {mean:6.2f}   (at most 1.15; none above 1.6)")

    ours, theirs = restricted(DOTTED), plain(JOBS["dotted state"])
    one, two = compare(lambda: run(theirs), lambda: run(ours), ROUNDS)
    print(
        f"{'with dots':16} {one * 1e3:9.2f} {two * 1e3:9.2f} {two / one:6.2f}   (not in the mean)"
    )

    source = hundred_lines()
    one, two = compare(
        lambda: compile(source, "<plain>", "exec"),
        lambda: compile_job(source, step_id="bench").code,
        COMPILE_ROUNDS,
        equal=False,
    )
    parse, _ = compare(
        lambda: compile(source, "<plain>", "exec", ast.PyCF_ONLY_AST),
        lambda: None,
        COMPILE_ROUNDS,
        equal=False,
    )
    lines = len(source.splitlines())
    print(f"compile {lines} lines: plain {one * 1e3:.2f} ms (of it parsing to a tree"
          f" {parse * 1e3:.2f} ms), job {two * 1e3:.2f} ms, ratio {two / one:.2f} (at most 3)")  # fmt: skip
    sys.exit(mean > 1.15 or max(ratios.values()) > 1.6 or two / one > 3)


if __name__ == "__main__":
    main()
