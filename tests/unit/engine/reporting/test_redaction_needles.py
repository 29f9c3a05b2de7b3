"""The strings of a configuration are secrets, and are found in several spellings."""

from __future__ import annotations

import base64
import csv
import dataclasses
import enum
import html
import io
import json
import re
import shlex
import unicodedata
import urllib.parse
import uuid
from collections import deque
from subprocess import CalledProcessError
from xml.etree import ElementTree as ET
from xml.sax import saxutils

import msgspec
import pytest

from engine.api.options import DEFAULT_PUBLIC_KEYS
from engine.reporting.redaction import Redactor
from engine.reporting.redaction.needles import secrets_of
from engine.reporting.redaction.spellings import spellings

PUBLIC = frozenset(key.casefold() for key in DEFAULT_PUBLIC_KEYS)

PASSWORD = "Pa55/w+rd?!"
AWKWARD = 'it\'s "é" <\\&\t%\U0001f511+/>'
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\r\nBKcwggSjAgEAAoIBAQ==\n-----END KEY-----\n"
ACCENTS = "Zu\u0308rich-p\u00e4ss\ufb01"
QUOTES = """a'b"c'' \"\"d`e$f!g"""
TOKEN = "tok_" + "x9Y-_z" * 20


def test_every_string_of_six_characters_is_a_secret_at_any_depth():
    """The search goes into dicts, lists and tuples; bytes count as strings."""
    configuration = {
        "a": "secret",
        "b": [{"c": ("deeper", bytearray(b"binary"))}],
        "d": {"e": "nested"},
    }
    assert set(secrets_of(configuration, PUBLIC)) == {"secret", "deeper", b"binary", "nested"}


@pytest.mark.parametrize(
    "value", ["", "x", "short", "      ", "\n" * 9, 123456789, 1.23456789, True, None]
)
def test_what_is_too_short_blank_or_no_string_is_none(value):
    """Redacting these values would blank the log and hide nothing."""
    assert list(secrets_of({"password": value}, PUBLIC)) == []


@pytest.mark.parametrize("key", ["username", "USERNAME", "baseurl", "baseUrl", "clientId"])
@pytest.mark.parametrize("value", ["not-secret", b"not-secret", bytearray(b"not-secret")])
def test_the_value_of_a_public_key_is_no_secret_in_any_case(key, value):
    """Names of keys are compared without case."""
    assert list(secrets_of({key: value}, PUBLIC)) == []
    assert list(secrets_of([{"a": {key: value}}], PUBLIC)) == []


@pytest.mark.parametrize("key", ["database", "Account", "user", "url"])
def test_a_public_key_exempts_no_subtree(key):
    """A key below a public key is public only by its own name."""
    nested = {"host": "db.internal", "password": "secret", "pool": [{"token": "deeper"}]}
    assert set(secrets_of({key: nested}, PUBLIC)) == {"secret", "deeper"}
    assert set(secrets_of({key: ["listed", {"host": "db.internal"}]}, PUBLIC)) == {"listed"}


def test_keys_of_a_configuration_are_no_secrets():
    """The word ``access_token`` stays readable."""
    assert list(secrets_of({"access_token": 1}, PUBLIC)) == []


def test_a_configuration_that_contains_itself_is_read_once():
    """A resolver may return any value."""
    configuration = {"password": "secret"}
    configuration["self"] = [configuration]
    assert list(secrets_of(configuration, PUBLIC)) == ["secret"]


def test_a_struct_is_looked_into():
    """A resolver may return a struct of its own."""

    class Login(msgspec.Struct):
        username: str
        password: str

    assert list(secrets_of(Login("not-secret", "secret"), PUBLIC)) == ["secret"]


def test_what_a_state_can_carry_is_looked_into():
    """A job gets a dataclass as a dict, an enum as its value, and a UUID as text."""

    @dataclasses.dataclass
    class Login:
        username: str
        password: str
        kind: Kind
        key: uuid.UUID

    class Kind(enum.Enum):
        SERVICE = "service-kind"

    key = uuid.UUID(int=2**127)
    login = Login("not-secret", "secret", Kind.SERVICE, key)
    expected = {"secret", "service-kind", str(key)}
    assert set(secrets_of({"x": deque([login])}, PUBLIC)) == expected
    assert list(secrets_of([object(), Login, print, 5, 2.5], PUBLIC)) == []


def test_own_public_keys_replace_the_default_ones():
    """The value of `RunOptions.public_credential_keys` is the whole list."""
    redactor = Redactor(public_keys=["Token"])
    redactor.learn({"token": "not-secret", "username": "username1"})
    assert redactor.text("not-secret username1") == "not-secret [redacted]"


def surroundings(encode):
    """Encode a secret with 0 to 3 bytes before and behind it, as in a header or a body."""

    def encoded(secret):
        return [
            encode(b"u:/"[:before] + secret.encode() + b"\r\n."[:behind])
            for before in range(4)
            for behind in range(4)
        ]

    return encoded


def element(text):
    made = ET.Element("a")
    made.text = text
    return made


def csv_row(value):
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_ALL).writerow([value])
    return file.getvalue()


def latin(secret):
    """Encode a secret as libraries for HTTP do, in Latin-1 where this is possible."""
    try:
        return secret.encode("latin-1")
    except UnicodeEncodeError:
        return secret.encode()


WAYS = {
    "as it is": lambda secret: [secret],
    "in prose": lambda secret: [f"token={secret}&x", f"{secret}{secret}"],
    "base64": surroundings(lambda data: base64.b64encode(data).decode()),
    "base64 without padding": surroundings(lambda data: base64.b64encode(data).decode().rstrip("=")),
    "url-safe base64": surroundings(lambda data: base64.urlsafe_b64encode(data).decode()),
    "percent-encoded base64": surroundings(
        lambda data: urllib.parse.quote(base64.b64encode(data), safe="")
    ),
    "base64 in lines": lambda secret: [base64.encodebytes(secret.encode()).decode()],
    "base64 of JSON": lambda secret: [
        base64.b64encode(json.dumps({"password": secret}).encode()).decode()
    ],
    "hex": lambda secret: [secret.encode().hex(), secret.encode().hex().upper()],
    "hex in context": lambda secret: [f"0x00{secret.encode().hex()}ff"],
    "quote": lambda secret: [urllib.parse.quote(secret), urllib.parse.quote(secret, safe="")],
    "quote in small letters": lambda secret: [
        "".join(f"%{byte:02x}" if byte in b'%/+?! \n\r\t"<>\\&' or byte > 127 else chr(byte) for byte in secret.encode())
        if "'" not in secret
        else secret
    ],
    "quote_plus": lambda secret: [urllib.parse.urlencode({"k": secret})],
    "JSON": lambda secret: [json.dumps([secret]), json.dumps([secret], ensure_ascii=False)],
    "JSON in JSON": lambda secret: [json.dumps({"body": json.dumps({"k": secret})})],
    "msgspec's JSON": lambda secret: [msgspec.json.encode({"k": secret}).decode()],
    "repr": lambda secret: [repr(secret), repr({"k": secret + "'"}), repr([secret + "'\""])],
    "ascii": lambda secret: [ascii(secret)],
    "repr of bytes": lambda secret: [repr(secret.encode()), repr(secret.encode() + b"'")],
    "HTML": lambda secret: [html.escape(secret), html.escape(secret, quote=False), html.escape(html.escape(secret))],
    "references beyond ASCII": lambda secret: [secret.encode("ascii", "xmlcharrefreplace").decode()],
    "XML": lambda secret: [
        saxutils.escape(secret),
        saxutils.quoteattr(secret),
        saxutils.escape(secret, {"'": "&apos;", '"': "&quot;"}),
        ET.tostring(ET.Element("a", b=secret), "unicode"),
        ET.tostring(element(secret), "unicode"),
        ET.tostring(element(secret), "us-ascii").decode(),
    ],
    "a reference for every character": lambda secret: [
        "".join(f"&#{ord(char)};" for char in secret)[:1500],
        "".join(f"&#x{ord(char):x};" for char in secret)[:1500],
        "".join(f"&#x{ord(char):X};" for char in secret)[:1500],
    ],
    "JSON in a page": lambda secret: [
        html.escape(json.dumps({"k": secret})),
        json.dumps([secret]).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"),
    ],
    "quoted for a shell": lambda secret: [
        shlex.quote(secret),
        shlex.join(["curl", "-u", f"me:{secret}"]),
        repr(CalledProcessError(1, shlex.join(["curl", secret]))),
        "'" + secret.replace("'", "'\\''") + "'",
    ],
    "CSV": lambda secret: [csv_row(secret), csv_row(json.dumps(secret)), csv_row(f'a "b" {secret}')],
    "SQL": lambda secret: ["VALUES ('" + secret.replace("'", "''") + "')"],
    "in a pattern": lambda secret: [re.escape(secret)],
    "percent twice": lambda secret: [
        urllib.parse.quote(urllib.parse.quote(secret)),
        urllib.parse.quote(urllib.parse.quote(secret, safe=""), safe=""),
        urllib.parse.urlencode({"next": urllib.parse.urlencode({"k": secret})}),
        urllib.parse.quote_plus("https://h/?k=" + urllib.parse.quote(secret)),
    ],
    "a URL in a page": lambda secret: [html.escape("/?a=1&k=" + urllib.parse.quote(secret, safe="!#$%&'()*+,/:;=?@[]~"))],
    "basic authentication in Latin-1": lambda secret: [
        base64.b64encode(b"u:" + latin(secret)).decode(), latin(secret).hex(), repr(latin(secret)),
    ],
    "normalised": lambda secret: [
        unicodedata.normalize(form, secret) for form in ("NFC", "NFD", "NFKC", "NFKD")
    ],
    "traceback": lambda secret: [repr(ValueError(f"bad key {secret!r}"))],
}  # fmt: skip


def leaks(text, secret):
    """Return the parts of *text* from which a reader could still read *secret*."""
    pieces = [text]
    pieces += text.replace("[redacted]", " ").split()
    return [piece for piece in pieces if secret in piece or secret[2:-2] in piece]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "secret", [PASSWORD, AWKWARD, KEY, TOKEN, "secret", ACCENTS, QUOTES], ids=ascii
)
def test_a_secret_is_found_however_it_is_spelled(secret, way):
    """Ordinary code gives a value each of these forms on its way into a log."""
    redactor = Redactor()
    redactor.learn({"password": secret})
    for text in WAYS[way](secret):
        redacted = redactor.text(text)
        assert "[redacted]" in redacted
        assert not leaks(redacted, secret)
        rest = redacted.replace("[redacted]", "")
        # Only the surroundings are left: base64 keeps a character at each side.
        assert len(rest) <= 40, (text, redacted)


def test_each_line_of_a_key_is_a_secret():
    """A private key is seldom printed in one piece."""
    redactor = Redactor()
    redactor.learn({"key": KEY})
    assert redactor.text("line 2: MIIEvQIBADANBgkqhkiG9w0BAQEFAASC") == "line 2: [redacted]"
    assert redactor.text(KEY.strip()) == "[redacted]"
    assert redactor.text(KEY.replace("\r\n", "\n")).count("[redacted]") == 4


def test_short_lines_of_a_long_secret_are_none():
    """A lone bracket must not disappear from the log."""
    redactor = Redactor()
    redactor.learn({"json": '{\n  "key": "value-1"\n}'})
    assert redactor.text("{ } x") == "{ } x"
    assert redactor.text('now "key": "value-1" is') == "now [redacted] is"


def test_a_bytes_secret_is_found_in_text_and_bytes():
    """A secret of bytes need not be UTF-8."""
    redactor = Redactor()
    secret = b"\xff\xfe\x00key\x80"
    redactor.learn({"key": secret})
    for text in (repr(secret), secret.hex(), base64.b64encode(b"x" + secret).decode()):
        assert "[redacted]" in redactor.text(text)
    assert redactor.value({"blob": b"<" + secret + b">"}) == {"blob": b"<[redacted]>"}


@pytest.mark.parametrize("secret", ["redacted", "[redacted]", "edacte"])
def test_what_is_in_the_mark_itself_cannot_be_hidden_by_it(secret):
    """Redaction would only write the same text again."""
    assert all(form not in b"[redacted]" for form in spellings(secret))
    redactor = Redactor()
    redactor.learn({"password": secret})
    assert redactor.text("[redacted]") == "[redacted]"


def test_no_spelling_is_so_short_that_it_matches_by_chance():
    """A spelling has at least six bytes, which is the length of the shortest secret."""
    for secret in ("secret", "ééé é", "日本語日本語"):
        assert min(map(len, spellings(secret)), default=6) >= 6
