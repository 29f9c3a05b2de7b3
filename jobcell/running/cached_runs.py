"""The options ``--cache-steps`` and ``--no-cache`` of `jobcell run`, and `jobcell cache`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from jobcell.input.errors import BadInputError
from jobcell.output.exit_codes import SUCCESS
from protocol.events import WorkflowStart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from engine import RunResult
    from jobcell.output.views import View
    from jobcell.reuse.caching import CachedSteps
    from jobcell.running.runner import RunRequest
    from protocol.events import Event


def check_cache_options(*, is_cached: bool, fresh: bool, has_journal: bool) -> None:
    """Raise BadInputError if the options do not go together."""
    if fresh and not is_cached:
        raise BadInputError(["--no-cache: has a meaning only with --cache-steps"])
    if is_cached and has_journal:
        raise BadInputError(["--cache-steps: --journal is given as well; give one of them"])


@contextmanager
def open_cache(
    request: RunRequest, say: Callable[[str], object], *, fresh: bool
) -> Iterator[CachedSteps]:
    """Yield a journal with the results that are taken, about which a line is said.

    Raises:
        BadInputError: The directory of the cache cannot be used.

    """
    from jobcell.reuse.caching import CachedSteps  # late: most runs have no cache
    from jobcell.reuse.step_cache import StepCache, cache_directory

    hashes: dict[str, str] = {}
    steps = request.plan.workflow.steps
    specs = [spec for step in steps for spec in step.adaptors]
    if specs and request.repo_dir is not None:
        from jobcell.repo import source_hashes

        hashes = source_hashes(request.repo_dir, specs)
    cache = StepCache(cache_directory())
    found = CachedSteps(cache, request.plan, request.state, hashes, fresh=fresh)
    jobs = sum(step.expression is not None for step in steps)
    if found.taken:
        names = ", ".join(repr(record.step_id) for record in found.taken)
        say(
            f"cache: results of {len(found.taken)} of {jobs} steps are taken from earlier runs: {names}"
            " (--no-cache runs them again)"
        )
    yield found
    cache.prune()


def clear() -> int:
    """Carry out `jobcell cache clear`; return the exit code."""
    from jobcell.reuse.step_cache import StepCache, cache_directory

    directory = cache_directory()
    count = StepCache(directory).clear() if directory.exists() else 0
    print(f"{directory}: {count} result{'' if count == 1 else 's'} removed")
    return SUCCESS


class WithoutReplays:
    """A view that does not call the cache a journal; the line about it was said before."""

    def __init__(self, view: View) -> None:
        self._view = view

    def show(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, WorkflowStart):
            event = msgspec.structs.replace(event, replayed=0)
        self._view.show(event)

    def close(self, result: RunResult | None) -> None:
        """Show how the run has ended."""
        self._view.close(result)
