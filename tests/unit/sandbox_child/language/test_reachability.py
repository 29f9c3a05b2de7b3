"""From the objects of a job, no way leads out of the job language.

The walk does the same as a job may do.  It reads public attributes, takes items, iterates a little,
and calls functions of the facades with simple arguments.  It does not know how facades are made.
"""

import asyncio
import builtins
import importlib
import importlib.abc
import io
import sys
import types
from collections import deque

import pytest

from sandbox_child.language.facades import TABLE, Facades
from sandbox_child.language.guards import Guards
from sandbox_child.language.guards.names import DENIED_ATTRIBUTES, READABLE_DUNDERS, is_reserved
from sandbox_child.language.scope import JobScope

INTERNAL = (
    types.CodeType,
    types.FrameType,
    types.TracebackType,
    importlib.abc.Loader,
    importlib.abc.MetaPathFinder,
    asyncio.AbstractEventLoop,
    asyncio.events._AbstractEventLoopPolicy
    if sys.version_info >= (3, 14)  # the public name is deprecated
    else asyncio.AbstractEventLoopPolicy,
    io.FileIO,
    io.BufferedReader,
    io.BufferedWriter,
    io.TextIOWrapper,
)
FORBIDDEN_CALLABLES = [
    getattr(builtins, name)
    for name in ("__import__", "breakpoint", "compile", "eval", "exec", "globals", "input")
] + [locals, open, vars, dir, type, memoryview, sys._getframe, types.FunctionType, types.CodeType]
MUST_NOT_BE_CALLED = {"sleep", "input", "print", "run", "exit", "available_timezones"}
SAMPLES = [(), ("x",), (1,), (b"x",), ([1, 2],), ({"a": 1},), (lambda *a: 1,), ("x", "y"), (2, 3)]
MAX_OBJECTS = 40_000


def _new_scope():
    return JobScope(
        step_id="walk",
        language=True,
        resolve_import=lambda name: None,
        importable=list,
        in_scope={},
        log=lambda level, message: None,
    )


def _is_way_out(value):
    if isinstance(value, types.ModuleType):
        return not value.__name__.startswith("job:")
    if isinstance(value, INTERNAL):
        return True
    if isinstance(value, type) and issubclass(value, type):
        return value.__name__ != "type" or value is type
    if isinstance(value, dict):
        return value is not _OWN_BUILTINS and ("__builtins__" in value or "__loader__" in value)
    try:
        return any(value is forbidden for forbidden in FORBIDDEN_CALLABLES)
    except Exception:
        return False


_OWN_BUILTINS: dict = {}


def _public(names):
    return [
        name
        for name in names
        if name
        and name not in DENIED_ATTRIBUTES
        and not (name[0] == "_" and (is_reserved(name) and name not in READABLE_DUNDERS))
    ]


def _steps(value, read, samples):
    """Yield (how, what) for everything that a job gets from *value* in one step."""
    try:
        names = _public(dir(value))
    except Exception:
        names = []
    for name in names:
        try:
            yield f".{name}", read(value, name)
        except BaseException:
            continue
    if isinstance(value, dict | types.MappingProxyType):
        for key in list(value)[:50]:
            yield f"[{key!r}]", value[key]
    elif isinstance(value, list | tuple | set | frozenset | deque):
        yield from ((f"[{i}]", item) for i, item in enumerate(list(value)[:50]))
    if callable(value):
        name = getattr(value, "__name__", "")
        if name in MUST_NOT_BE_CALLED:
            return
        for sample in samples:
            try:
                result = value(*sample)
            except BaseException:
                continue
            if asyncio.iscoroutine(result):
                result.close()
            yield f"{sample}", result


def _walk(roots, read):
    seen: dict[int, object] = {}
    queue = deque((path, value, 0) for path, value in roots)
    ways_out = []
    while queue and len(seen) < MAX_OBJECTS:
        path, value, depth = queue.popleft()
        if id(value) in seen or isinstance(value, str | int | float | bytes | None):
            continue
        seen[id(value)] = value
        if _is_way_out(value):
            ways_out.append(path)
            continue
        if depth < 5:
            queue.extend(
                (path + how, found, depth + 1)
                for how, found in _steps(value, read, SAMPLES if depth <= 1 else SAMPLES[:2])
            )
    return ways_out


@pytest.fixture
def own_loop():
    """Give `asyncio.gather` an event loop of the test.

    Outside of a coroutine it makes a loop that nobody closes, unless `asyncio.run` was called before in this process.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.mark.slow
@pytest.mark.usefixtures("own_loop")
@pytest.mark.parametrize("name", sorted(TABLE))
def test_no_path_leads_from_a_facade_to_the_interpreter(name):
    """No attribute, item or call of a job's standard module reaches a real module, code or a frame.
    The same holds for a loader, an event loop, a file, and a function that runs text.
    """
    scope = _new_scope()
    guards = Guards(scope.globals)
    try:
        facade = Facades(guards, scope.globals, lambda level, message: None).get(name)
        assert facade is not None
        assert _walk([(name, facade)], guards.getattr) == []
    finally:
        scope.close()


@pytest.mark.slow
def test_no_path_leads_from_a_builtin_to_the_interpreter():
    """The same holds for the built-in names."""
    scope = _new_scope()
    try:
        names = scope.globals["__builtins__"]
        roots = [(name, value) for name, value in names.items() if not name.startswith("_")]
        assert _walk(roots, names["getattr"]) == []
    finally:
        scope.close()


@pytest.mark.parametrize("name", ["json", "datetime", "random", "logging", "re"])
def test_the_walk_finds_the_way_out_of_a_real_module(name):
    """The twin: the same walk over the real module does find a way."""
    assert _walk([(name, importlib.import_module(name))], getattr)


def _containers(read, get):
    """Return every dict, list and set that attributes and items lead to, by identity."""
    found = {}
    for name in sorted(TABLE):
        seen = {}
        queue = deque([(name, get(name), 0)])
        while queue:
            path, value, depth = queue.popleft()
            if id(value) in seen or isinstance(value, str | int | float | bytes | None):
                continue
            seen[id(value)] = value
            if isinstance(value, dict | list | set | bytearray | deque):
                found[id(value)] = (path, value)
            if depth < 4:
                queue.extend((path + how, item, depth + 1) for how, item in _steps(value, read, ()))
    return found


@pytest.mark.slow
def test_no_container_is_shared_by_two_scopes():
    """Two steps could exchange data through a list or dict that both can reach."""
    scopes = [_new_scope(), _new_scope()]
    found = []
    for scope in scopes:
        guards = Guards(scope.globals)
        facades = Facades(guards, scope.globals, lambda level, message: None)
        found.append(_containers(guards.getattr, facades.get))
    first, second = found

    assert len(first) > 10
    assert [first[key][0] for key in first.keys() & second.keys()] == []


def test_a_facade_never_carries_the_name_of_a_real_module():
    """``from x import y`` falls back to ``sys.modules["x.y"]``, so the facade has another name."""
    scope = _new_scope()
    facades = Facades(Guards(scope.globals), scope.globals, lambda level, message: None)
    names = [facades.get(name).__name__ for name in TABLE]
    scope.close()

    assert not set(names) & set(sys.modules)
