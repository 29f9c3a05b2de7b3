"""The examples of docs/embedding.md work as the page shows them."""

import re
from pathlib import Path

import pytest
from warm import run_warm

TEXT = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text()
EXAMPLES = dict(re.findall(r"<!-- test: (\w+) -->\n```python\n(.*?)```", TEXT, flags=re.DOTALL))

#: The first and the last line that an example prints.
PRINTED = {
    "service": ("event: workflow-start", "event: workflow-complete"),
    "resume": (str([[1, 2, 3, 4, 5, 6], [5, 6]]), str([[1, 2, 3, 4, 5, 6], [5, 6]])),
    "json": (f"{{'data': [inf, b'raw', {2**80}, {{1: 'one'}}]}}", "workflow-complete"),
    "journal": ("{'data': 2}", "2"),
    "shutdown": (str(["success"] * 5), str(["success"] * 5)),
    "limits": (None, None),
}


@pytest.mark.parametrize("name", PRINTED)
def test_an_example_of_the_embedding_document_runs(name: str, tmp_path: Path):
    """A reader may copy the example as it is."""
    done = run_warm(EXAMPLES[name], cwd=tmp_path, warnings=("error",))

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines() or [None]
    assert (lines[0], lines[-1]) == PRINTED[name]


def test_every_example_is_tested():
    """A block of Python without a mark would not be tested."""
    assert set(EXAMPLES) == set(PRINTED)
    assert TEXT.count("```python") == len(EXAMPLES)
