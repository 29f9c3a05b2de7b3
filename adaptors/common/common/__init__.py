"""The verbs that every workflow job can use.

A verb that is an operation (`fn`, `each`, `cursor`, ...) returns a function from state to state.  A
verb that is a reference (`source_value`, `data_value`, `merge`, ...) returns a function from state
to a value, for the arguments of operations.  The other verbs (`field`, `chunk`, `data_path`, ...)
are plain functions.
"""

# ruff: noqa: N816 - some names are those of language-common

from __future__ import annotations

from . import beta
from .cursors import cursor
from .errors import (
    ArgumentError,
    AssertionFailedError,
    CommonError,
    CsvError,
    PathError,
    SchemaError,
)
from .references import (
    as_data,
    data_path,
    data_value,
    expand_references,
    json_value,
    last_reference_value,
    reference_path,
    source,
    source_value,
)
from .rows import parse_csv
from .schemas import validate
from .shapes import (
    array_to_string,
    chunk,
    decode,
    encode,
    field,
    fields,
    human_proper,
    index,
    scrub_emojis,
    split_keys,
    to_array,
)
from .verbs import (
    alter_state,
    as_,
    assert_,
    combine,
    compose_next_state,
    debug,
    each,
    fn,
    fn_if,
    group_by,
    join,
    log,
    map_,
    merge,
)

# The names of language-common, for authors who know them; `map`, `assert` and `as` mean something else
# in Python.
alterState = alter_state
arrayToString = array_to_string
asData = as_data
composeNextState = compose_next_state
dataPath = data_path
dataValue = data_value
expandReferences = expand_references
fnIf = fn_if
groupBy = group_by
humanProper = human_proper
jsonValue = json_value
lastReferenceValue = last_reference_value
parseCsv = parse_csv
referencePath = reference_path
scrubEmojis = scrub_emojis
sourceValue = source_value
splitKeys = split_keys
toArray = to_array
group = group_by

__version__ = "1.0.0"

__all__ = [
    "ArgumentError",
    "AssertionFailedError",
    "CommonError",
    "CsvError",
    "PathError",
    "SchemaError",
    "alterState",
    "alter_state",
    "arrayToString",
    "array_to_string",
    "asData",
    "as_",
    "as_data",
    "assert_",
    "beta",
    "chunk",
    "combine",
    "composeNextState",
    "compose_next_state",
    "cursor",
    "dataPath",
    "dataValue",
    "data_path",
    "data_value",
    "debug",
    "decode",
    "each",
    "encode",
    "expandReferences",
    "expand_references",
    "field",
    "fields",
    "fn",
    "fnIf",
    "fn_if",
    "group",
    "groupBy",
    "group_by",
    "humanProper",
    "human_proper",
    "index",
    "join",
    "jsonValue",
    "json_value",
    "lastReferenceValue",
    "last_reference_value",
    "log",
    "map_",
    "merge",
    "parseCsv",
    "parse_csv",
    "referencePath",
    "reference_path",
    "scrubEmojis",
    "scrub_emojis",
    "source",
    "sourceValue",
    "source_value",
    "splitKeys",
    "split_keys",
    "toArray",
    "to_array",
    "validate",
]
