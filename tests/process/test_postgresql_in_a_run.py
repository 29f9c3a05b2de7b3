"""The adaptor `postgresql` in the sandbox: a real server, through the network permission."""

from __future__ import annotations

import compileall
import importlib.util
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from authority import Authority
from empty_databases import EmptyDatabases
from modes import let_everybody_in
from postgres import PostgresServer
from runs import make_engine

from engine import Engine, Permissions, RunOptions, RunResult

ADAPTORS = Path(__file__).parents[2] / "adaptors"
LIBRARIES = ("psycopg", "psycopg_binary", "typing_extensions")


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repo with the adaptor and its libraries, as `jobcell repo add` installs them."""
    root = tmp_path_factory.mktemp("repo")
    place = root / "postgresql_1.0.0"
    shutil.copytree(ADAPTORS / "postgresql" / "postgresql", place / "postgresql")
    for name in LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            pytest.skip(f"{name} is not installed")
        origin = Path(spec.origin)
        if origin.name != "__init__.py":
            shutil.copy(origin, place)
            continue
        shutil.copytree(origin.parent, place / name)
        for shared in origin.parent.parent.glob(f"{name}.libs"):
            shutil.copytree(shared, place / shared.name)
    entry = {"name": "postgresql", "version": "1.0.0", "path": place.name, "module": "postgresql"}
    (root / "repo.json").write_text(json.dumps({"adaptors": [entry]}))
    compileall.compile_dir(place / "postgresql", quiet=1)  # as the command does it
    let_everybody_in(root)
    return root


@pytest.fixture(autouse=True)
def no_leak(no_leak_of_file: None, postgres: Any) -> None:
    """The engines of this file outlive each test."""


@pytest.fixture(scope="module")
def engine(repo: Path) -> Iterator[Engine]:
    """An engine with the repo.

    It imports the library once for many runs. The work of the adaptor does not depend on the start of the child.
    """
    with make_engine("zygote", repo_dir=repo, max_runs=2) as running:
        yield running


@pytest.fixture(params=["exec", "zygote"])
def each_engine(request: pytest.FixtureRequest, repo: Path) -> Iterator[Engine]:
    """An engine of each start mode."""
    if request.param == "zygote":
        yield request.getfixturevalue("engine")
        return
    with make_engine("exec", repo_dir=repo, max_runs=2) as running:
        yield running


def configuration_of(url: str) -> dict[str, Any]:
    """Return the configuration for a database."""
    parts = psycopg.conninfo.conninfo_to_dict(url)
    names = {"host": "host", "port": "port", "database": "dbname", "user": "user"}
    return {**{key: parts[name] for key, name in names.items()}, "password": "pass-word-1"}


@pytest.fixture
def configuration(postgres_url: str) -> dict[str, Any]:
    """A configuration for an empty database."""
    return configuration_of(postgres_url)


@pytest.fixture(scope="module")
def shared(empty_databases: EmptyDatabases) -> Iterator[dict[str, Any]]:
    """A configuration for a database in which tests leave nothing."""
    with empty_databases.new() as url:
        yield configuration_of(url)


def run(
    engine: Engine, configuration: dict[str, Any], *jobs: str, state: Any = None, **permissions: Any
) -> RunResult:
    """Run jobs as steps one after another, with the port of the database."""
    steps: list[dict[str, Any]] = [
        {
            "id": f"s{number}",
            "adaptors": ["postgresql"],
            "expression": job,
            "configuration": configuration,
            "next": f"s{number + 1}",
        }
        for number, job in enumerate(jobs)
    ]
    del steps[-1]["next"]
    given = {"net": [f"127.0.0.1:{configuration['port']}"], **permissions}
    options = RunOptions(permissions=Permissions(**given), timeout_s=60)
    return engine.execute({"workflow": {"steps": steps}}, state, options=options).result(80)


JOB = """
insert_table("visits", [
    {"name": "id", "type": "int", "unique": True},
    {"name": "name", "type": "text"},
    {"name": "born", "type": "date"},
    {"name": "paid", "type": "numeric(10, 2)"},
    {"name": "extra", "type": "jsonb"},
])
insert("visits", {"id": state.given.id, "name": state.given.name})
insert_many("visits", [{"id": n, "born": state.given.born} for n in state.given.more])
upsert("visits", "id", {"id": 1, "paid": "1.50", "extra": {"tags": state.given.more}})
copy_rows("visits", [{"id": 100 + n, "name": "copied"} for n in range(1000)])
transaction(
    insert("visits", {"id": 50, "name": "both"}),
    sql("update visits set name = $1 where id = $2", values=[state.given.name, 50]),
)
sql("select * from visits where id = any($1) order by id", values=[[1, 2, 50]])
"""
DATA = {"id": 1, "name": "x' or 1=1; --", "born": "2024-05-06", "more": [2, 3]}


def test_the_verbs_work_in_a_script(each_engine: Engine, configuration: dict[str, Any]):
    """Lazy arguments, types, COPY and transactions, in a confined child."""
    result = run(each_engine, configuration, JOB, state={"given": DATA})
    assert result.reason == "success", result.error
    name = DATA["name"]
    empty = {"name": None, "born": None, "paid": None, "extra": None}
    assert result.state["data"] == [
        {**empty, "id": 1, "name": name, "paid": "1.50", "extra": {"tags": [2, 3]}},
        {**empty, "id": 2, "born": "2024-05-06"},
        {**empty, "id": 50, "name": name},
    ]
    assert "pass-word-1" not in repr(result.state)


def test_the_connection_is_kept_from_step_to_step_and_closed_with_the_run(
    engine: Engine, configuration: dict[str, Any], postgres: Any
):
    """The server sees one connection, and none after the run."""
    job = "sql('select pg_backend_pid() as pid')"
    result = run(engine, configuration, job, job)
    assert result.reason == "success", result.error
    assert result.state["data"] == result.state["references"][1]
    database = configuration["database"]
    count = f"select count(*) from pg_stat_activity where datname = '{database}'"
    while postgres.sql(count) != "0":
        pass  # the server notices the closed connection by itself


def test_the_example_of_the_readme_runs(engine: Engine, configuration: dict[str, Any]):
    """All verbs, in the order of the page."""
    text = (ADAPTORS / "postgresql" / "README.md").read_text()
    [example] = re.findall(r"<!-- test: run.*?```python\n(.*?)```", text, re.DOTALL)
    given = [{"id": n, "patient": f"p{n}", "day": f"2024-05-0{n}"} for n in (2, 3)]
    result = run(engine, configuration, example, state={"since": "2024-05-02", "rows": given})
    assert result.reason == "success", result.error
    assert [row["patient"] for row in result.state["data"]] == ["Ada", "p2", "p3"]
    assert result.state["data"][1] == {**given[0], "paid": "3.00", "tags": None}


INTERPOLATED = {
    "lazy f-string": "sql(f\"select '{state.data.name}'\")",
    "lazy format": "sql(\"select '{}'\".format(state.data.name))",
    "lazy percent": "sql(\"select '%s'\" % state.data.name)",
    "lazy plus": 'sql("select \'" + state.data.name + "\'")',
    "function": (
        "def main(state):\n    name = state.data.name\n    return sql(f\"select '{name}'\")(state)"
    ),
    "operation": "fn(lambda state: sql(f\"select '{state.data.name}'\")(state))",
    "of the state": "sql(state.data.name)",
}


@pytest.mark.parametrize("form", INTERPOLATED)
def test_interpolated_text_is_refused(engine: Engine, shared: dict[str, Any], form: str):
    """With a hint, and before anything is sent."""
    job = INTERPOLATED[form].replace("fn(", "transaction(")
    error = run(engine, shared, job, state={"data": DATA}).error
    assert error is not None
    assert (error.name, error.subtype) == ("AdaptorError", "InterpolatedQueryError")
    assert "values=[state.data.id]" in error.message


WRITTEN = {
    "literal": "sql('select 1 as n')",
    "by name": "QUERY = 'select 1 as n'\nsql(QUERY)",
    "choice": "sql('select 1 as n' if state.data.id else 'select 2 as n')",
    "function": "QUERY = 'select 1 as n'\ndef main(state):\n    return sql(QUERY)(state)",
    "helper": "def query():\n    return 'select 1 as n'\ndef main(state):\n    return sql(query())(state)",
    "lambda": "transaction(lambda state: sql('select 1 as n')(state))",
    "parameters": "sql('select $1::int as n', values=[state.data.id])",
    "names": "sql('select 1 as {n}', identifiers={'n': 'n'})",
}


@pytest.mark.parametrize("form", WRITTEN)
def test_text_that_stands_in_the_job_is_taken(engine: Engine, shared: dict[str, Any], form: str):
    """In each form that authors write."""
    result = run(engine, shared, WRITTEN[form], state={"data": DATA})
    assert result.reason == "success", result.error
    assert result.state["data"] == [{"n": 1}]


def test_a_run_without_the_permission_does_not_reach_the_server(
    engine: Engine, shared: dict[str, Any]
):
    """The report names the rule that would allow it, and not the password."""
    error = run(engine, shared, "sql('select 1')", net=[]).error
    assert error is not None
    assert error.subtype == "UnreachableError"
    assert error.details["retryable"] is False
    assert f'net=["127.0.0.1:{shared["port"]}"]' in (error.fix or "")
    assert "pass-word-1" not in repr(error)
    other = run(engine, shared, "sql('select 1')", net=["127.0.0.1:1"]).error
    assert other is not None
    assert other.subtype == "UnreachableError"
    assert "pass-word-1" not in repr(other)


def test_a_rule_may_name_the_host(engine: Engine, shared: dict[str, Any]):
    """The library resolves the name in the network of the run."""
    by_name = {**shared, "host": "localhost"}
    net = [f"localhost:{shared['port']}"]
    result = run(engine, by_name, "sql('select 1 as n')", net=net)
    assert result.reason == "success", result.error
    assert result.state["data"] == [{"n": 1}]


def test_a_failure_is_retried_if_another_attempt_can_succeed(
    engine: Engine, configuration: dict[str, Any]
):
    """A failed serialization is; a violated constraint is not."""
    make = "sql('create sequence attempts')"
    fail = (
        "sql('select nextval($1::regclass)', values=['attempts'])\n"
        'sql("do $$ begin if (select last_value from attempts) < 3 then'
        " raise exception using errcode = '{code}'; end if; end $$\")"
    )
    for code, attempts, reason in (("40001", "3", "success"), ("23505", "1", "fail")):
        steps = [
            {"id": "make", "adaptors": ["postgresql"], "expression": make, "next": "fail"},
            {
                "id": "fail",
                "adaptors": ["postgresql"],
                "expression": fail.replace("{code}", code),
                "retry": {"attempts": 5, "delay": 1},
                "next": {"drop": True},
            },
            {
                "id": "drop",
                "adaptors": ["postgresql"],
                "expression": "sql('select last_value from attempts')\nsql('drop sequence attempts')",
            },
        ]
        for step in steps:
            step["configuration"] = configuration
        options = RunOptions(permissions=Permissions(net=[f"127.0.0.1:{configuration['port']}"]))
        result = engine.execute({"workflow": {"steps": steps}}, options=options).result(60)
        assert result.state["references"][-1] == [{"last_value": int(attempts)}], result.error
        assert ("fail" in result.state.get("errors", {})) == (reason == "fail")


def test_a_certificate_authority_needs_a_place_for_a_file(engine: Engine, shared: dict[str, Any]):
    """libpq reads it from a file only, so the message names the permission."""
    ca = (Path(__file__).parents[1] / "support" / "authority.py").read_text()[:10]
    wanted = {**shared, "ssl": True, "ca": ca}
    error = run(engine, wanted, "sql('select 1')").error
    assert error is not None
    assert "configuration.ca needs a place for a file" in error.message
    error = run(engine, wanted, "sql('select 1')", scratch_mb=1).error
    assert error is not None
    assert "needs a place" not in error.message  # the text is not that of a certificate


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that has signed the certificates of the server and of a client."""
    directory = tmp_path_factory.mktemp("authority")
    let_everybody_in(directory)
    return Authority(directory, "authority")


@pytest.fixture(scope="module")
def encrypted(authority: Authority, postgres: PostgresServer) -> Iterator[dict[str, Any]]:
    """The configuration of a server that speaks TLS, and knows clients by their certificates."""
    tls = postgres.speaking_tls(authority.issue("server"), clients_of=authority.certificate)
    with tls:
        yield {
            "host": "127.0.0.1",
            "port": postgres.port,
            "database": "postgres",
            "user": "jobcell",
        }


SHOW = "sql('select ssl, client_dn from pg_stat_ssl where pid = pg_backend_pid()')"


def test_a_server_with_tls_is_verified(
    engine: Engine, encrypted: dict[str, Any], authority: Authority
):
    """The connection is encrypted, and the server knows the certificate of the client."""
    private = authority.issue("client").read_text()
    client = (authority.directory / "client.crt").read_text()
    wanted = {**encrypted, "ssl": True, "ca": authority.certificate.read_text()}
    result = run(engine, wanted, SHOW, scratch_mb=1)
    assert result.state["data"] == [{"ssl": True, "client_dn": None}], result.error
    result = run(engine, {**wanted, "cert": client, "key": private}, SHOW, scratch_mb=1)
    assert result.state["data"] == [{"ssl": True, "client_dn": "/CN=client"}], result.error


def test_a_server_with_tls_that_nobody_vouches_for_is_refused(
    engine: Engine, encrypted: dict[str, Any], tmp_path: Path
):
    """Another authority has not signed it, and neither has one of the machine."""
    for more in ({"ca": Authority(tmp_path, "stranger").certificate.read_text()}, {}):
        error = run(engine, {**encrypted, "ssl": True, **more}, SHOW, scratch_mb=1).error
        assert error is not None
        assert "certificate verify failed" in error.message
    for more in ({"ssl": True, "allow_self_signed_cert": True}, {}):
        result = run(engine, {**encrypted, **more}, SHOW)
        assert result.state["data"] == [{"ssl": True, "client_dn": None}], result.error


def test_a_server_with_the_certificate_of_another_name_is_refused(
    engine: Engine, encrypted: dict[str, Any], authority: Authority
):
    """It is that of an address, and the job asks for a name."""
    ca = authority.certificate.read_text()
    wanted = {**encrypted, "host": "localhost", "ssl": True, "ca": ca}
    error = run(engine, wanted, SHOW, scratch_mb=1, net=[f"localhost:{wanted['port']}"]).error
    assert error is not None
    assert "does not match host name" in error.message
