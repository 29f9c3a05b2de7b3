"""The structure of the messages does not change unnoticed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from protocol.limits import PROTOCOL_VERSION
from protocol.messages import FromChild, ToChild

HERE = Path(__file__).parent
COMMAND = "python tests/unit/protocol/update_schema.py"


def load_updater():
    """Load the script beside this file, which is not in a package."""
    spec = importlib.util.spec_from_file_location("update_schema", HERE / "update_schema.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_messages_have_the_structure_that_was_agreed():
    """The author of a new field, type or message must decide about the protocol version."""
    updater = load_updater()
    assert updater.make_schema() == updater.SCHEMA_FILE.read_text(), (
        f"the wire has changed: run {COMMAND}, read its diff, decide about PROTOCOL_VERSION"
    )


def test_the_agreed_structure_is_that_of_this_version():
    """The file contains the version for which it was written."""
    assert json.loads((HERE / "schema.json").read_text())["version"] == PROTOCOL_VERSION


def test_the_schema_covers_both_directions():
    """The file has every message of both unions, under its name on the wire."""
    messages = json.loads((HERE / "schema.json").read_text())["messages"]
    for kind in {*ToChild.__args__, *FromChild.__args__}:
        tag = messages[kind.__name__]["properties"]["type"]
        assert tag == {"enum": [kind.__struct_config__.tag]}
