"""``PYTHONPATH=tests/support python -m benchmarks.bench_desk``: the figures of the author's desk, beside their goals.

A real Chromium opens the pages.  ``--only live`` (or ``report``, ``list``, ``tests``) measures one of them.  The last
line says whether each goal is met, and the exit code is 1 if one is not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from playwright.sync_api import CDPSession, Page, sync_playwright
from process_keeper import ProcessKeeper
from serving import Client, plan_of, served

from benchmarks.desk_tests import measure_tests
from benchmarks.measure import Table, machine_line, median, milliseconds, number, p95
from engine import Engine, RunOptions
from engine.plan import load_plan
from jobcell.report import make_page, make_report
from jobcell.server import EngineBackend, StoreBackend
from jobcell.store import Store, runs

FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
)
STEPS: Final = 40
WATCH: Final = """
() => {
  window.seen = {};
  const look = () => {
    for (const node of document.querySelectorAll("g[data-step]:not(.waiting)"))
      if (!(node.dataset.step in window.seen)) window.seen[node.dataset.step] = Date.now() / 1000;
  };
  new MutationObserver(look).observe(document.body, {subtree: true, childList: true, attributes: true});
  look();
}
"""
"""Keeps the time at which the graph shows that a step has begun; the clock is that of the events."""


class Figure(NamedTuple):
    """What was measured, and the goal for its median."""

    name: str
    values: Sequence[float]
    goal: float
    unit: str = "ms"

    @property
    def is_met(self) -> bool:
        """Whether the median keeps the goal."""
        return median(self.values) <= self.goal


def measure_live(page: Page, turns: int) -> Iterator[Figure]:
    """Measure how long after an event its line is in the page, over an engine and over a store."""
    with Engine(max_runs=1) as engine, served(EngineBackend(engine)) as port:
        yield Figure("event to page, engine", latencies(page, Client(port), turns), 200)
    with tempfile.TemporaryDirectory() as room:
        url = f"sqlite:///{room}/runs.db"
        store = Store.open(url)
        keeper = ProcessKeeper()
        worker = subprocess.Popen(
            [sys.executable, "-m", "jobcell", "worker", "--store", url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=keeper.environment,
        )
        try:
            store.enqueue(plan_of("def main(state): return state")).result(60)
            with served(StoreBackend(Store.open(url))) as port:
                yield Figure("event to page, store", latencies(page, Client(port), turns), 200)
        finally:
            worker.terminate()
            worker.wait()
            keeper.close()
            store.close()


def latencies(page: Page, client: Client, turns: int) -> list[float]:
    """Return the milliseconds of each step that began after the page was open."""
    text = f"def main(state):\n    for _ in range({turns}): pass\n    return state"
    order = {"plan": plan_of(*[text] * STEPS), "options": {"timeout_s": 300}}
    status, body = client.post("/api/v1/runs", order)
    assert status == 201, body
    page.goto(f"http://127.0.0.1:{client.port}/runs/{body['id']}")
    page.wait_for_selector("html[data-ready]")
    page.evaluate(WATCH)
    opened = time.time()
    page.wait_for_selector("html[data-ready=over]", timeout=300_000)
    seen = page.evaluate("() => window.seen")
    events = client.get(f"/api/v1/runs/{body['id']}/events?limit=1000")[1]["events"]
    begun = {e["step_id"]: e["time"] for e in events if e["type"] == "job-start"}
    found = [(seen[step] - at) * 1000 for step, at in begun.items() if at > opened]
    assert len(found) >= STEPS // 2, f"only {len(found)} steps began after the page was open"
    return found


def measure_report(page: Page, rounds: int) -> Iterator[Figure]:
    """Measure the page of a run with 2,000 steps and 100,000 lines: its size, and the time until it can be used."""
    text = "def main(state):\n    for i in range(50): print('line', i, 'with some words')\n    return state"
    plan = plan_of(*[text] * 2000)
    events: list[Any] = []
    with Engine(max_runs=1, start_mode="exec") as engine:
        run = engine.execute(plan, {"n": 1}, RunOptions(timeout_s=600))
        while new := run.poll(timeout_s=None):
            events += new
    with tempfile.TemporaryDirectory() as room:
        path = Path(room, "run.html")
        begin = time.perf_counter()
        path.write_text(make_page(make_report(events, plan=load_plan(plan))))
        made_ms = (time.perf_counter() - begin) * 1000
        print(f"the report is made in {made_ms:,.0f} ms")
        yield Figure("size of the report", [path.stat().st_size / 1e6], 5, "MB")

        def open_page() -> None:
            page.goto(path.as_uri())
            page.wait_for_selector("html[data-ready]")

        values, busy = [], []
        for _ in range(rounds):
            page.goto("about:blank")
            busy.append(processor_ms(page, lambda: values.append(milliseconds(open_page))))
        assert page.locator("g[data-step]").count() == 2000
        yield Figure("opening of the report", values, 2000)
        yield Figure("opening of the report, processor", busy, 2000)


def processor_ms(page: Page, action: Callable[[], object]) -> float:
    """Return the processor time of the main thread of the page, which other processes do not change much."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = _thread_ms(session)
    action()
    after = _thread_ms(session)
    session.detach()
    return after - before


def _thread_ms(session: CDPSession) -> float:
    found = session.send("Performance.getMetrics")["metrics"]
    return next(float(one["value"]) * 1000 for one in found if one["name"] == "TaskDuration")


def measure_list(page: Page, rounds: int) -> Iterator[Figure]:
    """Measure the first page of the server with 10,000 runs."""
    with tempfile.TemporaryDirectory() as room:
        url = f"sqlite:///{room}/runs.db"
        with contextlib.closing(Store.open(url)) as store:
            fill(store, 10_000)
        with served(StoreBackend(Store.open(url))) as port:
            client = Client(port)

            def open_page() -> None:
                page.goto(f"http://127.0.0.1:{port}/")
                page.wait_for_selector("html[data-ready]")

            open_page()
            assert "10,000" in page.inner_text("#counts")
            shown, answered, busy = [], [], []
            for _ in range(rounds):
                page.goto("about:blank")
                busy.append(processor_ms(page, lambda: shown.append(milliseconds(open_page))))
                answered.append(milliseconds(lambda: client.get("/api/v1/runs")))
            yield Figure("first page with 10,000 runs", shown, 300)
            yield Figure("first page, processor", busy, 300)
            yield Figure("first page, answer of the server", answered, 300)


def fill(store: Store, count: int) -> None:
    """Put runs that are over into a store; each is a copy of a run that was enqueued."""
    made = store.enqueue(plan_of("def main(state): return state"), {"n": 1})
    with store.database.write() as connection:
        row = dict(connection.execute(sa.select(runs).where(runs.c.id == made.id)).one()._mapping)
        begin = row["created_ms"]
        copies = [
            {
                **row,
                "id": f"run-{index:05}",
                "tenant": f"tenant-{index % 50}",
                "status": "done",
                "reason": "fail" if index % 7 == 0 else "success",
                "created_ms": begin - index * 1000,
                "started_ms": begin - index * 1000 + 5,
                "ended_ms": begin - index * 1000 + 900,
            }
            for index in range(count)
        ]
        connection.execute(runs.insert(), copies)


def main() -> None:
    """Measure what was asked for, and print a line for each figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    kinds = ("live", "report", "list", "tests")
    parser.add_argument("--only", choices=kinds, action="append")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--turns", type=int, default=3_000_000, help="work between two lines")
    asked = parser.parse_args()
    wanted = asked.only or kinds
    print(machine_line())
    figures: list[Figure] = []
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        sys.exit("no Chromium (Debian: apt-get install chromium)")
    if set(wanted) - {"tests"}:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
            page = browser.new_page(viewport={"width": 1300, "height": 1000})
            if "live" in wanted:
                figures += measure_live(page, asked.turns)
            if "report" in wanted:
                figures += measure_report(page, asked.rounds)
            if "list" in wanted:
                figures += measure_list(page, asked.rounds)
            browser.close()
    if "tests" in wanted:
        figures.append(Figure("run_job, more than the job", measure_tests(asked.rounds * 4), 10))
    table = Table("The author's desk", ["figure", "median", "95 of 100", "goal", ""])
    for figure in figures:
        table.add(
            figure.name,
            f"{number(median(figure.values))} {figure.unit}",
            f"{number(p95(figure.values))} {figure.unit}",
            f"{figure.goal:g} {figure.unit}",
            "met" if figure.is_met else "MISSED",
        )
    print(table.text())
    missed = [figure.name for figure in figures if not figure.is_met]
    print(json.dumps({f.name: round(median(f.values), 2) for f in figures}))
    sys.exit(f"missed: {', '.join(missed)}" if missed else 0)


if __name__ == "__main__":
    main()
