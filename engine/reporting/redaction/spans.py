"""Places in a text, and their replacement."""

from __future__ import annotations

from protocol.events import REDACTED


def replace_spans(text: str, spans: list[tuple[int, int]]) -> str:
    """Return *text* with ``[redacted]`` in place of each span."""
    if not spans:
        return text
    pieces = []
    done = 0
    for start, end in spans:
        pieces += [text[done:start], REDACTED]
        done = end
    pieces.append(text[done:])
    return "".join(pieces)
