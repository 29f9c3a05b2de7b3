"""Values of jobs on a page: whatever a job writes, a reader sees what it is."""

from __future__ import annotations

import pytest

from engine.plan import load_plan
from jobcell.report import make_page, make_report

FIRST = """
def main(state):
    print("\\u202eRTL and \\x1b[31m an escape")
    print("first part\\nsecond part " + "x" * 3000)
    return {
        "turned": "\\u202egpj.exe", "nan": float("nan"), "large": 2 ** 80, "digits": 2 ** 53 + 1,
        "long": "y" * 50_000, "many": list(range(2000)), "tag": "</script><b>bold</b>",
        "nested": {"a": {"b": [1, 2, 3]}}, "gone": 1,
    }
"""
SECOND = """
def main(state):
    del state["gone"]
    state["many"][1500] = "other"
    state["nested"]["a"]["b"].append(4)
    state["digits"] = 2 ** 53 + 2
    state["new"] = True
    return state
"""
PLAN = {
    "id": "run-1",
    "workflow": {
        "name": "Name \u202eturned",
        "steps": [
            {
                "id": "first",
                "name": "one \u202eenod",
                "expression": FIRST,
                "next": {"second": "len(state.many) == 2000", "other": "state.gone == 2"},
            },
            {"id": "second", "expression": SECOND},
            {"id": "other", "expression": "def main(state): return state"},
        ],
    },
}


@pytest.fixture(scope="module")
def events(engine):
    run = engine.execute(PLAN)
    run.result(60)
    return run.poll(after=0)


@pytest.fixture(scope="module")
def file(events, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "run.html"
    path.write_text(make_page(make_report(events, plan=load_plan(PLAN))))
    return path


@pytest.fixture
def opened(show, file):
    return show(file)


def choose(page, step, tab):
    page.locator(f"g[data-step={step}]").click()
    page.get_by_role("tab", name=tab, exact=True).click()
    return page.locator("#panel")


def test_no_text_turns_the_text_beside_it(opened):
    """A control character is shown as an escape, in names, titles, lines and values."""
    choose(opened, "first", "Whole log")
    assert "\u202e" not in opened.evaluate("document.documentElement.innerHTML")
    assert "Name \\u202eturned" in opened.locator("h1").inner_text()
    assert "\\u202eRTL and \\x1b[31m" in opened.get_by_role("group", name="Log lines").inner_text()
    assert opened.locator("h2", has_text="enod").inner_text().endswith("\u2713 succeeded")


def test_each_value_is_shown_as_what_it_is(opened):
    """NaN is not null, an integer keeps its digits, and a tag is text."""
    shown = choose(opened, "first", "Output").inner_text()
    for part in ("nan: NaN", f"large: {2**80}", f"digits: {2**53 + 1}", '"</script><b>bold</b>"'):
        assert part in shown
    assert len(shown) < 5_000


def test_a_long_value_is_shown_when_asked_for(opened):
    """A long text and a long list come in portions, and all of them can be read."""
    panel = choose(opened, "first", "Output")
    panel.get_by_role("button", name="Show all 50,002 characters").click()
    assert "y" * 50_000 in panel.inner_text()
    panel.locator("summary", has_text="many").click()
    for _ in range(9):
        panel.get_by_role("button", name="more of").click()
    assert panel.locator("details", has_text="many").last.locator("> .leaf").count() == 2000
    assert "1999: 1999" in panel.inner_text()


def test_the_changes_show_only_what_has_changed(opened):
    """A change at the end of a long list is seen at once, and each change has a sign or a word."""
    panel = choose(opened, "second", "Changes")
    shown = " ".join(panel.inner_text().split())
    assert '1500: 1500 \u2192 is now "other"' in shown
    assert "1,999 more are as they were" in shown
    assert f"digits: {2**53 + 1}" in shown
    assert "turned" not in shown
    assert "+ added: new: true" in shown
    assert "\u2212 removed: gone: 1" in shown
    assert "added: 3: 4" in shown


def test_a_line_is_read_with_the_keyboard(opened):
    """Enter on a log line shows all of it; then the keyboard is where it was."""
    choose(opened, "first", "Log")
    rows = opened.get_by_role("group", name="Log lines")
    opened.get_by_role("combobox", name="Least important level").focus()
    opened.keyboard.press("Tab")
    opened.keyboard.press("ArrowDown")
    opened.keyboard.press("Enter")
    dialog = opened.get_by_role("dialog", name="Log line")
    assert dialog.locator("pre").inner_text() == "first part\nsecond part " + "x" * 3000
    opened.keyboard.press("Escape")
    assert dialog.count() == 0
    assert rows.locator(":focus").get_attribute("data-row") == "1"


def test_the_whole_log_names_the_step_of_a_line(opened):
    """A reader of the log of a run sees which step has written a line."""
    choose(opened, "first", "Whole log")
    assert opened.locator(".row .step").first.inner_text() == "one \\u202eenod"


def test_the_labels_of_edges_are_inside_the_graph(opened):
    """No label is cut off at the side of the drawing."""
    inside = opened.evaluate(
        "() => { const all = document.querySelector('.graph svg').getBoundingClientRect();"
        " return [...document.querySelectorAll('.graph text.label')].map((label) => {"
        " const box = label.getBoundingClientRect();"
        " return box.left >= all.left && box.right <= all.right; }); }"
    )
    assert len(inside) >= 2
    assert all(inside)


def test_an_edge_never_ends_in_the_air(show, tmp_path, events):
    """Without the plan, a step that the run did not reach is drawn as skipped."""
    path = tmp_path / "run.html"
    path.write_text(make_page(make_report(events)))
    page = show(path)
    page.locator("g[data-step=other].skipped").click()
    assert page.locator("h2", has_text="other").inner_text().endswith("skipped")


@pytest.fixture
def narrow(page):
    """The page with the width of a telephone, or of a zoom of 400 %."""
    usual = page.viewport_size
    page.set_viewport_size({"width": 320, "height": 700})
    yield page
    page.set_viewport_size(usual)


def test_a_narrow_page_does_not_scroll_sideways(narrow, file):
    """A page of 320 pixels fits."""
    page = narrow
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]")
    for tab in ("Log", "Output", "Changes", "Job", "Whole log"):
        page.get_by_role("tab", name=tab, exact=True).click()
        assert page.evaluate("document.documentElement.scrollWidth") == 320, tab
