"""Write the schema of the wire again: ``python tests/unit/protocol/update_schema.py``.

After that read the difference.  The author of a change decides whether an older peer would still
understand the messages, and raises `protocol.limits.PROTOCOL_VERSION` if not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from protocol.limits import PROTOCOL_VERSION
from protocol.messages import FromChild, ToChild

SCHEMA_FILE = Path(__file__).with_name("schema.json")


def make_schema() -> str:
    """Return the structure of all messages as JSON text, without descriptions."""
    schemas, definitions = msgspec.json.schema_components(
        (ToChild, FromChild), ref_template="#/{name}"
    )
    # For msgspec a Raw is any value; here only `protocol.state` reads it.
    for kind in {*ToChild.__args__, *FromChild.__args__}:
        for field in msgspec.structs.fields(kind):
            if field.type is msgspec.Raw:
                definitions[kind.__name__]["properties"][field.encode_name] = {"raw": True}
    whole = {
        "version": PROTOCOL_VERSION,
        "to_child": schemas[0],
        "from_child": schemas[1],
        "messages": definitions,
    }
    return json.dumps(_canonical(whole), indent=1, sort_keys=True) + "\n"


def _canonical(value: Any, key: str = "") -> Any:
    """Drop docstrings, and sort the alternatives, whose order differs between versions of msgspec.

    A property that is called ``description`` has a dict as its value.
    """
    if isinstance(value, dict):
        return {
            key: _canonical(item, key)
            for key, item in value.items()
            if key != "description" or isinstance(item, dict)
        }
    if isinstance(value, list):
        items = [_canonical(item) for item in value]
        return sorted(items, key=json.dumps) if key == "anyOf" else items
    return value


if __name__ == "__main__":
    SCHEMA_FILE.write_text(make_schema())
