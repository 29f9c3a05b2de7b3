"""A run reports operations that were made and never run, and is silent about all others."""

from __future__ import annotations

import pytest
from bundled_repo import make_bundled_repo

from engine import Engine


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    """A repo with the adaptors of this project."""
    root = tmp_path_factory.mktemp("repo")
    make_bundled_repo(root, "common", "rest")
    return root


def warnings_of(engine, *sources, **workflow):
    """Run one step after another; return the warnings of the run."""
    steps = [
        {
            "id": f"s{number}",
            "expression": source,
            "adaptors": ["common", "rest"],
            "next": {f"s{number + 1}": True} if number < len(sources) - 1 else {},
        }
        for number, source in enumerate(sources)
    ]
    run = engine.execute({"workflow": {"steps": steps, **workflow}}, {"data": {"rows": []}})
    run.result(30)
    return [
        (event.step_id, event.source, event.message.partition(";")[0])
        for event in run.poll(after=0)
        if event.type == "log" and event.level == "warning"
    ]


def test_verbs_of_adaptors_that_are_thrown_away_are_warned_of(repo):
    """Each step gives one warning for each place, with the verb as the author wrote it."""
    with Engine(repo_dir=repo, max_runs=1) as engine:
        found = warnings_of(
            engine,
            "def main(state):\n    for i in range(3):\n        post('x', i)\n    return state\n",
            "import rest\nlog('a')\nif True:\n    rest.post('x')\nlast = get('y')\n",
            "fn(helper)\n",
            globals="def helper(state):\n    delete('z')\n    return state\n",
        )

    assert found == [
        ("s0", "runtime", "post(...) on line 3 was never run"),
        ("s1", "runtime", "rest.post(...) on line 4 was never run"),
        ("s1", "runtime", "get(...) on line 5 was never run"),
        ("s2", "runtime", "delete(...) on line 2 of the globals was never run"),
    ]


def test_operations_that_are_not_reached_are_not_warned_of(repo):
    """An empty list, a branch, an operation inside another one, and a step that fails before."""
    with Engine(repo_dir=repo, max_runs=1) as engine:
        found = warnings_of(
            engine,
            "each(state.data.rows, post('x', state.data))\n"
            "fn_if(False, combine(post('y'), get('z')), log('otherwise'))\n"
            "as_('a', fn_if(False, lambda state: post('x')))\n"
            "map_([], lambda row: post('x', row))\n",
            "ops = {'a': post('x')}\nfn(lambda state: ops[state.kind](state))\npost('never')\n",
        )

    assert found == []
