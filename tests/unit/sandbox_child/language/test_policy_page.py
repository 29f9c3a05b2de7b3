"""The page about the job language describes the real policy."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from sandbox_child.language.text.constructs import CONSTRUCTS

DOCS = Path(__file__).parents[4] / "docs"


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location(
        "generate_job_language", DOCS / "generate_job_language.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_as_new_as_the_policy(generator):
    """If this fails, run python docs/generate_job_language.py."""
    old = generator.PAGE.read_text(encoding="utf-8")
    assert generator.page(old) == old


def test_every_construct_has_a_word(generator):
    """The page has words for every construct of the policy, and for nothing else."""
    assert generator.WORDS.keys() == CONSTRUCTS.keys()


def test_every_builtin_of_this_python_is_judged(generator):
    """Every name is allowed, changed, or refused with a reason."""
    assert not generator.missing_builtins()
