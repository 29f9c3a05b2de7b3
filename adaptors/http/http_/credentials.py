"""Reads the configuration of a step: where credentials belong, and which there are."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .arguments import check_header, checked_headers
from .errors import RequestError
from .urls import Origin, origin

AUTHENTICATIONS = ("basic", "digest")
CLIENT_AUTHENTICATIONS = ("basic", "post")

_PUBLIC = frozenset(
    [
        "base_url",
        "baseUrl",
        "token_url",
        "tokenUrl",
        "client_id",
        "clientId",
        "username",
        "scope",
        "audience",
        "authentication",
        "client_authentication",
        "ca",
        "ca_certificate",
        "cert",
    ]
)
"""Keys whose values may be in an error; a message about a URL would be useless without it."""

_SHORTEST_SECRET = 4


class Tls(NamedTuple):
    """The certificates for a connection to the own origin, as texts in PEM."""

    authorities: str | None = None
    certificate: str | None = None
    key: str | None = None
    passphrase: str | None = None


class Client(NamedTuple):
    """A client of a token server (OAuth2, client credentials)."""

    token_url: str
    client_id: str
    client_secret: str
    in_body: bool
    """Whether the secret is sent in the body, and not as basic authentication."""
    more: dict[str, str]
    """Other parameters of the request: scope, audience."""


class Settings(NamedTuple):
    """A configuration that was checked."""

    base_url: str | None
    headers: dict[str, str]
    """They go to the own origin only.  `authorization` may be among them."""
    digest: tuple[str, str] | None
    client: Client | None
    tls: Tls
    http2: bool | None
    trace: bool
    """Whether the own origin gets the trace of the run."""
    key: str
    """The same for the same configuration: sessions are kept by it."""
    secrets: tuple[str, ...]
    """Texts that no error may show."""

    def own_origin(self, url: str) -> Origin:
        """Return the origin that gets the credentials of a request to *url*.

        Without a base URL that is the origin of *url*.

        Raises:
            RequestError: *url* or the base URL is not an http or https URL.

        """
        return origin(self.base_url if self.base_url is not None else url)


def read_settings(configuration: Any, tls: Any) -> Settings:
    """Check a configuration.

    Args:
        configuration: `state["configuration"]`.
        tls: The argument `tls` of a verb, which replaces that of the configuration.

    Raises:
        RequestError: A value has the wrong type, or values do not fit together.

    """
    if configuration is None:
        configuration = {}
    if not isinstance(configuration, Mapping):
        raise RequestError(f"configuration is a dict, not {type(configuration).__name__}")
    base_url = _text(configuration, "base_url", "baseUrl")
    if base_url is not None:
        origin(base_url)
    headers = checked_headers(configuration.get("headers"), "configuration.headers")
    username = _text(configuration, "username")
    password = _text(configuration, "password") or ""
    token = _text(configuration, "access_token", "accessToken", "token")
    how = configuration.get("authentication", "basic")
    if how not in AUTHENTICATIONS:
        raise RequestError(
            f"authentication in the configuration is one of {', '.join(AUTHENTICATIONS)}, not"
            f" {how!r:.100}"
        )
    digest, client = None, None
    secrets = set(_secrets(configuration))
    if "authorization" not in headers:
        if token:
            headers["authorization"] = f"Bearer {token}"
        elif _text(configuration, "token_url", "tokenUrl") is not None:
            client = _client(configuration)
        elif username is not None and how == "digest":
            digest = (username, password)
        elif username is not None:
            pair = base64.b64encode(f"{username}:{password}".encode()).decode()
            headers["authorization"] = f"Basic {pair}"
            secrets.add(pair)
    for name, value in headers.items():
        check_header(name.title(), value)
        secrets.add(value)
    http2 = configuration.get("http2")
    if http2 is not None and not isinstance(http2, bool):
        raise RequestError(f"http2 in the configuration is true or false, not {http2!r:.100}")
    trace = configuration.get("trace", False)
    if not isinstance(trace, bool):
        raise RequestError(f"trace in the configuration is true or false, not {trace!r:.100}")
    whole = json.dumps(configuration, sort_keys=True, default=repr)
    return Settings(
        base_url=base_url,
        headers=headers,
        digest=digest,
        client=client,
        tls=_tls(configuration, tls),
        http2=http2,
        trace=trace,
        key=hashlib.sha256(whole.encode(errors="replace")).hexdigest(),
        secrets=tuple(text for text in secrets if len(text) >= _SHORTEST_SECRET),
    )


def _text(configuration: Mapping[str, Any], *names: str) -> str | None:
    """Return the first text under one of *names*, or None.

    Raises:
        RequestError: The value is not a text.

    """
    for name in names:
        value = configuration.get(name)
        if value is not None and value != "":
            if not isinstance(value, str):
                raise RequestError(
                    f"{name} in the configuration is a text, not {type(value).__name__}"
                )
            return value
    return None


def _client(configuration: Mapping[str, Any]) -> Client:
    token_url = _text(configuration, "token_url", "tokenUrl")
    client_id = _text(configuration, "client_id", "clientId")
    secret = _text(configuration, "client_secret", "clientSecret")
    assert token_url is not None
    origin(token_url)
    if client_id is None or secret is None:
        raise RequestError("token_url in the configuration needs client_id and client_secret")
    how = configuration.get("client_authentication", "basic")
    if how not in CLIENT_AUTHENTICATIONS:
        raise RequestError(
            "client_authentication in the configuration is one of"
            f" {', '.join(CLIENT_AUTHENTICATIONS)}, not {how!r:.100}"
        )
    scope = configuration.get("scope")
    if isinstance(scope, list | tuple):
        scope = " ".join(map(str, scope))
    more = {"scope": scope, "audience": configuration.get("audience")}
    named = {name: str(value) for name, value in more.items() if value}
    return Client(token_url, client_id, secret, how == "post", named)


def _tls(configuration: Mapping[str, Any], given: Any) -> Tls:
    """Return the TLS settings of an argument, or of the configuration.

    Raises:
        RequestError: A key is unknown, or a value is not a text.

    """
    given = configuration.get("tls") if given is None else given
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        raise RequestError(f"tls is a dict, not {type(given).__name__}")
    known = ("ca", "cert", "key", "passphrase")
    for name, value in given.items():
        if name not in known:
            raise RequestError(
                f"tls has the keys {', '.join(known)}, not {name!r:.100}"
                + (
                    "; a server is always verified (give its authority as ca)"
                    if str(name).lower().startswith(("reject", "verify", "check", "insecure"))
                    else ""
                )
            )
        if value is not None and not (isinstance(value, str) and value.isascii()):
            raise RequestError(f"tls.{name} is the text of a PEM file")
    ca = given.get("ca", configuration.get("ca_certificate"))
    if ca is not None and not isinstance(ca, str):
        raise RequestError(
            "ca_certificate in the configuration is not the text of a PEM file with certificates"
        )
    tls = Tls(ca, given.get("cert"), given.get("key"), given.get("passphrase"))
    if (tls.certificate is None) != (tls.key is None) and "PRIVATE KEY" not in str(tls.certificate):
        raise RequestError("tls needs cert and key together, each the text of a PEM file")
    return tls


def _secrets(value: Any, name: object = "") -> Iterator[str]:
    """Return all texts of a configuration that are not under a public key."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _secrets(inner, key)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _secrets(inner, name)
    elif isinstance(value, str) and name not in _PUBLIC:
        yield value
