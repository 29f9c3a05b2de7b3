"""`RunOptions.adaptor_log_level`: a library does not even make records below this level."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
import pytest
from runs import QUICK, finish, make_engine

from engine import Engine

TALKS = """
import io
import logging
import logging.config
import warnings

named = logging.getLogger("lib.named")
explicit = logging.getLogger("lib.explicit")
explicit.setLevel(logging.DEBUG)
LEVELS = ("debug", "info", "warning", "error")


def verb(function):
    def operation(state):
        return {**state, "data": function()}
    return lambda: operation


def speak(name):
    for level in LEVELS:
        getattr(logging.getLogger(name), level)("%s %s", name, level)
    return [logging.getLogger(name).isEnabledFor(getattr(logging, level.upper())) for level in LEVELS]


@verb
def plain():
    print("printed")
    warnings.warn("warned")
    return speak("lib.named")


@verb
def with_a_level():
    return speak("lib.explicit")


@verb
def basic():
    logging.basicConfig(level=logging.DEBUG)
    return speak("lib.named")


@verb
def forced():
    logging.basicConfig(level=logging.DEBUG, force=True, format="%(message)s")
    return speak("lib.explicit")


@verb
def configured():
    logging.config.dictConfig({
        "version": 1, "disable_existing_loggers": False,
        "handlers": {"h": {"class": "logging.StreamHandler"}},
        "root": {"level": "DEBUG", "handlers": ["h"]},
    })
    return speak("lib.explicit")


@verb
def own_handler():
    text = io.StringIO()
    logger = logging.getLogger("lib.own")
    logger.addHandler(logging.StreamHandler(text))
    logger.setLevel(logging.DEBUG)
    speak("lib.own")
    return text.getvalue().split("\\n")


@verb
def shouts():
    explicit.error("cannot be formatted: %d", "x")
"""
ORDER = ["debug", "info", "warning", "error"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """All tests of this file share this engine."""
    root = tmp_path_factory.mktemp("repo")
    (root / "talks_1").mkdir()
    (root / "talks_1" / "talks.py").write_text(TALKS)
    entry = {"name": "talks", "version": "1", "path": "talks_1", "module": "talks"}
    (root / "repo.json").write_text(json.dumps({"adaptors": [entry]}))
    with make_engine("zygote", repo_dir=root, options=QUICK) as made:
        yield made


@pytest.fixture(autouse=True)
def no_leak() -> None:
    """The engine outlives the single test."""


def say(engine: Engine, expression: str, **options: object) -> tuple[object, list[tuple[str, str]]]:
    """Return the data of the final state, and level and message of each log line."""
    plan = {"workflow": {"steps": [{"id": "a", "adaptor": "talks", "expression": expression}]}}
    run = engine.execute(plan, options=msgspec.structs.replace(QUICK, **options))
    logs = [(e.level, e.message) for e in finish(run) if e.type == "log"]  # type: ignore[attr-defined]
    result = run.result()
    assert result.reason == "success", result.error
    return result.state["data"], logs


@pytest.mark.parametrize("level", ORDER)
@pytest.mark.parametrize(
    ("verb", "name"),
    [("plain", "lib.named"), ("basic", "lib.named"), ("with_a_level", "lib.explicit")],
)
def test_records_below_the_level_are_not_made(shared: Engine, verb: str, name: str, level: str):
    """isEnabledFor returns False, even if the library has given its logger a level of its own."""
    enabled, logs = say(shared, f"{verb}()", adaptor_log_level=level)
    kept = ORDER[ORDER.index(level) :]
    assert enabled == [one in kept for one in ORDER]
    assert [line for line in logs if name in line[1]] == [(one, f"{name} {one}") for one in kept]


def test_the_default_is_warning(shared: Engine):
    """Libraries log at level warning or above by default, as in Python."""
    assert say(shared, "with_a_level()")[1] == [
        ("warning", "lib.explicit warning"),
        ("error", "lib.explicit error"),
    ]


@pytest.mark.parametrize("verb", ["forced", "configured"])
def test_a_handler_on_a_standard_stream_keeps_to_the_level(shared: Engine, verb: str):
    """basicConfig(force=True) and dictConfig put such a handler in place of ours."""
    enabled, logs = say(shared, f"{verb}()")
    assert enabled == [False, False, True, True]
    assert [text for _, text in logs] == ["lib.explicit warning", "lib.explicit error"]


def test_a_handler_that_keeps_records_for_itself_works_as_in_python(shared: Engine):
    """The handler gets all records of its logger; only the log of the run keeps to the level."""
    kept, logs = say(shared, "own_handler()")
    assert kept == [*(f"lib.own {level}" for level in ORDER), ""]
    assert [text for _, text in logs] == ["lib.own warning", "lib.own error"]


def test_print_and_warnings_are_not_records(shared: Engine):
    """The output of print is for the author at every level; a warning has the level warning."""
    lines = [("info", "printed"), ("warning", "UserWarning: warned")]
    assert [line for line in say(shared, "plain()")[1] if "lib" not in line[1]] == lines
    quiet = say(shared, "plain()", adaptor_log_level="error")[1]
    assert [line for line in quiet if "lib" not in line[1]] == lines[:1]


def test_the_log_of_the_job_has_a_level_of_its_own(shared: Engine):
    """For `logging` in a job only log_level counts; log_level is also a limit for adaptors."""
    job = (
        "import logging\n"
        "fn = lambda f: f\n"
        "def main(state):\n"
        "    logging.getLogger('mine').debug('small')\n"
        "    logging.info('larger')\n"
        "    return {**state, 'data': 1}\n"
    )
    assert say(shared, job, adaptor_log_level="error")[1] == [
        ("debug", "small"),
        ("info", "larger"),
    ]
    assert say(shared, job, log_level="info")[1] == [("info", "larger")]
    assert say(shared, "with_a_level()", log_level="error", adaptor_log_level="debug")[1] == [
        ("error", "lib.explicit error")
    ]


def test_a_record_that_cannot_be_formatted_is_logged_all_the_same(shared: Engine):
    """A mistake in a library's message does not end a job."""
    ((level, message),) = say(shared, "shouts()")[1]
    assert (level, message) == (
        "error",
        "cannot be formatted: %d (cannot be formatted: TypeError)",
    )
