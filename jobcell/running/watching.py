"""`jobcell run --watch`: run a plan again when one of its files changes.

watchfiles wakes us; the files themselves say whether they have changed. So a file that an editor
replaces, and a change before the first notice, count as every other change.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import engine
from jobcell.input.errors import BadInputError
from jobcell.input.inputs import find_repo
from jobcell.input.plan_file import PlanSource, read_plan_file
from jobcell.output.exit_codes import BAD_INPUT, INTERRUPTED, OF_REASON
from jobcell.output.wording import printable, tell_duration
from jobcell.running.starting import check_options, start_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobcell.running.choices import Given, PlanChoice

_QUIET_MS: Final = 200
"""Changes that follow each other within this time are one change."""
_LOOK_MS: Final = 2_000
"""The files are looked at this often without a notice, as on a network drive."""
_SIGTERM: Final = 143
_WORDS: Final = {code: reason for reason, code in reversed(OF_REASON.items())}

_Stamp = tuple[int, int, int]


class Watched(NamedTuple):
    """What a run depends on."""

    files: tuple[Path, ...]
    directories: tuple[Path, ...]
    """Directories of adaptors, with everything below them."""


def watch_run(choice: PlanChoice, given: Given) -> int:
    """Carry out `jobcell run --watch`; return the exit code.

    Raises:
        BadInputError: An option does not go with ``--watch``, or the package is missing.
        KeyboardInterrupt: Ctrl-C while no run is in progress.

    """
    _check(choice, given)
    code = BAD_INPUT
    while code not in {INTERRUPTED, _SIGTERM}:
        watched = find_watched(choice, given)
        with Watcher(watched) as watcher:
            begin_s = time.monotonic()
            code = _run_once(choice, given, watcher)
            if code in {INTERRUPTED, _SIGTERM}:
                break
            took = tell_duration((time.monotonic() - begin_s) * 1000)
            changed = watcher.changed
            if changed is None:
                number = len(watched.files) + len(watched.directories)
                ended = _WORDS.get(code, "not run")
                _say(
                    f"watch: {ended} after {took}; waits for a change of {number} files (Ctrl-C ends)"
                )
                changed = watcher.wait()
        _say(f"watch: {changed} has changed; runs again")
    return code


def _check(choice: PlanChoice, given: Given) -> None:
    for option, path in (("PLAN_OR_JOB", choice.target), ("--state", given.state)):
        if str(path) == "-":
            raise BadInputError([f"--watch: {option} is standard input; name a file"])
    if choice.debug:
        raise BadInputError(
            ["--watch: --debug is given as well; a person debugs one run at a time"]
        )
    if choice.journal is not None and choice.from_step is None and choice.only_step is None:
        message = "--watch: a journal keeps one run; give --journal with --from or --only, or not"
        raise BadInputError([message])
    state = given.state
    if state is not None and given.output is not None and given.output.resolve() == state.resolve():
        raise BadInputError(["--watch: --output is the file of --state, so it would never end"])
    try:
        import watchfiles  # noqa: F401 - a missing package is said before anything runs
    except ModuleNotFoundError:
        message = "--watch needs one more package: pip install 'jobcell[watch]'"
        raise BadInputError([message]) from None
    check_options(choice, given)


def find_watched(choice: PlanChoice, given: Given) -> Watched:
    """Return the files of a run, as far as they can be found; a plan may be broken for a while."""
    options = given.options
    named = (given.state, options.credentials, options.env_file, options.ca_file)
    files = [choice.target, *(Path(path) for path in named if path is not None)]
    directories: list[Path] = []
    try:
        read = read_plan_file(choice.target, choice.adaptors)
        files += read.files
        repo_dir = find_repo(None if options.repo is None else Path(options.repo))
        specs = list(_adaptors(read))
        if specs and repo_dir is not None:
            from jobcell.repo import (
                source_directories,
            )  # late: slow, and many plans have no adaptors

            files.append(repo_dir / "repo.json")
            directories += map(Path, source_directories(repo_dir, specs))
    except BadInputError:
        pass  # the run reports it
    return Watched(tuple(dict.fromkeys(files)), tuple(dict.fromkeys(directories)))


def _adaptors(read: PlanSource) -> Iterable[str]:
    source: Any = read.source
    holder = source.get("workflow", source)
    steps = holder.get("steps", holder.get("jobs")) if isinstance(holder, dict) else None
    for step in steps if isinstance(steps, list) else ():
        adaptors = step.get("adaptors") if isinstance(step, dict) else None
        yield from (one for one in adaptors or () if isinstance(one, str))


def _run_once(choice: PlanChoice, given: Given, watcher: Watcher) -> int:
    try:
        code = start_run(
            choice, given, on_start=watcher.cancel_on_change, on_signal=watcher.note_signal
        )
        # A run may end just before a signal cancels it. Nobody sends that signal again.
        return code if watcher.signal is None else 128 + watcher.signal
    except BadInputError as error:
        lines: Iterable[str] = error.lines
    except engine.EngineError as error:
        lines = [str(error)]
    for line in lines:
        _say(f"error: {line}")
    return BAD_INPUT


class Watcher:
    """While this is entered, changes of files are noticed; the first one cancels the run."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._before = _look(watched)
        self._stop = threading.Event()
        self._noticed = threading.Event()
        self._lock = threading.Lock()
        self._run: engine.Run | None = None
        self._thread = threading.Thread(target=self._watch, name="jobcell-watch", daemon=True)
        self.changed: str | None = None
        """The name of a file that has changed; None if none has."""
        self.signal: int | None = None
        """The signal that arrived during the run."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def cancel_on_change(self, run: engine.Run) -> None:
        """Cancel *run* at the first change, or now if there was one."""
        with self._lock:
            self._run = run
            if self.changed is not None:
                run.cancel("a file has changed")

    def note_signal(self, number: int) -> None:
        """Keep a signal that arrived during the run."""
        self.signal = number

    def wait(self) -> str:
        """Wait for the first change; return the name of the file."""
        while not self._noticed.wait(0.5):  # Python runs a signal handler only between two waits
            pass
        assert self.changed is not None
        return self.changed

    def _watch(self) -> None:
        for _ in self._notices():
            changed = _first_difference(self._before, _look(self._watched))
            if changed is None:
                continue
            with self._lock:
                self.changed = changed
                if self._run is not None:
                    self._run.cancel("a file has changed")
            self._noticed.set()
            return

    def _notices(self) -> Iterator[object]:
        """Yield at each moment at which a file may have changed."""
        from watchfiles import watch

        try:
            yield from watch(
                *_directories(self._watched),
                watch_filter=None,
                debounce=_QUIET_MS,
                step=50,
                rust_timeout=_LOOK_MS,
                yield_on_timeout=True,
                stop_event=self._stop,
                raise_interrupt=False,
                recursive=False,
            )
        except (OSError, RuntimeError):  # too many watches on this machine, for example
            while not self._stop.wait(_LOOK_MS / 1000):
                yield None


def _directories(watched: Watched) -> list[str]:
    """Return the directories in which a change can be seen; editors replace files."""
    found = {str(path.parent) for path in watched.files}
    for top in watched.directories:
        found |= {directory for directory, _, _ in _walk(top)}
    return [path for path in sorted(found) if os.path.isdir(path)]  # noqa: PTH112 - a text


def _look(watched: Watched) -> dict[str, _Stamp | None]:
    stamps = {str(path): _stamp(str(path)) for path in watched.files}
    for top in watched.directories:
        for directory, _, names in _walk(top):
            stamps |= {path: _stamp(path) for name in names if (path := f"{directory}/{name}")}
    return stamps


def _walk(top: Path) -> Iterable[tuple[str, list[str], list[str]]]:
    for directory, below, names in os.walk(top):
        below[:] = [name for name in below if name != "__pycache__"]
        yield directory, below, names


def _stamp(path: str) -> _Stamp | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a text
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _first_difference(
    before: dict[str, _Stamp | None], after: dict[str, _Stamp | None]
) -> str | None:
    changed = (path for path in {**before, **after} if before.get(path) != after.get(path))
    return next(changed, None)


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)
