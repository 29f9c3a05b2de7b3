"""Runs jobs and plans of tests: one engine, and so one zygote, for all tests of a session."""

from __future__ import annotations

import compileall
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from engine import Engine, ModuleRef, Plan, Resolvers, RunOptions
from engine.adaptors import Repo, RepoError, split_spec
from jobcell.input.plan_file import load_plan_file
from jobcell.repo.bundled import Bundled, bundled
from jobcell.repo.libraries import Libraries, copy_libraries, find_libraries
from jobcell.testing.collections import MemoryCollections
from jobcell.testing.fakes import FakeAdaptor, take_calls, write_fake
from jobcell.testing.outcome import FinalState, JobFailedError
from protocol.adaptor import AdaptorLink

_RUNNER: Final = pytest.StashKey["Runner"]()
_ROOM: Final = "jobcell.testing"
"""The name of an adaptor that no step has.  Its path, the directory of all fakes, gives all runs of a
session the same paths, so that one zygote serves them."""
_SUFFIXES: Final = (".py", ".json", ".yaml", ".yml")


class Stage(msgspec.Struct):
    """The things that a test puts in place of the real world."""

    fakes: dict[str, FakeAdaptor] = {}
    net: list[str] = []
    """Rules that let runs reach the cassettes of the test."""
    collections: MemoryCollections | None = None
    """The collections of the runs, which may then use all of them; None: those of the options."""


class Runner:
    """Runs jobs and plans in the sandbox.

    Args:
        repo_dir: The directory of installed adaptors; None if there is none.  Adaptors that come
            with jobcell are there without a repo.
        room: An empty directory of the session, for fakes.

    """

    def __init__(self, repo_dir: Path | None, room: Path) -> None:
        self.room: Path = room
        self._repo_dir = repo_dir
        self._modules = {_ROOM: ModuleRef(path=str(room))}
        options = RunOptions(modules=self._modules)
        self._engine = Engine(repo_dir=repo_dir, max_runs=1, options=options)

    def close(self) -> None:
        """End the engine."""
        self._engine.close()

    def find_adaptor(self, name: str) -> AdaptorLink | None:
        """Return the installed adaptor of that name, else the one that comes with jobcell."""
        try:
            return Repo.read(self._repo_dir).resolve(name)
        except RepoError:
            ours = bundled().get(name)
        copy = None if ours is None else self._copy_bundled(ours)
        if ours is None or copy is None:
            return None
        return AdaptorLink(name, ours.version, copy, _module_of(ours))

    def write_fake(self, name: str, verbs: Mapping[str, Any]) -> FakeAdaptor:
        """Write the package of a fake (`jobcell.testing.fakes.write_fake`)."""
        return write_fake(name, verbs, self.room, self.find_adaptor(name))

    def run(
        self,
        plan: Plan | Mapping[str, Any],
        state: Any,
        *,
        stage: Stage,
        credentials: Mapping[str, Any] | None,
        options: RunOptions | None,
        check: bool,
    ) -> FinalState:
        """Run a plan and return its final state.

        Raises:
            PlanError: The plan cannot be run.
            JobFailedError: A step failed or the run was ended, and *check* is true.

        """
        __tracebackhide__ = True
        if not isinstance(options, RunOptions | None):
            message = f"options: takes jobcell.RunOptions(...), not {type(options).__name__}"
            raise TypeError(message)
        options = options or RunOptions()
        modules = {**self._modules, **self._bundled(plan), **options.modules}
        for name, fake in stage.fakes.items():
            modules[name] = ModuleRef(path=str(fake.path), version="0+fake")
        allowed = options.permissions
        if stage.net:
            allowed = msgspec.structs.replace(allowed, net=(*allowed.net, *stage.net))
        if stage.collections is not None and not allowed.collections:
            allowed = msgspec.structs.replace(allowed, collections=("*",))
        options = msgspec.structs.replace(options, modules=modules, permissions=allowed)
        run = self._engine.execute(
            plan,
            {} if state is None else state,
            options,
            _resolvers(credentials, stage.collections),
        )
        result = run.result()
        events = list(run.poll(after=0))
        calls = take_calls(events)
        for name, fake in stage.fakes.items():
            fake.calls[:] = [call for call in calls if call.adaptor == name]
        final = FinalState(result, events, calls)
        if check and final.error is not None:
            raise JobFailedError(final)
        return final

    def _bundled(self, plan: Plan | Mapping[str, Any]) -> dict[str, ModuleRef]:
        """Return the bundled adaptors that a plan names, and that the repo does not have."""
        modules = {}
        for name in _adaptors(plan):
            ours = bundled().get(name)
            if ours is None:
                continue
            try:
                Repo.read(self._repo_dir).resolve(name)
            except RepoError:
                copy = self._copy_bundled(ours)
                if copy is not None:
                    package = Path(copy, _module_of(ours))
                    modules[name] = ModuleRef(path=str(package), version=ours.version)
        return modules

    def _copy_bundled(self, ours: Bundled) -> str | None:
        """Return a copy of an adaptor with its libraries; None if this environment lacks them."""
        target = self.room / "bundled" / ours.name
        if not target.exists():
            libraries = find_libraries(ours.requirements)
            if libraries is None:
                return None
            shutil.copytree(ours.directory, target)
            copy_libraries(libraries, target)
            _copy_compiled(libraries, target)
            compileall.compile_dir(target, quiet=1)  # a child cannot write compiled files
        return str(target)


def _copy_compiled(libraries: Libraries, target: Path) -> None:
    """Copy what the installer of this environment has compiled, because to compile it again takes a second.

    Files that do not fit their source are compiled anew. Their content is not compared with anything, because this
    interpreter itself runs them whenever it imports the library; a repo, which others use, gets none of them.
    """
    for name, place in libraries.files.items():
        compiled = Path(cache_from_source(str(place)))
        if place.suffix == ".py" and compiled.is_file():
            copy = Path(cache_from_source(str(target / name)))
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(compiled, copy)


def _module_of(ours: Bundled) -> str:
    """Return the name of the package of a bundled adaptor, which may differ from that of the adaptor."""
    return min(path.parent.name for path in ours.directory.glob("*/__init__.py"))


def plan_of(
    source: str | os.PathLike[str],
    base: Path,
    *,
    adaptors: Sequence[str] = (),
    configuration: Any = None,
) -> Plan | dict[str, Any]:
    """Return the plan with the one job that a text or a file holds, or the plan in a file.

    Args:
        source: The text of a job, or the path of a file.
        base: The directory of the test; a path may be relative to it, or to the working directory.
        adaptors: The adaptors of a job.
        configuration: The configuration of a job, or the id of its credential.

    Raises:
        FileNotFoundError: The path is not that of a file.
        BadInputError: The plan in the file is wrong.
        TypeError: An argument has another type.

    """
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f"takes the path or the text of a job, not {type(source).__name__}")
    if not isinstance(adaptors, Sequence):
        raise TypeError(f"adaptor: takes a name or a list of names, not {type(adaptors).__name__}")
    path = _find(source, base)
    if path is None:
        job: dict[str, Any] = {"id": "job-1", "expression": source, "adaptors": list(adaptors)}
        if configuration is not None:
            job["configuration"] = configuration
        return {"workflow": {"steps": [job]}}
    if configuration is None or path.suffix != ".py":
        return load_plan_file(path, adaptors=adaptors)
    text = path.read_text(encoding="utf-8-sig")
    step = {"id": "job-1", "expression": text, "adaptors": list(adaptors)}
    return {"workflow": {"steps": [{**step, "configuration": configuration}]}}


def _find(source: str | os.PathLike[str], base: Path) -> Path | None:
    """Return the file that *source* names; None if it is the text of a job."""
    if isinstance(source, str) and ("\n" in source or not source.endswith(_SUFFIXES)):
        return None
    for place in (base, Path.cwd()):
        path = place / source
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"{os.fspath(source)!r} is neither in {base} nor in the working directory {Path.cwd()}"
    )


def _adaptors(plan: Plan | Mapping[str, Any]) -> set[str]:
    steps: Any = plan.workflow.steps if isinstance(plan, Plan) else _steps(plan)
    specs: set[str] = set()
    for step in steps:
        if isinstance(step, Mapping):
            specs.update(step.get("adaptors") or ())
            specs.update([step["adaptor"]] if step.get("adaptor") else ())
        else:
            specs.update(step.adaptors)
    names = set()
    for spec in specs:
        try:
            names.add(split_spec(str(spec))[0])
        except RepoError:
            continue  # the engine reports it
    return names


def _steps(plan: Mapping[str, Any]) -> Sequence[Any]:
    workflow = plan.get("workflow")
    steps = workflow.get("steps") if isinstance(workflow, Mapping) else None
    return steps if isinstance(steps, Sequence) and not isinstance(steps, str) else ()


def _resolvers(
    credentials: Mapping[str, Any] | None, collections: MemoryCollections | None
) -> Resolvers:
    given = {} if credentials is None else credentials

    def load(credential_id: str) -> Any:
        if credential_id not in given:
            known = ", ".join(map(repr, sorted(given)))
            known = f"it gives {known}" if known else "give it with 'credentials'"
            raise LookupError(f"the test gives no credential {credential_id!r}; {known}")
        return given[credential_id]

    return Resolvers(credential=load, collections=collections)


def get_runner(config: pytest.Config) -> Runner:
    """Return the runner of a session of pytest, which is made at its first use.

    Raises:
        pytest.UsageError: The repo that the user named is not one.

    """
    runner = config.stash.get(_RUNNER, None)
    if runner is None:
        # Children of other users read the fakes.
        room = tempfile.TemporaryDirectory(prefix="jobcell-test-")
        config.add_cleanup(room.cleanup)
        Path(room.name).chmod(0o755)
        runner = config.stash[_RUNNER] = Runner(_repo(config), Path(room.name))
        config.add_cleanup(runner.close)
    return runner


def _repo(config: pytest.Config) -> Path | None:
    given = config.getoption("--jobcell-repo") or os.environ.get("JOBCELL_REPO")
    if given:
        return _existing(Path(given))
    stated = config.getini("jobcell_repo")
    if stated:
        return _existing(config.rootpath / stated)
    default = config.rootpath / "repo"
    return default if (default / "repo.json").is_file() else None


def _existing(path: Path) -> Path:
    if not (path / "repo.json").is_file():
        raise pytest.UsageError(f"{path} is not a repo of adaptors: it has no repo.json")
    return path
