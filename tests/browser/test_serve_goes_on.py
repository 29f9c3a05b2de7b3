"""A page of a run that goes on: it leaves the reader in peace, and finds its server again."""

from __future__ import annotations

import shutil
import signal
import socket

from serving import Client, plan_of, serve, served, wait_until_served

import jobcell
from jobcell.server import EngineBackend

TICKS = "import time\ndef main(state):\n    for i in range(3000):\n        print('tick', i)\n        time.sleep(0.1)"


def test_a_reader_keeps_the_focus_and_the_search(page, client):
    """New lines come into the log, and the text that somebody types stays."""
    body = {"plan": plan_of(TICKS), "options": {"timeout_s": 300}}
    run_id = client.post("/api/v1/runs", body)[1]["id"]
    page.goto(f"http://127.0.0.1:{client.port}/runs/{run_id}")
    log = page.get_by_role("group", name="Log lines")
    log.get_by_text("tick").first.wait_for()
    search = page.get_by_role("searchbox", name="Text to look for")
    search.fill("tick")
    before = page.evaluate("document.querySelector('#panel .note').textContent")
    page.wait_for_function(
        "before => document.querySelector('#panel .note').textContent !== before", arg=before
    )
    assert search.input_value() == "tick"
    assert page.evaluate("document.activeElement.type") == "search"
    client.post(f"/api/v1/runs/{run_id}/cancel")
    page.wait_for_selector("html[data-ready=over]")
    assert page.evaluate("document.activeElement.type") == "search"


def test_the_list_keeps_the_focus(page, client):
    """A link that has the focus has it after the list was read again."""
    body = {"plan": plan_of(TICKS), "options": {"timeout_s": 300}}
    run_id = client.post("/api/v1/runs", body)[1]["id"]
    page.goto(f"http://127.0.0.1:{client.port}/")
    page.locator(f"a[href='/runs/{run_id}']").focus()
    client.post(f"/api/v1/runs/{run_id}/cancel")
    page.locator("tr", has=page.get_by_text(run_id)).get_by_text("cancelled").wait_for()
    assert page.evaluate("document.activeElement.getAttribute('href')") == f"/runs/{run_id}"


def test_an_unknown_run_is_said_to_be_unknown(page, client):
    """The page does not promise that something will come."""
    page.goto(f"http://127.0.0.1:{client.port}/runs/nope")
    page.wait_for_selector("html[data-ready=gone]")
    page.get_by_role("heading", name="There is no such run").wait_for()
    assert page.get_by_role("button", name="Cancel").count() == 0
    page.goto("about:blank")
    page.problems.clear()  # the browser itself reports the status 404


def test_a_page_goes_on_when_the_server_is_back(page, made_file, tmp_path):
    """A server that was started again sends what the page has not seen."""
    shutil.copy(made_file, tmp_path / "runs.db")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    client = Client(port)
    words = ("--store", url, "--port", str(port))
    with serve(tmp_path, *words) as first:
        assert "jobcell serves on" in first.stderr.readline()
        wait_until_served(client, first)
        plan = plan_of("def main(state): return state")
        client.post("/api/v1/runs", {"plan": plan, "id": "r"})
        page.goto(f"http://127.0.0.1:{port}/runs/r")
        page.wait_for_selector("html[data-ready=running]")
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=60)
    page.get_by_text("trying again").wait_for()
    with serve(tmp_path, *words) as second:
        assert "jobcell serves on" in second.stderr.readline()
        wait_until_served(client, second)
        assert client.post("/api/v1/runs/r/cancel")[0] == 202
        page.wait_for_selector("html[data-ready=over]", timeout=60_000)
        assert page.locator("header .status").inner_text().endswith("cancelled")
        page.goto("about:blank")
        page.problems.clear()  # the browser itself reports lost connections
        second.send_signal(signal.SIGTERM)
        second.communicate(timeout=60)


def test_a_login_leads_to_the_page_that_was_asked_for(stranger):
    """A link to a run works for a person who is not logged in yet."""
    backend = EngineBackend(jobcell.Engine(max_runs=1, start_mode="exec"))
    page = stranger
    with served(backend, token="open-sesame-4711") as port:
        page.goto(f"http://127.0.0.1:{port}/runs/r%201")
        page.wait_for_url("**/login?next=*")
        for token in ("wrong-token", "open-sesame-4711"):
            page.get_by_label("Token").fill(token)
            page.get_by_role("button", name="Log in").click()
            page.wait_for_load_state()
        page.wait_for_url("**/runs/r%201")
        page.goto("about:blank")
