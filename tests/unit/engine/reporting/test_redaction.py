"""The engine redacts everything that leaves it, and returns a value without secrets unchanged."""

from __future__ import annotations

import base64
import gc
import json
from collections import namedtuple
from urllib.parse import quote

import msgspec
import pytest

from engine.reporting.redaction import Redactor, matcher
from protocol.events import JobComplete, Log, Memory
from protocol.report import OperationRef, Position, StackFrame, make_report
from protocol.state import decode_state, encode_state

SECRET = "s3cret-Pa55"


@pytest.fixture
def redactor():
    redactor = Redactor()
    redactor.learn({"password": SECRET, "username": "not-secret"})
    return redactor


def test_without_secrets_everything_is_passed_through():
    """Redaction is free for a run that has no credentials."""
    redactor = Redactor()
    redactor.learn({"username": "not-secret", "n": 1, "short": "x"})
    value = {"a": SECRET}
    assert not redactor.active
    assert redactor.text(SECRET) is SECRET
    assert redactor.value(value) is value
    assert redactor.raw(msgspec.msgpack.encode(value)) is None
    event = make_report("JobError", SECRET)
    assert redactor.struct(event) is event


def test_a_secret_in_text_is_replaced_once_per_place(redactor):
    """The text around a secret is kept."""
    assert redactor.active
    assert redactor.text(f"a {SECRET} b {SECRET}") == "a [redacted] b [redacted]"
    text = "nothing here"
    assert redactor.text(text) is text


def test_places_are_right_behind_characters_of_several_bytes(redactor):
    """The engine searches text as UTF-8 and cuts it as text."""
    assert (
        redactor.text(f"日本 {SECRET} é {SECRET}\U0001f511")
        == "日本 [redacted] é [redacted]\U0001f511"
    )


def test_a_lone_surrogate_does_no_harm(redactor):
    """A lone surrogate comes from bytes that were not UTF-8."""
    assert redactor.text(f"\udcff{SECRET}\udcff") == "\udcff[redacted]\udcff"


def test_secrets_learned_later_are_added(redactor):
    """A credential is resolved only when its step starts."""
    assert redactor.text("second-secret") == "second-secret"
    redactor.learn(["second-secret"])
    assert redactor.text(f"{SECRET} second-secret") == "[redacted] [redacted]"


def test_learning_a_secret_again_costs_nothing(redactor):
    """Every step that uses a credential learns it again."""
    redactor.text("x")
    before = redactor._current()
    redactor.learn({"again": [SECRET]})
    assert redactor._current() is before


def test_of_very_many_secrets_the_last_are_found_as_they_are():
    """Every value is hidden, but learning all spellings of all of them would hold up other runs."""
    redactor = Redactor(max_spellings=1000)
    redactor.learn([f"secret-{number}-x" for number in range(300)])
    assert redactor.text("secret-299-x") == redactor.text("secret-1-x") == "[redacted]"
    in_hex = [f"secret-{number}-x".encode().hex() for number in range(300)]
    found = [redactor.text(form) == "[redacted]" for form in in_hex]
    assert found.count(True) in range(50, 150)
    redactor.learn([f"later-{number}-x" for number in range(300)])
    assert redactor.text("later-299-x") == "[redacted]"
    assert len(redactor._needles) < 1000 + 600 + 50


@pytest.mark.slow
def test_many_secrets_are_studied_and_compiled_in_another_thread():
    """The supervisor only takes over the matcher that the other thread made."""
    made = Redactor().study([f"secret-{number}-x" for number in range(300)])
    assert made.matcher is not None
    assert "secret-1" not in repr(made)
    redactor = Redactor()
    redactor.learn(["first-secret"])
    redactor.adopt(made)
    redactor.learn(["another-secret"])
    text = "first-secret secret-299-x another-secret secret-x"
    assert redactor.text(text) == "[redacted] [redacted] [redacted] secret-x"
    assert not redactor._fresh
    before = redactor._layers
    redactor.adopt(made)
    assert redactor._layers is before


def test_what_was_studied_keeps_to_the_budget_of_the_run():
    """Each credential was studied with the whole budget; the second is then found only as it is."""
    redactor = Redactor(max_spellings=100)
    redactor.adopt(redactor.study([f"secret-{number}-x" for number in range(20)]))
    redactor.adopt(redactor.study(["late-secret"]))
    assert redactor.text("a late-secret!") == "a [redacted]!"
    assert redactor.text(b"late-secret".hex()) == b"late-secret".hex()
    assert redactor.text(b"secret-3-x".hex()) == "[redacted]"


def test_the_lines_of_a_long_secret_count_too():
    """The cost of a text with 40,000 lines is at most the cost of the same number of secrets."""
    redactor = Redactor(max_spellings=500)
    redactor.learn(["\n".join(f"line number {number}" for number in range(2000))])
    assert len(redactor._needles) < 500 + 2002
    assert redactor.text("it is line number 1999!") == "it is [redacted]!"


@pytest.mark.slow
def test_a_very_long_secret_is_found_in_the_usual_spellings():
    """The secret is a bundle of certificates; its spellings may not take many times its size."""
    bundle = "-----BEGIN-----" + "MIIE\u00e9/+" * 20_000
    redactor = Redactor()
    redactor.learn({"ca": bundle})
    raw = bundle.encode()
    forms = [bundle, json.dumps(bundle), quote(bundle), base64.b64encode(b"ca:" + raw).decode()]
    for form in forms:
        assert len(redactor.text(form)) < 30
    assert sum(map(len, redactor._needles)) < 60 * len(raw)


@pytest.mark.slow
def test_secrets_that_come_one_by_one_are_compiled_a_few_times(monkeypatch):
    """A run may get a credential for each step, but not all are compiled again each time."""
    built = []
    make = matcher.Matcher.__init__

    def counting(self, needles):
        make(self, needles)
        built.append(len(self.needles))

    monkeypatch.setattr(matcher.Matcher, "__init__", counting)
    redactor = Redactor()
    for number in range(200):
        redactor.learn([f"secret-{number:03}-x"])
        assert redactor.text(f"a secret-{number:03}-x") == "a [redacted]"
    assert redactor.text("secret-000-x secret-199-x") == "[redacted] [redacted]"
    assert sum(built) < 8 * len(redactor._needles)


def test_a_value_is_redacted_at_any_depth_and_in_its_keys(redactor):
    """The given value does not change, because steps still receive the secret."""
    value = {"a": [{"b": (SECRET, 1)}], SECRET: {SECRET}, "c": f"x{SECRET}".encode(), "d": None}
    assert redactor.value(value) == {
        "a": [{"b": ("[redacted]", 1)}],
        "[redacted]": {"[redacted]"},
        "c": b"x[redacted]",
        "d": None,
    }
    assert value["a"][0]["b"][0] == SECRET


def test_a_value_without_secrets_is_the_same_object(redactor):
    """The caller can compare the objects, and the engine copies nothing."""
    value = {"a": [1, "x", (b"y", {"z"})], ("k", 1): 1.5}
    assert redactor.value(value) is value


def test_subclasses_are_redacted_as_what_they_are(redactor):
    """The value contains a named tuple, a dict of an ordinary subclass, and a str of a subclass."""
    Pair = namedtuple("Pair", "a b")  # noqa: PYI024 - the test needs the untyped one

    class Text(str):
        __slots__ = ()

    class Map(dict):
        pass

    assert redactor.value([Pair(1, SECRET), Map(a=Text(SECRET))]) == [
        (1, "[redacted]"),
        {"a": "[redacted]"},
    ]


@pytest.mark.slow
def test_what_is_too_deep_is_hidden_whole(redactor):
    """The engine hides such a value because it cannot search it."""
    deep = [SECRET]
    for _ in range(10_000):
        deep = [deep]
    assert redactor.value(deep) == "[redacted]"
    assert redactor.struct(make_report("JobError", SECRET, details=deep)).message == "[redacted]"
    assert redactor.struct(make_report("JobError", "m", details=deep)).details == "[redacted]"


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 3000], ids=["small", "large"])
def test_an_encoded_state_is_redacted(redactor, rows):
    """Big integers, bytes, other keys and values without a secret come back as they were."""
    state = {
        "data": {
            "rows": [{"id": n, "big": 2**200 + n, 7: b"\xff", "s": "x" * 20} for n in range(rows)],
            "hit": [f"a {SECRET}", {SECRET: 1}, SECRET.encode()],
            2**100: -(2**90),
        },
        SECRET: "key" * 2000,
    }
    encoded = encode_state(state)
    before = bytes(encoded)

    redacted = decode_state(redactor.raw(encoded))

    expected = {
        "data": {**state["data"], "hit": ["a [redacted]", {"[redacted]": 1}, b"[redacted]"]},
        "[redacted]": "key" * 2000,
    }
    assert redacted == expected
    assert encoded == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "value",
    [
        SECRET,
        SECRET * 1000,
        [SECRET] * 2000,
        {str(n): None if n % 1000 else SECRET for n in range(70_000)},
    ],
)
def test_every_kind_of_container_is_opened(redactor, value):
    """Containers have short, 16-bit and 32-bit heads."""
    assert SECRET.encode() not in redactor.raw(encode_state(value))
    assert decode_state(redactor.raw(encode_state([value]))) == [redactor.value(value)]


def test_an_encoded_state_without_secrets_is_none(redactor):
    """The caller continues with the bytes that it has."""
    assert redactor.raw(encode_state({"data": ["x"] * 1000})) is None


def test_bytes_that_spell_a_secret_across_items_are_no_secret(redactor):
    """An array of small integers is not a string."""
    assert redactor.raw(msgspec.msgpack.encode(list(SECRET.encode()))) is None


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(b"\xab" + SECRET.encode()[:-1] + b"\xff" + SECRET.encode(), id="trailing"),
        pytest.param(b"\x92\xa1\xff\xab" + SECRET.encode(), id="not UTF-8"),
        pytest.param(b"\xdc\x00\x02\xab" + SECRET.encode(), id="cut off"),
        pytest.param(b"\xdd\xff\xff\xff\xff" + SECRET.encode() * 1000, id="huge array"),
        pytest.param(b"\xdf\xff\xff\xff\xff" + SECRET.encode() * 1000, id="huge map"),
        pytest.param(b"\xc1" + SECRET.encode(), id="no such opcode"),
        pytest.param(b"\x91" * 100_000 + b"\xab" + SECRET.encode(), id="too deep"),
        pytest.param(b"\x81\x81\x01\x02\xab" + SECRET.encode(), id="a map as a key"),
    ],
)
def test_what_cannot_be_decoded_is_hidden_whole(redactor, encoded):
    """The engine lets bytes through only after it has decoded them."""
    assert redactor.raw(encoded) == msgspec.msgpack.encode("[redacted]")


def test_garbage_collection_is_left_as_it_was(redactor):
    """The garbage collector is off only while the engine decodes a state."""
    encoded = encode_state([SECRET])
    redactor.raw(encoded)
    assert gc.isenabled()
    gc.disable()
    try:
        redactor.raw(encoded)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_an_error_report_is_redacted_in_all_its_texts(redactor):
    """The message, the position, the frames, the details and the hint are redacted at any depth."""
    report = make_report(
        "AdaptorError",
        f"401 for https://u:{SECRET}@host",
        step_id=SECRET,
        operation=OperationRef(1, f"get_{SECRET}"),
        position=Position(line=1, source=f"get({SECRET!r})"),
        stack=(StackFrame(module="rest@1", function="get", source=SECRET),),
        details={"headers": {"Authorization": SECRET}, "list": [(SECRET,)]},
        fix=SECRET,
    )
    redacted = redactor.struct(report)
    assert type(redacted) is type(report)
    assert SECRET.encode() not in msgspec.json.encode(redacted)
    assert (redacted.name, redacted.severity) == ("AdaptorError", "fail")
    assert redacted.stack[0].module == "rest@1"
    assert redacted.stack[0].source == "[redacted]"


def test_an_event_is_redacted_and_keeps_its_shape(redactor):
    """The ids and the following steps of an event stay, even if one of them holds a secret."""
    event = JobComplete(
        seq=1,
        run_id="run-1",
        time=1.0,
        step_id=f"sync {SECRET}",
        step_run_id="a",
        state={"data": SECRET},
        next=("b", SECRET),
        duration_ms=1,
        mem=Memory(1, 2, 3),
    )
    redacted = redactor.struct(event)
    assert redacted == msgspec.structs.replace(event, state={"data": "[redacted]"})
    raw = msgspec.structs.replace(event, state=msgspec.Raw(encode_state({"data": SECRET})))
    assert decode_state(redactor.struct(raw).state) == {"data": "[redacted]"}


def test_a_struct_without_secrets_is_the_same_object(redactor):
    """An unchanged struct, which is the common case, costs no copy."""
    event = Log(seq=1, run_id="r", time=1.0, level="info", source="job", message="x")
    assert redactor.struct(event) is event


def test_the_words_of_the_engine_are_no_secrets():
    """A password ``AdaptorError`` or ``runtime`` must not break the form of events."""
    redactor = Redactor()
    redactor.learn(["AdaptorError", "runtime", "exception"])
    event = Log(seq=1, run_id="r", time=1.0, level="info", source="runtime", message="runtime!")
    assert redactor.struct(event).source == "runtime"
    assert redactor.struct(event).message == "[redacted]!"
    report = redactor.struct(make_report("AdaptorError", "AdaptorError"))
    assert (report.name, report.message) == ("AdaptorError", "[redacted]")
    exception = redactor.struct(make_report("SpawnError", "exception"))
    assert (exception.severity, exception.message) == ("exception", "[redacted]")


def test_a_redactor_shows_and_keeps_no_secret(redactor):
    """A redactor does not show secrets in its repr, and does not keep them when the run is over."""
    assert SECRET not in repr(redactor)
    redactor.forget()
    assert not redactor.active
    assert SECRET not in str(vars(redactor))
    assert redactor.text(SECRET) == SECRET


def test_lists_as_keys_are_not_decoded_beside_a_secret():
    """List keys become tuples with hashes that can collide, so the whole state is hidden."""
    redactor = Redactor()
    redactor.learn(["s3cret-Pa55"])
    secret = msgspec.msgpack.encode("s3cret-Pa55")
    pairs = b"".join(b"\x92\xcd" + n.to_bytes(2, "big") + b"\x01\x00" for n in range(2_000))
    state = b"\xde" + (2_001).to_bytes(2, "big") + pairs + secret + secret
    assert redactor.raw(state) == msgspec.msgpack.encode("[redacted]")
    inner = b"\x91" * 8 + state  # below the levels that are opened one by one
    assert b"s3cret" not in redactor.raw(inner)
    assert len(redactor.raw(inner)) < 100
