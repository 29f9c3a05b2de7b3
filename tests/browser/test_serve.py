"""The pages of `jobcell serve` in a real browser: start a run, watch it, cancel it, look at a failed step."""

from __future__ import annotations

import time

from serving import COUNT, FAIL, WAIT, plan_of, served

import jobcell
from jobcell.server import EngineBackend


def start(client, plan, **more):
    status, body = client.post("/api/v1/runs", {"plan": plan, **more})
    assert status == 201, body
    return body["id"]


def test_the_list_shows_runs_and_opens_one(page, client):
    """A person finds a failed run in the list, and its error on its page."""
    run_id = start(client, plan_of(COUNT, FAIL))
    client.get(f"/api/v1/runs/{run_id}/result?wait_s=60")
    page.goto(f"http://127.0.0.1:{client.port}/")
    page.wait_for_selector("html[data-ready]")
    row = page.locator("tr", has=page.get_by_text(run_id))
    assert "done: fail" in row.inner_text()
    row.get_by_role("link").click()
    page.wait_for_selector("html[data-ready=over]")
    assert "ZeroDivisionError" in page.get_by_role("group", name="Error").first.inner_text()


def test_a_run_is_watched_and_cancelled(page, client):
    """The page shows a running step, and after a click the run is cancelled and can be run again."""
    run_id = start(client, plan_of(COUNT, WAIT), options={"timeout_s": 120})
    page.goto(f"http://127.0.0.1:{client.port}/runs/{run_id}")
    page.wait_for_selector("g[data-step=s1].running")
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_selector("html[data-ready=over]")
    assert page.locator("header .status").inner_text().endswith("cancelled")
    page.get_by_role("button", name="Run again").click()
    page.wait_for_url(lambda url: not url.endswith(run_id))
    again = page.url.rpartition("/")[2]
    assert client.post(f"/api/v1/runs/{again}/cancel")[0] in {202, 409}


def test_a_line_reaches_the_page_while_the_run_goes_on(page, client):
    """A log line is on the page before its run is over."""
    text = WAIT.replace("time.sleep", "print('still busy')\n    time.sleep")
    run_id = start(client, plan_of(text), options={"timeout_s": 120})
    page.goto(f"http://127.0.0.1:{client.port}/runs/{run_id}")
    page.get_by_role("group", name="Log lines").get_by_text("still busy").wait_for()
    assert client.get(f"/api/v1/runs/{run_id}")[1]["state"] == "running"
    client.post(f"/api/v1/runs/{run_id}/cancel")


def test_the_token_is_asked_for_once(stranger):
    """Without the token a page leads to the login; with it the list comes."""
    backend = EngineBackend(jobcell.Engine(max_runs=1, start_mode="exec"))
    page = stranger
    with served(backend, token="open-sesame-4711") as port:
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_url("**/login")
        page.get_by_label("Token").fill("open-sesame-4711")
        page.get_by_role("button", name="Log in").click()
        page.wait_for_selector("html[data-ready]")
        assert page.get_by_role("heading", name="Runs").is_visible()
        assert page.evaluate("document.cookie") == ""
        page.goto("about:blank")


def test_no_serious_problem_of_accessibility(page, client, serious):
    """axe-core finds nothing serious on the list and on a run, in light and dark."""
    run_id = start(client, plan_of(COUNT, FAIL))
    client.get(f"/api/v1/runs/{run_id}/result?wait_s=60")
    for path in ("/", f"/runs/{run_id}", "/login"):
        page.goto(f"http://127.0.0.1:{client.port}{path}")
        if path != "/login":
            page.wait_for_selector("html[data-ready]")
        assert serious(page) == [], path


def test_an_event_reaches_the_page_soon(page, client):
    """The median time from a line of a job to the page is small; the promise is 200 ms on a quiet machine."""
    text = (
        "import time\n"
        "def main(state):\n"
        "    for i in range(4):\n"
        "        print('tick', i)\n"
        "        time.sleep(0.1)\n"
        "    return state"
    )
    run_id = start(client, plan_of(text), options={"timeout_s": 120})
    page.goto(f"http://127.0.0.1:{client.port}/runs/{run_id}")
    page.get_by_role("group", name="Log lines").get_by_text("tick 3").wait_for()
    seen = time.time()
    _, events = client.get(f"/api/v1/runs/{run_id}/events")
    written = next(e["time"] for e in events["events"] if e.get("message") == "tick 3")
    assert seen - written < 30
