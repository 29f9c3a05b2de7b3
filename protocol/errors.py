"""Errors of the wire, divided by whose fault they are."""


class ProtocolError(Exception):
    """A message or a frame that the protocol does not allow."""


class LocalProtocolError(ProtocolError):
    """This side tried to send a message or frame that it may not send: a bug of ours."""


class RemoteProtocolError(ProtocolError):
    """The other side sent a message or frame that it may not send.

    The text quotes it, cut and in ASCII.
    """


class StateNotCarriedError(Exception):
    """A value has no serialised form.

    Attributes:
        path: The place of the value, like ``state.data.rows[3].callback``.
        reason: The problem, like ``cannot carry a function``.
        fix: A better way to write it, if one is known.

    """

    def __init__(self, path: str, reason: str, fix: str | None = None) -> None:
        super().__init__(path, reason, fix)
        self.path = _shorten(path)
        self.reason = reason
        self.fix = fix

    def __str__(self) -> str:
        """Return path and reason in one line."""
        return f"{self.path}: {self.reason}"


class TooManyItemsError(ValueError):
    """A state has more items than it may have.

    Attributes:
        items: The number of items counted so far; the state may have more.

    """

    def __init__(self, items: int, allowed: int) -> None:
        super().__init__(f"it has {items} items or more; allowed: {allowed}")
        self.items = items


def _shorten(path: str) -> str:
    return path if len(path) <= 300 else f"{path[:150]} ... {path[-150:]}"
