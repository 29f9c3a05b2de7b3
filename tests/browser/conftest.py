"""A real Chromium, driven by Playwright; without them these tests are skipped and say so."""

from __future__ import annotations

import shutil

import pytest

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # Fewer processes, and none that waits for another page.
    *("--no-zygote", "--in-process-gpu", "--disable-gpu-compositing", "--disable-extensions"),
    "--disable-features=Translate,OptimizationHints,MediaRouter,SpareRendererForSitePerProcess",
]


@pytest.fixture(scope="module")
def chromium():
    """A browser for the tests of a file: other files count the children of this process."""
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


@pytest.fixture(scope="module")
def window(chromium):
    """A page for the tests of a file: a new one takes half a second of a processor."""
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
    window.goto("about:blank")
    problems = window.problems.copy()
    window.problems.clear()
    assert problems == []


@pytest.fixture(scope="session")
def serious():
    """A function that returns what axe-core finds serious in a page. It reads its script once for a document."""
    axe = pytest.importorskip("axe_playwright_python.base")

    def look(page):
        if page.evaluate("typeof window.axe") == "undefined":
            page.evaluate(axe.AXE_SCRIPT)
        found = page.evaluate(
            "axe.run({resultTypes: ['violations']}).then(results => results.violations)"
        )
        return [
            (one["id"], one["nodes"][0]["html"])
            for one in found
            if one["impact"] in {"serious", "critical"}
        ]

    return look
