"""Every state can be written as JSON that any program reads."""

import base64
import json
from datetime import UTC, date, datetime

import msgspec
import pytest

from jobcell.output.json_text import encode_json
from protocol.events import JobStart


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(
            {"a": [1, 2.5, None, True, "é\n"]}, {"a": [1, 2.5, None, True, "é\n"]}, id="plain"
        ),
        pytest.param({"n": 2**200}, {"n": 2**200}, id="big-integer"),
        pytest.param({1: "a", None: "b"}, {"1": "a", "null": "b"}, id="keys-that-are-no-text"),
        pytest.param({(1, 2): "a"}, {"[1, 2]": "a"}, id="keys-that-are-tuples"),
        pytest.param({"b": b"\xff\x00"}, {"b": base64.b64encode(b"\xff\x00").decode()}, id="bytes"),
        pytest.param([float("nan"), float("inf")], [None, None], id="numbers-that-are-none"),
        pytest.param(
            {(1, 2): [2**99, float("nan"), b"x", None], True: {"é": 1.5}},
            {"[1, 2]": [2**99, None, "eA==", None], "true": {"é": 1.5}},
            id="all-of-them",
        ),
        pytest.param(
            {(): 2**99, "at": datetime(2026, 1, 2, tzinfo=UTC), "on": date(2026, 1, 2)},
            {"[]": 2**99, "at": "2026-01-02T00:00:00Z", "on": "2026-01-02"},
            id="dates-beside-a-key-that-is-a-tuple",
        ),
    ],
)
@pytest.mark.parametrize("indent", [0, 2])
def test_a_state_is_written_as_json(value, expected, indent):
    """A value without a form in JSON gets the nearest form of JSON."""
    text = encode_json(value, indent=indent)

    assert json.loads(text) == expected
    assert (b"\n" in text) == bool(indent)


def test_a_struct_keeps_its_type_on_the_slow_path():
    """The type of an event stays readable for any state in it."""

    class Carrier(msgspec.Struct, tag="carrier"):
        state: object

    event = JobStart(seq=1, run_id="r", time=0.0, step_id="a", step_run_id="a")

    assert json.loads(encode_json(event))["type"] == "job-start"
    assert json.loads(encode_json(Carrier({(1,): 2**99}))) == {
        "type": "carrier",
        "state": {"[1]": 2**99},
    }


@pytest.mark.slow
def test_nesting_that_no_json_reader_follows_is_an_error():
    """The writer does not crash, and does not leave a file that is cut in the middle."""
    value: list = []
    for _ in range(100_000):
        value = [value]

    with pytest.raises(ValueError, match="nested too deeply"):
        encode_json(value)
    while value:
        value = value.pop()
