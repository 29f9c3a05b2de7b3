"""A real Chromium, driven by Playwright; without them these tests are skipped and say so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from serving import Client, served
from warm import start

import jobcell
from jobcell.server import EngineBackend

HERE = Path(__file__).parent
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # Fewer processes, and none that waits for another page.
    *("--no-zygote", "--in-process-gpu", "--disable-gpu-compositing", "--disable-extensions"),
    "--disable-features=Translate,OptimizationHints,MediaRouter,SpareRendererForSitePerProcess",
]


def pytest_collection_finish(session):
    """Start the server of the command before forks that run the tests share it."""
    if session.config.pluginmanager.has_plugin("parallel") and any(
        HERE in item.path.parents for item in session.items
    ):
        start("servers")


@pytest.fixture(scope="package")
def chromium():
    """A browser for the tests of this directory: other tests count the children of this process.

    Its start takes 1.5 s of a processor.
    """
    api = pytest.importorskip(
        "playwright.sync_api", reason="no Playwright: pip install 'jobcell[browser]'"
    )
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no Chromium (Debian: apt-get install chromium)")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def window(chromium):
    """A page for all tests: a new one takes half a second of a processor."""
    context = chromium.new_context(viewport={"width": 1300, "height": 1000})
    made = context.new_page()
    made.problems = []
    made.on("pageerror", lambda error: made.problems.append(str(error)))
    made.on(
        "console", lambda line: made.problems.append(line.text) if line.type == "error" else None
    )
    yield made
    context.close()


@pytest.fixture(scope="package")
def engine():
    """An engine for the runs of all tests, because a new one starts a process."""
    with jobcell.Engine(max_runs=2) as made:
        yield made


@pytest.fixture(scope="package")
def client(engine):
    """A client of a server that all tests share. This server lists only the runs that were started through it."""
    with served(EngineBackend(engine)) as port:
        yield Client(port)


@pytest.fixture
def page(window):
    """A page that fails the test if a script in it fails or anything is loaded from elsewhere."""
    window.mouse.move(0, 0)
    yield window
    window.evaluate("0")  # by now, what it reported has arrived
    problems = window.problems.copy()
    window.problems.clear()
    assert problems == []


@pytest.fixture
def stranger(page):
    """The page of a person who has not logged in. The test goes to another page before its server ends.

    The browser itself reports the status of a request without a token, or for a run that there is not.
    """
    yield page
    page.context.clear_cookies()
    page.problems[:] = [
        text for text in page.problems if "responded with a status of 4" not in text
    ]


@pytest.fixture
def show(page):
    """A function that shows the page of a run, as it is when somebody opens the file.

    The file that is open already is not loaded again, which takes a third of a second of a processor: its last
    script runs anew, and puts a new view in the place of the old one. Nothing but the view knows what a test has done.
    """

    def open_file(path):
        if page.url == path.as_uri():
            page.evaluate(
                "() => { delete document.documentElement.dataset.ready; window.scrollTo(0, 0);"
                " document.querySelectorAll('dialog').forEach((box) => box.remove());"
                " (0, eval)([...document.scripts].at(-1).textContent); }"
            )
        else:
            page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        return page

    return open_file


COLOURS = ["color-contrast", "link-in-text-block"]
"""The rules of axe-core that look at colours; no other result depends on the colour scheme."""


@pytest.fixture(scope="session")
def serious():
    """A function that returns what axe-core finds serious in a page, or in parts of it, in light and then in dark.

    It reads its script once for a document.
    """
    axe = pytest.importorskip("axe_playwright_python.base")

    def look(page, *parts):
        if page.evaluate("typeof window.axe") == "undefined":
            page.evaluate(axe.AXE_SCRIPT)
        found = []
        for scheme, options in (("light", {}), ("dark", {"runOnly": COLOURS})):
            page.emulate_media(color_scheme=scheme)
            results = page.evaluate(
                "([include, options]) => axe.run({include}, options).then(results => results.violations)",
                [
                    [[part] for part in parts or ["html"]],
                    {"resultTypes": ["violations"], "reporter": "no-passes", **options},
                ],
            )
            found += [
                (scheme, one["id"], one["nodes"][0]["html"])
                for one in results
                if one["impact"] in {"serious", "critical"}
            ]
        return found

    return look
