"""The engine: takes plans from a manager and gives it runs."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping
from types import TracebackType
from typing import Any, Final, Self, get_args
from uuid import uuid4

from engine.adaptors import adaptor_paths
from engine.api import EngineClosedError, EngineError, Journal, RunOptions
from engine.confinement import Policy
from engine.network import Relays
from engine.observing import EngineLoad, Observer, Observers
from engine.plan import load_plan
from engine.preloading import DEFAULT_WARM_MB, preload_sets, warm_bytes
from engine.reporting import EventLog, Run, RunError
from engine.resuming import JournalsInUse, take_up
from engine.running import Lane, Order, Past, Resolvers, Session, Supervisor, current_asker, prepare
from engine.start import (
    Starter,
    StartKind,
    StartMode,
    WarmSet,
    make_starter,
    make_warm_sets,
)
from protocol.confinement import ConfinementRequest
from protocol.events import AnyEvent
from protocol.plan import Plan
from protocol.trace import Trace

_CLOSED: Final = "the engine is closed; no run was started"
PlanSource = Plan | Mapping[str, Any] | str | bytes | os.PathLike[str]


class Engine:
    """Runs workflows, each in a child of its own.

    Args:
        repo_dir: The directory of installed adaptors (it holds ``repo.json``).
        max_runs: Number of children at once; further runs wait, first in, first out.  By default it
            is the number of processors that this process may use.  A run that a resolver starts may
            take the place of the run that waits for the resolver.
        start_mode: ``"zygote"`` forks a child from a clean interpreter that has never run a job,
            ``"exec"`` starts a new interpreter.
        spares: Number of children that are started before they are needed.  Each takes about 2 MB
            with a zygote.  With ``"exec"`` it takes 10 MB, but saves the start of an interpreter.
        policy: The walls around a run.
        options: The options of runs that are executed without options.
        preload: Adaptors of the repo (``name`` or ``name@version``) that are to be warm before their first
            run: each entry by itself, and a tuple of entries as one set.
        warm_mb: Limit for the private memory of all warm interpreters; 0: none is warm.

    Raises:
        ValueError, TypeError: A value is not valid, or the repo does not have an adaptor of *preload*.

    """

    def __init__(
        self,
        repo_dir: str | os.PathLike[str] | None = None,
        max_runs: int | None = None,
        start_mode: StartMode = "zygote",
        spares: int = 0,
        policy: Policy | None = None,
        options: RunOptions | None = None,
        preload: Collection[str | tuple[str, ...]] = (),
        warm_mb: float = DEFAULT_WARM_MB,
    ) -> None:
        if max_runs is None:
            max_runs = len(os.sched_getaffinity(0))
        if type(max_runs) is not int or max_runs < 1:
            raise ValueError(f"max_runs must be an int of at least 1, not {max_runs!r}")
        if start_mode not in get_args(StartMode):
            raise ValueError(f"start_mode must be 'exec' or 'zygote', not {start_mode!r}")
        if type(spares) is not int or spares < 0:
            raise ValueError(f"spares must be an int of at least 0, not {spares!r}")
        if repo_dir is not None and not isinstance(repo_dir, (str, os.PathLike)):
            raise TypeError(f"repo_dir must be a path, not {repo_dir!r}")
        _check_type("policy", policy, Policy)
        _check_type("options", options, RunOptions)
        self.policy = policy or Policy()
        self.options = options or RunOptions()
        self._repo_dir = repo_dir
        self.max_runs = max_runs
        self._start_mode: Final[StartMode] = start_mode
        self._spares = spares
        self._pid = os.getpid()
        # A signal handler that closes the engine may interrupt a method that holds it.
        self._lock = threading.RLock()
        self._supervisor: Supervisor | None = None
        self._retire: weakref.finalize[[], Engine] | None = None
        self._closed = False
        self._observers = Observers()
        self._starts: Counter[StartKind] = Counter()
        self._sets = make_warm_sets(start_mode, warm_bytes(warm_mb))
        self._preload = preload_sets(
            preload, repo_dir=repo_dir, options=self.options, start_mode=start_mode
        )
        if self._preload:
            self._get_supervisor()

    def execute(
        self,
        plan: PlanSource,
        state: Any = None,
        options: RunOptions | None = None,
        resolvers: Resolvers | None = None,
        journal: Journal | None = None,
        trace: Trace | str | None = None,
    ) -> Run:
        """Queue a run and return its handle at once.

        Args:
            plan: A plan in any form that `engine.plan.validation.load_plan` takes.
            state: The initial state; a string is the id of a stored state.
            options: Options of this run, instead of the engine's.
            resolvers: Functions that load credentials and stored states.
            journal: Records each step before the next one begins. If it has records, the run is
                resumed: it has the recorded id, and replays the recorded steps.
            trace: The W3C trace that the run belongs to; text is a ``traceparent``.  Jobs and adaptors
                read it in `jobcell_context`.

        Raises:
            PlanError: The plan or the state cannot be run; no process was started.
            TypeError: *options*, *resolvers*, *journal* or *trace* has another type.
            ValueError: *trace* is not what W3C Trace Context says.
            EngineClosedError: The engine was closed.
            EngineError: The engine belongs to another process (this one is a fork of it), or the
                interpreter is ending.

        """
        self._check_usable()
        _check_type("options", options, RunOptions)
        _check_type("resolvers", resolvers, Resolvers)
        if journal is not None and not isinstance(journal, Journal):
            kind = type(journal).__name__
            raise TypeError(f"journal must have the methods record and records; {kind} has not")
        watches = self._observers.watches(trace)
        with _journals.claim(journal) as begin:
            in_use = begin is None
            try:
                order = self._order(
                    plan,
                    state,
                    options or self.options,
                    journal,
                    in_use=in_use,
                    watch=watches.begin,
                )
                run = self._submit(order, resolvers, None if in_use else journal)
            except BaseException:
                watches.drop()
                raise
            if begin is not None:
                begin(run)
        watches.follow(run)
        return run

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Let *observer* follow the runs that are executed from now on; return a function that ends this.

        Raises:
            EngineError: It follows them already.

        """
        return self._observers.add(observer)

    def load(self) -> EngineLoad:
        """Return the numbers of runs that wait and that go on, and of children so far."""
        supervisor = self._supervisor
        queued, running = (0, 0) if supervisor is None else supervisor.load()
        starts = {str(kind): count for kind, count in [*self._starts.items()]}
        return EngineLoad(queued=queued, running=running, starts=starts)

    def _submit(self, order: Order, resolvers: Resolvers | None, journal: Journal | None) -> Run:
        log = EventLog(max_items=order.options.state_items)
        supervisor = self._get_supervisor()

        def cancel(reason: str) -> None:
            supervisor.cancel(lane, reason)

        run = Run(order.run_id, log, cancel)
        # A resolver may run something here: see `engine.running.places`.
        asker = current_asker()
        asker = asker if isinstance(asker, Lane) else None
        lane = Lane(
            Session(order, log),
            run,
            supervisor,
            resolvers=resolvers or Resolvers(),
            journal=journal,
            asker=asker,
        )
        if not supervisor.submit(lane):
            raise EngineClosedError(_CLOSED)
        return run

    def warm(self) -> list[WarmSet]:
        """Return the sets of adaptors that runs have used together, or that were to be preloaded.

        Each says whether runs of the set are forked from an interpreter that has imported it, and why
        not if they are not.
        """
        return self._sets.told()

    def close(self) -> None:
        """Cancel all queued and running runs, wait until they are over, and release all resources.

        It may be called again, and from any thread; each call waits.  An engine that is still open
        is closed when the interpreter ends.
        """
        if os.getpid() != self._pid:
            return  # a fork: the lock may be held for ever, and the children are not its own
        with self._lock:
            self._closed = True
            supervisor, retire = self._supervisor, self._retire
        if supervisor is not None:
            assert retire is not None
            retire.detach()  # otherwise it would keep the supervisor as long as the engine lives
            supervisor.close()
            # Only now, because another thread that closes the engine has to wait as well.
            self._supervisor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _check_usable(self) -> None:
        if os.getpid() != self._pid:
            raise EngineError(
                f"this engine belongs to process {self._pid}; after a fork, make a new one"
            )
        if self._closed:
            raise EngineClosedError(_CLOSED)
        if sys.is_finalizing():
            raise EngineError("the interpreter is ending; no run was started")

    def _get_supervisor(self) -> Supervisor:
        with self._lock:
            self._check_usable()
            if self._supervisor is None:
                supervisor = Supervisor(
                    self._make_starter(), max_runs=self.max_runs, starts=self._starts
                )
                # Without close(), the supervisor ends when the engine is gone and its last run is
                # over.
                self._retire = weakref.finalize(self, supervisor.retire)
                self._retire.atexit = False  # it is closed then
                self._supervisor = supervisor
                if self._closed:  # a signal handler has just done it
                    self.close()
                    raise EngineClosedError(_CLOSED)
            return self._supervisor

    def _order(
        self,
        source: PlanSource,
        state: Any,
        options: RunOptions,
        journal: Journal | None,
        *,
        in_use: bool,
        watch: Callable[[Plan, int], Trace | None],
    ) -> Order:
        """Return the order for one run of a plan; *watch* gives it its trace."""
        new_id = str(uuid4())
        plan = load_plan(
            source,
            start=options.start,
            end=options.end,
            permissions=options.permissions,
            new_id=new_id,
        )

        def order(plan: Plan, past: Past | None = None) -> Order:
            return prepare(
                plan,
                state,
                options=options,
                request=self._request,
                repo_dir=self._repo_dir,
                past=past,
                trace=watch(plan, 0 if past is None else len(past.records)),
            )

        if journal is None:
            return order(plan)
        own_id = plan.id != new_id
        return take_up(plan, state, journal, own_id=own_id, in_use=in_use, prepare=order)

    def _request(self, options: RunOptions) -> ConfinementRequest:
        """Return the walls for a run with *options*."""
        places = adaptor_paths(self._repo_dir, options.modules)
        return self.policy.request(options=options, read_paths=places)

    def _make_starter(self) -> Starter:
        return make_starter(
            self._start_mode,
            self._request(self.options),
            self._spares,
            Relays(self.policy.net_proxy),
            self._sets,
            self._preload,
        )


_journals: Final = JournalsInUse()
"""The journals of the runs of all engines in this process."""


def _check_type(name: str, value: object, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{name} must be {kind.__name__}, not {type(value).__name__}")


def run(
    plan_or_source: PlanSource,
    state: Any = None,
    *,
    options: RunOptions | None = None,
    resolvers: Resolvers | None = None,
    repo_dir: str | os.PathLike[str] | None = None,
    on_event: Callable[[AnyEvent], object] | None = None,
    journal: Journal | None = None,
    trace: Trace | str | None = None,
) -> Any:
    """Run a plan, wait for it, and return its final state.

    A job that failed leaves its error in ``state["errors"][step_id]``. *on_event* is called in this
    thread with every event.  An exception that it raises ends the run and is raised here.

    Raises:
        PlanError: The plan cannot be run.
        TypeError: *on_event* cannot be called, or is a coroutine function.
        RunError: The run ended before the workflow did (crash, kill, exception, cancelled).

    """
    if on_event is not None and not callable(on_event):
        raise TypeError(f"on_event must be callable, not {on_event!r}")
    # The start of a zygote pays only from the second run on.
    with Engine(repo_dir=repo_dir, max_runs=1, start_mode="exec") as engine:
        handle = engine.execute(
            plan_or_source,
            state,
            options=options,
            resolvers=resolvers,
            journal=journal,
            trace=trace,
        )
        if on_event is not None:
            _report_events(handle, on_event)
        result = handle.result()
    if result.reason not in ("success", "fail"):
        raise RunError(handle.id, result)
    return result.state


def _report_events(handle: Run, on_event: Callable[[AnyEvent], object]) -> None:
    after = 0
    while True:
        done = handle.done
        for event in handle.poll(after=after, timeout_s=None):
            after = event.seq
            answer = on_event(event)
            if isinstance(answer, Coroutine):
                answer.close()
                raise TypeError(
                    f"on_event must be an ordinary function; {on_event!r} returned a coroutine,"
                    " which is not awaited: use Engine.execute and `async for`"
                )
        if done:
            return
