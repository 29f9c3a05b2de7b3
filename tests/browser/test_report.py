"""The page of a run in a real browser: what a person sees, with the mouse, the keyboard and a screen reader."""

from __future__ import annotations

import msgspec
import pytest

from engine.plan import load_plan
from jobcell.report import make_page, make_report

PLAN = {
    "workflow": {
        "name": "Orders",
        "steps": [
            {
                "id": "fetch",
                "name": "Fetch the orders",
                "expression": "def main(state):\n    for i in range(300):\n        print('row', i)\n    return {**state, 'rows': [1, 2]}",
                "next": {"book": "len(state.rows) > 0", "skip": "not state.rows"},
            },
            {
                "id": "book",
                "name": "Book them",
                "expression": "def main(state):\n    left = 3 - len(state.rows)\n    return {**state, 'each': left / (state.n - 1)}",
                "retry": {"attempts": 2, "delay": 1, "on": ["RuntimeError"]},
            },
            {"id": "skip", "name": "Nothing to do", "expression": "def main(state): return state"},
        ],
    }
}


DETAIL = "section[aria-label='Details of the chosen step']"


def events_of(engine, plan, state=None):
    """Carry out a plan, and return the events of its run."""
    run = engine.execute(plan, state)
    run.result(60)
    return run.poll(after=0)


@pytest.fixture(scope="module")
def file(engine, tmp_path_factory):
    events = events_of(engine, PLAN, {"n": 1})
    path = tmp_path_factory.mktemp("page") / "run.html"
    path.write_text(make_page(make_report(events, plan=load_plan(PLAN), state={"n": 1})))
    return path


@pytest.fixture
def opened(show, file):
    return show(file)


def test_the_failed_step_is_shown_first_with_its_line(opened):
    """The reader sees the error and the marked line of the job without a click."""
    detail = opened.locator(DETAIL)
    assert detail.locator("h2").inner_text().startswith("Book them")
    assert "ZeroDivisionError" in detail.inner_text()
    assert "3 - len(state.rows)" in detail.inner_text()
    assert "left / (state.n - 1)" in detail.locator(".marked").inner_text()
    assert detail.locator(".marked u").inner_text() == "left / (state.n - 1)"


@pytest.fixture(scope="module")
def slow(engine):
    """A plan with a step that takes too long, and the events of its run."""
    job = "def main(state):\n    n = 0\n    while True:\n        n = n + 1"
    steps = [
        {"id": "slow", "expression": job, "timeout": 300, "next": {"after": "on_job_failure"}},
        {"id": "after", "expression": "def main(state): return state"},
    ]
    plan = {"workflow": {"steps": steps}}
    return plan, events_of(engine, plan)


@pytest.mark.parametrize("with_plan", [True, False])
def test_a_timeout_is_shown_with_the_line_where_the_time_went(show, slow, tmp_path, with_plan):
    """The place in the line is underlined, and the attempt took as long as its limit; the run succeeded."""
    plan, events = slow
    path = tmp_path / "run.html"
    path.write_text(make_page(make_report(events, plan=load_plan(plan) if with_plan else None)))
    page = show(path)
    page.locator("g[data-step=slow]").click()
    detail = page.locator(DETAIL)
    shown = detail.inner_text()
    assert "TimeoutError in step slow, line" in shown
    place = detail.locator(".marked u").inner_text()
    # Python names a line of the loop. At the beginning of the loop this is the whole line or the condition.
    assert place in ("n = n + 1", "True", "while True:")
    told = next(event.duration_ms for event in events if event.type == "job-error")
    assert f"took {told} ms" in shown
    assert page.locator("p > .status").first.inner_text() == "\u2713 success"


def test_the_graph_says_what_ran_and_what_was_skipped(opened):
    """Status is a sign and a title as well as a colour."""
    node = opened.locator("g[data-step=skip]")
    assert "Nothing to do: skipped" in node.locator("title").text_content()
    assert "\u2013" in node.text_content()
    assert "\u00d72" in opened.locator("g[data-step=book]").text_content()


def test_a_step_is_chosen_with_the_keyboard(opened):
    """Enter on a step of the graph shows it, and arrows walk through the timeline."""
    opened.locator("g[data-step=fetch]").focus()
    opened.keyboard.press("Enter")
    detail = opened.locator(DETAIL)
    assert detail.locator("h2").inner_text().startswith("Fetch the orders")
    assert opened.locator("g[data-step=fetch]").get_attribute("aria-pressed") == "true"
    opened.locator("[data-row='0'][role=button]").first.focus()
    opened.keyboard.press("ArrowDown")
    opened.keyboard.press("Enter")
    assert detail.locator("h2").inner_text().startswith("Book them")
    assert "attempt 1" in detail.inner_text()


def test_log_lines_are_found_by_text(opened):
    """The log of a step can be searched; only visible rows are in the document."""
    opened.locator("g[data-step=fetch]").click()
    log = opened.get_by_role("group", name="Log lines")
    assert opened.get_by_text("300 lines").is_visible()
    assert log.locator(".row").count() < 60
    opened.get_by_role("searchbox", name="Text to look for").fill("row 299")
    assert opened.get_by_text("1 line", exact=True).is_visible()
    assert log.locator(".row").inner_text().endswith("row 299")


def test_the_changes_of_a_step_are_marked(opened):
    """A key that the step has added is marked, and the input is the state of the step before."""
    opened.locator("g[data-step=fetch]").click()
    opened.get_by_role("tab", name="Changes").click()
    assert "rows" in " ".join(opened.locator(".tree .added").all_inner_texts())
    opened.get_by_role("tab", name="Input").click()
    assert opened.locator("#panel .tree").inner_text().replace("\n", " ").strip() == "{1} n: 1"
    opened.keyboard.press("ArrowRight")
    assert opened.get_by_role("tab", name="Output").get_attribute("aria-selected") == "true"


def test_no_serious_problem_of_accessibility(opened, serious):
    """axe-core finds nothing serious in any tab, in light and dark."""
    assert serious(opened) == []  # the first tab, and all that is around the details
    for tab in ("Input", "Output", "Changes", "Job", "Connections", "Whole log"):
        opened.get_by_role("tab", name=tab, exact=True).dispatch_event("click")
        # Nothing else has changed.
        assert serious(opened, "[role=tablist]", "[role=tabpanel]") == [], tab


def events_of_many(engine, plan):
    """Return the events of a run of many equal steps: those of a run of two steps, with the first one repeated.

    A run of all the steps takes 4 s of a processor, and the page knows no more than the events.
    """
    steps = plan["workflow"]["steps"]
    two = {"workflow": {"steps": [steps[0], {**steps[1], "next": {}}]}}
    events = events_of(engine, two, {"n": 1})
    first = next(at for at, event in enumerate(events) if event.type == "init-start")
    second = next(at for at, event in enumerate(events) if getattr(event, "step_id", "") == "s1")
    part, rest = events[first:second], events[second:]
    long_s = rest[0].time - part[0].time
    made = events[:first]
    for number in range(len(steps) - 1):
        here, there = f"s{number}", f"s{number + 1}"
        for event in part:
            if event.type == "edge-resolved":
                names = {"from_step_id": here, "to_step_id": there}
            else:
                names = {"step_id": here, "step_run_id": here}
            if event.type == "job-complete":
                names["next"] = (there,)
            time = event.time + number * long_s
            made.append(msgspec.structs.replace(event, seq=len(made) + 1, time=time, **names))
    last = f"s{len(steps) - 1}"
    for event in rest:
        names = {"step_id": last, "step_run_id": last} if hasattr(event, "step_id") else {}
        time = event.time + (len(steps) - 2) * long_s
        made.append(msgspec.structs.replace(event, seq=len(made) + 1, time=time, **names))
    return made


def test_a_page_of_2_000_steps_and_100_000_lines_is_small_and_works(show, engine, tmp_path):
    """The file stays under 5 MB, and the browser shows a graph, a timeline and lines of it."""
    text = "def main(state):\n    for i in range(50): print('line', i, 'with some words')\n    return state"
    steps = [
        {"id": f"s{i}", "expression": text, "next": f"s{i + 1}" if i < 1999 else {}}
        for i in range(2000)
    ]
    plan = {"workflow": {"steps": steps}}
    path = tmp_path / "large.html"
    path.write_text(make_page(make_report(events_of_many(engine, plan), plan=load_plan(plan))))
    assert path.stat().st_size < 5_000_000
    page = show(path)
    assert page.locator("g[data-step]").count() == 2000
    page.get_by_role("tab", name="Whole log").click()
    assert page.get_by_text("100,000 lines").is_visible()
