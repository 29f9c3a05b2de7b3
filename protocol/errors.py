"""What can go wrong on the wire, told apart by whose fault it is."""


class ProtocolError(Exception):
    """A message or a frame that the protocol does not allow."""


class LocalProtocolError(ProtocolError):
    """This side tried to send what it may not send: a bug of ours."""


class RemoteProtocolError(ProtocolError):
    """The other side sent what it may not send.  The text quotes it cut and in ASCII."""


class StateNotCarriedError(Exception):
    """A value has no serialised form.

    Attributes:
        path: Where it is, like ``state.data.rows[3].callback``.
        reason: What is wrong with it, like ``cannot carry a function``.
        fix: What to write instead, if that is known.

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
        items: How many were counted; it may have more.

    """

    def __init__(self, items: int, allowed: int) -> None:
        super().__init__(f"it has {items} items or more; allowed: {allowed}")
        self.items = items


def _shorten(path: str) -> str:
    return path if len(path) <= 300 else f"{path[:150]} ... {path[-150:]}"
