"""Every fuzz target for a short time, with the same inputs each time, after all kept inputs.

``make fuzz`` runs them for long; each of its findings becomes a test beside the code, and a file of
the corpus.  See docs/fuzzing.md.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import sys

import pytest
from fuzzing import __main__ as command
from fuzzing import frames, jobs, plain, plans, redaction
from fuzzing.crashes import Crashes
from fuzzing.keep import keep
from fuzzing.registry import PACKAGES
from fuzzing.target import CORPUS, TooSlowError

from engine.api.errors import PlanError
from engine.reporting.eventlog import EventLog
from engine.reporting.redaction import Redactor

TARGETS = {target.name: target for target in (m.TARGET for m in (frames, jobs, plans, redaction))}
INPUTS = {"frames": 300, "jobs": 400, "plans": 2000, "redaction": 40}
"""These numbers of inputs take less than a second."""

EVENT_TYPES = {
    "workflow-start", "init-start", "init-complete", "credential-load", "state-load", "job-start",
    "log", "job-complete", "job-error", "edge-resolved", "workflow-complete", "workflow-error",
}  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_a_border_keeps_its_promises_for_the_corpus_and_for_variants_of_it(name):
    """For any input there is only the documented exception, and no input is slow."""
    kept = len(TARGETS[name].corpus())
    for data in itertools.islice(plain.inputs(TARGETS[name], seed=20), INPUTS[name] + kept):
        try:
            TARGETS[name].run(data)
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error}; the input is {data!r}")


@pytest.mark.parametrize("name", TARGETS)
def test_the_inputs_of_a_short_run_are_the_same_every_time(name):
    """A failure of the short run can be repeated."""
    first, second = (
        list(itertools.islice(plain.inputs(TARGETS[name], seed=7), 400)) for _ in range(2)
    )
    assert first == second
    assert len(set(first)) > len(TARGETS[name].seeds())


def test_the_corpus_of_frames_reaches_every_event(monkeypatch):
    """The conversation is not cut off at its first frame."""
    seen = set()
    append = EventLog.append
    monkeypatch.setattr(
        EventLog,
        "append",
        lambda log, event, **how: seen.add(event.type) or append(log, event, **how),
    )
    for data in frames.TARGET.corpus():
        frames.check(data)
    assert seen == EVENT_TYPES


def _fails(target, data):
    with pytest.raises(Exception) as caught:
        target.run(data)
    return caught.value


def test_a_frame_that_raises_another_exception_is_found(monkeypatch):
    """The twin of the first test: a decoder that lets an exception through."""
    monkeypatch.setattr(frames, "decode_from_child", lambda frame: {}[frame])
    assert isinstance(_fails(frames.TARGET, frames.seeds()[0]), KeyError)


def test_a_secret_in_an_event_is_found(monkeypatch):
    """The twin of the first test: a redactor that looks for nothing."""
    monkeypatch.setattr(Redactor, "adopt", lambda redactor, studied: None)
    inputs = [data for data in frames.seeds() if data[0] & frames.SECRETS and b"horse" in data]
    assert "a secret is in" in str(_fails(frames.TARGET, inputs[0]))
    assert "was let through" in str(_fails(redaction.TARGET, redaction.seeds()[0]))


def test_a_plan_that_is_refused_without_a_path_is_found(monkeypatch):
    """The twin of the first test: a reader that says nothing."""

    def refuse(*_args, **_how):
        raise PlanError([])

    monkeypatch.setattr(plans, "load_plan", refuse)
    assert "without a reason" in str(_fails(plans.TARGET, plans.seeds()[1]))


def test_code_that_reaches_a_frame_is_found(monkeypatch):
    """The twin of the first test: a compiler without a policy."""
    compiled = jobs.compile_job
    monkeypatch.setattr(
        jobs, "compile_job", lambda source, **how: compiled(source, **{**how, "language": False})
    )
    found = _fails(jobs.TARGET, b"\x00def main(state):\n    return (x for x in []).gi_frame\n")
    assert "unguarded" in str(found)
    found = _fails(jobs.TARGET, b"\x00def main(state):\n    _attr_ = 1\n    return state\n")
    assert "the text says _attr_" in str(found)


def test_an_input_that_takes_too_long_is_found():
    """A slow input is as bad as a wrong result; the report shows the input."""
    slow = redaction.TARGET._replace(limit_s=0.0)
    error = _fails(slow, redaction.seeds()[0])
    assert isinstance(error, TooSlowError)
    assert "correct-horse" in str(error)


def test_a_crash_is_kept_with_its_traceback_and_fuzzing_goes_on(tmp_path):
    """The smallest input is kept for each place of a crash."""

    def check(data):
        assert b"!" not in data

    crashes = Crashes(tmp_path)
    target = plans.TARGET._replace(check=check)
    for data in (b"a", b"long!", b"!", b"longer!"):
        crashes.run(target, data)
    assert len(crashes) == 1
    [text] = tmp_path.glob("*.txt")
    assert text.with_suffix("").read_bytes() == b"!"
    assert "AssertionError" in text.read_text()


def test_each_target_has_a_corpus_of_small_files():
    """The inputs that `make fuzz-keep` adds are small enough to be run in every test."""
    assert set(PACKAGES) == set(TARGETS) == {path.name for path in CORPUS.iterdir()}
    for name in PACKAGES:
        assert importlib.import_module(f"fuzzing.{name}").TARGET.name == name
        assert all(path.stat().st_size <= 1000 for path in (CORPUS / name).iterdir())


def test_the_command_fuzzes_without_atheris_and_reports_what_it_did(tmp_path, monkeypatch, capsys):
    """A machine without wheels fuzzes without coverage, and says so."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fuzzing", "plans", "--seconds", "0.1"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert command.main() == 0
    said = capsys.readouterr().out
    assert "atheris is not installed" in said
    assert "0 found" in said


def test_the_command_ends_with_status_1_if_something_was_found(tmp_path, monkeypatch, capsys):
    """CI fails because of the status."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fuzzing", "plans", "--seconds", "0.01"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(plans, "TARGET", plans.TARGET._replace(check=lambda data: 1 / 0))
    assert command.main() == 1
    assert "ZeroDivisionError" in next((tmp_path / ".fuzz/plans/crashes").glob("*.txt")).read_text()


def test_the_command_names_the_targets_to_somebody_who_has_mistyped_one(monkeypatch, capsys):
    """The error is a single line with the names of the targets."""
    monkeypatch.setattr(sys, "argv", ["fuzzing", "frame"])
    with pytest.raises(SystemExit):
        command.main()
    assert "no target is called 'frame'; targets: frames, jobs" in capsys.readouterr().err


def test_only_small_inputs_that_take_a_new_way_are_kept(tmp_path):
    """The corpus stays small enough to be run in every test."""
    found = tmp_path / "found"
    found.mkdir()
    known = plans.seeds()[1]
    new = b"\x00" + b'{"workflow": {"steps": [{"id": 7}]}}'
    for number, data in enumerate((known, new, new + b" ", b" " * 2_000 + new)):
        (found / str(number)).write_bytes(data)
    target = plans.TARGET._replace(corpus_dir=tmp_path / "corpus")
    [path] = keep(target, found)
    assert path.read_bytes() == new
    assert target.corpus()[-1] == new
    assert keep(target, found) == []
