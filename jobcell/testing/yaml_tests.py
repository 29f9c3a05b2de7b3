"""Tests of jobs in files ``*.job.yaml``: input, expected output and expected calls, without Python."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from jobcell.input.errors import BadInputError
from jobcell.input.yaml_text import YamlData, read_yaml_file
from jobcell.testing.fakes import Raised, raises, replies
from jobcell.testing.outcome import FinalState
from jobcell.testing.runner import Stage, get_runner, plan_of
from jobcell.testing.states import ANY, differences

_AT: Final = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")
"""How msgspec ends a message with the path of the value."""
_UNKNOWN: Final = re.compile(r"unknown field `([^`]*)`")


class ExpectedError(msgspec.Struct, forbid_unknown_fields=True):
    """The error that has to end the job."""

    name: str | None = None
    """The name or the subtype, for example ``AdaptorError``."""
    message: str | None = None
    """A regular expression that is found in the message."""


class ExpectedCall(msgspec.Struct, forbid_unknown_fields=True):
    """A call of a verb of a fake adaptor."""

    call: str
    """``adaptor.verb``."""
    args: list[Any] | None = None
    kwargs: dict[str, Any] | None = None


class Expected(msgspec.Struct, forbid_unknown_fields=True):
    """What a test expects; a key that is left out is not checked."""

    state: Any = msgspec.UNSET
    exact: bool = False
    """Whether the final state must have no other keys than ``state``."""
    error: ExpectedError | None = None
    calls: list[ExpectedCall] | None = None
    logs: list[str] | None = None
    """Regular expressions, each of which is found in a log line."""
    steps: list[str] | None = None
    """The ids of the steps that run, in their order."""


class Case(msgspec.Struct, forbid_unknown_fields=True):
    """A test; what it leaves out is as in its file."""

    name: str | None = None
    state: Any = msgspec.UNSET
    fakes: dict[str, dict[str, Any]] | None = None
    expect: Expected | None = None


class JobTest(msgspec.Struct, forbid_unknown_fields=True):
    """A file with tests of a job or a plan."""

    job: str | None = None
    """The path of a job, or its text."""
    plan: str | None = None
    """The path of a plan."""
    adaptor: str | list[str] | None = None
    configuration: Any = None
    credentials: dict[str, Any] | None = None
    state: Any = msgspec.UNSET
    fakes: dict[str, dict[str, Any]] = {}
    """Adaptor name to verb to reply."""
    expect: Expected | None = None
    cases: list[Case] | None = None


class JobFile(pytest.File):
    """A file ``*.job.yaml``."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield a test for each case of the file."""
        test = read(self.path)
        cases = test.cases or [Case(expect=test.expect)]
        for number, case in enumerate(cases, start=1):
            name = case.name or (
                self.path.name.split(".", 1)[0] if test.cases is None else f"case {number}"
            )
            yield JobItem.from_parent(self, name=name, test=test, case=case)


class JobItem(pytest.Item):
    """A case of a file."""

    def __init__(self, *, test: JobTest, case: Case, **rest: Any) -> None:
        super().__init__(**rest)
        self._test = test
        self._case = case

    def runtest(self) -> None:
        """Run the case.

        Raises:
            JobFailedError: The job failed, and the case does not expect it.
            AssertionError: Something is not as the case expects it.

        """
        runner = get_runner(self.config)
        test, case = self._test, self._case
        expected = case.expect or test.expect or Expected()
        fakes = {**test.fakes, **(case.fakes or {})}
        given = case.state if case.state is not msgspec.UNSET else test.state
        made = {name: runner.write_fake(name, _verbs(verbs)) for name, verbs in fakes.items()}
        final = runner.run(
            _plan(test, self.path),
            None if given is msgspec.UNSET else given,
            stage=Stage(fakes=made),
            credentials=test.credentials,
            options=None,
            check=expected.error is None,
        )
        found = list(_compare(final, expected))
        if found:
            raise AssertionError("\n".join(found))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show what was not as expected, without the frames of this module."""
        if isinstance(excinfo.value, AssertionError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return what pytest shows as the place of the test."""
        return self.path, None, f"{self.path.name}: {self.name}"


def read(path: Path) -> JobTest:
    """Return the tests in a file.

    Raises:
        pytest.Collector.CollectError: The file is not a valid one.

    """
    try:
        source = read_yaml_file(path)
    except BadInputError as error:
        raise pytest.Collector.CollectError("\n".join(error.lines)) from None
    try:
        test = msgspec.convert(source.value, JobTest)
    except msgspec.ValidationError as error:
        message = f"{path}:{_where(str(error), source)}: {error}"
        raise pytest.Collector.CollectError(message) from None
    if (test.job is None) is (test.plan is None):
        message = f"{path}: must have either 'job' (a path or a text) or 'plan' (a path)"
        raise pytest.Collector.CollectError(message)
    if all(case.expect is None for case in test.cases or [Case()]) and test.expect is None:
        raise pytest.Collector.CollectError(f"{path}: has no 'expect', so it cannot fail")
    parts: list[tuple[str, JobTest | Case]] = [("", test)]
    parts += [(f"cases[{number}].", case) for number, case in enumerate(test.cases or ())]
    for place, part in parts:
        for at, reason in (*_wrong_fakes(part.fakes or {}), *_wrong_patterns(part.expect)):
            line, column = source.places.find(f"{place}{at}").here
            message = f"{path}:{line}:{column}: {place}{at}: {reason}"
            raise pytest.Collector.CollectError(message)
    return test


def _wrong_fakes(fakes: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the path of each reply that is not one, with the reason."""
    for name, verbs in fakes.items():
        for verb, reply in verbs.items():
            try:
                _reply(reply)
            except ValueError as error:
                yield f"fakes.{name}.{verb}", str(error)


def _wrong_patterns(expected: Expected | None) -> Iterator[tuple[str, str]]:
    """Yield the path of each text that is not a regular expression, with the reason."""
    if expected is None:
        return
    patterns = [(f"expect.logs[{n}]", one) for n, one in enumerate(expected.logs or ())]
    if expected.error is not None and expected.error.message is not None:
        patterns.append(("expect.error.message", expected.error.message))
    for at, pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            yield at, f"{pattern!r} is not a regular expression: {error}"


def _where(message: str, source: YamlData) -> str:
    """Return line and column of what a message of msgspec is about."""
    at, unknown = _AT.search(message), _UNKNOWN.search(message)
    found = source.places.find("" if at is None else at[1])
    line, column = found.here if unknown is None else found.keys.get(unknown[1], found.here)
    return f"{line}:{column}"


def _plan(test: JobTest, path: Path) -> Any:
    if test.plan is not None:
        return plan_of(Path(test.plan), path.parent)
    assert test.job is not None
    adaptors = [test.adaptor] if isinstance(test.adaptor, str) else test.adaptor or ()
    return plan_of(test.job, path.parent, adaptors=adaptors, configuration=test.configuration)


def _verbs(verbs: Mapping[str, Any]) -> dict[str, Any]:
    return {verb: _reply(reply) for verb, reply in verbs.items()}


def _reply(reply: Any) -> Any:
    """Return a reply: ``{raises: NAME, ...}`` and ``{replies: [...]}`` mean what the functions mean."""
    if isinstance(reply, dict) and "raises" in reply:
        rest = {key: value for key, value in reply.items() if key not in {"raises", "message"}}
        made: Raised = raises(reply["raises"], str(reply.get("message", "")), **rest)
        return made
    if isinstance(reply, dict) and set(reply) == {"replies"}:
        if not isinstance(reply["replies"], list):
            raise ValueError("replies takes a list, with one reply for each call")
        return replies(*map(_reply, reply["replies"]))
    return reply


def _compare(final: FinalState, expected: Expected) -> Iterator[str]:
    if expected.error is not None:
        yield from _compare_error(final, expected.error)
    if expected.state is not msgspec.UNSET:
        yield from differences(final, _any(expected.state), exact=expected.exact)
    if expected.calls is not None:
        yield from _compare_calls(final, expected.calls)
    for pattern in expected.logs or ():
        if not any(re.search(pattern, line) for line in final.logs):
            yield f"no log line matches {pattern!r}; there are: {final.logs!r}"
    if expected.steps is not None and final.steps != expected.steps:
        yield f"expected the steps {expected.steps}, but {final.steps} ran"


def _any(value: Any) -> Any:
    """Return an expected value, in which the text ``<any>`` equals everything."""
    if value == "<any>":
        return ANY
    if isinstance(value, dict):
        return {key: _any(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_any(inner) for inner in value]
    return value


def _compare_error(final: FinalState, expected: ExpectedError) -> Iterator[str]:
    error = final.error
    if error is None:
        yield f"expected {expected.name or 'an error'}, but the run succeeded"
        return
    if expected.name is not None and expected.name not in {error.name, error.subtype}:
        shown = (
            error.name if error.subtype in {None, error.name} else f"{error.name} ({error.subtype})"
        )
        yield f"expected the error {expected.name}, but it is {shown}: {error.message}"
    if expected.message is not None and not re.search(expected.message, error.message):
        yield f"expected a message that matches {expected.message!r}, but it is {error.message!r}"


def _compare_calls(final: FinalState, expected: list[ExpectedCall]) -> Iterator[str]:
    for number, call in enumerate(final.calls):
        place = f"call {number + 1}"
        if number >= len(expected):
            yield f"{place}: not expected, but it is {call!r}"
            continue
        wanted = expected[number]
        if f"{call.adaptor}.{call.verb}" != wanted.call:
            yield f"{place}: expected {wanted.call}, but it is {call!r}"
        if wanted.args is not None:
            yield from differences(
                list(call.args), _any(wanted.args), exact=True, path=f"{place}: args"
            )
        if wanted.kwargs is not None:
            yield from differences(
                call.kwargs, _any(wanted.kwargs), exact=True, path=f"{place}: kwargs"
            )
    for number in range(len(final.calls), len(expected)):
        yield f"call {number + 1}: expected {expected[number].call}, but it was not made"
