"""The requests of a child for collections: which are carried out, which are refused, which end the run."""

from __future__ import annotations

import pytest
from session_bench import FAILED, INIT, LINKED, Bench, complete, end, failed

from protocol import messages as m
from protocol.collection import CollectionItem, CollectionQuery
from protocol.collection_messages import (
    CollectionFailed,
    CollectionGet,
    CollectionGiven,
    CollectionRemove,
    CollectionSet,
    SentItem,
)
from protocol.errors import RemoteProtocolError
from protocol.limits import MAX_COLLECTION_VALUE
from protocol.state import encode_state

SECRET = "correct-horse-battery"
VALUE = memoryview(encode_state({"n": 1}))


def get(number=1, name="visits", **query):
    return CollectionGet(number=number, name=name, query=CollectionQuery(**query))


def put(number=1, name="visits", items=None):
    items = [SentItem("k", VALUE)] if items is None else items
    return CollectionSet(number=number, name=name, items=tuple(items))


def remove(number=1, name="visits", *, dry_run=False):
    query = CollectionQuery(key="k*")
    return CollectionRemove(number=number, name=name, query=query, dry_run=dry_run)


def started(*collections, **options):
    return Bench(collections=collections or ("visits",), **options).start_job()


def test_a_request_is_carried_out_and_answered():
    """The child gets what the collections answer, under the number of its request."""
    bench = started().say(get())
    assert bench.asked == get()
    given = CollectionGiven(number=1, items=(CollectionItem("k", bytes(VALUE)),))
    assert bench.collected(given) == [given]
    bench.say(put(2))
    assert bench.collected(CollectionGiven(number=2, count=1)) == [
        CollectionGiven(number=2, count=1)
    ]
    assert bench.say(complete(), end()).finish().ending.reason == "success"


@pytest.mark.parametrize(
    ("rules", "request_", "right"),
    [
        pytest.param((), get(), "read", id="no permission at all"),
        pytest.param(("other",), get(), "read", id="another collection"),
        pytest.param(("visits:write",), get(), "read", id="may only write"),
        pytest.param(("visits:write",), remove(dry_run=True), "read", id="keys are read"),
        pytest.param(("visits:read",), put(), "write", id="may only read"),
        pytest.param(("visits:read",), remove(), "write", id="may not remove"),
        pytest.param(("*:read",), put(), "write", id="may read all"),
    ],
)
def test_a_request_without_permission_is_refused_and_the_run_goes_on(rules, request_, right):
    """The engine decides, and the error names the permission that would allow the request."""
    bench = Bench(collections=rules).start_job().say(request_)
    [answer] = bench.sent
    assert isinstance(answer, CollectionFailed)
    assert answer.refused
    assert f"the step may not {right} the collection 'visits'" in answer.reason
    assert f"Permissions(collections=['visits:{right}'])" in answer.fix
    assert bench.asked is None
    assert bench.say(complete(), end()).finish().ending.reason == "success"


@pytest.mark.parametrize("rules", [("visits",), ("*",), ("visits:read", "visits:write")])
def test_each_form_of_a_permission_opens_the_collection(rules):
    """The twin of the test above: nothing but the permission has refused the requests."""
    for request in (get(), put(), remove(), remove(dry_run=True)):
        assert started(*rules).say(request).asked == request


LIES = {
    "a number that is not due": get(number=2),
    "the number 0": get(number=0),
    "a name with a path": get(name="../visits"),
    "an empty name": get(name=""),
    "a pattern as a name": get(name="*"),
    "a pattern as a key": put(items=[SentItem("a*", VALUE)]),
    "a key with NUL": put(items=[SentItem("a\0", VALUE)]),
    "a key twice": put(items=[SentItem("a", VALUE), SentItem("a", VALUE)]),
    "a huge value": put(items=[SentItem("a", memoryview(bytes(MAX_COLLECTION_VALUE + 1)))]),
    "a pattern of many stars": get(key="*a" * 11),
    "a cursor with NUL": get(cursor="\0"),
}


@pytest.mark.parametrize("request_", LIES.values(), ids=LIES)
def test_a_request_that_no_honest_child_sends_ends_the_run(request_):
    """Only a child in the hands of its job can send these."""
    bench = started()
    with pytest.raises(RemoteProtocolError, match=r"^child (sent|named) "):
        bench.say(request_)
    assert bench.asked is None


def test_a_child_has_one_open_request():
    """Otherwise it could have any number of threads of the manager."""
    bench = started().say(get())
    with pytest.raises(RemoteProtocolError, match="before it had the last answer"):
        bench.say(get(2))


def test_a_child_that_does_not_read_its_answers_gets_no_more():
    """Unread answers would pile up in the memory of the manager."""
    with pytest.raises(RemoteProtocolError, match="before it has read what it was sent"):
        started().say(get(), reads=False)


@pytest.mark.parametrize("before", [0, 1, 2], ids=["walking", "initialising", "linked"])
def test_only_a_running_job_may_ask(before):
    """The table of phases has the request in RUNNING only."""
    bench = Bench(collections=["visits"]).greet().say(*[INIT, LINKED][:before])
    with pytest.raises(RemoteProtocolError, match="CollectionGet in phase"):
        bench.say(get())


def test_a_request_after_the_end_is_an_offence():
    """So is any other message."""
    bench = started().say(complete(), end())
    with pytest.raises(RemoteProtocolError, match="phase DONE"):
        bench.say(get())


def test_too_many_requests_end_the_run():
    """Refused requests count as well; the error names the limit."""
    bench = started("other", max_collection_requests=3)
    bench.say(get(1), get(2), get(3))
    assert not bench.killed
    bench.say(get(4))
    assert bench.killed
    error = bench.finish().ending.error
    assert (error.name, error.option) == ("OutputLimitError", "max_collection_requests")
    assert "more than 3 requests" in error.message


def test_a_late_answer_is_replaced_and_does_not_come_twice():
    """The child goes on after the deadline, and the answer that comes later has no effect."""
    bench = started(resolve_timeout_s=5.0).say(put())
    late = bench.asked
    assert bench.pass_time(4.9).check() == ()
    assert bench.session.next_deadline == pytest.approx(1005.0)
    bench.pass_time(0.2).check()
    [answer] = bench.sent
    assert "did not answer within 5 s" in answer.reason
    assert "may be carried out all the same" in answer.reason
    assert not answer.refused
    assert bench.collected(CollectionGiven(number=1, count=1), late) == []


def test_a_run_has_one_call_of_the_managers_code_even_if_it_hangs():
    """Each hanging call holds a thread.  Until it has ended, further requests fail at once."""
    bench = started(resolve_timeout_s=5.0).say(get())
    hanging = bench.asked
    bench.pass_time(6).check()
    bench.say(get(2))
    assert "an earlier request of the run is still carried out" in bench.sent[-1].reason
    assert bench.asked is hanging
    bench.collected(CollectionGiven(number=1), hanging)
    assert bench.say(get(3)).asked == get(3)


def test_waiting_for_the_collections_is_not_idleness_but_counts_as_time_of_the_step():
    """The other limits of time still hold."""
    options = {"idle_timeout_s": 2.0, "step_timeout_s": 20.0, "resolve_timeout_s": 60.0}
    bench = started(**options).say(get())
    bench.pass_time(10).check()
    assert not bench.killed
    bench.pass_time(11).check()
    bench.pass_time(1).check()  # in between the child may have said in which line it is
    assert bench.killed
    assert bench.finish().ending.error.name == "TimeoutError"


def test_a_cancelled_run_does_not_wait():
    """The child is asked to end, and the answer is not sent any more."""
    bench = started().say(get())
    assert isinstance(bench.cancel("enough"), m.Cancel)
    assert bench.collected(CollectionGiven(number=1)) == []
    assert bench.say(failed(), m.WorkflowError(error=FAILED)).finish().ending.reason == "cancelled"


def test_a_request_dies_with_its_step():
    """A job that broke off its wait has ended; the next step asks anew, under the next number."""
    bench = started().say(get(), complete(next=("b",)))
    abandoned = bench.asked
    assert bench.session.next_deadline > 1030.0  # nobody waits for the collections
    second = [m.InitStart(step_id="b", step_run_id="b"), LINKED, m.JobStart()]
    bench.say(m.EdgeResolved(from_step_id="a", to_step_id="b", taken=True), *second)
    assert bench.collected(CollectionGiven(number=1), abandoned) == []
    bench.say(get(2))
    assert bench.collected(CollectionGiven(number=2)) == [CollectionGiven(number=2)]


@pytest.mark.parametrize(
    "item",
    [
        SentItem("k", memoryview(encode_state({"deep": [f"a {SECRET} b"]}))),
        SentItem(f"key-{SECRET}", VALUE),
    ],
    ids=["value", "key"],
)
def test_a_secret_of_the_configuration_is_not_kept(item):
    """Otherwise a later run, which does not know it as a secret, would show it in its events."""
    bench = started(configurations=({"password": SECRET},))
    bench.say(put(items=[SentItem("other", VALUE), item]))
    [answer] = bench.sent
    assert "has a secret of the configuration in it" in answer.reason
    assert SECRET not in answer.reason
    assert answer.refused
    assert bench.asked is None
    bench.say(put(2, items=[SentItem("other", VALUE)]))
    assert bench.asked is not None


def test_values_of_jobs_are_not_in_the_texts_of_objects():
    """A log of the manager may show effects and answers."""
    bench = started().say(put(items=[SentItem("k", memoryview(encode_state(SECRET)))]))
    shown = f"{bench.effects!r} {CollectionItem('k', SECRET.encode())!r}"
    assert SECRET not in shown
