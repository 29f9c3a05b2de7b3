"""The scratch directory: files and nothing else, of a bounded size, for one run alone."""

from __future__ import annotations

import os
import platform
import stat
import subprocess
import sysconfig
from pathlib import Path

import pytest
from harness import MEGABYTE, Child, Refused, make_request, run_hostile
from modes import let_everybody_in
from tmp_names import tmp_names

SIZE = 2_000_000
SINGLE = ((), ("landlock",), ("seccomp",), ("identity",))
"""Layers that are left out one by one; the scratch directory itself needs `mounts`."""

KERNEL_WALL = ("landlock", "seccomp")


def run(source: str, **changes):
    return run_hostile(source, **{"scratch_bytes": SIZE} | changes)


@pytest.fixture(scope="module", autouse=True)
def mounts_are_possible():
    """The directory is a mount."""
    try:
        run("", required=("mounts",))
    except Refused as refused:
        pytest.skip(f"no mounts here: {refused}")


def test_files_and_directories_can_be_used():
    """Making, writing, reading, listing, moving, cutting and removing all work."""
    source = f"""
import os, shutil, tempfile
assert tempfile.gettempdir() == "/tmp" and sorted(os.listdir("/tmp")) == {tmp_names()}
os.makedirs("/tmp/a/b")
with open("/tmp/a/b/file", "w+") as file:
    file.write("hello")
    file.truncate(4)
    os.fsync(file.fileno())
shutil.copy2("/tmp/a/b/file", "/tmp/copy")
os.rename("/tmp/a/b/file", "/tmp/a/moved")
os.replace("/tmp/copy", "/tmp/a/moved")
with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryFile() as unnamed:
    unnamed.write(b"x")
print(open("/tmp/a/moved").read(), sorted(os.listdir("/tmp")), sorted(os.listdir("/tmp/a")))
shutil.rmtree("/tmp/a")
print(sorted(os.listdir("/tmp")))
"""
    seen = f"hell {tmp_names('a')} ['b', 'moved']\n{tmp_names()}\n"
    assert run(source).out == seen
    assert run(source, zygote=make_request()).out == seen
    assert run_hostile(source, scratch_bytes=0).code != 0


WRITES = {
    "write": "open({file!r}, 'w').write('mine')",
    "create": "open({new!r}, 'x').write('mine')",
    "truncate": "import os; os.truncate({file!r}, 0)",
    "unlink": "import os; os.unlink({file!r})",
    "rename": "import os; os.rename({file!r}, {new!r})",
    "rename into": "import os; open('/tmp/mine', 'w'); os.rename('/tmp/mine', {new!r})",
    "rename out": "import os; os.rename({file!r}, '/tmp/mine')",
    "mkdir": "import os; os.mkdir({new!r})",
    "chmod": "import os; os.chmod({file!r}, 0)",
    "utime": "import os; os.utime({file!r}, (0, 0))",
}


@pytest.mark.parametrize("name", WRITES)
def test_nothing_else_can_be_written(tmp_path, name):
    """The calls that a scratch directory needs do not change a file that may only be read."""
    let_everybody_in(tmp_path, 0o777)
    (tmp_path / "file").write_text("content")
    (tmp_path / "file").chmod(0o666)
    source = WRITES[name].format(file=str(tmp_path / "file"), new=str(tmp_path / "new"))

    def snapshot():
        return [
            (path.name, path.stat().st_mode, path.stat().st_size, path.stat().st_mtime_ns)
            for path in tmp_path.iterdir()
        ]

    before = snapshot()
    for without in SINGLE:
        assert run(source, read_paths=[str(tmp_path)], without=without).code != 0, without
        assert snapshot() == before, without

    if "/tmp/mine" not in source:
        everything = ("mounts", "landlock", "seccomp", "identity", "rlimits")
        assert run_hostile(source, read_paths=[str(tmp_path)], without=everything).code == 0
        assert snapshot() != before


def test_a_library_in_it_cannot_be_loaded():
    """Code that a run has written does not become machine code of the run."""
    place = Path(str(sysconfig.get_config_var("DESTSHARED")))
    library = next((str(file) for file in place.glob("_json*.so")), None)
    if library is None:
        pytest.skip("this interpreter has no extension modules in files")
    load = "import ctypes, shutil; {copy}; ctypes.CDLL({path!r}); print('loaded')"
    copied = load.format(copy=f"shutil.copyfile({library!r}, '/tmp/copy.so')", path="/tmp/copy.so")

    for without in ((), ("landlock",), ("seccomp",), KERNEL_WALL, ("mdwe", *KERNEL_WALL)):
        outcome = run(copied, without=without)
        assert outcome.code == 1, without
        assert "failed to map segment" in outcome.err, outcome.err

    assert run(load.format(copy="0", path=library)).out == "loaded\n"


EXIT_42 = bytes.fromhex(
    "7f454c4602010100000000000000000002003e00010000007800400000000000"
    "4000000000000000000000000000000000000000400038000100000000000000"
    "0100000005000000000000000000000000004000000000000000400000000000"
    "840000000000000084000000000000000010000000000000"
    "bf2a000000b83c0000000f05"
)
"""A program for x86-64 that ends with the code 42."""


def test_a_program_in_it_cannot_be_executed(tmp_path):
    """The mount does not allow it, even with the other layers off."""
    if platform.machine() != "x86_64":
        pytest.skip("the program is for x86-64")
    let_everybody_in(tmp_path)
    (tmp_path / "program").write_bytes(EXIT_42)
    (tmp_path / "program").chmod(0o755)
    assert subprocess.run([tmp_path / "program"], check=False).returncode == 42
    copy = f"import os, shutil; shutil.copy({str(tmp_path / 'program')!r}, '/tmp/program')\n"
    source = copy + "os.execv('/tmp/program', ['program'])"

    for without in ((), ("landlock",), ("seccomp",), KERNEL_WALL):
        outcome = run(source, read_paths=[str(tmp_path)], without=without)
        assert outcome.code == 1, (without, outcome.signal)
        assert "PermissionError" in outcome.err, without

    from_outside = copy + f"os.execv({str(tmp_path / 'program')!r}, ['program'])"
    twin = run(from_outside, read_paths=[str(tmp_path)], without=KERNEL_WALL)
    assert twin.code == 42, twin.err


def test_a_mode_with_setuid_is_refused_and_would_have_no_effect():
    """The filter refuses the bits, and the mount ignores them."""
    source = """
import os
open("/tmp/file", "w").close()
os.chmod("/tmp/file", 0o750)
try:
    os.chmod("/tmp/file", 0o4755)
except PermissionError:
    print("refused")
print(oct(os.stat("/tmp/file").st_mode))
"""
    assert run(source).out == "refused\n0o100750\n"
    flags = (
        "import os; print(os.statvfs('/tmp').f_flag & (os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC))"
    )
    twin = run(source + flags, without=("seccomp",))
    assert twin.out == f"0o104755\n{os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC}\n"


KINDS = {
    "device": "os.mknod('/tmp/it', stat.S_IFCHR | 0o666, os.makedev(1, 3))",
    "pipe": "os.mkfifo('/tmp/it')",
    "socket": "os.mknod('/tmp/it', stat.S_IFSOCK | 0o666)",
    "symlink": "os.symlink('/etc/passwd', '/tmp/it')",
    "hard link": "open('/tmp/file', 'w'); os.link('/tmp/file', '/tmp/it')",
}


@pytest.mark.parametrize("kind", KINDS)
def test_only_files_and_directories_can_be_made(kind):
    """The filter refuses every other kind, and so does Landlock, except for a second name."""
    source = f"import os, stat\n{KINDS[kind]}"
    for without in ((), ("seccomp",)) if kind != "hard link" else ((),):
        outcome = run(source, without=without)
        assert outcome.code == 1, without
        assert "PermissionError" in outcome.err

    if kind == "device" and os.geteuid() != 0:
        return
    off = (*KERNEL_WALL, "identity") if kind == "device" else KERNEL_WALL
    assert run(source, without=off).code == 0


def test_a_device_in_it_cannot_be_opened(as_root, tmp_path):
    """Even root, with the other layers off, does not get a device through the mount."""
    make = "import os, stat\nos.mknod({path!r}, stat.S_IFCHR | 0o666, os.makedev(1, 3))\n"
    source = make.format(path="/tmp/null") + "open('/tmp/null')"

    outcome = run(source, without=(*KERNEL_WALL, "identity"))

    assert "PermissionError: [Errno 13] Permission denied: '/tmp/null'" in outcome.err
    outside = str(tmp_path / "null")
    twin = run_hostile(
        make.format(path=outside) + f"open({outside!r})",
        without=(*KERNEL_WALL, "identity", "mounts"),
    )
    assert twin.code == 0, twin.err


def test_a_symlink_out_of_it_leads_nowhere(tmp_path):
    """If the layers that refuse the link are off, its target does not exist."""
    let_everybody_in(tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("of another tenant")
    follow = f"import os; os.symlink({str(secret)!r}, '/tmp/it'); print(open('/tmp/it').read())"

    assert "of another tenant" not in run(follow, without=KERNEL_WALL).out

    assert "of another tenant" in run(follow, without=KERNEL_WALL, read_paths=[str(tmp_path)]).out


FILL = """
import os
written = 0
try:
    with open("/tmp/file", "wb") as file:
        while True:
            written += file.write(bytes(10_000))
            file.flush()
except OSError as error:
    print(error.errno, os.path.getsize("/tmp/file"))
"""


def test_its_size_is_a_limit():
    """A write beyond it is ENOSPC, and a directory of twice the size takes twice as much."""
    code, size = map(int, run(FILL).out.split())
    assert code == 28
    assert SIZE - 2 * 4096 < size <= SIZE
    assert int(run(FILL, scratch_bytes=2 * SIZE).out.split()[1]) > 1.9 * size
    tiny = run(FILL, scratch_bytes=1)
    assert tiny.out == "28 4096\n"


def test_a_hole_does_not_get_around_the_size():
    """Neither a file with holes nor a mapped file takes more pages."""
    source = """
import os
def refused(action):
    try:
        action()
    except OSError as error:
        print(error.errno)
file = open("/tmp/file", "wb")
refused(lambda: file.truncate(1 << 40))
refused(lambda: (file.seek(1 << 40), file.write(b"x"), file.flush()))
"""
    assert run(source).out == "27\n27\n"
    mapped = f"""
import mmap, os
for name in "ab":
    file = open("/tmp/" + name, "w+b")
    file.truncate({SIZE - 4096})
    memory = mmap.mmap(file.fileno(), {SIZE - 4096})
    for at in range(0, {SIZE - 4096}, 4096):
        memory[at] = 1
    print(name, flush=True)
"""
    outcome = run(mapped)
    assert (outcome.out, outcome.signal) == ("a\n", 7)  # SIGBUS
    assert run(mapped, scratch_bytes=3 * SIZE).out == "a\nb\n"


COUNT = """
import os
made = 0
try:
    while True:
        {make}
        made += 1
except OSError as error:
    print(error.errno, made)
"""


@pytest.mark.parametrize(
    "make",
    ["open(f'/tmp/{made}', 'x').close()", "os.mkdir(f'/tmp/{made}')"],
    ids=["files", "directories"],
)
def test_the_number_of_files_is_a_limit(make):
    """256 for each megabyte: an empty file has no size, but takes the kernel's memory."""
    source = COUNT.format(make=make)
    assert run(source).out == "28 512\n"
    assert run(source, scratch_bytes=2 * SIZE).out == "28 1024\n"
    assert run(source, scratch_bytes=1).out == "28 1\n"


def test_names_and_attributes_do_not_take_more(tmp_path):
    """Extended attributes are memory of the kernel outside of the size, and stay refused."""
    source = """
import os
open("/tmp/file", "w").close()
try:
    os.setxattr("/tmp/file", "user.mine", b"x")
except PermissionError:
    print("refused")
"""
    assert run(source).out == "refused\n"
    assert run(source, without=("seccomp",)).out == ""


def test_two_runs_at_once_do_not_see_each_other():
    """Each child of a zygote, and each new interpreter, has a directory of its own."""
    waiting = """
import os, time
open("/tmp/mine", "w").write("secret")
print("written", flush=True)
while os.path.exists("/tmp/mine"):
    time.sleep(60)
"""
    look = "import os; print(sorted(os.listdir('/tmp')), os.path.exists('/tmp/mine'))"
    for zygote in (None, make_request()):
        first = Child(waiting, zygote=zygote, scratch_bytes=SIZE)
        first.wait_line("written")
        try:
            assert run(look, zygote=zygote).out == f"{tmp_names()} False\n"
            assert (
                run("open('/tmp/mine', 'x')\n" + look, zygote=zygote).out
                == f"{tmp_names('mine')} True\n"
            )
            assert not Path("/tmp/mine").exists()
        finally:
            first.stop()


def test_a_path_below_it_stays_readable_and_only_that(tmp_path):
    """A repo below /tmp is there, read-only; its neighbours and the rest of /tmp are not."""
    if not str(tmp_path).startswith("/tmp/"):
        pytest.skip("temporary files of this machine are elsewhere")
    let_everybody_in(tmp_path)
    for name in ("mine", "theirs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    mine, theirs = str(tmp_path / "mine"), str(tmp_path / "theirs")
    top = "/tmp/" + mine.split("/")[2]
    source = f"""
import os
print(open({mine!r} + "/file").read(), os.listdir({str(tmp_path)!r}), os.path.exists({theirs!r}))
for action in (
    lambda: os.rename({top!r}, "/tmp/other"),
    lambda: os.mkdir({top!r} + "/new"),
    lambda: os.rename({mine!r}, {mine!r} + "2"),
    lambda: open({mine!r} + "/file", "w"),
):
    try:
        action()
        print("done")
    except OSError as error:
        # The sticky bit stops another user (EPERM), and the mount point an owner (EBUSY).
        print(1 if error.errno == 16 else error.errno)
"""
    expected = "mine ['mine'] False\n1\n30\n30\n30\n"
    for without in ((), ("landlock",)):
        assert run(source, read_paths=[mine], without=without).out == expected, without
    wide = make_request(read_paths=[str(tmp_path)])
    assert run(source, zygote=wide, read_paths=[mine]).out == expected
    whole = run(source, read_paths=[str(tmp_path)]).out.splitlines()
    assert whole[0].startswith("mine [")
    assert whole[0].endswith("] True")


@pytest.mark.parametrize("forked", [False, True], ids=["exec", "zygote"])
def test_without_mounts_the_child_does_not_start(forked):
    """It is refused before any code of the run, and the reason names the option."""
    for changes in ({"without": ("mounts",)}, {"level": "none", "required": ()}):
        zygote = make_request(**changes) if forked else None
        outcome = Child("print('started')", zygote=zygote, scratch_bytes=SIZE, **changes).finish()
        assert outcome.out == ""
        assert outcome.refusal[0] == "mounts"
        assert "scratch_mb" in outcome.refusal[1]
        without = Child("print('started')", zygote=zygote, **changes).finish()
        assert without.out == "started\n"


BECOME_ORDINARY = """
import ctypes, os
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: otherwise /proc/self belongs to root
"""


@pytest.mark.parametrize("forked", [False, True], ids=["exec", "zygote"])
def test_an_ordinary_user_gets_one_through_a_user_namespace(as_root, forked):
    """An engine that is not root gives its runs the same directory, with the same limits."""
    source = """
import os
print(os.geteuid(), sorted(os.listdir("/tmp")))
made = 0
try:
    while True:
        os.close(os.open(f"/tmp/{made}", os.O_CREAT | os.O_WRONLY))
        made += 1
except OSError as error:
    print(error.errno, made)
try:
    os.close(os.open("/new", os.O_CREAT | os.O_WRONLY))
except OSError as error:
    print(error.errno)
"""
    # The interpreter may be in a directory of root: then this user cannot list it.
    zygote = make_request(hidden_paths=()) if forked else None
    outcome = run(source, before=BECOME_ORDINARY, zygote=zygote, hidden_paths=())

    assert outcome.out == f"65534 {tmp_names()}\n28 512\n30\n", outcome.err
    assert outcome.layers["namespaces"].detail.startswith("user ")


def test_it_is_taken_from_the_memory_of_the_run():
    """Memory and scratch directory together have the limit of the memory."""
    take = "len(bytearray({}))\nprint('taken')"
    memory = 160 * MEGABYTE
    half = {"memory_bytes": memory, "scratch_bytes": memory // 2}
    assert run(take.format(memory * 5 // 8), **half).code != 0
    assert run(take.format(memory // 4), **half).out == "taken\n"
    assert run(take.format(memory * 5 // 8), memory_bytes=memory, scratch_bytes=0).out == "taken\n"
    assert run(take.format(memory // 8), **half | {"scratch_bytes": memory}).out == "taken\n"


def test_the_report_says_that_it_is_there():
    """The detail of the layer has the size."""
    for zygote in (None, make_request()):
        layer = run("", zygote=zygote).layers["mounts"]
        assert layer.detail.endswith(" paths, 2 MB scratch")
        assert "scratch" not in run_hostile("", zygote=zygote).layers["mounts"].detail


def test_modes_of_the_directory_are_those_of_a_temporary_one():
    """Programs that check their temporary directory find the usual mode."""
    assert (
        run("import os; print(oct(os.stat('/tmp').st_mode))").out
        == f"{oct(stat.S_IFDIR | 0o1777)}\n"
    )
