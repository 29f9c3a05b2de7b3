"""validate finds the mistakes in data, and refuses a schema that it cannot check completely."""

from __future__ import annotations

import common
import pytest
from common import each, validate
from common.schemas import check

PERSON = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
}
BAD_AGE = {"name": "Scott", "age": "unknown"}
FOUND = [{"path": "/age", "message": "must be integer", "keyword": "type"}]


def test_schema_and_data_come_from_the_state_unless_told():
    """Correct data gives an empty list; a problem is listed with its data."""
    right = validate()({"schema": PERSON, "data": {"name": "Scott", "age": 30}})
    assert right["validation_errors"] == []
    wrong = validate()({"schema": PERSON, "data": BAD_AGE})
    assert wrong["validation_errors"] == [{"data": BAD_AGE, "errors": FOUND}]


@pytest.mark.parametrize(
    ("schema", "data"),
    [("s", "d"), (PERSON, BAD_AGE), (lambda state: state["s"], lambda state: state["d"])],
    ids=["paths", "values", "functions"],
)
def test_schema_and_data_may_be_given(schema, data):
    """Schema and data may be paths, values, or functions of state."""
    result = validate(schema, data)({"s": PERSON, "d": BAD_AGE})
    assert [entry["errors"] for entry in result["validation_errors"]] == [FOUND]


def test_it_composes_with_each():
    """Every bad item adds its entry."""
    state = {"schema": PERSON, "data": [BAD_AGE, {"name": "Hope"}, {"name": []}]}
    result = each("data[*]", validate())(state)
    assert [entry["data"] for entry in result["validation_errors"]] == [BAD_AGE, {"name": []}]


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": ["integer", "null"]}, None, 1.5),
        ({"type": "integer"}, 2.0, True),
        ({"type": "number"}, 1.5, "1"),
        ({"type": "boolean"}, True, 1),
        ({"enum": [1, "a"]}, 1, True),
        ({"const": {"a": 1}}, {"a": 1}, {"a": 2}),
        ({"minimum": 1, "maximum": 2}, 1, 0),
        ({"exclusiveMinimum": 1}, 2, 1),
        ({"exclusiveMaximum": 1}, 0, 1),
        ({"multipleOf": 0.1}, 0.3, 0.35),
        ({"minLength": 2}, "ab", "a"),
        ({"maxLength": 2}, "ab", "abc"),
        ({"pattern": "^a"}, "ab", "ba"),
        ({"minItems": 1, "uniqueItems": True}, [1, True], [1, 1]),
        ({"maxItems": 1}, [1], [1, 2]),
        ({"minProperties": 1}, {"a": 1}, {}),
        ({"maxProperties": 1}, {"a": 1}, {"a": 1, "b": 2}),
        ({"items": {"type": "string"}}, ["a"], ["a", 1]),
        ({"prefixItems": [{"type": "string"}], "items": False}, ["a"], ["a", 1]),
        ({"contains": {"const": 1}}, [0, 1], [0]),
        ({"additionalProperties": False, "properties": {"a": True}}, {"a": 1}, {"b": 1}),
        ({"additionalProperties": {"type": "string"}}, {"b": "x"}, {"b": 1}),
        ({"patternProperties": {"^n": {"type": "number"}}}, {"n1": 1, "x": ""}, {"n1": ""}),
        ({"allOf": [{"type": "string"}, {"minLength": 1}]}, "a", ""),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, None, 1),
        ({"oneOf": [{"type": "number"}, {"minimum": 5}]}, 1, 6),
        ({"not": {"type": "string"}}, 1, "a"),
        (True, 1, ...),
        (False, ..., 1),
    ],
)
def test_keywords(schema, good, bad):
    """Every keyword accepts a right value and finds a wrong one."""
    if good is not ...:
        assert list(check(good, schema)) == []
    if bad is not ...:
        assert list(check(bad, schema))


def test_what_is_not_known_is_refused():
    """A check that is left out in silence would be worse than an error."""
    with pytest.raises(common.SchemaError, match=r"unknown keyword '\$ref'"):
        validate({"$ref": "#/x"}, 1)({})
    with pytest.raises(common.SchemaError, match="unknown type 'int'"):
        validate({"type": "int"}, 1)({})
    with pytest.raises(common.ArgumentError, match="a schema is a dict, not NoneType"):
        validate("nowhere", 1)({})
