"""CONTRACT section 3, credentials: their values never leave the engine, in any spelling."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from runs import QUICK, finish, make_engine

from engine import Engine, Resolvers, RunOptions

SECRET = 'p@ss "w\\rd" é/+?&=%'


@pytest.fixture(scope="module")
def shared() -> Iterator[Engine]:
    """All tests of this file share this engine."""
    with make_engine("zygote", options=QUICK) as made:
        yield made


@pytest.fixture(autouse=True)
def no_leak() -> None:
    """The engine outlives the single test."""


def spellings(secret: str) -> set[str]:
    """Return every form in which a secret must not be seen."""
    raw = secret.encode()
    found = {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        urllib.parse.quote(secret),
        urllib.parse.quote(secret, safe=""),
        urllib.parse.quote_plus(secret),
        repr(secret)[1:-1],
        raw.hex(),
    }
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw).decode()
        found.add(encoded[(0, 2, 3)[shift] + (4 if shift else 0) :].rstrip("=")[:-1])
        found.add(
            base64.urlsafe_b64encode(b"\0" * shift + raw)
            .decode()[(0, 6, 7)[shift] :]
            .rstrip("=")[:-1]
        )
    return found


def everything(events: list[Any], result: Any) -> str:
    """Return all text that leaves the engine, decoded once from JSON and as repr."""
    return "\n".join(
        [repr(event) for event in events]
        + [str(event) for event in events]
        + [msgspec.json.encode(event).decode() for event in events]
        + [repr(result), str(result.state), repr(getattr(result.error, "message", ""))]
        + [log.message for log in events if log.type == "log"]
    )


WAYS = {
    "copied": "return {**state, 'data': {'x': s}}",
    "nested": "return {'data': [{'x': [s, [s]]}]}",
    "inside": "return {'x': 'before ' + s + ' after'}",
    "key": "return {'data': {s: 1}}",
    "thrown": "raise ValueError('bad ' + s)",
    "thrown args": "raise KeyError(s, {'k': s})",
    "own exception": "raise Mine(s)",
    "cause": "try:\n        raise ValueError(s)\n    except ValueError as e:\n        raise TypeError('outer') from e",
    "printed": "print('the password is', s); return {}",
    "printed dict": "print({'p': s}); return {}",
    "printed json": "print(json.dumps({'p': s})); return {}",
    "printed twice": "print(s[:9], end=''); print(s[9:]); return {}",
    "logged": "import logging; logging.warning('x %s', s); return {}",
    "base64": "return {'x': base64.b64encode(s.encode()).decode()}",
    "basic auth": "return {'x': 'Basic ' + base64.b64encode(('user:' + s).encode()).decode()}",
    "basic auth 2": "print('Basic ' + base64.b64encode(('me:' + s).encode()).decode()); return {}",
    "url": "return {'x': 'https://h/?p=' + urllib.parse.quote(s)}",
    "url plus": "raise ValueError('https://h/?p=' + urllib.parse.quote_plus(s))",
    "json": "return {'x': json.dumps(s)}",
    "json thrown": "raise ValueError(json.dumps([s]))",
    "bytes": "return {'x': s.encode()}",
    "printed bytes": "print(s.encode()); return {}",
    "hex": "return {'x': s.encode().hex()}",
    "whole configuration": "return {'x': dict(state['configuration'])}",
    "in state on failure": "state['x'] = s; raise ValueError('no')",
    "name error": "return {'x': s}[s + 'x']",
    "not carried": "return {s: lambda: 0}",
    "frozenset": "return {'x': {s}}",
}


def leaking_plan(where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a plan with a step for each way, and its initial state; the secret comes from *where*."""
    source = (
        "import json, base64, urllib.parse\n"
        "class Mine(Exception):\n    def __init__(self, s):\n        super().__init__('mine ' + s)\n        self.token = s\n"
        "def main(state):\n    s = state['configuration']['password']\n    print('has', len(s))\n    {}\n"
    )
    steps = [{"id": how, "expression": source.format(way)} for how, way in WAYS.items()]
    workflow: dict[str, Any] = {"steps": [{"id": "start", "next": dict.fromkeys(WAYS, True)}]}
    workflow["steps"] += steps
    given: dict[str, Any] = {}
    if where == "workflow":
        workflow["credentials"] = HAS_SECRET
    elif where == "input":
        given = {"configuration": HAS_SECRET}
    else:
        for step in steps:
            step["configuration"] = HAS_SECRET if where == "step" else "cred-id"
    return {"workflow": workflow}, given


HAS_SECRET = {"password": SECRET, "username": "visible-user"}


@pytest.fixture(scope="module", params=["step", "workflow", "resolver", "input"])
def leaked(shared: Engine, request: pytest.FixtureRequest) -> tuple[list[Any], Any]:
    """The events and the result of one run whose steps let the secret slip, each in its way."""
    plan, given = leaking_plan(request.param)
    run = shared.execute(plan, given, resolvers=Resolvers(credential=lambda _id: HAS_SECRET))
    result = run.result(20)
    return finish(run), result


def assert_unseen(text: str) -> None:
    for spelling in spellings(SECRET):
        assert spelling not in text, (spelling, text)


@pytest.mark.parametrize("how", WAYS)
def test_a_secret_is_seen_nowhere(leaked: tuple[list[Any], Any], how: str):
    """Events, log lines, errors and the final state of a step do not contain the secret."""
    events, result = leaked
    own = [event for event in events if getattr(event, "step_id", None) == how]
    assert next(event.message for event in own if event.type == "log") == f"has {len(SECRET)}"
    result = msgspec.structs.replace(result, state=result.state[how])
    assert_unseen(everything(own, result))
    if "bytes" in how:
        assert SECRET.encode() not in msgspec.msgpack.encode(result.state)
    [end] = [event for event in own if event.type in ("job-complete", "job-error")]
    assert end.type == "job-complete" or end.error.severity == "fail", end


def test_a_secret_is_seen_nowhere_in_the_whole_run(leaked: tuple[list[Any], Any]):
    """Nor do the events without a step, and the result."""
    assert_unseen(everything(*leaked))


def test_steps_receive_it_unaltered(shared: Engine):
    """Redaction does not change the state between steps."""
    plan = {
        "workflow": {
            "steps": [
                {
                    "id": "a",
                    "expression": "def main(state):\n    return {**state, 'keep': state.configuration.password}",
                    "configuration": {"password": SECRET},
                    "next": "b",
                },
                {
                    "id": "b",
                    "expression": "def main(state):\n    return {'n': len(state.keep), 'starts': state.keep[:3]}",
                },
            ]
        }
    }
    run = shared.execute(plan)
    assert run.result(20).state == {"n": len(SECRET), "starts": SECRET[:3]}
    done = [e for e in finish(run) if e.type == "job-complete"]
    assert done[0].state["keep"] == "[redacted]"


@pytest.mark.parametrize(
    ("configuration", "hidden", "shown"),
    [
        ({"password": "abcdef"}, ["abcdef"], []),
        ({"password": "abcde"}, [], ["abcde"]),
        ({"password": ""}, [], ["text"]),
        ({"pin": 123456789}, [], ["text"]),
        ({"deep": {"list": ["secret-in-list"]}}, ["secret-in-list"], []),
        (
            {
                "username": "visible-user",
                "HOST": "visible-host",
                "baseURL": "visible-base",
                "Client_ID": "visible-client",
            },
            [],
            ["visible-user", "visible-host", "visible-base", "visible-client"],
        ),
        ({"user_name": "hidden-user"}, ["hidden-user"], []),
        ({"password": "line-one\nline-two"}, ["line-one", "line-two"], []),
        ({"a": "secret-1234", "b": "secret-1234-long"}, ["secret-1234"], []),
        ({"key": b"bytes-secret"}, ["bytes-secret"], []),
    ],
)
def test_what_counts_as_a_secret(
    shared: Engine, configuration: dict[str, Any], hidden: list[str], shown: list[str]
):
    """Strings of six characters or more are secrets, except under public keys, in any case."""
    words = hidden + shown
    source = (
        f"def main(state):\n    print('text', {' '.join(words)!r})\n    return {{'x': {words!r}}}"
    )
    run = shared.execute(
        {"workflow": {"steps": [{"id": "a", "expression": source, "configuration": configuration}]}}
    )
    text = everything(finish(run), run.result(20))
    for word in hidden:
        assert word not in text
    for word in shown:
        assert word in text


def test_public_credential_keys_can_be_chosen(shared: Engine):
    """The chosen keys replace the default ones."""
    options = RunOptions(public_credential_keys=("label",))
    plan = {
        "workflow": {
            "steps": [
                {
                    "id": "a",
                    "expression": "def main(state):\n    return {'x': sorted(state.configuration.values())}",
                    "configuration": {"label": "shown-label", "username": "now-hidden"},
                }
            ]
        }
    }
    assert sorted(shared.execute(plan, options=options).result(20).state["x"]) == [
        "[redacted]",
        "shown-label",
    ]


def test_a_secret_in_the_plan_itself(shared: Engine):
    """A secret in the name of a step, a label or a condition does not appear in an event."""
    plan = {
        "workflow": {
            "credentials": {"token": "top-secret-token"},
            "steps": [
                {
                    "id": "a",
                    "name": "top-secret-token",
                    "expression": "def main(state): return state",
                    "next": {
                        "b": {
                            "condition": "'top-secret-token' != state",
                            "label": "top-secret-token",
                        }
                    },
                },
                {
                    "id": "b",
                    "expression": "def main(state):\n    x = 'top-secret-token'\n    raise ValueError('top-secret-token')",
                },
            ],
        }
    }
    run = shared.execute(plan)
    result = run.result(20)
    assert "top-secret-token" not in everything(finish(run), result)


def test_a_resolver_that_raises_with_the_secret(shared: Engine):
    """The error says that the resolver failed, without a secret that the run knows."""
    plan = {
        "workflow": {
            "credentials": {"token": "top-secret-token"},
            "steps": [
                {"id": "a", "expression": "def main(state): return state", "configuration": "id"}
            ],
        }
    }

    def resolve(_id: str) -> Any:
        raise ValueError("cannot use top-secret-token")

    run = shared.execute(plan, resolvers=Resolvers(credential=resolve))
    result = run.result(20)
    assert result.error.name == "CredentialLoadError"
    assert "top-secret-token" not in everything(finish(run), result)


def test_plan_errors_show_no_secret(shared: Engine):
    """The plan has a wrong type beside a credential."""
    plan = {
        "workflow": {
            "credentials": "s",
            "steps": [
                {"id": "a", "expression": 5, "configuration": ["top-secret-token"]},
                {
                    "id": "b",
                    "expression": "x",
                    "configuration": {"k": object(), "p": "top-secret-token"},
                },
            ],
        }
    }
    with pytest.raises(ValueError, match="workflow") as caught:
        shared.execute(plan)
    assert "top-secret-token" not in f"{caught.value!r} {caught.value}"


@pytest.mark.parametrize("key", ["configuration", "state"])
def test_a_url_in_place_of_an_id_shows_no_password(shared: Engine, key: str):
    """The error quotes a text as the id of a credential or state, without the password."""
    step = {"id": "a", "expression": "fn(lambda s: s)", key: "postgres://app:Zq7_kW9xVt@db/orders"}
    run = shared.execute({"workflow": {"steps": [step]}})
    events = finish(run)
    text = everything(events, run.result(0))
    assert "Zq7_kW9xVt" not in text
    assert "postgres://app:[redacted]@db/orders" in text


def test_a_run_error_shows_no_secret():
    """The error that engine.run raises does not show a secret."""
    import engine as api

    plan = {
        "workflow": {
            "steps": [
                {
                    "id": "a",
                    "expression": "def main(state):\n    return undefined_name, 'top-secret-token'",
                    "configuration": {"p": "top-secret-token"},
                }
            ]
        }
    }
    with pytest.raises(api.RunError) as caught:
        api.run(plan)
    error = caught.value
    assert "top-secret-token" not in f"{error} {error!r} {error.error!r} {error.result!r}"
