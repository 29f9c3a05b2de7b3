"""The verbs that every workflow job can use.

A verb that is an operation (`fn`, `each`, `cursor`, ...) returns a function from state to state.  A
verb that is a reference (`source_value`, `data_value`, `merge`, ...) returns a function from state
to a value, for the arguments of operations.  The other verbs (`field`, `chunk`, `data_path`, ...)
are plain functions.
"""

from __future__ import annotations

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

__version__ = "1.0.0"

__all__ = [
    "ArgumentError",
    "AssertionFailedError",
    "CommonError",
    "CsvError",
    "PathError",
    "SchemaError",
    "alter_state",
    "array_to_string",
    "as_",
    "as_data",
    "assert_",
    "chunk",
    "combine",
    "compose_next_state",
    "cursor",
    "data_path",
    "data_value",
    "debug",
    "decode",
    "each",
    "encode",
    "expand_references",
    "field",
    "fields",
    "fn",
    "fn_if",
    "group_by",
    "human_proper",
    "index",
    "join",
    "json_value",
    "last_reference_value",
    "log",
    "map_",
    "merge",
    "parse_csv",
    "reference_path",
    "scrub_emojis",
    "source",
    "source_value",
    "split_keys",
    "to_array",
    "validate",
]
