"""The plugin of pytest: fixtures that run jobs and plans in the sandbox.

pytest loads this module in each session of an environment with jobcell.  So it imports the engine
only when a test asks for a fixture.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from engine import Plan, RunOptions
    from jobcell.testing.cassette import Cassettes
    from jobcell.testing.collections import MemoryCollections
    from jobcell.testing.fakes import FakeAdaptor
    from jobcell.testing.outcome import FinalState
    from jobcell.testing.runner import Runner, Stage


class RunJob(Protocol):
    """The fixture `run_job`."""

    def __call__(
        self,
        source: str | os.PathLike[str],
        state: Any = None,
        adaptor: str | Sequence[str] | None = None,
        *,
        configuration: Any = None,
        credentials: Mapping[str, Any] | None = None,
        options: RunOptions | None = None,
        check: bool = True,
    ) -> FinalState:
        """Run a job.

        Args:
            source: The text of a job, or the path of its file (``.py``), relative to the test.
            state: The initial state.
            adaptor: The adaptor, or adaptors, of the step: ``name`` or ``name@version``.
            configuration: The configuration of the step, or the id of its credential.
            credentials: Credential id to credential.
            options: Options of the run.
            check: Whether a failed job raises JobFailedError.

        """


class RunPlan(Protocol):
    """The fixture `run_plan`."""

    def __call__(
        self,
        plan: Plan | Mapping[str, Any] | str | os.PathLike[str],
        state: Any = None,
        *,
        credentials: Mapping[str, Any] | None = None,
        options: RunOptions | None = None,
        check: bool = True,
    ) -> FinalState:
        """Run a plan.

        Args:
            plan: A plan, or the path of its file, relative to the test.
            state: The initial state.
            credentials: Credential id to credential.
            options: Options of the run.
            check: Whether a failed step raises JobFailedError.

        """


class MakeFake(Protocol):
    """The fixture `fake_adaptor`."""

    def __call__(self, name: str, /, **verbs: Any) -> FakeAdaptor:
        """Replace verbs of an adaptor for the rest of the test.

        Args:
            name: The adaptor, as steps name it, without a version.
            **verbs: For each verb its reply: data, an exception, `raises(...)`, `replies(...)`, or
                a function of the arguments that returns data. It runs in the child.

        """


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the repo of adaptors."""
    group = parser.getgroup("jobcell")
    words = "directory of installed adaptors (otherwise: JOBCELL_REPO, ./repo)"
    group.addoption("--jobcell-repo", metavar="DIR", default=None, help=words)
    parser.addini("jobcell_repo", words, default="")
    group.addoption(
        "--jobcell-record",
        choices=["none", "once", "all"],
        default="none",
        help="cassettes: none (replay only), once (record what has no cassette), all (record again)",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the tests of files that end with ``.job.yaml`` or ``.job.yml``."""
    if not file_path.name.endswith((".job.yaml", ".job.yml")):
        return None
    from jobcell.testing.yaml_tests import JobFile  # costs the engine and a YAML reader

    return JobFile.from_parent(parent, path=file_path)


@pytest.fixture(scope="session")
def jobcell_runner(pytestconfig: pytest.Config) -> Runner:
    """The engine of all tests of the session."""
    from jobcell.testing.runner import get_runner

    return get_runner(pytestconfig)


@pytest.fixture
def jobcell_stage() -> Stage:
    """The things that the fixtures of this test put in place of the real world, for its runs."""
    from jobcell.testing.runner import Stage

    return Stage()


@pytest.fixture
def fake_adaptor(jobcell_runner: Runner, jobcell_stage: Stage) -> MakeFake:
    """Return a function that replaces verbs of an adaptor for the rest of the test."""

    def fake_adaptor(name: str, /, **verbs: Any) -> FakeAdaptor:
        __tracebackhide__ = True
        fake = jobcell_stage.fakes[name] = jobcell_runner.write_fake(name, verbs)
        return fake

    return fake_adaptor


@pytest.fixture
def run_job(jobcell_runner: Runner, jobcell_stage: Stage, request: pytest.FixtureRequest) -> RunJob:
    """Return a function that runs a job in the sandbox and returns its final state."""
    from jobcell.testing.runner import plan_of

    def run_job(
        source: str | os.PathLike[str],
        state: Any = None,
        adaptor: str | Sequence[str] | None = None,
        *,
        configuration: Any = None,
        credentials: Mapping[str, Any] | None = None,
        options: RunOptions | None = None,
        check: bool = True,
    ) -> FinalState:
        __tracebackhide__ = True
        adaptors = [adaptor] if isinstance(adaptor, str) else adaptor or ()
        base = request.path.parent
        plan = plan_of(source, base, adaptors=adaptors, configuration=configuration)
        return jobcell_runner.run(
            plan,
            state,
            stage=jobcell_stage,
            credentials=credentials,
            options=options,
            check=check,
        )

    return run_job


@pytest.fixture
def run_plan(
    jobcell_runner: Runner, jobcell_stage: Stage, request: pytest.FixtureRequest
) -> RunPlan:
    """Return a function that runs a plan in the sandbox and returns its final state."""
    from jobcell.testing.runner import plan_of

    def run_plan(
        plan: Plan | Mapping[str, Any] | str | os.PathLike[str],
        state: Any = None,
        *,
        credentials: Mapping[str, Any] | None = None,
        options: RunOptions | None = None,
        check: bool = True,
    ) -> FinalState:
        __tracebackhide__ = True
        if isinstance(plan, (str, os.PathLike)):
            plan = plan_of(plan, request.path.parent)
        return jobcell_runner.run(
            plan,
            state,
            stage=jobcell_stage,
            credentials=credentials,
            options=options,
            check=check,
        )

    return run_plan


@pytest.fixture
def collections(jobcell_stage: Stage) -> MemoryCollections:
    """Return the collections of the runs of the test, which may read and write all of them."""
    from jobcell.testing.collections import MemoryCollections

    jobcell_stage.collections = MemoryCollections()
    return jobcell_stage.collections


@pytest.fixture
def http_cassette(request: pytest.FixtureRequest, jobcell_stage: Stage) -> Iterator[Cassettes]:
    """Return a function that records the exchanges with a server, and replays them.

    The runs of the test may reach the cassettes that it makes.
    """
    from jobcell.testing.cassette import Cassettes

    mode = request.config.getoption("--jobcell-record")
    with Cassettes(request.path, request.node.name, mode, jobcell_stage.net) as cassettes:
        yield cassettes
