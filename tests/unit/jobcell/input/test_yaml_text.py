"""YAML becomes plain data, and every refusal names line and column."""

import math
import re
import tracemalloc

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from jobcell.input.errors import BadInputError
from jobcell.input.yaml_text import MAX_BYTES, MAX_VALUES, read_yaml

NESTED = "nest"  # some versions of libyaml have a limit of their own


def value(text):
    return read_yaml(text, origin="f.yaml").value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("y", "y"),
        ("2026-11-29", "2026-11-29"),
        ("2026-11-29T10:00:00Z", "2026-11-29T10:00:00Z"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("=", "="),
        ("<<", "<<"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("010", 10),
        ("0o10", 8),
        ("0xff", 255),
        ("-3", -3),
        ("1.", 1.0),
        ("-1.5e3", -1500.0),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("'5'", "5"),
        ("!!str 5", "5"),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("{no: 1, on: [a, {b: c}]}", {"no": 1, "on": ["a", {"b": "c"}]}),
        ("'1': x", {"1": "x"}),
        ("- - 1\n- {}\n- []\n", [[1], {}, []]),
    ],
)
def test_plain_values_follow_the_core_schema_of_yaml_1_2(text, expected):
    """The words for yes and no, dates and times are text; nothing depends on the country of a user."""
    found = value(text)
    assert (found, type(found)) == (expected, type(expected))


def test_not_a_number_is_read():
    """JSON files of the command may hold it as well."""
    assert math.isnan(value(".nan"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1\nb: *x\n", "2:4: has an alias 'x'; write the value again"),
        ("a: 1\nb: 2\na: 3\n", "3:1: has the same key 'a' twice in one object"),
        ("a: 1\n---\nb: 2\n", "2:1: has a second document; a file has one"),
        (
            "a: !!python/object:os.system 1",
            "1:4: has a tag 'tag:yaml.org,2002:python/object:os.system'; only plain values are read",
        ),
        ("a: !!set {x}", "1:4: has a tag 'tag:yaml.org,2002:set'; only plain values are read"),
        ("a: !env X", "1:4: has a tag '!env'; only plain values are read"),
        ("!!omap []", "1:1: has a tag"),
        ("1: x", "1:1: has a key '1' that is not text; write it in double quotes"),
        ("true: x", "1:1: has a key 'true' that is not text"),
        ("~: x", "1:1: has a key '~' that is not text"),
        ("? [a]\n: b", "1:3: has a list or an object as a key; a key is text"),
        ("a: b: c", "1:5: is not YAML: mapping values are not allowed in this context"),
        ("a:\n\t- b", "2:1: is not YAML: found character that cannot start any token"),
        ("a: 'b", "1:6: is not YAML: found unexpected end of stream"),
        ("a: [1", "is not YAML: did not find expected ',' or ']'"),
        ("a: *", "is not YAML"),
        ("a: 1\nb: \x01", "2:4: has the control character '\\x01'"),
        ("[" * 101 + "]" * 101, "1:101: is nested more than 100 levels deep"),
        ("[" * 1_000_000, NESTED),
        ("- " * 1_000_000, "1:201: is nested more than 100 levels deep"),
        ("a: " + "9" * 5000, "1:4: has a number with too many digits"),
        ("a" * (MAX_BYTES + 1), "has more than 4 MB; write a larger file as JSON"),
        pytest.param(
            f"[{'1,' * MAX_VALUES}1]",
            f"1:{MAX_VALUES * 2 + 2}: has more than 500,000 values",
            marks=pytest.mark.slow,
        ),
    ],
    ids=range(23),
)
def test_everything_else_is_one_error_with_its_place(text, message):
    """Aliases cannot grow a small file into a large plan, and a tag cannot make an object."""
    with pytest.raises(BadInputError) as raised:
        value(text)
    (line,) = raised.value.lines
    assert re.match(r"f\.yaml:(\d+:\d+:)? ?(has|is) ", line)
    assert message in line


def test_a_secret_is_not_quoted_in_an_error():
    """The twin: the same texts are quoted in a file without secrets."""
    for text in ("a: *s3cret", "s3cret: 1\ns3cret: 2", "a: !s3cret 1", "a: 's3cret\n"):
        for is_secret in (True, False):
            with pytest.raises(BadInputError) as raised:
                read_yaml(text, origin="f.yaml", is_secret=is_secret)
            assert re.match(r"f\.yaml:\d:\d+: (has|is) ", str(raised.value))
            assert ("s3cret" in str(raised.value)) is (not is_secret and "'s3cret\n" not in text)


def test_long_keys_around_many_values_take_no_more_memory_than_the_values():
    """A text of 80 KB kept the whole path of each value, and took 60 MB."""
    text = "".join(f"{' ' * depth}{'k' * 55}{depth}:\n" for depth in range(90))
    text += f"{' ' * 90}[{'1,' * 10_000}]\n"
    tracemalloc.start()
    read = read_yaml(text, origin="f.yaml")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000
    path = ".".join(f"{'k' * 55}{depth}" for depth in range(90))
    assert read.place_of(f"{path}[9999].x") == (91, 20_090)


def test_a_bomb_of_aliases_does_not_grow():
    """PyYAML itself would make nine lists of nine lists, to a depth of nine."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    text = "\n".join(lines)
    assert len(yaml.safe_load(text.split("\na2")[0])["a1"]) == 9
    with pytest.raises(BadInputError, match="has an alias 'a0'"):
        value(text)


NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+")
"""A number by the rules of YAML 1.2. PyYAML takes some of them for text, such as `1e3`, and does not quote them."""

TEXTS = st.text().filter(
    lambda text: not NUMBER.fullmatch(text) or not isinstance(yaml.safe_load(text), str)
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=15,
)


@given(PLAIN)
def test_what_a_library_writes_is_read_as_it_was(data):
    """PyYAML quotes each text that could be another value by its own rules, which are wider for all but some numbers."""
    assert value(yaml.safe_dump(data)) == data


def test_the_python_half_of_the_library_gives_the_same(monkeypatch):
    """A machine without libyaml reads the same values and places."""
    text = "a: [no, 2026-11-29, 010, 'x']\nb:\n  c: !!str 5\n  d: |\n    text\n"
    with_c = read_yaml(text, origin="f")
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    without_c = read_yaml(text, origin="f")
    assert without_c.value == with_c.value
    paths = ["", "a", "a[0]", "a[3]", "b.c", "b.d"]
    assert [without_c.place_of(p) for p in paths] == [with_c.place_of(p) for p in paths]
    assert with_c.value == {"a": ["no", "2026-11-29", 10, "x"], "b": {"c": "5", "d": "text\n"}}
    with pytest.raises(BadInputError, match="has an alias 'x'"):
        value("- &x 1\n- *x")
    with pytest.raises(BadInputError, match="is nested more than 100 levels deep"):
        value("- " * 2000)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    """No text raises another error."""
    try:
        value(text)
    except BadInputError as error:
        assert re.match(r"f\.yaml:(\d+:\d+:)? (has|is) ", str(error))  # noqa: PT017 - or no error at all


def test_the_places_of_values_are_kept():
    """The path of a problem leads to the line, and a missing key to the object around it."""
    read = read_yaml("a:\n  - x: 1\n    'two words': [5]\n", origin="f")
    assert read.place_of("a[0].x") == (2, 8)
    assert read.place_of("a[0]['two words'][0]") == (3, 19)
    assert read.place_of("a[0].missing") == (2, 5)
    assert read.place_of("a[0]['no such.key']") == (2, 5)
    assert read.place_of("b.c") == (1, 1)
    assert read.places.find("a[0]").keys["two words"] == (3, 5)
