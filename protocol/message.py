"""The base of the messages of the wire."""

import msgspec

from protocol.words import kebab_case


class Message(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="type",
    tag=kebab_case,
    forbid_unknown_fields=True,
):
    """The base of all messages, which travel under the name of their class."""
