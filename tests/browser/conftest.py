"""A real Chromium, driven by Playwright; without them these tests are skipped and say so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from warm import start

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


@pytest.fixture
def page(window):
    """A page that fails the test if a script in it fails or anything is loaded from elsewhere."""
    window.mouse.move(0, 0)
    yield window
    if window.url.startswith("http:"):
        window.goto("about:blank")  # its server may end now
    else:
        window.evaluate("0")  # by now, what it reported has arrived
    problems = window.problems.copy()
    window.problems.clear()
    assert problems == []


COLOURS = ["color-contrast", "link-in-text-block"]
"""The rules of axe-core that look at colours; no other result depends on the colour scheme."""


@pytest.fixture(scope="session")
def serious():
    """A function that returns what axe-core finds serious in a page, in light and then in dark.

    It reads its script once for a document.
    """
    axe = pytest.importorskip("axe_playwright_python.base")

    def look(page):
        if page.evaluate("typeof window.axe") == "undefined":
            page.evaluate(axe.AXE_SCRIPT)
        found = []
        for scheme, options in (("light", {}), ("dark", {"runOnly": COLOURS})):
            page.emulate_media(color_scheme=scheme)
            results = page.evaluate(
                "options => axe.run(options).then(results => results.violations)",
                {"resultTypes": ["violations"], **options},
            )
            found += [
                (scheme, one["id"], one["nodes"][0]["html"])
                for one in results
                if one["impact"] in {"serious", "critical"}
            ]
        return found

    return look
