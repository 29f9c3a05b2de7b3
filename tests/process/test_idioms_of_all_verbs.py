"""Every operation of every bundled adaptor has `then`, `catch` and a callback, with its real server."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from bundled_repo import make_bundled_repo
from modes import let_everybody_in
from runs import make_engine
from web import Web, as_json

from engine import Engine, Permissions, Resolvers, RunOptions
from jobcell.testing.collections import MemoryCollections

ADAPTORS = Path(__file__).parents[2] / "adaptors"

CALLS: dict[str, dict[str, str]] = {
    "common": {
        "fn": "fn(same)",
        "fnIf": "fnIf(True, fn(same))",
        "fn_if": "fn_if(False, fn(same), fn(same))",
        "alterState": "alterState(same)",
        "alter_state": "alter_state(same)",
        "each": "each([1, 2], fn(same))",
        "combine": "combine(fn(same), log('x'))",
        "as_": "as_('kept', fn(same))",
        "map_": "map_([1], lambda item: item)",
        "group": "group([{'a': 1}], 'a')",
        "groupBy": "groupBy([{'a': 1}], lambda item: item['a'])",
        "group_by": "group_by([{'a': 1}], 'a')",
        "assert_": "assert_(True)",
        "log": "log('x', 1)",
        "debug": "debug('x')",
        "cursor": "cursor('2024-01-01')",
        "parseCsv": "parseCsv('a,b\\n1,2\\n', {}, lambda state, rows: state)",
        "parse_csv": "parse_csv('a,b\\n1,2\\n', {'delimiter': ','}, lambda state, rows: state)",
        "validate": "validate({'type': 'array'}, [1])",
    },
    "http": {
        "get": "get('x')",
        "post": "post('x', {'a': 1})",
        "put": "put('x', {'a': 1})",
        "patch": "patch('x', {'a': 1})",
        "delete": "delete('x')",
        "request": "request('GET', 'x')",
        "paginate": "paginate('rows')",
    },
    "postgresql": {
        "insert_table": "insert_table('t', [{'name': 'id', 'type': 'int', 'unique': True}])",
        "modify_table": "modify_table('t', [{'name': 'n', 'type': 'text'}])",
        "describe_table": "describe_table('t')",
        "insert": "insert('t', {'id': next_id(), 'n': 'a'})",
        "insert_many": "insert_many('t', [{'id': next_id()}, {'id': next_id()}])",
        "upsert": "upsert('t', 'id', {'id': 1, 'n': 'b'})",
        "upsert_if": "upsert_if(True, 't', 'id', {'id': 1, 'n': 'c'})",
        "upsert_many": "upsert_many('t', 'id', [{'id': 1, 'n': 'd'}])",
        "copy_rows": "copy_rows('t', [{'id': next_id()}])",
        "find_value": "find_value(uuid='id', relation='t', where={'n': 'd'})",
        "sql": "sql('select * from t where id = $1', values=[1])",
        "transaction": "transaction(sql('select 1'), sql('select 2'))",
    },
    "sheets": {
        "write_xlsx": "write_xlsx([{'a': 1}])",
        "list_sheets": "list_sheets(state.book)",
        "read_xlsx": "read_xlsx(state.book)",
        "write_csv": "write_csv([{'a': 1}])",
        "read_csv": "read_csv('a,b\\n1,2\\n')",
    },
    "fhir": {
        "read": "read('Patient/1')",
        "create": "create({'resourceType': 'Patient', 'active': True})",
        "update": "update('Patient/1', {'resourceType': 'Patient', 'id': '1', 'active': True})",
        "delete": "delete('Patient/1')",
        "search": "search('Patient')",
        "createBundle": "createBundle('batch')",
        "create_bundle": "create_bundle('transaction')",
        "addToBundle": "addToBundle({'resourceType': 'Patient', 'active': True})",
        "add_to_bundle": "add_to_bundle({'resourceType': 'Patient', 'id': '1', 'active': True})",
        "uploadBundle": "uploadBundle()",
        "upload_bundle": "upload_bundle()",
        "b.set_system_map": "b.set_system_map({'a': 'http://a.example'})",
    },
    "collections": {
        "collections.set": "collections.set('visits', 'k', {'n': 1})",
        "collections.get": "collections.get('visits', 'k')",
        "collections.each": "collections.each('visits', '*', lambda state, value, key: None)",
        "collections.remove": "collections.remove('visits', 'k')",
    },
}

ALONE = {
    "createBundle": "a new bundle has its kind only; a wrong one is no lazy argument",
    "create_bundle": "as createBundle",
    "uploadBundle": "it has no argument that could fail",
    "upload_bundle": "as uploadBundle",
}

OWN_CALLBACK = {"collections.each", "parseCsv", "parse_csv"}

ANY_NUMBER = {"log", "debug", "combine", "transaction"}
"""Verbs that take any number of arguments: a function at the end is one of them."""


@pytest.fixture(autouse=True)
def no_leak(no_leak_of_file: None, postgres: Any) -> None:
    """The engine and the database outlive each test."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with all adaptors."""
    root = tmp_path_factory.mktemp("all")
    let_everybody_in(root)
    repo = make_bundled_repo(root / "repo", *CALLS)
    with make_engine("zygote", repo_dir=repo, max_runs=1) as running:
        yield running


def patients(seen: Any) -> Any:
    """Answer as a FHIR server does."""
    if seen.method == "GET" and seen.path.endswith("/Patient"):
        return as_json({"resourceType": "Bundle", "type": "searchset", "total": 0})
    return as_json({"resourceType": "Patient", "id": "1"})


@pytest.fixture
def web() -> Iterator[Web]:
    """A server with rows and patients; other paths are an echo."""
    with Web({"/rows": lambda _: as_json([1])}) as running:
        for path in ("/fhir/Patient", "/fhir/Patient/1"):
            running.routes[path] = patients
        running.routes["/fhir"] = running.routes["/fhir/"] = lambda _: as_json(
            {"resourceType": "Bundle", "type": "transaction-response"}
        )
        yield running


def operations_of(adaptor: str) -> set[str]:
    """Return the names of an adaptor that make operations, from its own annotations."""
    place = ADAPTORS / adaptor
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ADAPTORS / "http"), str(place), *sys.path])
        (package,) = place.glob("*/__init__.py")
        module = importlib.import_module(package.parent.name)
        found = {
            name
            for name in module.__all__
            if inspect.isfunction(getattr(module, name))
            and getattr(module, name).__annotations__["return"] == "Operation"
        }
        for name in ("collections", "b"):
            inner = getattr(module, name, None)
            for verb in getattr(inner, "__all__", ()):
                annotations = getattr(getattr(inner, verb), "__annotations__", {})
                if annotations.get("return") in ("Operation", "Callable[[State], State]"):
                    found.add(f"{name}.{verb}")
    return found


@pytest.mark.parametrize("adaptor", CALLS)
def test_no_verb_is_left_out(adaptor: str):
    """A new verb needs a row in the table."""
    assert operations_of(adaptor) - {"b.setSystemMap"} == set(CALLS[adaptor])


def job_of(adaptor: str) -> str:
    """Return a job that calls each verb with `then`, with a callback, and with `catch`."""
    lines = [
        "numbers = [0]",
        "def next_id():\n    numbers[0] += 1\n    return numbers[0]",
        "def same(state): return state",
        "def boom(state): return 1 / 0",
        "def count(name):",
        "    def add(state):",
        "        number = state['seen'].get(name, 0) + 1",
        "        return {**state, 'seen': {**state['seen'], name: number}}",
        "    return add",
    ]
    for name, call in CALLS[adaptor].items():
        key = name.removeprefix("collections.").removeprefix("b.")
        if name == "insert_table":
            lines.append(f"{call}.then(count({key!r} + ':then'))")
            call = call.replace("'t'", "'t2'")  # noqa: PLW2901 - a table can be made once
        else:
            lines.append(f"{call}.then(count({key!r} + ':then'))")
        if name == "write_xlsx":
            lines.append("fn(lambda state: {**state, 'book': state['data']})")
        if name == "modify_table":
            call = call.replace("'n'", "'m'")  # noqa: PLW2901 - so can a column
        if name not in ANY_NUMBER:
            inner = call[:-1] + (", " if not call.endswith("()") else "")
            # The third argument of these is called so already, and another function is the fourth.
            word = "" if name in OWN_CALLBACK else "callback="
            lines.append(f"{inner}{word}count({key!r} + ':callback'))")
        if name not in ALONE:
            failing = FAILING.get(name, f"{name}(boom)")
            lines.append(f"{failing}.then(count('never')).catch(count({key!r} + ':catch'))")
    return "\n".join(lines)


FAILING = {
    "find_value": "find_value(uuid='id', relation=boom, where={'n': 'd'})",
    "insert": "insert(boom, {'id': 1})",
    "insert_many": "insert_many(boom, [{'id': 1}])",
    "insert_table": "insert_table(boom, [])",
    "modify_table": "modify_table(boom, [])",
    "upsert": "upsert(boom, 'id', {'id': 1})",
    "upsert_if": "upsert_if(boom, 't', 'id', {'id': 1})",
    "upsert_many": "upsert_many(boom, 'id', [{'id': 1}])",
    "copy_rows": "copy_rows(boom, [])",
    "post": "post(boom, 1)",
    "put": "put(boom, 1)",
    "patch": "patch(boom, 1)",
    "request": "request('GET', boom)",
    "update": "update(boom, {'resourceType': 'Patient', 'active': True})",
    "each": "each(boom, fn(same))",
    "map_": "map_(boom, lambda item: item)",
    "group": "group(boom, 'a')",
    "groupBy": "groupBy(boom, 'a')",
    "group_by": "group_by(boom, 'a')",
    "fnIf": "fnIf(boom, fn(same))",
    "fn_if": "fn_if(boom, fn(same))",
    "as_": "as_('kept', boom)",
    "validate": "validate(boom, [1])",
    "collections.set": "collections.set(boom, 'k', 1)",
    "collections.each": "collections.each(boom, '*', lambda state: None)",
}


@pytest.mark.slow
@pytest.mark.parametrize("adaptor", CALLS)
def test_each_verb_has_then_catch_and_a_callback(engine: Engine, adaptor: str, web: Web, request):
    """The counters show that each function ran once, and that a failure before `then` reached `catch`."""
    configuration: dict[str, Any] = {"base_url": web.url}
    net = [f"127.0.0.1:{web.port}"]
    if adaptor == "postgresql":
        parts = psycopg.conninfo.conninfo_to_dict(request.getfixturevalue("postgres_url"))
        names = {"host": "host", "port": "port", "database": "dbname", "user": "user"}
        configuration = {key: parts[name] for key, name in names.items()}
        net = [f"127.0.0.1:{parts['port']}"]
    job = job_of(adaptor)
    step = {
        "id": "a",
        "adaptors": [adaptor] if adaptor == "common" else [adaptor, "common"],
        "expression": job,
        "configuration": configuration,
    }
    result = engine.execute(
        {"workflow": {"steps": [step]}},
        {"seen": {}, "data": []},
        RunOptions(permissions=Permissions(net=net, collections=["visits"]), timeout_s=120),
        Resolvers(collections=MemoryCollections()),
    ).result(150)
    assert result.error is None, (result.error, job)
    seen = result.state["seen"]
    wanted = set()
    for name in CALLS[adaptor]:
        key = name.removeprefix("collections.").removeprefix("b.")
        wanted.add(f"{key}:then")
        wanted |= {f"{key}:callback"} if name not in ANY_NUMBER else set()
        wanted |= {f"{key}:catch"} if name not in ALONE else set()
    assert {key: seen.get(key) for key in wanted} == dict.fromkeys(wanted, 1)
    assert set(seen) == wanted
