"""Every example in the README of the adaptor http runs in a confined child."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from bundled_repo import make_bundled_repo
from modes import let_everybody_in
from runs import QUICK, make_engine
from web import Reply, Web, as_json

from engine import Permissions

README = Path(__file__).parents[2] / "adaptors" / "http" / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def rows(seen):
    """Answer with two pages of two rows, and an empty one after them."""
    query = dict(seen.query)
    number = int(query.get("page", query.get("after", 1)))
    items = [{"id": 2 * number - 1}, {"id": 2 * number}] if number < 3 else []
    if seen.path == "/rows/linked":
        reply = as_json(items)
        if number < 2:
            reply.headers["Link"] = '</rows/linked?page=2>; rel="next"'
        return reply
    return as_json({"rows": items, "meta": {"next": 2 if number < 2 else None}})


ROUTES = {
    "/patients": lambda _: as_json([{"id": 1}, {"id": 2}]),
    "/visits/1": lambda seen: Reply(404 if seen.method == "DELETE" else 200),
    "/session": lambda _: Reply(200, {"Set-Cookie": "csrftoken=tok; Path=/"}),
    "/reports/7.pdf": lambda _: Reply(200, {"Content-Type": "application/pdf"}, b"%PDF\xff"),
    **dict.fromkeys(("/rows/linked", "/rows/marked", "/rows/counted"), rows),
}


@pytest.fixture(scope="module")
def web():
    """The server that the examples name."""
    with Web(ROUTES) as running:
        yield running


@pytest.fixture(scope="module")
def engine(tmp_path_factory, web):
    """An engine with the adaptor http, which is imported once for all examples."""
    root = tmp_path_factory.mktemp("readme")
    let_everybody_in(root)
    repo = make_bundled_repo(root / "repo", "http")
    rules = Permissions(net=(f"127.0.0.1:{web.port}",))
    options = msgspec.structs.replace(QUICK, permissions=rules)
    with make_engine("zygote", repo_dir=repo, options=options) as made:
        yield made


@pytest.fixture(autouse=True)
def no_leak(no_leak_of_file, engine):
    """The engine and the server of this file outlive each test."""


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_of_the_readme_runs(engine, web, number):
    """Each block is a job of one step; the server has what the examples name."""
    step = {
        "id": "a", "adaptor": "http", "expression": EXAMPLES[number],
        "configuration": {"base_url": web.url},
    }  # fmt: skip
    web.seen.clear()
    result = engine.execute({"workflow": {"steps": [step]}}, {"since": 3}).result(60)
    assert result.error is None
    assert "errors" not in result.state
    if "paginate" in EXAMPLES[number]:
        lists = [*result.state["references"][1:], result.state["data"]]
        assert lists == [[{"id": n} for n in range(1, 5)]] * 3
    if "cookie(" in EXAMPLES[number]:
        assert web.seen[-1].headers["x-csrftoken"] == "tok"


def test_the_readme_has_examples():
    """The pattern above finds them."""
    assert len(EXAMPLES) >= 4
