"""Messages and events travel under the names of their classes, and cannot be changed."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from protocol import events, messages
from protocol.events import AnyEvent
from protocol.words import kebab_case

MESSAGES = sorted(
    {*messages.ToChild.__args__, *messages.FromChild.__args__}, key=lambda kind: kind.__name__
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("JobComplete", "job-complete"),
        ("Hello", "hello"),
        ("LoadCredential", "load-credential"),
        ("InitStart", "init-start"),
    ],
)
def test_a_class_name_becomes_a_message_name(name, expected):
    """A name is a noun and then a verb, with hyphens between the words."""
    assert kebab_case(name) == expected


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_a_message_travels_under_its_class_name_and_is_frozen(kind):
    """Code, wire and documents use the same name."""
    assert kind.__struct_config__.tag == kebab_case(kind.__name__)
    assert kind.__struct_config__.frozen


def test_every_message_class_is_in_one_of_the_unions():
    """The codec can decode only messages that are in a union."""
    defined = {
        kind
        for kind in vars(messages).values()
        if isinstance(kind, type)
        and issubclass(kind, messages.Message)
        and kind is not messages.Message
    }
    assert defined == set(MESSAGES)


def test_every_event_class_is_in_the_union_and_frozen():
    """A reader of a line of events finds each class in the union."""
    bases = (events.Event, events.StepEvent)
    defined = {
        kind
        for kind in vars(events).values()
        if isinstance(kind, type) and issubclass(kind, events.Event) and kind not in bases
    }
    assert defined == set(AnyEvent.__args__)
    assert all(kind.__struct_config__.frozen for kind in defined)


def test_an_event_comes_back_from_json():
    """A file of events can be read again."""
    event = events.EdgeResolved(
        seq=3,
        run_id="r",
        time=1.5,
        from_step_id="a",
        to_step_id="b",
        condition="x > 1",
        taken=False,
    )
    assert event.type == "edge-resolved"
    assert msgspec.json.decode(msgspec.json.encode(event), type=AnyEvent) == event


def test_messages_that_become_events_have_their_names():
    """A message of a child and the event that it becomes have the same name."""
    shared = {
        "InitStart", "InitComplete", "JobStart", "JobComplete", "JobError", "EdgeResolved",
        "WorkflowComplete", "WorkflowError",
    }  # fmt: skip
    assert shared <= {kind.__name__ for kind in MESSAGES}
    assert shared <= {kind.__name__ for kind in AnyEvent.__args__}


def test_annotations_of_messages_are_not_text():
    """A new interpreter does not compile the annotations of messages and of the data inside of them."""
    waiting, seen = list(MESSAGES), set()
    while waiting:
        found = waiting.pop()
        if isinstance(found, type) and issubclass(found, msgspec.Struct) and found not in seen:
            seen.add(found)
            texts = [value for value in found.__annotations__.values() if isinstance(value, str)]
            assert not texts, found
            waiting += found.__annotations__.values()
        waiting += get_args(found)
    assert len(seen) > len(MESSAGES)
