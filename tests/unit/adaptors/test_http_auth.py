"""Digest authentication and tokens of http, against servers that check them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time

import http_
import pytest
from web import Reply, as_json

pytestmark = [pytest.mark.usefixtures("forget_sessions"), pytest.mark.slow]

SECRET = "hush-hush-hush"


class Digest:
    """A route that wants digest authentication, and checks it by the rules of RFC 7616."""

    def __init__(self, algorithm="SHA-256", uses=100):
        self.hash = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[algorithm]
        self.algorithm, self.uses = algorithm, uses
        self.nonce, self.left = "nonce0", uses
        self.counts = []

    def digest(self, *parts):
        return self.hash(":".join(parts).encode()).hexdigest()

    def __call__(self, seen):
        given = seen.headers["authorization"] or ""
        fields = dict(re.findall(r'(\w+)="?([^",]+)"?', given.partition(" ")[2]))
        if fields.get("nonce") == self.nonce and self.left:
            one = self.digest("ann", "clinic", SECRET)
            two = self.digest(seen.method, seen.target)
            parts = (fields["nonce"], fields["nc"], fields["cnonce"], "auth")
            if fields["response"] == self.digest(one, *parts, two) and fields["uri"] == seen.target:
                self.left -= 1
                self.counts.append(fields["nc"])
                return as_json({"body": seen.body.decode()})
        self.nonce, self.left = f"nonce{len(self.counts)}", self.uses
        challenge = (
            f'Digest realm="clinic", qop="auth", algorithm={self.algorithm}, nonce="{self.nonce}"'
        )
        return Reply(401, {"WWW-Authenticate": challenge})


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_digest_answers_a_challenge_and_uses_it_again(web, algorithm):
    """The password is never sent, and only the first request needs a second one."""
    web.routes["/x"] = route = Digest(algorithm)
    state = web.state(username="ann", password=SECRET, authentication="digest")
    for _ in range(3):
        assert http_.post("x", {"a": 1}, query={"b": 2})(state)["data"] == {"body": '{"a": 1}'}
    assert len(web.seen) == 4
    assert route.counts == ["00000001", "00000002", "00000003"]
    assert SECRET not in "".join(str(seen.headers) for seen in web.seen)


def test_digest_takes_a_new_challenge(web):
    """A server may end its challenge at any time."""
    web.routes["/x"] = route = Digest(uses=1)
    state = web.state(username="ann", password=SECRET, authentication="digest")
    for _ in range(3):
        http_.get("x")(state)
    assert len(route.counts) == 3


def test_digest_with_a_wrong_password_fails_once(web):
    """The number of requests is bounded."""
    web.routes["/x"] = Digest()
    with pytest.raises(http_.ResponseError, match="401"):
        http_.get("x")(web.state(username="ann", password="wrong", authentication="digest"))
    assert len(web.seen) == 2


@pytest.mark.parametrize(
    "challenge", ['Digest realm="x"', 'Digest realm="x", nonce="n", qop="auth-int"', "Digest x",
                  'Digest realm="x", nonce="n", algorithm=SHA-3, qop="auth"']
)  # fmt: skip
def test_a_challenge_in_another_form_is_an_error(web, challenge):
    """The error says that it is the server's form."""
    web.routes["/x"] = lambda _: Reply(401, {"WWW-Authenticate": challenge})
    with pytest.raises(http_.ResponseError, match="in a form that is not known here"):
        http_.get("x")(web.state(username="ann", password=SECRET, authentication="digest"))


def test_digest_does_not_answer_another_origin(web, other):
    """A challenge of a stranger gets no answer that could be tried against passwords."""
    other.routes["/x"] = Digest()
    web.routes["/x"] = lambda _: Reply(302, {"Location": other.url + "/x"})
    with pytest.raises(http_.ResponseError, match="401"):
        http_.get("x")(web.state(username="ann", password=SECRET, authentication="digest"))
    assert [seen.headers["authorization"] for seen in other.seen] == [None]


class Tokens:
    """A route of a token server, and a route that wants its tokens."""

    def __init__(self, life_s=3600, **answer):
        self.given = []
        self.revoked = set()
        self.answer = {"token_type": "Bearer", "expires_in": life_s, **answer}

    def token(self, seen):
        self.given.append(f"token-number-{len(self.given)}-of-the-server")
        return as_json({"access_token": self.given[-1], **self.answer})

    def data(self, seen):
        token = (seen.headers["authorization"] or "").removeprefix("Bearer ")
        if token not in self.given or token in self.revoked:
            return Reply(401)
        return as_json({"token": token})


@pytest.fixture
def tokens(web, other):
    """Let *other* be the token server of *web*."""
    made = Tokens()
    other.routes["/token"] = made.token
    web.routes["/data"] = made.data
    return made


def with_client(web, other, **more):
    return web.state(
        token_url=other.url + "/token", client_id="a client", client_secret=SECRET + "/+", **more
    )


def test_a_token_is_asked_for_once_in_a_run(web, other, tokens):
    """All steps with this configuration use it."""
    for _ in range(3):
        http_.get("data")(with_client(web, other))
    (asked,) = other.seen
    pair = base64.b64decode(asked.headers["authorization"].removeprefix("Basic ")).decode()
    assert pair == f"a+client:{SECRET}%2F%2B"
    assert asked.body == b"grant_type=client_credentials"
    assert len(tokens.given) == 1


def test_the_secret_may_be_in_the_body_with_scope_and_audience(web, other, tokens):
    """Some servers want it so."""
    state = with_client(
        web, other, client_authentication="post", scope=["read", "write"], audience="api"
    )
    http_.get("data")(state)
    assert other.seen[0].headers["authorization"] is None
    assert other.seen[0].body.decode() == (
        "grant_type=client_credentials&scope=read+write&audience=api&client_id=a+client"
        "&client_secret=hush-hush-hush%2F%2B"
    )


def test_a_token_is_replaced_before_its_end(web, other, tokens, monkeypatch):
    """The clock is that of the process, so a changed time of the machine does not matter."""
    state = with_client(web, other)
    http_.get("data")(state)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 3560)
    http_.get("data")(state)
    assert len(tokens.given) == 1
    monkeypatch.setattr(time, "monotonic", lambda: now + 3580)
    http_.get("data")(state)
    assert len(tokens.given) == 2


def test_a_token_that_was_revoked_is_replaced_once(web, other, tokens):
    """A new token that is refused as well is an error."""
    state = with_client(web, other)
    http_.get("data")(state)
    tokens.revoked.add(tokens.given[0])
    assert http_.post("data", {})(state)["data"] == {"token": tokens.given[1]}
    web.routes["/data"] = lambda _: Reply(401)
    with pytest.raises(http_.ResponseError, match="401"):
        http_.get("data")(state)
    assert len(tokens.given) == 3


def test_a_fresh_token_that_is_refused_is_not_asked_for_again(web, other, tokens):
    """The server does not want this client."""
    web.routes["/data"] = lambda _: Reply(401)
    with pytest.raises(http_.ResponseError, match="401"):
        http_.get("data")(with_client(web, other))
    assert (len(tokens.given), len(web.seen)) == (1, 1)


def test_a_token_does_not_leave_its_origin(web, other, tokens):
    """The token server is another origin than the API."""
    web.routes["/to/there"] = lambda _: Reply(302, {"Location": other.url + "/echo"})
    state = with_client(web, other)
    http_.get("data")(state)
    for path in ("to/there", other.url + "/echo"):
        assert "authorization" not in http_.get(path)(state)["data"]["headers"]


@pytest.mark.parametrize(
    ("reply", "message", "retryable"),
    [
        (lambda _: Reply(400, {}, b'{"error": "invalid_client"}'), r"answered 400 Bad Request \(invalid_client\)", False),
        (lambda seen: Reply(401, {}, json.dumps({"error": seen.body.decode() + SECRET}).encode()), "answered 401 Unauthorized$", False),
        (lambda _: Reply(503, {"Retry-After": "120"}), "answered 503", True),
        (lambda _: Reply(302, {"Location": "/elsewhere"}), "answered 302", False),
        (lambda _: Reply(200, {}, b"<html>"), "has no access_token", False),
        (lambda _: as_json({"access_token": "a b"}), "has no access_token", False),
        (lambda _: as_json({"access_token": "a\r\nX: y"}), "has no access_token", False),
        (lambda _: as_json({"access_token": SECRET, "token_type": "mac"}), "not of the type Bearer", False),
    ],
)  # fmt: skip
def test_a_token_server_that_gives_none_is_an_error(web, other, reply, message, retryable):
    """The error has the code of the server, but no text of it."""
    other.routes["/token"] = reply
    with pytest.raises(http_.TokenError, match=message) as caught:
        http_.get("data")(with_client(web, other))
    assert caught.value.retryable is retryable
    assert SECRET not in str(caught.value) + repr(caught.value.details)
    assert web.seen == []
    if retryable:
        assert caught.value.retry_after_s == 120


def test_a_token_server_that_is_away_is_asked_again(web, other, tokens):
    """Asking for a token changes nothing, so the request behind it may come again."""
    route, left = other.routes["/token"], [1]

    def sometimes(seen):
        if left[0]:
            left[0] -= 1
            return Reply(503, {"Retry-After": "0"})
        return route(seen)

    other.routes["/token"] = sometimes
    assert http_.get("data")(with_client(web, other))["data"]["token"] == tokens.given[0]


def test_a_token_that_a_server_sends_back_is_not_shown(web, other, tokens):
    """The engine does not know this token, so only this package can hide it."""
    web.routes["/bad"] = lambda seen: Reply(400, {}, str(seen.headers).encode())
    with pytest.raises(http_.ResponseError) as caught:
        http_.get("bad")(with_client(web, other))
    assert "Bearer ***" in caught.value.body
    assert tokens.given[0] not in str(caught.value) + repr(caught.value.details)


def test_a_token_of_the_configuration_wins(web, other):
    """A manager that has a token already does not want another."""
    seen = http_.get("echo")(with_client(web, other, access_token="given"))["data"]
    assert seen["headers"]["authorization"] == "Bearer given"
    assert other.seen == []


def test_the_header_of_a_job_wins(web):
    """A job may know better for one request."""
    seen = http_.get("echo", headers={"Authorization": "mine"})(web.state(token=SECRET))["data"]
    assert seen["headers"]["authorization"] == "mine"
