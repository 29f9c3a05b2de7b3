"""The error of a refused connection names the missing permission, whatever library has tried it."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from engine import Engine, ModuleRef, Permissions, RunOptions

LIBRARIES = (
    *("requests", "urllib3", "charset_normalizer", "certifi", "idna"),
    *("httpx", "httpcore", "h11", "anyio", "sniffio", "typing_extensions"),
)
"""Well-known libraries with their dependencies: an adaptor sees the packages in its own directory.
"""

VERBS = """
import asyncio, socket, urllib.request, http.client

def _verb(call):
    return lambda state: {**state, "data": call()}

def plain(host, port):
    return _verb(lambda: socket.create_connection((host, port), timeout=5))

def bare(server, number):
    def call():
        with socket.socket() as sock:
            sock.connect((server, number))
    return _verb(call)

def url(host, port):
    return _verb(lambda: urllib.request.urlopen(f"http://{host}:{port}/", timeout=5).read())

def http_client(host, port):
    return _verb(lambda: http.client.HTTPConnection(host, port, timeout=5).request("GET", "/"))

def streams(host, port):
    async def call(state):
        await asyncio.open_connection(host, port)
    return call

def name(host, port):
    return _verb(lambda: socket.gethostbyname(host))

def wrapped(host, port):
    def call():
        try:
            socket.create_connection((host, port), timeout=5)
        except OSError as error:
            raise ValueError("the database is away") from error
    return _verb(call)

def swallowed(host, port):
    def call():
        try:
            socket.create_connection((host, port), timeout=5)
        except OSError:
            return "nothing"
    return _verb(call)

def in_c(host, port):
    text = f'connection to server at "{host}", port {port} failed: Operation not permitted'
    def call():
        raise RuntimeError(text)
    return _verb(call)

def silent_c(host, port):
    def connect(params):
        raise RuntimeError("connection is bad: no error details available")
    return _verb(lambda: connect({"host": host, "port": str(port), "user": "x"}))

def late(host, port):
    def call():
        import requests
        requests.get(f"http://{host}:{port}/", timeout=5)
    return _verb(call)

def modern(host, port):
    def call():
        import httpx
        httpx.get(f"http://{host}:{port}/", timeout=5)
    return _verb(call)

def of_a_file(host, port):
    def call():
        raise PermissionError(13, "Permission denied", "/etc/shadow")
    return _verb(call)

def of_a_process(host, port):
    import os
    return _verb(lambda: os.kill(1, 9))
"""


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Return the options for the adaptor with all these verbs."""
    directory = tmp_path_factory.mktemp("adaptor")
    (directory / "caller").mkdir()
    (directory / "caller/__init__.py").write_text(VERBS)
    for library in LIBRARIES:
        spec = importlib.util.find_spec(library)
        if spec is not None and spec.origin is not None:
            source = Path(spec.origin)
            if spec.submodule_search_locations:
                shutil.copytree(source.parent, directory / library)
            else:
                shutil.copy(source, directory)
    return {"modules": {"caller": ModuleRef(path=str(directory))}}


@pytest.fixture(scope="module")
def shared():
    """All tests of this file share this engine."""
    with Engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def with_rules():
    """The tests of runs with rules share this engine."""
    with Engine() as engine:
        yield engine


@pytest.fixture(autouse=True)
def no_leak():
    """Replace the check of leaks, because the engine of this file outlives each test."""


def run(engine, options, expression, net=()):
    """Return the error's report and the warnings of one job."""
    plan = {"workflow": {"steps": [{"id": "a", "adaptor": "caller", "expression": expression}]}}
    made = RunOptions(**options, permissions=Permissions(net=net))
    handle = engine.execute(plan, {}, options=made)
    result = handle.result(timeout_s=60)
    logged = [event.message for event in handle.poll() if event.type == "log"]
    return result.error, logged


REFUSED = 'connection to {rule} was refused; allow it with Permissions(net=["{rule}"])'
PLACES = [("127.0.0.1", 9, "127.0.0.1:9"), ("db.example.org", 5432, "db.example.org:5432")]


@pytest.mark.parametrize(
    "verb",
    ["plain", "url", "http_client", "streams", "wrapped", "in_c", "silent_c", "late", "modern"],
)
@pytest.mark.parametrize("place", PLACES, ids=["address", "name"])
def test_the_report_names_the_rule_that_is_missing(shared, options, verb, place):
    """The job connects to an address, or to a name that cannot even be looked up."""
    library = {"late": "requests", "modern": "httpx"}.get(verb)
    if library and importlib.util.find_spec(library) is None:
        pytest.skip(f"needs {library}")
    host, port, rule = place

    error, _ = run(shared, options, f"{verb}({host!r}, {port})")

    assert error.fix == REFUSED.format(rule=rule)
    assert (error.option, error.option_value) == ("net", rule)


@pytest.mark.parametrize("expression", ["bare('db.example.org', 5432)", "name('h.example', 1)"])
def test_what_is_not_known_is_left_open(shared, options, expression):
    """If a job only looks a name up, the error shows a placeholder for the part that it cannot know."""
    error, _ = run(shared, options, expression)

    assert error.option_value in {"HOST:PORT", "h.example:PORT"}
    assert "Permissions(net=" in error.fix


def test_a_library_that_says_nothing_gets_a_line_in_the_log(shared, options):
    """The step succeeds, and the log has the refused connection."""
    error, logged = run(shared, options, "swallowed('db.example.org', 5432)")

    assert error is None
    assert logged == [REFUSED.format(rule="db.example.org:5432")]


@pytest.mark.parametrize("verb", ["of_a_file", "of_a_process"])
def test_another_refusal_is_not_taken_for_one_of_the_network(shared, options, verb):
    """The error is that of a file or of a process, and no connection was tried."""
    error, logged = run(shared, options, f"{verb}('x', 1)")

    assert error.option is None
    assert not logged


@pytest.mark.parametrize("verb", ["plain", "url", "streams", "wrapped", "in_c", "late", "modern"])
def test_with_rules_the_report_names_the_one_that_is_missing(with_rules, options, verb):
    """The port of another rule has a socket, but no other one has; and other names do not exist."""
    library = {"late": "requests", "modern": "httpx"}.get(verb)
    if library and importlib.util.find_spec(library) is None:
        pytest.skip(f"needs {library}")
    for host in ("127.0.0.1", "db.example.org"):
        error, _ = run(with_rules, options, f"{verb}({host!r}, 5432)", net=["localhost:1"])

        assert error.fix == REFUSED.format(rule=f"{host}:5432")
        assert (error.option, error.option_value) == ("net", f"{host}:5432")


def test_with_rules_only_what_is_refused_is_said_to_be(with_rules, options):
    """A rule allows the connection, and the server that does not listen is another error."""
    closed, logged = run(with_rules, options, "plain('localhost', 1)", net=["localhost:1"])
    swallowed, quiet = run(with_rules, options, "swallowed('localhost', 1)", net=["localhost:1"])
    refused, named = run(with_rules, options, "swallowed('localhost', 2)", net=["localhost:1"])

    assert closed.option is None
    assert not logged
    assert swallowed is refused is None
    assert not quiet
    assert named == [REFUSED.format(rule="localhost:2")]
