"""Hides secrets in texts that leave the package: a server may have sent back what it got."""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import quote, quote_plus

from .credentials import Settings
from .errors import HttpError
from .sessions import Session

E = TypeVar("E", bound=HttpError)

_SHORTEST_SECRET = 4
"""Shorter texts are parts of ordinary words."""


class Hiding:
    """Replaces the secrets of a configuration, and those that servers have given to its session."""

    def __init__(self, settings: Settings, session: Session) -> None:
        self._settings = settings
        self._session = session

    def text(self, text: str) -> str:
        """Return *text* with each secret replaced."""
        for secret in self._secrets():
            text = text.replace(secret, "***")
        return text

    def error(self, error: E) -> E:
        """Return *error* with each secret in its message and its attributes replaced."""
        error.args = tuple(self.text(arg) if isinstance(arg, str) else arg for arg in error.args)
        for name, value in vars(error).items():
            if isinstance(value, str):
                vars(error)[name] = self.text(value)
        return error

    def _secrets(self) -> list[str]:
        found = {*self._settings.secrets, *self._session.secrets()}
        found = {text for text in found if len(text) >= _SHORTEST_SECRET}
        found |= {spelling(text, safe="") for text in found for spelling in (quote, quote_plus)}
        # The longest first, because one may be a part of another.
        return sorted(found, key=len, reverse=True)
