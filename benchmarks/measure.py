"""Tools for all benchmarks: clocks, medians, tables, the machine, the memory of a process."""

from __future__ import annotations

import gc
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any


def milliseconds(action: Callable[[], object]) -> float:
    """Return the duration of *action*."""
    begin = time.perf_counter()
    action()
    return (time.perf_counter() - begin) * 1000


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def p95(values: Sequence[float]) -> float:
    """Return the value that 95 of 100 values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, -(-len(ordered) * 95 // 100) - 1)]


def quartile(values: Sequence[float]) -> float:
    """Return the lower quartile: it moves less than the median when the machine is busy."""
    return sorted(values)[len(values) // 4]


def ratio_interval(
    old: Sequence[float],
    new: Sequence[float],
    *,
    confidence: float = 0.99,
    draws: int = 2000,
    typical: Callable[[Sequence[float]], float] = median,
) -> tuple[float, float]:
    """Return the bounds of the ratio of the medians (new to old), from a bootstrap."""
    choices = random.Random(1).choices
    ratios = sorted(
        typical(choices(new, k=len(new))) / typical(choices(old, k=len(old))) for _ in range(draws)
    )
    outside = int(draws * (1 - confidence) / 2)
    return ratios[outside], ratios[-1 - outside]


def settle() -> None:
    """Collect garbage now, so that it is not collected while the clock runs."""
    gc.collect()


# --- memory ---


def forget_peak(pid: int | str = "self") -> bool:
    """Make the kernel count the peak of a process anew; source: proc(5), clear_refs."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def status_mb(field: str, pid: int | str = "self") -> float:
    """Return a field of /proc/PID/status (``VmRSS``, ``VmHWM``) in MB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def private_mb(pid: int) -> float | None:
    """Return the private memory of a process, clean and dirty; None if it cannot be read."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    wanted = ("Private_Clean:", "Private_Dirty:")
    return sum(int(line.split()[1]) for line in lines if line.startswith(wanted)) * 1024 / 1e6


def faults_of_children(pid: int) -> int:
    """Return the page faults without a read of a disk of all children that a process has waited for.

    Source: proc(5), cminflt.  Zero if the process is gone.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[8])


# --- output ---


def machine() -> dict[str, Any]:
    """Describe the machine without its name."""
    model = "unknown processor"
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except OSError:
        memory = 0.0
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": model,
        "memory_gb": round(memory),
        "kernel": "Linux " + ".".join(platform.release().split("-")[0].split(".")[:2]),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "architecture": platform.machine(),
        "load": round(os.getloadavg()[0], 2),
    }


def machine_line() -> str:
    """Describe the machine in one line."""
    found = machine()
    return (
        f"{found['cores']} cores ({found['processor']}, {found['architecture']}), {found['memory_gb']} GB, "
        f"{found['kernel']}, {found['python']}; load before: {found['load']}"
    )


def number(value: float | None) -> str:
    """Return a figure with three significant digits."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


class Table:
    """Rows under a heading; for a terminal, and for a document."""

    def __init__(self, title: str, columns: Sequence[str]) -> None:
        self.title = title
        self.columns = list(columns)
        self.rows: list[list[str]] = []

    def add(self, label: str, *cells: object) -> None:
        """Add one row; numbers are shortened."""
        shown = [number(c) if isinstance(c, float) or c is None else str(c) for c in cells]
        self.rows.append([label, *shown])

    def text(self) -> str:
        """Return the table for a terminal."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        shown = ["  ".join(_aligned(line, widths)).rstrip() for line in lines]
        return "\n".join([self.title, *shown, ""])

    def markdown(self) -> str:
        """Return the table for a document."""
        rule = ["---", *(["---:"] * (len(self.columns) - 1))]
        lines = [self.columns, rule, *self.rows]
        rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"## {self.title}\n\n{rows}\n"


def _aligned(line: Iterable[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]


def write_json(path: str, figures: object) -> None:
    Path(path).write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", encoding="utf-8")
