"""The adaptor http is installed with its libraries, and works in a confined child."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from authority import Authority
from bundled_repo import make_bundled_repo
from modes import let_everybody_in
from runs import QUICK, make_engine
from telemetered import kept, traceparent_of
from warm import run_warm
from web import Reply, Web, as_json, server_tls
from wheels import make_small_wheel, make_wheels

from engine import Permissions
from engine.adaptors.repo import Repo
from jobcell.repo import RepoWriteError, add, initialise, libraries, verify

SECRET = "hush-hush-hush"


@pytest.fixture(autouse=True)
def no_leak(no_leak_of_file, engines):
    """The engines of this file outlive each test."""


@pytest.fixture(scope="module")
def engines():
    """The engines of this file by their mode: see `engine_of`."""
    with contextlib.ExitStack() as stack:
        _engines[0] = stack
        yield
    _engines.clear()


_engines = {}


def engine_of(mode, repo):
    """Return the engine of a mode, which is made by the first call."""
    if mode not in _engines:
        _engines[mode] = _engines[0].enter_context(make_engine(mode, repo_dir=repo, options=QUICK))
    return _engines[mode]


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    """A repo with the adaptors http, common and rest; http is installed from wheels of its libraries, without an index."""
    root = tmp_path_factory.mktemp("http")
    let_everybody_in(root)
    wheels = make_wheels(root / "wheels", "httpx[http2]", "brotli")
    repo = make_bundled_repo(root / "repo", "common", "rest")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", "")
        add(repo, ["http"], find_links=[str(wheels)])
    return repo


@pytest.fixture(scope="module")
def shared_web():
    """A web server of this file: the permission to reach it is one of what a warm interpreter serves."""
    with Web() as running:
        yield running


@pytest.fixture
def web(shared_web):
    """The web server, without routes and requests of other tests."""
    shared_web.routes.clear()
    shared_web.seen.clear()
    return shared_web


def run(
    repo, expression, web, *, mode="zygote", net=None, state=None, adaptor="http", **configuration
):
    """Return the result and the events of one step."""
    configuration = {"base_url": web.url, **configuration}
    step = {"id": "a", "expression": expression, "configuration": configuration}
    step["adaptors"] = [adaptor] if isinstance(adaptor, str) else adaptor
    rules = (f"127.0.0.1:{web.port}",) if net is None else net
    options = msgspec.structs.replace(
        QUICK, permissions=Permissions(net=rules), adaptor_log_level="debug"
    )
    handle = engine_of(mode, repo).execute(
        {"workflow": {"steps": [step]}}, state or {}, options=options
    )
    return handle.result(60), handle.poll(after=0)


def test_the_bundled_adaptor_is_installed_with_its_libraries(repo):
    """Its module is not that of the standard library, and nothing is changed afterwards."""
    link = Repo.read(repo).resolve("http")
    assert (link.name, link.module) == ("http", "http_")
    assert {problem for _, problem in verify(repo)} == {None}


@pytest.mark.parametrize("name", ["http", "rest", "fhir"])
def test_without_an_index_the_error_says_how_to_get_the_libraries(tmp_path, monkeypatch, name):
    """The adaptor itself is there, but not the libraries; the repo stays as it was."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setattr(libraries, "distributions", lambda **_: [])
    initialise(tmp_path / "repo")
    with pytest.raises(
        RepoWriteError,
        match=rf"libraries of {name} \(httpx.*jobcell\[adaptors\].*pip download .*'httpx.*--find-links",
    ):
        add(tmp_path / "repo", [name])
    assert Repo.read(tmp_path / "repo").entries() == []


def test_an_adaptor_that_depends_on_http_gets_its_libraries_too(tmp_path, monkeypatch):
    """The bundled wheel says what it needs; here the libraries are nearly empty."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    source = tmp_path / "mine"
    (source / "mine").mkdir(parents=True)
    (source / "mine" / "__init__.py").write_text("from http_ import get\n")
    (source / "pyproject.toml").write_text(
        '[project]\nname = "mine"\nversion = "1.0"\ndependencies = ["jobcell-http"]\n'
    )
    initialise(tmp_path / "repo")
    wheels = tmp_path / "wheels"
    for name in ("httpx", "brotli"):
        make_small_wheel(wheels, name)
    add(tmp_path / "repo", [str(source)], find_links=[str(wheels)])
    link = Repo.read(tmp_path / "repo").resolve("mine")
    assert Path(link.path, "http_", "__init__.py").is_file()
    assert Path(link.path, "httpx", "__init__.py").is_file()


@pytest.mark.parametrize("mode", ["zygote", "exec"])
def test_a_job_reads_and_writes(repo, web, mode):
    """Lazy state, compressed bodies, cookies, one connection, and the idempotency key of the step."""
    import brotli

    packed = brotli.compress(json.dumps({"rows": [{"id": 1}, {"id": 2}]}).encode())
    web.routes["/rows"] = lambda _: Reply(
        200,
        {
            "Content-Type": "application/json",
            "Content-Encoding": "br",
            "Set-Cookie": "sid=abc; Path=/",
        },
        packed,
    )
    job = """
get("rows", query={"since": state.since})
post("echo", {"ids": [row["id"] for row in state.data.rows]}, idempotency_key=True)
fn(lambda state: {**state, "sent": state.data})
post("form", {"f": file_part(state.data.body, "a.txt")}, content_type="form")
"""
    result, events = run(
        repo, job, web, mode=mode, state={"since": 3}, adaptor=["http", "common"], token=SECRET
    )

    assert result.reason == "success", result.error
    sent = result.state["sent"]
    assert json.loads(sent["body"]) == {"ids": [1, 2]}
    assert sent["headers"]["cookie"] == "sid=abc"
    (start,) = [event for event in events if event.type == "job-start"]
    assert sent["headers"]["idempotency-key"] == f"{start.run_id}:{start.step_run_id}"
    assert [seen.headers["authorization"] for seen in web.seen] == [f"Bearer {SECRET}"] * 3
    assert web.seen[0].query == [("since", "3")]
    assert len({seen.connection for seen in web.seen}) == 1
    assert len([event for event in events if event.type == "net-connect"]) == 1


def test_a_host_without_permission_is_refused(repo, web):
    """The error names the permission, and is final; the twin is the test above."""
    result, _ = run(repo, 'get("x")', web, net=())
    assert result.error.subtype == "UnreachableError"
    assert "net" in result.error.message
    assert result.error.details["retryable"] is False
    assert web.seen == []


def test_a_redirect_to_a_host_without_permission_is_refused(repo, web):
    """The engine decides about hosts, and the adaptor about credentials."""
    with Web() as other:
        web.routes["/to/there"] = lambda _: Reply(302, {"Location": other.url + "/echo"})
        refused, _ = run(repo, 'get("to/there")', web, token=SECRET)
        rules = (f"127.0.0.1:{web.port}", f"127.0.0.1:{other.port}")
        followed, _ = run(repo, 'get("to/there")', web, net=rules, token=SECRET)
        assert refused.error.subtype == "UnreachableError"
        assert "authorization" not in followed.state["data"]["headers"]
        assert len(other.seen) == 1


def test_a_failed_request_is_repeated_by_the_plan_when_the_server_says(repo, web):
    """The error carries the delay, and the step begins again."""
    left = [1]

    def route(_):
        if left[0]:
            left[0] -= 1
            return Reply(503, {"Retry-After": "0"})
        return as_json({"fine": True})

    web.routes["/x"] = route
    step = {
        "id": "a", "adaptor": "http", "expression": 'post("x", {}, retries=0)',
        "configuration": {"base_url": web.url}, "retry": {"attempts": 2, "delay": 100_000},
    }  # fmt: skip
    options = msgspec.structs.replace(
        QUICK, permissions=Permissions(net=(f"127.0.0.1:{web.port}",))
    )
    handle = engine_of("zygote", repo).execute({"workflow": {"steps": [step]}}, {}, options=options)
    result = handle.result(60)
    errors = [event for event in handle.poll(after=0) if event.type == "job-error"]
    assert result.state["data"] == {"fine": True}
    assert [event.retry_in_ms for event in errors] == [0]


def test_no_event_shows_what_only_the_adaptor_knows(repo, web):
    """A token of a token server and a cookie are not among the secrets of the engine."""
    token, sid = "token-of-the-server-81", "cookie-of-the-server-17"
    web.routes |= {
        "/token": lambda _: as_json({"access_token": token, "token_type": "Bearer"}),
        "/login": lambda _: Reply(200, {"Set-Cookie": f"sid={sid}; Path=/"}),
        "/bad": lambda seen: Reply(500, {}, str(seen.headers).encode()),
    }
    result, events = run(
        repo, 'get("login")\npost("bad")', web,
        token_url=web.url + "/token", client_id="me", client_secret=SECRET,
    )  # fmt: skip
    assert result.error.subtype == "ResponseError"
    everything = repr(events) + repr(result)
    assert f"Bearer {token}" in str(web.seen[-1].headers)
    assert sid in str(web.seen[-1].headers)
    for secret in (token, sid, SECRET):
        assert secret not in everything
    assert "POST" in "".join(event.message for event in events if event.type == "log")


def test_certificates_come_from_the_configuration(repo, tmp_path):
    """A run reads no file of the host, and has its authority and its own certificate all the same."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    authority = Authority(tmp_path, "private")
    text = authority.issue("ann").read_text()
    place = text.index("-----BEGIN CERTIFICATE")
    context = server_tls(authority.issue("server"), clients_of=authority.certificate)
    with Web(tls=context) as strict:
        strict.routes["/me"] = lambda seen: as_json(dict(p[0] for p in seen.peer["subject"]))
        tls = {
            "ca": authority.certificate.read_text(), "cert": text[place:], "key": text[:place]
        }  # fmt: skip
        shown, events = run(repo, 'get("me", http2=True)', strict, tls=tls)
        bare, _ = run(repo, 'get("me", retries=0)', strict, tls={"ca": tls["ca"]})
    assert shown.state["data"] == {"commonName": "ann"}, shown.error
    assert bare.error.subtype == "UnreachableError"
    assert "PRIVATE KEY" not in repr(events)


def test_a_file_of_authorities_is_all_that_a_run_trusts(repo, tmp_path):
    """The permission of the engine holds for this adaptor, too; the twin has another file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    ours, others = Authority(tmp_path, "ours"), Authority(tmp_path, "others")
    with Web(tls=server_tls(ours.issue("server"))) as secure:
        outcomes = {}
        for authority in (ours, others):
            permissions = Permissions(
                net=(f"127.0.0.1:{secure.port}",), ca_file=str(authority.certificate)
            )
            step = {
                "id": "a", "adaptor": "http", "expression": 'get("x", retries=0)',
                "configuration": {"base_url": secure.url},
            }  # fmt: skip
            options = msgspec.structs.replace(QUICK, permissions=permissions)
            handle = engine_of("zygote", repo).execute(
                {"workflow": {"steps": [step]}}, {}, options=options
            )
            outcomes[authority] = handle.result(60)
    assert outcomes[ours].error is None
    assert "CERTIFICATE_VERIFY_FAILED" in outcomes[others].error.message


def test_a_bomb_does_not_kill_the_run(repo, web):
    """The step fails with the limit, and the child lives."""
    import zlib

    packer = zlib.compressobj(1, wbits=31)
    begin = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush a block depends on no other one, so one is compressed and sent 600 times.
    block = packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    bomb = begin + 600 * block + packer.flush()
    web.routes["/bomb"] = lambda _: Reply(200, {"Content-Encoding": "gzip"}, bomb)
    result, _ = run(repo, 'get("bomb")', web)
    assert (result.error.subtype, result.error.severity) == ("TooLargeError", "fail")
    assert "max_mb" in result.error.message


def test_an_import_of_the_name_of_the_adaptor_says_how_it_is_written(repo, web):
    """`http` is the standard module, of which a job has two names."""
    wrong, _ = run(repo, "from http import get\nget('x')", web)
    right, _ = run(repo, "from http import HTTPStatus\nfrom http_ import get\nget('x')", web)
    unknown, _ = run(repo, "from http import nothing\nget('x')", web)
    assert "write `from http_ import get`" in wrong.error.message
    assert right.state["data"]["target"] == "/x"
    assert "HTTPMethod, HTTPStatus" in unknown.error.message


def test_stubs_know_every_option(repo, tmp_path):
    """A checker finds a wrong option, and the libraries of the adaptor do not disturb it."""
    stubs = tmp_path / "stubs"
    run_warm(None, "stubs", "--adaptor", "http", "-o", stubs, "--repo", repo).check_returncode()
    job = tmp_path / "job.py"
    job.write_text(
        'get("x", query={"a": 1}, timeout=1000)\n'
        'post("x", {"f": file_part(b"")}, content_type="form", headers={"X": cookie("c")})\n'
        'paginate("x", style="page", items="rows")\n'
        'get("x", timout=1)\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", stubs / "mypy.ini", job],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [line.partition(": error:")[0] for line in errors] == [f"{job}:4"], done.stdout
    assert "timout" in errors[0]


def test_rest_says_once_that_http_replaces_it(repo, web):
    """It works as before, for one release."""
    result, events = run(repo, 'get("x")\nget("y")', web, adaptor="rest")
    warnings = [e.message for e in events if e.type == "log" and e.level == "warning"]
    assert result.state["data"]["target"] == "/y"
    assert len(warnings) == 1
    assert "http" in warnings[0]


@pytest.mark.parametrize("asked", [True, False])
def test_a_service_gets_the_span_of_the_attempt_if_the_configuration_says_so(repo, web, asked):
    """It can put its own spans below the attempt that has called it; the twin sends nothing."""
    configuration = {"base_url": web.url, "trace": asked}
    step = {"id": "a", "expression": "get('a')", "adaptor": "http", "configuration": configuration}
    options = msgspec.structs.replace(
        QUICK, permissions=Permissions(net=(f"127.0.0.1:{web.port}",))
    )
    engine = engine_of("zygote", repo)
    with kept(engine) as found:
        run = engine.execute({"workflow": {"steps": [step]}}, options=options)
        result = run.result(60)
        assert result.reason == "success", result.error
        attempt = traceparent_of(found.one("attempt a", run.id))
        (connection,) = [e for e in found.one("run", run.id).events if e.name == "net-connect"]
    assert [seen.headers.get("traceparent") for seen in web.seen] == [attempt if asked else None]
    assert connection.attributes["server.port"] == web.port
