"""A part of a configuration's text is a secret by itself if a library takes the text apart."""

from __future__ import annotations

import base64
import json
import time
import urllib.parse

import pytest

from engine.reporting.redaction import Redactor
from engine.reporting.redaction.embedded import is_secret_name, secrets_within

URLS = {
    "postgresql://app:p%40ss-w0rd%21x@db:5432/x": {"p%40ss-w0rd%21x", "p@ss-w0rd!x"},
    "postgres://app:pa/ss#wo?rd@db/x": {"pa/ss#wo?rd"},
    "postgres://app:p@ssw0rd@db/x": {"p@ssw0rd"},
    "mysql+pymysql://app:aa%2Bbb%20c@db": {"aa%2Bbb%20c", "aa+bb c"},
    "https://app:twice%2540@db": {"twice%2540", "twice%40", "twice@"},
    "mongodb://app:secret1@one:27017,two:27017/x": {"secret1"},
    "kafka://a:secret1@one,b:secret2@two": {"secret1", "secret2", "secret1@one,b:secret2"},
    "amqp://a:secret1@one,amqp://b:secret2@two": {"secret1", "secret2"},
    "redis://:secret1@cache:6379/0": {"secret1"},
    "https://ghp_token1@github.com/x.git": {"ghp_token1"},
    "before http://a:secret1@one/x after 'ftp://b:secret2@two'": {"secret1", "secret2"},
    "jdbc:postgresql://db/x?user=app&password=secret1": {"secret1"},
    "https://h/x?api_key=secret1&X-Amz-Signature=secret2#access_token=secret3": {
        "secret1",
        "secret2",
        "secret3",
    },
    "https://h/x?sv=1&sig=aa%2Bbb%3D": {"aa%2Bbb%3D", "aa+bb="},
    "host=db user=app password='secret one' dbname=x": {"secret one"},
    "Server=db;User Id=app;Password=secret1;": {"secret1"},
    "DRIVER=x;UID=app;PWD={se;cret};": {"se;cret"},
    "AccountName=x;AccountKey=c2VjcmV0==;EndpointSuffix=y": {"c2VjcmV0=="},
    "cache:6379,password=secret1,ssl=True": {"secret1,ssl=True", "secret1"},
    "app:secret1@db:5432/x": {"secret1"},
    "jdbc:oracle:thin:scott/tiger12@db:1521:x": {"tiger12", "oracle:thin:scott/tiger12"},
    "scott/tiger12@//db:1521/x": {"tiger12"},
    "Bearer abcdef0123": {"abcdef0123"},
    "Authorization: token abcdefghijklmnop": {"abcdefghijklmnop"},
    "Basic " + base64.b64encode(b"app:secret1").decode(): {
        "secret1",
        base64.b64encode(b"app:secret1").decode(),
    },
    json.dumps({"type": "account", "private_key": "secret1", "x": [{"dsn": "x://a:secret2@h"}]}): {
        "secret1",
        "secret2",
    },
}

HARMLESS = [
    "https://example.org:8080/@scope/name@1.0",
    "https://example.org/x?page=2&sort=name&country=ch",
    "http://[::1]:80/a@b",
    "postgres://app@db/x",
    "someone@example.org",
    "mailto:someone@example.org",
    "git@github.com:org/repo.git",
    "basic support",
    "db.example.org:5432",
    "{not json",
    "a = b",
]


@pytest.mark.parametrize(("text", "expected"), URLS.items(), ids=[f"{n}" for n in range(len(URLS))])
def test_a_part_that_a_library_takes_out_is_a_secret(text, expected):
    """The part is a secret as it is written and as it is decoded."""
    assert {found for found in secrets_within(text) if len(found) >= 6} == expected


@pytest.mark.parametrize("text", HARMLESS)
def test_an_address_without_a_secret_has_none(text):
    """Otherwise hosts and ports would disappear from the log."""
    assert not [found for found in secrets_within(text) if len(found) >= 6]


@pytest.mark.parametrize("key", ["url", "baseUrl", "DATABASE", "host", "anything"])
def test_the_password_of_a_public_url_is_hidden_wherever_it_comes_up(key):
    """The host and the user name of a public URL stay readable."""
    redactor = Redactor()
    redactor.learn({key: "https://app:p%40ss%2Fw0rd@api.example.org/v1?token=t0ken-1"})
    for password in ("p%40ss%2Fw0rd", "p@ss/w0rd", urllib.parse.quote_plus("p@ss/w0rd")):
        assert redactor.text(f"as {password}!") == "as [redacted]!"
    assert redactor.text("401 for t0ken-1") == "401 for [redacted]"
    if key != "anything":
        text = "https://app:p%40ss%2Fw0rd@api.example.org/v1?token=t0ken-1"
        expected = "https://app:[redacted]@api.example.org/v1?token=[redacted]"
        assert redactor.text(text) == expected


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *((name, True) for name in ("password", "PASSWD", "pwd", "db_pass", "client_secret")),
        *((name, True) for name in ("apiKey", "api-key", "access_token", "X-Amz-Signature", "sig")),
        *((name, False) for name in ("user", "host", "tokens_used", "keyspace", "signed", "page")),
    ],
)
def test_a_name_says_whether_its_value_is_a_secret(name, secret):
    """The name is recognised in any spelling, but not within a longer word."""
    assert is_secret_name(name) is secret


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "://",
        "a:b@",
        "http://a:b@h",
        "x=1&",
        "a",
        "a=",
        "@",
        "password=",
        "/@",
        "key=\"'",
        "a,@",
        "[",
    ],
)
def test_a_text_is_looked_through_in_linear_time(text):
    """The author of a plan chooses the text: ten times the text takes about ten times as long."""

    def best(count):
        took = []
        for _ in range(3):
            begin = time.thread_time()
            for _found in secrets_within(text * count):
                pass
            took.append(time.thread_time() - begin)
        return min(took)

    assert best(20_000) < 40 * max(best(2_000), 0.0005)


def test_looking_for_passwords_leaves_nothing_in_a_cache():
    """The function `urlsplit` would keep the URL in its cache."""
    before = urllib.parse.urlsplit.cache_info()
    list(secrets_within("https://app:s3cret-Pa55@example.org/x?token=s3cret-Pa55"))
    assert urllib.parse.urlsplit.cache_info() == before
