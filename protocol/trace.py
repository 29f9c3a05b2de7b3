"""The place of a run in a distributed trace, in the words of the W3C recommendation "Trace Context".

Engine and child both compute the span of an attempt, so the child can name it before the engine hears of
the attempt, and no message has to carry it.
"""

import re
from typing import Final, NamedTuple

import msgspec

# Patterns are compiled at their first use: a child without a trace does not need them.
_PARENT: Final = r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
_FIRST_VERSION: Final = "00"
_NO_VERSION: Final = "ff"
_EXAMPLE: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

_LONGEST_STATE: Final = 512
_MOST_MEMBERS: Final = 32
_KEY: Final = r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
_MEMBER: Final = rf"[ \t]*(?:{_KEY}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,256}})?[ \t]*"


class TraceParent(NamedTuple):
    """The fields of a ``traceparent``, in hexadecimal digits."""

    trace_id: str
    span_id: str
    flags: str

    def text(self) -> str:
        """Return the header."""
        return f"{_FIRST_VERSION}-{self.trace_id}-{self.span_id}-{self.flags}"


class Trace(msgspec.Struct, frozen=True):
    """The trace that a run belongs to.

    Raises:
        TypeError, ValueError: A field is not what the W3C recommendation says.

    """

    traceparent: str
    """``00-<trace id>-<span id>-<flags>``."""
    tracestate: str = ""
    """``vendor=value`` pairs, separated by commas."""
    has_spans: bool = False
    """Whether each attempt has a span of its own, below that of ``traceparent``."""
    links: tuple[str, ...] = ()
    """The ``traceparent`` of other spans that the span of the run is linked to."""
    run_span: str = ""
    """The ``traceparent`` that the span of the run gets, if it was chosen before; the same as
    ``traceparent`` if that span is the first one of its trace."""

    def __post_init__(self) -> None:
        read_traceparent(self.traceparent)
        check_tracestate(self.tracestate)
        for text in (*self.links, *filter(None, [self.run_span])):
            read_traceparent(text)

    def attempt(self, step_run_id: str, attempt: int) -> str:
        """Return the ``traceparent`` for the requests of an attempt."""
        parent = read_traceparent(self.traceparent)
        if not self.has_spans:
            return parent.text()
        return parent._replace(span_id=span_below(parent.span_id, step_run_id, str(attempt))).text()


def read_traceparent(text: object) -> TraceParent:
    """Return the fields of a ``traceparent``; a later version is read as the first one.

    Raises:
        TypeError: It is not text.
        ValueError: It is not a ``traceparent``.

    """
    if not isinstance(text, str):
        raise TypeError(f"traceparent must be text such as '{_EXAMPLE}', not {text!r:.100}")
    found = re.fullmatch(_PARENT, text)
    problem = "it does not have this form"
    if found is not None:
        version, trace_id, span_id, flags, more = found.groups()
        if version == _NO_VERSION:
            problem = "there is no version ff"
        elif more and version == _FIRST_VERSION:
            problem = "version 00 has four fields"
        elif not trace_id.strip("0"):
            problem = "its trace id is zero"
        elif not span_id.strip("0"):
            problem = "its span id is zero"
        else:
            return TraceParent(trace_id, span_id, flags)
    raise ValueError(f"traceparent must be such as '{_EXAMPLE}', not {text!r:.100}: {problem}")


def check_tracestate(text: object) -> None:
    """Check a ``tracestate``.

    Raises:
        TypeError: It is not text.
        ValueError: It is not a ``tracestate``.

    """
    if not isinstance(text, str):
        raise TypeError(f"tracestate must be text such as 'vendor=value', not {text!r:.100}")
    if len(text) > _LONGEST_STATE:
        raise ValueError(
            f"tracestate must have {_LONGEST_STATE} characters at most, not {len(text)}"
        )
    members = text.split(",")
    wrong = next((member for member in members if not re.fullmatch(_MEMBER, member)), None)
    if wrong is not None:
        raise ValueError(
            f"tracestate must be such as 'vendor=value,other=value', not {wrong!r:.100}"
        )
    if len(members) > _MOST_MEMBERS:
        raise ValueError(
            f"tracestate must have {_MOST_MEMBERS} members at most, not {len(members)}"
        )


def span_below(span_id: str, *names: str) -> str:
    """Return the id of the span with these names below another span: always the same one.

    Args:
        span_id: The id of the span above.
        names: What is different for each span below it.

    """
    from hashlib import blake2b  # late: a child that names no span does not load OpenSSL (3 ms)

    text = "\0".join((span_id, *names))
    made = blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()
    return made if made.strip("0") else f"{1:016x}"  # zero means that there is no span
