"""Text for a user does not contain code lines of the engine or a path of this host."""

from __future__ import annotations

import sys

import pytest

from engine import Engine, ModuleRef, RunOptions

VERBS = """
import threading, traceback, warnings

class Loud:
    def __del__(self):
        raise ValueError("nobody hears this")

def _verb(call):
    def operation(state):
        call()
        return state
    return operation

def in_a_thread():
    def call():
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    return _verb(call)

def unraisable():
    return _verb(Loud)

def warning():
    return _verb(lambda: warnings.warn("old", UserWarning))

def stack():
    return _verb(traceback.print_stack)

def forgotten():
    async def later(): ...
    return _verb(later)
"""


@pytest.fixture(scope="module")
def shared():
    """All tests of this file share this engine."""
    with Engine() as engine:
        yield engine


@pytest.fixture(autouse=True)
def no_leak():
    """The engine outlives the single test."""


def logged(engine, tmp_path, expression, *, adaptor=True):
    """Run one job; return its log."""
    package = tmp_path / "caller"
    package.mkdir()
    (package / "__init__.py").write_text(VERBS)
    step = {"id": "a", "expression": expression}
    options = RunOptions()
    if adaptor:
        step["adaptor"] = "caller"
        options = RunOptions(modules={"caller": ModuleRef(path=str(package))})
    run = engine.execute({"workflow": {"steps": [step]}}, {}, options=options)
    run.result(timeout_s=60)
    return "\n".join(event.message for event in run.poll() if event.type == "log")


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("in_a_thread()", "ZeroDivisionError: division by zero\n  caller@0, line 16, in "),
        (
            "unraisable()",
            "in Loud.__del__, which nobody could catch: ValueError: nobody hears this",
        ),
        ("warning()", "UserWarning: old"),
        ("stack()", ""),
        ("forgotten()", "RuntimeWarning: coroutine 'forgotten.<locals>.later' was never awaited"),
    ],
)
def test_what_reaches_no_caller_is_told_without_paths_and_lines_of_the_engine(
    shared, tmp_path, expression, said
):
    """The text is an error of a thread or destructor, a warning, or a stack of an adaptor."""
    text = logged(shared, tmp_path, expression)

    assert said in text
    for hidden in ("sandbox_child", "bootstrap", "_run(", sys.base_prefix):
        assert hidden not in text
    if expression != "stack()":
        assert str(tmp_path) not in text


def test_a_forgotten_await_of_a_job_without_adaptors_shows_nothing_of_the_engine(shared, tmp_path):
    """Python would show the file and line of the engine in which the coroutine was dropped."""
    source = "async def f():\n    return 1\ndef main(state):\n    return {'data': f()}\n"

    text = logged(shared, tmp_path, source, adaptor=False)

    assert "sandbox_child" not in text
    assert "/" not in text
