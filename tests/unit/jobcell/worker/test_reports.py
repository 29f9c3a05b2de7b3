"""Reports of a worker to its surroundings: the log, and the address of its page of health."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from jobcell.worker.health import read_address
from jobcell.worker.json_logs import JsonFormatter, LineFormatter


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    """Return a record of a log; inside of an `except` it has the exception."""
    info = sys.exc_info() if sys.exc_info()[0] else None
    made = logging.LogRecord("jobcell.worker", logging.WARNING, __file__, 1, message, args, info)
    vars(made).update(extra)
    return made


def test_a_record_is_one_line_of_json() -> None:
    """A collector of logs finds the run, and the text has its arguments."""
    line = JsonFormatter().format(record("run %s\nis over", "é-1", run_id="é-1"))
    assert "\n" not in line
    parts = json.loads(line)
    assert parts.pop("time").endswith("Z")
    assert parts == {
        "level": "warning",
        "logger": "jobcell.worker",
        "message": "run é-1\nis over",
        "run_id": "é-1",
    }


@pytest.mark.parametrize("formatter", [JsonFormatter(), LineFormatter()], ids=["json", "line"])
def test_the_text_of_an_exception_is_not_logged(formatter: logging.Formatter) -> None:
    """It may hold a state, or the parameters of a query; its place and its kind are enough."""
    try:
        raise ValueError("s3cr3t")
    except ValueError:
        line = formatter.format(record("it has failed"))
    assert "s3cr3t" not in line
    assert "ValueError" in line
    assert "test_the_text_of_an_exception_is_not_logged" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:0", ("::1", 0)),
        (":9000", ("", 9000)),
        ("localhost:1", ("localhost", 1)),
    ],
)
def test_an_address_has_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    """Without a host the server listens everywhere."""
    assert tuple(read_address(text)) == address


@pytest.mark.parametrize("text", ["8080", "localhost", "localhost:", "a:-1", "a:65536", "a:x"])
def test_a_wrong_address_is_quoted(text: str) -> None:
    """The error says what is right."""
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:8080") as caught:
        read_address(text)
    assert repr(text) in str(caught.value)


PROGRAM = """
import logging, warnings
from jobcell.worker.json_logs import set_up
set_up(as_json=True)
logging.getLogger("some.library").warning("of a library")
logging.getLogger("some.library").info("not important")
logging.getLogger("psycopg").warning("a lost connection")
warnings.warn("old-fashioned")
"""


@pytest.mark.slow  # a program of its own
def test_records_of_all_libraries_are_lines_of_json() -> None:
    """A collector must not meet bare text. A lost connection is in our own log already."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["logger"] for line in lines] == ["some.library", "py.warnings"]
    assert lines[0]["message"] == "of a library"
    assert "old-fashioned" in lines[1]["message"]
