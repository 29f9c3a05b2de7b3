"""Resolvers turn ids into values: their code may do anything, but a run gets one answer."""

from __future__ import annotations

import asyncio
import queue
import threading

import pytest

from engine import Resolved, Resolvers
from engine.running.resolvers import resolve
from engine.running.session.resolution import Resolution, late
from protocol.report import ErrorReport
from protocol.state import decode_state


def ask(resolver, kind="credential", value_id="c1"):
    """Resolve an id; return the outcome, which must come exactly once."""
    outcomes = queue.Queue()
    resolve(resolver, kind, value_id, "a", outcomes.put)
    outcome = outcomes.get(timeout=10)
    assert outcomes.empty()
    return outcome


def test_a_value_comes_back_as_it_is_and_encoded():
    """The engine learns secrets from the value itself, and sends the encoded form."""
    outcome = ask(lambda value_id: {"id": value_id, "n": 2**70})
    assert type(outcome) is Resolution
    assert outcome.value == {"id": "c1", "n": 2**70}
    assert decode_state(outcome.encoded) == outcome.value
    assert outcome.expires is None


def test_a_resolver_may_be_async():
    """An async resolver gets an event loop of its own."""

    async def resolver(value_id):
        await asyncio.sleep(0)
        return {"id": value_id}

    assert ask(resolver).value == {"id": "c1"}


def test_a_resolver_runs_in_a_thread_of_its_own():
    """A resolver may block without delaying other runs."""
    assert ask(lambda _: {"thread": threading.current_thread().name}).value == {
        "thread": "jobcell-resolve-credential"
    }


def test_a_value_may_say_how_long_it_holds():
    """After that time the engine asks for the value again."""
    outcome = ask(lambda _: Resolved({"a": 1}, ttl_s=100))
    assert outcome.value == {"a": 1}
    assert outcome.expires > 0


def fail(error):
    def resolver(_):
        raise error

    return resolver


@pytest.mark.parametrize(
    ("resolver", "kind", "reason"),
    [
        pytest.param(None, "credential", "no credential resolver was given", id="none"),
        pytest.param(None, "state", "no state resolver was given", id="none for states"),
        pytest.param(fail(KeyError("x")), "state", "raised KeyError: 'x'", id="raises"),
        pytest.param(fail(SystemExit(3)), "state", "raised SystemExit: 3", id="exits"),
        pytest.param(
            fail(KeyboardInterrupt()), "state", "raised KeyboardInterrupt", id="interrupt"
        ),
        pytest.param(lambda _: "token", "credential", "returned str", id="no dict"),
        pytest.param(lambda _: None, "credential", "returned NoneType", id="no credential"),
        pytest.param(lambda _: None, "state", "no such state", id="no state"),
        pytest.param(
            lambda _: {"f": len},
            "credential",
            "credential.f: cannot carry a function",
            id="function",
        ),
        pytest.param(lambda: 1, "state", "raised TypeError", id="wrong signature"),
    ],
)
def test_every_failure_is_a_report(resolver, kind, reason):
    """The report names the id, the step and the reason."""
    outcome = ask(resolver, kind)
    assert type(outcome) is ErrorReport
    assert outcome.name == {"credential": "CredentialLoadError", "state": "StateLoadError"}[kind]
    assert (outcome.severity, outcome.step_id) == ("crash", "a")
    assert outcome.message.startswith(f"cannot load the {kind} 'c1' of step 'a': ")
    assert reason in outcome.message


def test_what_a_resolver_raises_is_cut():
    """The exception of a manager may quote a whole response."""
    assert len(ask(fail(ValueError("x" * 100_000))).message) < 1000


def test_a_late_answer_names_the_limit():
    """The supervisor reports the limit, and then ignores the late answer."""
    report = late("state", "s1", "a", 2.5)
    assert report.message.endswith("the resolver did not answer within 2.5 s (resolve_timeout_s)")
    assert report.name == "StateLoadError"


def test_no_repr_shows_a_secret():
    """Traceback and debugger logs contain the reprs of these objects."""
    secret = {"password": "hunter2-hunter2"}
    resolvers = Resolvers(credential=lambda _: secret)
    shown = [repr(Resolved(secret, 1.0)), repr(Resolution(secret, b"hunter2-hunter2", None))]
    assert not any("hunter2" in text for text in [*shown, repr(resolvers)])
    assert repr(resolvers) == "Resolvers(credential=...)"


def test_a_resolver_is_callable():
    """The engine refuses a wrong resolver where it is given, and not when it is needed."""
    with pytest.raises(TypeError, match=r"Resolvers\.state must be callable, not \{\}"):
        Resolvers(state={})


def test_only_a_missing_resolver_has_the_hint_to_pass_one():
    """An error of a resolver whose text is similar does not get the hint."""

    def fails(_):
        raise LookupError("no credential resolver was given; there is no credential for you")

    for resolver, fix in ((None, "pass Resolvers(credential=...) with the plan"), (fails, None)):
        report = ask(resolver)
        assert (report.name, report.fix) == ("CredentialLoadError", fix)
