"""Files: a child reads only the files of its request, and writes no file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from harness import run_hostile
from modes import let_everybody_in

FILES = ("mounts", "landlock", "identity")
"""The layers that protect files; each twin leaves out all of them."""


@pytest.fixture
def outside(tmp_path):
    """A directory with a secret, whose mode lets everybody read and write."""
    let_everybody_in(tmp_path, 0o777)
    secret = tmp_path / "secret"
    secret.write_text("the secret of another tenant")
    secret.chmod(0o666)
    return tmp_path


READ = "print(open({path!r}).read())"
LIST = "import os; print(os.listdir({directory!r}))"
WALK = "import os; print([f for _, _, fs in os.walk({directory!r}) for f in fs])"
OPENAT = (
    "import os; d = os.open('/', os.O_PATH); print(os.read(os.open({path!r}[1:], 0, dir_fd=d), 99))"
)
SYMLINK = "import os; print(open({link!r}).read())"


@pytest.mark.parametrize(
    "without", [(), ("mounts",), ("landlock",)], ids=["all", "landlock", "mounts"]
)
@pytest.mark.parametrize(
    "attack", [READ, LIST, WALK, OPENAT], ids=["read", "list", "walk", "openat"]
)
def test_a_file_outside_cannot_be_read_or_listed(outside, attack, without):
    """Landlock and the mount namespace each hide paths outside the request; either is enough."""
    source = attack.format(path=str(outside / "secret"), directory=str(outside))

    outcome = run_hostile(source, without=without)

    assert "secret" not in outcome.out
    twin = run_hostile(source, without=FILES)
    assert "secret" in twin.out


def test_a_symlink_in_the_repo_leads_nowhere(outside, tmp_path_factory):
    """A link in a readable directory does not make its target readable."""
    repo = tmp_path_factory.mktemp("repo")
    link = repo / "link"
    link.symlink_to(outside / "secret")
    source = f"print(open({str(link)!r}).read())"

    for without in ((), ("mounts",), ("landlock",)):
        assert "secret" not in run_hostile(source, read_paths=[str(repo)], without=without).out

    assert "secret" in run_hostile(source, read_paths=[str(repo)], without=FILES).out


def test_a_file_that_is_named_can_be_read(outside):
    """A permission to read is effective: neither the walls nor the user id take it back."""
    source = f"print(open({str(outside / 'secret')!r}).read())"

    outcome = run_hostile(source, read_paths=[str(outside)])

    assert outcome.out == "the secret of another tenant\n", outcome.err


def test_packages_of_the_manager_cannot_be_read():
    """The standard library may contain a site-packages directory, whose files cannot be read."""
    import sysconfig

    site = Path(sysconfig.get_path("stdlib"), "site-packages")
    file = next((file for file in site.rglob("*.py") if file.stat().st_size), None)
    if file is None:
        pytest.skip("this interpreter has no site-packages inside of its standard library")
    source = f"print(len(open({str(file)!r}).read()))"

    for without in ((), ("mounts",), ("landlock",)):
        assert run_hostile(source, without=without).code != 0

    assert run_hostile(source, without=FILES).code == 0


WRITES = {
    "write": "open({file!r}, 'w').write('mine')",
    "append": "open({file!r}, 'a').write('mine')",
    "create": "open({new!r}, 'x').write('mine')",
    "truncate": "import os; os.truncate({file!r}, 0)",
    "unlink": "import os; os.unlink({file!r})",
    "rename": "import os; os.rename({file!r}, {new!r})",
    "link": "import os; os.link({file!r}, {new!r})",
    "symlink": "import os; os.symlink('/etc/passwd', {new!r})",
    "mkdir": "import os; os.mkdir({new!r})",
    "mkfifo": "import os; os.mkfifo({new!r})",
    "chmod": "import os; os.chmod({file!r}, 0)",
    "utime": "import os; os.utime({file!r}, (0, 0))",
    "xattr": "import os; os.setxattr({file!r}, 'user.mine', b'1')",
}


def snapshot(directory: Path) -> dict:
    return {
        path.name: (path.lstat().st_mode, path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in directory.iterdir()
    } | {"xattr": os.listxattr(directory / "file") if (directory / "file").exists() else None}


@pytest.fixture
def writable(tmp_path):
    """A directory that everybody may write."""
    let_everybody_in(tmp_path, 0o777)
    (tmp_path / "file").write_text("content")
    (tmp_path / "file").chmod(0o666)
    return tmp_path


@pytest.mark.parametrize("name", WRITES)
def test_nothing_can_be_written_anywhere(writable, name):
    """A path that may be read cannot be written either, even if everybody may write there."""
    source = WRITES[name].format(
        file=str(writable / "file"), new=str(writable / "new"), directory=str(writable)
    )
    before = snapshot(writable)

    for without in ((), ("landlock",), ("seccomp",), ("mounts",)):
        outcome = run_hostile(source, read_paths=[str(writable)], without=without)
        assert outcome.code != 0, without
        assert snapshot(writable) == before, without

    if name == "xattr" and not _xattr_works(writable):
        return
    twin = run_hostile(
        source,
        read_paths=[str(writable)],
        without=("landlock", "seccomp", "mounts", "identity", "rlimits"),
    )
    assert twin.code == 0, twin.err
    assert snapshot(writable) != before


def _xattr_works(directory: Path) -> bool:
    try:
        os.setxattr(directory / "file", "user.test", b"")
    except OSError:
        return False
    os.removexattr(directory / "file", "user.test")
    return True


def test_what_is_written_to_dev_null_is_gone_and_nothing_else_is_there_to_write():
    """Libraries silence others with /dev/null; this is the only device that can be written."""
    outcome = run_hostile("import os; print(open(os.devnull, 'w').write('x'))")

    assert outcome.out == "1\n", outcome.err


def test_a_run_cannot_read_what_only_another_run_may(tmp_path):
    """Two runs with different repos cannot read each other's repo."""
    let_everybody_in(tmp_path)
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for directory in (mine, theirs):
        directory.mkdir()
        (directory / "module.py").write_text(f"owner = {directory.name!r}")
    source = f"print(open({str(theirs / 'module.py')!r}).read())"

    assert "theirs" not in run_hostile(source, read_paths=[str(mine)]).out

    assert "theirs" in run_hostile(source, read_paths=[str(theirs)]).out


def test_two_runs_of_one_zygote_cannot_read_each_others_paths(tmp_path):
    """A fork can read only the paths of its own run, although the root of its zygote has more."""
    from harness import make_request

    let_everybody_in(tmp_path)
    for name in ("mine", "theirs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "module.py").write_text(f"owner = {name!r}")
    zygote = make_request(read_paths=[str(tmp_path)])
    mine, theirs = str(tmp_path / "mine"), str(tmp_path / "theirs" / "module.py")
    source = f"print(open({mine!r} + '/module.py').read()); print(open({theirs!r}).read())"

    outcome = run_hostile(source, zygote=zygote, read_paths=[mine])

    assert "mine" in outcome.out
    assert "theirs" not in outcome.out
    assert "theirs" in run_hostile(source, zygote=zygote, read_paths=[str(tmp_path)]).out


PROC = """
import os
print(open('/proc/{pid}/{name}', 'rb').read()[:4000])
"""


@pytest.mark.parametrize("name", ["environ", "cmdline", "maps", "mem", "fd/0", "root/etc/passwd"])
def test_proc_of_the_parent_cannot_be_read(name):
    """The child cannot read the parent's environment, memory or files through /proc."""
    source = PROC.format(pid=os.getpid(), name=name)

    for without in ((), ("mounts",), ("landlock",)):
        assert run_hostile(source, without=without).code != 0

    if name in ("environ", "cmdline", "maps", "root/etc/passwd"):
        assert run_hostile(source, without=(*FILES, "seccomp", "namespaces")).code == 0


def test_the_environment_of_the_parent_does_not_reach_the_child(monkeypatch):
    """The child starts with a fixed environment, which has no variable of the engine."""
    monkeypatch.setenv("TOKEN", "the secret of the manager")
    source = "import os; print(dict(os.environ), open('/proc/self/environ').read())"

    outcome = run_hostile("import os; print(dict(os.environ))")
    assert "secret" not in outcome.out

    unrefused = run_hostile(
        source, without=(*FILES, "environment", "dumpable"), environment=dict(os.environ)
    )
    assert "secret" in unrefused.out


def test_a_child_with_a_foreign_environment_refuses_to_start(monkeypatch):
    """If the engine ever passed on its own environment, no run would begin."""
    from harness import Child

    outcome = Child("print('ran')", environment={"TOKEN": "x"}).finish()

    assert outcome.refusal[0] == "environment"
    assert "ran" not in outcome.out


def test_a_setuid_program_gives_no_rights(as_root, tmp_path):
    """no_new_privs alone is enough: a process that executes a setuid program keeps its user."""
    let_everybody_in(tmp_path)
    program = tmp_path / "id"
    program.write_bytes(Path("/usr/bin/id").read_bytes())
    program.chmod(0o4755)
    source = f"import os; os.execv({str(program)!r}, ['id', '-u'])"
    others = ("landlock", "seccomp", "mounts", "mdwe", "namespaces", "rlimits", "identity")
    nobody = "import os; os.setresuid(65534, 65534, 65534)"

    with_layer = run_hostile(source, before=nobody, without=others)
    twin = run_hostile(source, before=nobody, without=(*others, "no_new_privs"))

    assert with_layer.out.strip() == "65534"
    assert twin.out.strip() == "0", twin.err
    assert run_hostile(source).out == ""
