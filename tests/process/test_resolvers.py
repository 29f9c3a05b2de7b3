"""Credentials and stored states are fetched when a step needs them, once, with a deadline."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from runs import finish, types_of

from engine import Engine, Resolved, Resolvers, RunOptions

SECRET = {"password": "hunter2-hunter2"}
USES = "def main(state):\n    return {'n': len(state.configuration['password'])}"


def plan_of(*steps: dict) -> dict:
    """Return a chain of these steps."""
    for step, after in itertools.pairwise(steps):
        step["next"] = after["id"]
    return {"workflow": {"steps": list(steps)}}


async def _async_credential(value_id: str) -> dict:
    return SECRET


@pytest.mark.parametrize("resolver", [lambda _: SECRET, _async_credential], ids=["plain", "async"])
def test_a_credential_reaches_the_step_that_names_it(zygote: Engine, resolver):
    """A plain or async resolver gives the configuration its value, and an event reports this."""
    run = zygote.execute(
        plan_of({"id": "a", "expression": USES, "configuration": "cred"}),
        resolvers=Resolvers(credential=resolver),
    )
    events = finish(run)
    assert run.result().state == {"n": 15}
    assert types_of(events)[:4] == [
        "workflow-start",
        "init-start",
        "credential-load",
        "init-complete",
    ]
    [load] = [event for event in events if event.type == "credential-load"]
    assert (load.id, load.step_id) == ("cred", "a")


def test_an_id_is_asked_for_once_in_a_run(zygote: Engine):
    """Two steps with one credential, and the credential of the workflow, each cost one call."""
    asked: list[str] = []

    def resolver(value_id: str) -> dict:
        asked.append(value_id)
        return SECRET

    plan = plan_of(
        {"id": "a", "expression": USES, "configuration": "cred"},
        {"id": "b", "expression": USES, "configuration": "cred"},
    )
    plan["workflow"]["credentials"] = "shared"
    run = zygote.execute(plan, resolvers=Resolvers(credential=resolver))
    assert run.result(20).reason == "success"
    assert sorted(asked) == ["cred", "shared"]


def test_a_value_may_have_a_time_to_live(zygote: Engine):
    """After this time the next step asks again."""
    asked: list[str] = []

    def resolver(value_id: str) -> Resolved:
        asked.append(value_id)
        return Resolved(SECRET, ttl_s=0)

    plan = plan_of(
        {"id": "a", "expression": USES, "configuration": "cred"},
        {"id": "b", "expression": USES, "configuration": "cred"},
    )
    assert (
        zygote.execute(plan, resolvers=Resolvers(credential=resolver)).result(20).reason
        == "success"
    )
    assert asked == ["cred", "cred"]


def test_stored_states_are_resolved_too(zygote: Engine):
    """A stored state may be the initial state or the default state of a step."""
    stored = {"first": {"data": {"a": 1}}, "second": {"data": {"b": 2}}}
    plan = plan_of({"id": "a", "expression": "def main(state): return state", "state": "second"})
    run = zygote.execute(plan, "first", resolvers=Resolvers(state=stored.__getitem__))
    assert run.result(20).state == {"data": {"a": 1, "b": 2}}
    assert [e.id for e in finish(run) if e.type == "state-load"] == ["first", "second"]


def _raises(value_id: str) -> dict:
    raise LookupError("the vault is locked")


def _exits(value_id: str) -> dict:
    raise SystemExit(3)


def _blocks(value_id: str) -> dict:
    threading.Event().wait(3)
    return SECRET


BROKEN = {
    "missing": (None, "no credential resolver"),
    "raises": (_raises, "the vault is locked"),
    "exits": (_exits, "SystemExit"),
    "is late": (_blocks, "within 0.2 s"),
    "gives no dict": (lambda _: "secret", "must be a dict"),
    "gives None": (lambda _: None, "must be a dict"),
    "gives what cannot be carried": (lambda _: {"f": print}, "cannot carry a function"),
}


@pytest.mark.parametrize(("resolver", "text"), BROKEN.values(), ids=BROKEN)
def test_a_broken_resolver_is_told_as_that(zygote: Engine, resolver, text: str):
    """The error names step and cause, and the run ends without a hang."""
    assert zygote.execute("def main(state): return state").result(60).reason == "success"
    run = zygote.execute(
        plan_of({"id": "a", "expression": USES, "configuration": "cred"}),
        resolvers=Resolvers(credential=resolver),
        options=RunOptions(resolve_timeout_s=0.2),
    )
    begun = time.monotonic()
    result = run.result(20)
    assert time.monotonic() - begun < 2
    assert (result.error.name, result.error.step_id, result.reason) == (
        "CredentialLoadError",
        "a",
        "crash",
    )
    assert text in result.error.message
    assert types_of(finish(run))[-1] == "workflow-error"


def test_a_stored_state_that_is_not_there(zygote: Engine):
    """A stored state gives the same kind of error."""
    result = zygote.execute("def main(state): return state", "nowhere").result(20)
    assert result.error.name == "StateLoadError"
    assert "'nowhere'" in result.error.message


def test_a_child_may_ask_only_for_what_its_plan_names(plain: Engine):
    """Hostile Python cannot ask for other credentials."""
    source = (
        "def main(state):\n"
        "    import sys\n"
        "    from protocol import messages as m\n"
        "    frame = sys._getframe()\n"
        "    while type(channel := frame.f_locals.get('channel')).__name__ != 'Channel':\n"
        "        frame = frame.f_back\n"
        "    channel.send(m.LoadCredential(step_id='x', step_run_id='x', id='admin'))\n"
        "    return {'got': repr(channel.receive_any())}\n"
    )
    asked: list[str] = []
    run = plain.execute(source, resolvers=Resolvers(credential=lambda i: asked.append(i) or SECRET))
    result = run.result(20)
    assert result.error.name == "ProtocolError"
    assert asked == []


def test_repr_shows_no_secret():
    """A manager can safely log these objects."""
    assert "hunter2" not in repr(Resolved(SECRET))
    assert "hunter2" not in repr(Resolvers(credential=lambda _: SECRET))


@pytest.mark.parametrize("value", [7, "text", [1, 2]], ids=["number", "text", "list"])
def test_a_default_state_that_is_not_a_dict_is_an_error(zygote: Engine, value: object):
    """The default state is never left out in silence; an initial state may be any value."""
    job = "def main(state):\n    return state"
    resolvers = Resolvers(state=lambda _: value)
    run = zygote.execute(
        plan_of({"id": "a", "expression": job, "state": "stored"}), resolvers=resolvers
    )
    result = run.result(20)
    assert (result.reason, result.error.name) == ("crash", "StateLoadError")
    assert f"'stored' of step 'a': the resolver returned {type(value).__name__}" in (
        result.error.message
    )
    assert zygote.execute(job, "stored", resolvers=resolvers).result(20).state == value
