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


@pytest.fixture
def page(chromium):
    """A page that fails the test if a script in it fails or anything is loaded from elsewhere."""
    context = chromium.new_context(viewport={"width": 1300, "height": 1000})
    made = context.new_page()
    problems = []
    made.on("pageerror", lambda error: problems.append(str(error)))
    made.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    made.problems = problems
    yield made
    context.close()
    assert problems == []
