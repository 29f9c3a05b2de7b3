"""A run whose adaptors are warm has the events, errors, logs and state of a cold run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from warm_pairs import WarmRepo, comparable, pair, plan_of, run, wait_until_decided

from engine import Engine

HEAD = """
import logging, os, random, sys, time, warnings
log = logging.getLogger(__name__)
seen = {}
"""

AT_IMPORT = {
    "prints": "print('imported', __name__); print('no line break', end='')",
    "prints_error": "print('to the error stream', file=sys.stderr)",
    "writes": "sys.stdout.write('raw\\n'); os.write(2, b'raw error\\n')",
    "logs": "log.warning('careful'); log.error('%s is wrong', 'this'); log.info('not seen')",
    "logs_failure": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('no luck')",
    "warns": "warnings.warn('old'); warnings.warn('older', DeprecationWarning, stacklevel=2)",
    "counts": "seen['imports'] = seen.get('imports', 0) + 1",
    "seeds": "random.seed(7); seen['drawn'] = random.random()",
    "draws": "random.random()",
    "reads_clock": "seen['is_old'] = time.time() < 1e9; time.monotonic()",
    "changes_module": "import json; json.added_by_adaptor = __name__",
    "changes_builtins": "import builtins; builtins.shared_by_adaptor = __name__",
    "changes_environment": "os.environ['OF_ADAPTOR'] = __name__",
    "changes_recursion": "sys.setrecursionlimit(900)",
    "turns_collector_off": "import gc; gc.disable()",
    "hook_at_fork": "os.register_at_fork(before=lambda: print('before'), after_in_child=lambda: print('hook'))",
    "half_a_line_at_fork": "os.register_at_fork(before=lambda: print('half', end=''), after_in_child=lambda: print('more', end=''))",
    "opens_and_closes": "with open(__file__) as f: seen['size'] = len(f.read())",
    "keeps_open": "kept = open(__file__)",
    "starts_thread": (
        "import threading; stop = threading.Event();"
        " threading.Thread(target=stop.wait, name='waiter', daemon=True).start()"
    ),
    "joins_thread": (
        "import threading; t = threading.Thread(target=lambda: seen.update(t=1)); t.start(); t.join()"
    ),
    "is_refused": "try:\n    import socket; socket.socket()\nexcept OSError as e:\n    seen['no'] = e.errno",
    "tries_to_connect": (
        "try:\n    import socket; socket.create_connection(('example.org', 443), timeout=1)\n"
        "except OSError:\n    pass"
    ),
    "replaces_stdout": "import io; sys.stdout = io.StringIO()",
    "handles_logs": "logging.getLogger().addHandler(logging.StreamHandler(sys.stderr)); log.warning('twice')",
    "catches_signal": "import signal; signal.signal(signal.SIGUSR1, lambda *_: seen.update(signal=True))",
    "at_exit": "import atexit; atexit.register(lambda: print('at exit'))",
    "sets_decimal": "import decimal; decimal.getcontext().prec = 5",
    "sets_contextvar": "import contextvars; var = contextvars.ContextVar('v', default=0); var.set(5)",
    "looks_for_loop": (
        "import asyncio\ntry:\n    seen['loop'] = asyncio.get_running_loop() is not None\n"
        "except RuntimeError as e:\n    seen['loop'] = str(e)"
    ),
    "disables_logs": "logging.disable(logging.WARNING)",
    "basic_config": "logging.basicConfig(level=logging.DEBUG); log.debug('details')",
    "filters_warnings": "warnings.simplefilter('error'); warnings.filterwarnings('ignore', 'quiet')",
    "shows_warnings": "warnings.showwarning = lambda *a, **k: print('mine', a[0])",
    "hooks_audit": "sys.addaudithook(lambda event, args: seen.update(audit=1) if event == 'open' else None)",
    "hooks_unraisable": "sys.unraisablehook = lambda args: print('lost', args.exc_value)",
    "hooks_trace": "sys.setprofile(lambda *a: None)",
    "finds_modules": "sys.meta_path.insert(0, type('F', (), {'find_spec': staticmethod(lambda *a: None)}))",
    "sets_level": "logging.getLogger().setLevel(logging.ERROR)",
    "patches_class": "import json; json.JSONEncoder.default = lambda self, value: 'patched'",
    "sets_timeout": "import socket; socket.setdefaulttimeout(3)",
    "extends_path": "sys.path.append('/nowhere')",
    "own_session": "seen['sid'] = [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()]",
    "counts_stack": "seen['depth'] = len(__import__('inspect').stack()) > 0",
    "half_printed": "sys.stdout.write('half a line'); sys.stderr.write('half an error')",
    "makes_loop": "import asyncio; asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())",
    "runs_loop": "import asyncio; asyncio.run(asyncio.sleep(0)); seen['ran'] = True",
    "threads_local": "import threading; here = threading.local(); here.x = 1; seen['main'] = threading.current_thread().name",
    "alarm": "import signal; signal.alarm(1000)",
    "reads_facts": "from jobcell_context import run_id; seen['run'] = run_id is not None",
    "imports_facts": "import jobcell_context",
    "raises": "raise RuntimeError('not today')",
    "imports_nothing_there": "import this_module_is_nowhere",
    "exits": "sys.exit(3)",
}

# A child starts the thread for log lines if the first of them has waited for a while.
VERBS = """
def verb(function):
    def call(*args):
        def operation(state):
            return {**state, 'data': {**state.get('data', {}), function.__name__: function(*args)}}
        return operation
    return call

@verb
def facts():
    import gc, jobcell_context
    return [dict(seen, run=None), gc.isenabled(), sys.getrecursionlimit(), os.environ.get('OF_ADAPTOR'),
            jobcell_context.step_id, jobcell_context.attempt]

@verb
def speak():
    print('in a verb'); log.warning('in a verb'); warnings.warn('in a verb'); sys.stderr.write('raw verb\\n')

@verb
def count():
    seen['calls'] = seen.get('calls', 0) + 1
    return seen['calls']

@verb
def fail():
    raise LookupError('nothing there')

@verb
def leave():
    print('last words')
    os._exit(4)

@verb
def look():
    import json, builtins, threading
    import socket
    return [getattr(json, 'added_by_adaptor', None), hasattr(builtins, 'shared_by_adaptor'),
            sum('_keep_flushing' not in t.name for t in threading.enumerate()), os.getpid() == os.getpid(),
            'default' in vars(json.JSONEncoder) and json.JSONEncoder.default.__name__,
            socket.getdefaulttimeout(), '/nowhere' in sys.path, logging.root.level]

@verb
def looks_around():
    import contextvars, decimal, logging, resource, signal, threading
    limits = {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource)
              if name.startswith('RLIMIT_') and name != 'RLIMIT_NPROC'}
    var = globals().get('var')
    here = globals().get('here')
    return [str(decimal.Decimal(1) / 3), var and var.get(), limits, logging.root.manager.disable,
            here and getattr(here, 'x', None), threading.main_thread().native_id == threading.get_native_id(),
            threading.get_native_id() == os.getpid(), warnings.filters[:3].__repr__(), sys.getprofile() is None,
            signal.alarm(0), os.getcwd(), sorted(os.environ), len(sys.argv), sys.flags.__repr__(),
            sys.getswitchinterval()]

@verb
def drops():
    class Bad:
        def __del__(self): raise ValueError('in del')
    Bad()
    warnings.warn('quiet please')

@verb
def divides():
    import asyncio
    async def one(): return 5
    return asyncio.get_event_loop_policy().__class__.__name__

@verb
def kill_self():
    import signal
    os.kill(os.getpid(), signal.SIGUSR2)
    return [os.getpgid(os.getpid()) == os.getpid(), os.getsid(0) == os.getpid()]

@verb
def threads():
    import threading
    def wait(): done.wait()
    done, started = threading.Event(), []
    try:
        for _ in range(70):
            thread = threading.Thread(target=wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError as error:
        return [len(started), str(error)]
    finally:
        done.set()
        for thread in started:
            thread.join()
    return [len(started)]

@verb
def tries():
    import subprocess, socket
    told = []
    for act in (os.fork, socket.socket, lambda: os.open('/etc/passwd', 0), lambda: os.kill(os.getppid(), 0),
                lambda: os.setsid(), lambda: os.getpgid(1)):
        try:
            act()
            told.append('done')
        except OSError as error:
            told.append(error.errno)
    return told
"""

USES = (
    "facts",
    "speak",
    "count",
    "look",
    "kill_self",
    "tries",
    "threads",
    "fail",
    "leave",
    "looks_around",
    "drops",
    "divides",
)

_names = (f"adaptor{number}" for number in itertools.count())


@pytest.fixture(autouse=True)
def no_leak() -> None:
    """Let warm zygotes stay from test to test: their engine is that of the module."""


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WarmRepo, Engine, Engine]]:
    repo = WarmRepo(tmp_path_factory.mktemp("warm") / "repo")
    before = children()
    with pair(repo, max_runs=1) as (cold, warm):
        yield repo, cold, warm
    assert children() <= before


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def source_of(at_import: list[str]) -> str:
    return HEAD + "\n".join(AT_IMPORT[name] for name in at_import) + "\n" + VERBS


def prepare(
    repo: WarmRepo, sources: list[str], uses: list[list[str]]
) -> tuple[dict[str, Any], list[str]]:
    """Install an adaptor for each source; return a plan whose steps use one after the other, and the names of those."""
    names = [next(_names) for _ in sources]
    repo.clear()  # each run looks at all adaptors, and sends their names to its child
    for name, source in zip(names, sources, strict=True):
        repo.add(name, source)
    used = [names[number % len(names)] for number in range(len(uses))]
    return steps_of(used, uses), used


def steps_of(adaptors: list[str], uses: list[list[str]]) -> dict[str, Any]:
    return plan_of(
        *(
            {
                "id": f"s{number}",
                "adaptor": adaptor,
                "expression": "\n".join(f"{verb}()" for verb in verbs),
            }
            for number, (adaptor, verbs) in enumerate(zip(adaptors, uses, strict=True))
        )
    )


def compare(
    engines: tuple[WarmRepo, Engine, Engine], sources: list[str], uses: list[list[str]]
) -> tuple[Any, Any]:
    """Run a plan cold and warm, compare all of it, and return what the engine says about the set."""
    repo, cold, warm = engines
    plan, used = prepare(repo, sources, uses)
    expected = comparable(*run(cold, plan))
    for _ in range(2):
        assert comparable(*run(warm, plan)) == expected, "before it is warm"
    decided = wait_until_decided(warm, *used)
    # A set that is not warm has further runs like those before.
    for _ in range(2 if decided.warm else 1):
        assert comparable(*run(warm, plan)) == expected, decided
    return decided, expected


def compare_once(
    engines: tuple[WarmRepo, Engine, Engine], sources: list[str], uses: list[list[str]]
) -> Any:
    """Run a plan once before its set is warm, and once afterwards, for tests with many sets.

    The first run in the engine with warm adaptors is as cold as one in an engine without them. The second use, which
    makes the set warm, is a smaller plan.
    """
    repo, _, warm = engines
    plan, used = prepare(repo, sources, uses)
    expected = comparable(*run(warm, plan))
    run(warm, steps_of(used, [["count"]] * len(used)))
    decided = wait_until_decided(warm, *used)
    assert comparable(*run(warm, plan)) == expected, decided
    return decided


REFUSED = {
    "keeps_open": "descriptor",
    "starts_thread": "thread",
    "reads_facts": "jobcell_context",
    "raises": "not today",
    "imports_nothing_there": "this_module_is_nowhere",
    "exits": "it ends the interpreter while it is imported",
    "alarm": "it sets a timer while it is imported",
}


@pytest.mark.parametrize("habit", AT_IMPORT)
def test_a_habit_at_import_looks_the_same_warm_and_cold(
    engines: tuple[WarmRepo, Engine, Engine], habit: str
):
    """Whatever an adaptor does while it is imported, all events of a run are those of a cold one."""
    decided = compare_once(
        engines,
        [source_of([habit])],
        [["facts", "speak", "look", "looks_around", "drops"], ["count"]],
    )

    assert decided.warm is (habit not in REFUSED), decided
    if habit in REFUSED:
        assert REFUSED[habit] in str(decided.reason)


@pytest.mark.parametrize("use", USES)
def test_a_use_of_an_adaptor_looks_the_same_warm_and_cold(
    engines: tuple[WarmRepo, Engine, Engine], use: str
):
    """Whatever a job does with a warm adaptor, all events of its run are those of a cold one."""
    decided, expected = compare(engines, [source_of(["counts"])], [[use], [use, "count"]])

    assert decided.warm
    assert (expected["reason"] == "success") is (use not in ("fail", "leave", "kill_self")), (
        expected
    )


SHARED = {
    "changes_module": "'added_by_adaptor' of the standard module json",
    "changes_environment": "the environment",
    "changes_recursion": "the limit of recursion",
    "turns_collector_off": "the collector of garbage",
    "replaces_stdout": "the standard streams",
    "handles_logs": "the handlers of the root logger",
    "filters_warnings": "the filters of warnings",
    "catches_signal": "the handlers of signals",
    "seeds": "seeds random",
    "disables_logs": "the level of the root logger",
    "sets_level": "the level of the root logger",
    "shows_warnings": "the display of warnings",
    "hooks_trace": "the functions for traces and profiles",
    "hooks_audit": "the audit hooks",
    "hooks_unraisable": "'unraisablehook' of the standard module sys",
    "patches_class": "'default' of JSONEncoder in the standard module json",
    "sets_timeout": "a setting of a standard module",
    "extends_path": "the path of modules",
}


AROUND = ["look", "facts", "speak", "looks_around", "drops", "divides"]


@pytest.mark.parametrize("habit", [*SHARED, *REFUSED])
def test_a_habit_of_a_later_adaptor_that_is_refused_looks_the_same_warm_and_cold(
    engines: tuple[WarmRepo, Engine, Engine], habit: str
):
    """A step before the one that has this adaptor must not see what the import has done.

    A set of two adaptors is not warm if an import changes what both share.
    """
    decided = compare_once(
        engines, [source_of([]), source_of([habit])], [AROUND, [*AROUND, "count"]]
    )

    assert not decided.warm
    assert (SHARED | REFUSED)[habit] in str(decided.reason)


OWN = [habit for habit in AT_IMPORT if habit not in SHARED | REFUSED]
TOGETHER = [OWN[first::7] for first in range(7)]
"""Habits that leave a set of several adaptors warm. Those that are alike are not together."""


@pytest.mark.parametrize("habits", TOGETHER, ids="-".join)
def test_habits_of_later_adaptors_look_the_same_warm_and_cold(
    engines: tuple[WarmRepo, Engine, Engine], habits: list[str]
):
    """All adaptors of the set were imported before the first step, and that step sees nothing of it."""
    sources = [source_of([]), *(source_of([habit]) for habit in habits)]
    decided = compare_once(engines, sources, [AROUND, *([*AROUND, "count"] for _ in habits)])

    assert decided.warm, decided


def test_every_habit_that_is_shared_is_one():
    """Otherwise the test above would not look at it."""
    assert SHARED.keys() <= AT_IMPORT.keys()


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=10
)
@given(
    habits=st.lists(
        st.lists(st.sampled_from(sorted(AT_IMPORT)), max_size=4), min_size=1, max_size=2
    ),
    uses=st.lists(st.lists(st.sampled_from(USES), min_size=1, max_size=3), min_size=1, max_size=3),
)
@example(habits=[["hook_at_fork", "prints"]], uses=[["facts"]])
@example(habits=[["half_a_line_at_fork", "prints"]], uses=[["speak"]])
def test_a_warm_run_cannot_be_told_from_a_cold_one(
    engines: tuple[WarmRepo, Engine, Engine], habits: list[list[str]], uses: list[list[str]]
):
    """Adaptors with any habits, in plans with any steps, give the same events, result and error."""
    compare(engines, [source_of(names) for names in habits], uses)
