"""Our ruleset and the one of landlockpy for the same paths allow the same operations."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from harness import WALL, run_hostile

OPERATIONS = """
import os, socket
def attempt(name, function):
    try:
        function()
    except OSError as error:
        print(name, error.errno)
    else:
        print(name, "done")
for where, directory in (("inside", {inside!r}), ("outside", {outside!r})):
    file, new = directory + "/file", directory + "/new"
    attempt(where + " read", lambda: open(file).read())
    attempt(where + " list", lambda: os.listdir(directory))
    attempt(where + " stat", lambda: os.stat(file))
    attempt(where + " append", lambda: open(file, "a"))
    attempt(where + " truncate", lambda: os.truncate(file, 1))
    attempt(where + " create", lambda: open(new, "x"))
    attempt(where + " mkdir", lambda: os.mkdir(new))
    attempt(where + " fifo", lambda: os.mkfifo(new))
    attempt(where + " symlink", lambda: os.symlink("x", new))
    attempt(where + " link", lambda: os.link(file, new))
    attempt(where + " rename", lambda: os.rename(file, new))
    attempt(where + " unlink", lambda: os.unlink(file))
    attempt(where + " rmdir", lambda: os.rmdir(directory + "/empty"))
    attempt(where + " socket", lambda: socket.socket(socket.AF_UNIX).bind(new))
    attempt(where + " execute", lambda: os.posix_spawn(directory + "/program", ["x"], {{}}))
attempt("root", lambda: os.listdir("/"))
attempt("null", lambda: open("/dev/null", "w"))
attempt("zero", lambda: open("/dev/zero", "w"))
attempt("tcp bind", lambda: socket.socket().bind(("127.0.0.1", 0)))
attempt("tcp connect", lambda: socket.socket().connect(("127.0.0.1", 1)))
attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("127.0.0.1", 1)))
attempt("signal", lambda: os.kill(os.getppid(), 0))
"""

ORACLE = """
import sys, os
sys.path.append({site!r})
import landlockpy as l
del sys.path[-1]
rules = l.Ruleset(scoped=l.Scope.ABSTRACT_UNIX_SOCKET | l.Scope.SIGNAL)
for path in {paths!r}:
    directory = os.path.isdir(path)
    rights = l.AccessFS.READ_FILE | (l.AccessFS.READ_DIR if directory else l.AccessFS.NONE)
    if path == "/dev/null":
        rights |= l.AccessFS.WRITE_FILE
    rules.allow_path(path, rights)
rules.restrict()
"""


@pytest.fixture
def directories(tmp_path):
    made = []
    for name in ("inside", "outside"):
        directory = tmp_path / name
        (directory / "empty").mkdir(parents=True)
        (directory / "file").write_text("content")
        (directory / "program").write_bytes(Path("/bin/true").read_bytes())
        (directory / "program").chmod(0o755)
        made.append(str(directory))
    return made


def test_the_same_paths_give_the_same_verdicts(directories):
    """The test reads, writes in all ways, executes, connects and signals, inside and outside."""
    spec = importlib.util.find_spec("landlockpy")
    if spec is None:
        pytest.skip("needs landlockpy")
    site = str(Path(spec.origin).parent.parent)
    inside, outside = directories
    others = tuple(name for name in WALL if name not in ("landlock", "no_new_privs"))
    source = OPERATIONS.format(inside=inside, outside=outside)

    from harness import make_request

    request = make_request(read_paths=[inside], hidden_paths=(), without=others)
    ours = run_hostile(source, request=request)
    oracle = ORACLE.format(site=site, paths=list(request.read_paths))
    theirs = run_hostile(
        oracle + source,
        request=make_request(read_paths=[inside], hidden_paths=(), without=(*others, "landlock")),
    )

    assert ours.out == theirs.out, (ours.err, theirs.err)
    verdicts = dict(line.rsplit(" ", 1) for line in ours.out.splitlines())
    assert verdicts["inside read"] == verdicts["inside list"] == verdicts["null"] == "done"
    done = {name for name, verdict in verdicts.items() if verdict == "done"}
    assert done <= {"inside read", "inside list", "inside stat", "outside stat", "null", "udp"}
