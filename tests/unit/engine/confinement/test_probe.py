"""A child that only confines itself reports what this machine supports."""

from __future__ import annotations

import pytest

from engine.confinement import interpreter
from engine.confinement.probe import probe
from protocol.confinement import LAYERS, ConfinementRequest


@pytest.mark.slow
def test_every_layer_is_tried_and_described():
    """Each layer comes with its purpose, and with the remedy for a machine that lacks it."""
    machine = probe()

    assert tuple(layer.name for layer in machine.report.layers) == LAYERS
    assert tuple(fact.name for fact in machine.facts) == LAYERS
    assert all(fact.stops and fact.remedy for fact in machine.facts)
    assert [attempt.name for attempt in machine.report.probes] == ["open", "socket", "fork"]


@pytest.mark.slow
def test_a_child_that_cannot_answer_is_an_error_that_says_why():
    """A failed probe must not give a report that looks like a machine without layers."""
    request = ConfinementRequest(
        required=("environment",), without=("environment",), read_paths=interpreter.readable()
    )

    with pytest.raises(RuntimeError, match="ConfinementRefused"):
        probe(request)
