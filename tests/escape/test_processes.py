"""Processes: a run starts none, touches none, and leaves none."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from harness import Child, make_request, run_hostile

FAR = ("mounts", "landlock", "identity", "session", "namespaces")
"""Layers in the way of a twin, although the test is not about them."""

SYSCALL = """
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return result if result != -1 else -ctypes.get_errno()
"""

STARTS = {
    "execve": "os.execv('/bin/sh', ['sh', '-c', 'echo started'])",
    "fork": "os.fork() or (print('started', flush=True), os._exit(0)); os.wait()",
    "vfork": SYSCALL + "pid = call(58)\nif pid == 0:\n    os.write(1, b'started\\n'); os._exit(0)\n"
    "if pid < 0: raise OSError(-pid)\nos.wait()",
    "clone": SYSCALL + "pid = call(56, signal.SIGCHLD, 0, 0, 0, 0)\n"
    "if pid == 0:\n    os.write(1, b'started\\n'); os._exit(0)\nif pid < 0: raise OSError(-pid)\nos.wait()",
    "clone3": SYSCALL
    + "a = ctypes.create_string_buffer(88); a[32:40] = (17).to_bytes(8, 'little')\n"
    "pid = call(435, a, 88)\nif pid == 0:\n    os.write(1, b'started\\n'); os._exit(0)\n"
    "if pid < 0: raise OSError(-pid)\nos.wait()",
    "memfd": "m = os.memfd_create('x', 0); os.write(m, b'#!/bin/sh\\necho started\\n'); "
    "os.execv(f'/proc/self/fd/{m}', ['x'])",
    "memfd_fexecve": "m = os.memfd_create('x'); os.sendfile(m, os.open('/bin/echo', 0), 0, 1 << 24); "
    "os.execve(m, ['echo', 'started'], {})",
    "posix_spawn": "os.posix_spawn('/bin/echo', ['echo', 'started'], {}); os.wait()",
    "subprocess": "import subprocess; subprocess.run(['/bin/echo', 'started'])",
    "system": "assert os.system('echo started') == 0",
    "multiprocessing": "import multiprocessing as m; p = m.get_context('fork').Process("
    "target=os.write, args=(1, b'started')); p.start(); p.join()",
    "dynamic_linker": "os.execv('/lib64/ld-linux-x86-64.so.2', ['ld', '/bin/echo', 'started'])",
}


@pytest.mark.parametrize("how", STARTS)
def test_no_process_and_no_program_can_be_started(how):
    """fork and execve are refused in all their forms, so the program never writes its output."""
    if os.uname().machine != "x86_64" and how in ("vfork", "clone", "clone3", "dynamic_linker"):
        pytest.skip("the numbers are those of x86-64")
    source = "import os\n" + STARTS[how]

    outcome = run_hostile(source)

    assert "started" not in outcome.out
    assert outcome.code != 0
    twin = run_hostile(source, without=("seccomp", *FAR, "rlimits"))
    assert "started" in twin.out, twin.err


@pytest.fixture
def bystander():
    """A process of the same user that does not belong to the run."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", "echo up; read line"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"up\n"
    yield process
    process.kill()
    process.communicate()


SIGNALS = {
    "kill": "import os; os.kill({pid}, 9)",
    "tgkill": SYSCALL + "r = call(234, {pid}, {pid}, 9)\nif r < 0: raise OSError(-r)",
    "tkill": SYSCALL + "r = call(200, {pid}, 9)\nif r < 0: raise OSError(-r)",
    "sigqueue": SYSCALL
    + "b = ctypes.create_string_buffer(128); b[8:12] = (-1).to_bytes(4, 'little', signed=True)\n"
    "r = call(129, {pid}, 9, b)\nif r < 0: raise OSError(-r)",
    "pidfd": "import os, signal; signal.pidfd_send_signal(os.pidfd_open({pid}), 9)",
    "sigio": "import fcntl, os, signal\nr, w = os.pipe()\nfcntl.fcntl(r, fcntl.F_SETOWN, {pid})\n"
    "fcntl.fcntl(r, 10, 9)\nfcntl.fcntl(r, fcntl.F_SETFL, fcntl.fcntl(r, fcntl.F_GETFL) | os.O_ASYNC)\n"
    "os.write(w, b'x')",
}


@pytest.mark.parametrize("how", SIGNALS)
@pytest.mark.parametrize("whom", ["sibling", "parent", "group"])
def test_nobody_else_can_be_sent_a_signal(bystander, how, whom):
    """kill is refused in its many forms, and so is asking the kernel to send SIGIO.

    The twin runs only against the bystander: this process would not survive it.
    """
    if os.uname().machine != "x86_64" and SYSCALL in SIGNALS[how]:
        pytest.skip("the numbers are those of x86-64")
    pid = {"sibling": bystander.pid, "parent": os.getpid(), "group": -os.getpgid(0)}[whom]
    if whom != "sibling" and how != "kill":
        # A failure would end the test run, so the bystander represents all processes.
        pid = bystander.pid
    source = SIGNALS[how].format(pid=pid)

    assert run_hostile(source).code != 0
    assert bystander.poll() is None
    # First Landlock's scope alone (ABI 6), then the other user id alone.
    run_hostile(SIGNALS[how].format(pid=bystander.pid), without=("seccomp", "identity"))
    assert bystander.poll() is None

    run_hostile(SIGNALS[how].format(pid=bystander.pid), without=("seccomp", *FAR))
    assert bystander.wait(5) == -signal.SIGKILL


def test_kill_of_everybody_reaches_nobody(bystander):
    """kill(-1) and kill(0) are refused: the filter lets only the child's own number through."""
    for pid in (-1, 0):
        outcome = run_hostile(f"import os; os.kill({pid}, 15)")
        assert "PermissionError" in outcome.err
    assert bystander.poll() is None
    assert run_hostile("import os; os.kill(os.getpid(), 9)").signal == signal.SIGKILL
    own = "import threading, signal; signal.pthread_kill(threading.get_ident(), 15)"
    assert run_hostile(own).signal == signal.SIGTERM


PEEKS = {
    "ptrace": "r = call(101, 16, {pid}, 0, 0)",  # PTRACE_ATTACH
    "seize": "r = call(101, 0x4206, {pid}, 0, 0)",
    "process_vm_readv": "b = ctypes.create_string_buffer(8)\n"
    "iov = (ctypes.c_long * 2)(ctypes.addressof(b), 8)\n"
    "remote = (ctypes.c_long * 2)({address}, 8)\n"
    "r = call(310, {pid}, iov, 1, remote, 1, 0)",
    "process_vm_writev": "b = ctypes.create_string_buffer(8)\n"
    "iov = (ctypes.c_long * 2)(ctypes.addressof(b), 8)\n"
    "remote = (ctypes.c_long * 2)({address}, 8)\n"
    "r = call(311, {pid}, iov, 1, remote, 1, 0)",
    "pidfd_getfd": "p = os.pidfd_open({pid})\nr = call(438, p, 0, 0)",
    "kcmp": "r = call(312, {pid}, os.getpid(), 1, 0, 0)",
}
"""Ways into another process, on x86-64."""

PEEK_CODES = "\nprint('in' if r >= 0 else f'out {r}')"

TARGET = """
import ctypes, sys
b = ctypes.create_string_buffer(b'untouched')
print(ctypes.addressof(b), flush=True)
sys.stdin.read()
print(b.value)
"""


@pytest.fixture
def target():
    """A process of the same user with a known address in it."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", TARGET],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    process.address = int(process.stdout.readline())
    yield process
    process.kill()
    process.communicate()


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86-64")
@pytest.mark.parametrize("how", PEEKS)
def test_no_other_process_can_be_looked_into(target, how):
    """ptrace and its relatives end the run, and Landlock alone refuses them as well."""
    source = SYSCALL + PEEKS[how].format(pid=target.pid, address=target.address) + PEEK_CODES

    outcome = run_hostile(source)
    assert "in\n" not in outcome.out
    assert (
        outcome.signal == signal.SIGSYS or how == "pidfd_getfd"
    )  # before that, pidfd_open is refused
    assert "in\n" not in run_hostile(source, without=("seccomp", "identity")).out

    twin = run_hostile(source, without=("seccomp", *FAR))
    assert "in\n" in twin.out, (twin.out, twin.err)


def test_limits_of_another_process_cannot_be_read_or_set(bystander):
    """prlimit is let through only to read the limits of the process itself."""
    import resource

    before = resource.prlimit(bystander.pid, resource.RLIMIT_NOFILE)
    source = (
        f"import resource; print(resource.prlimit({bystander.pid}, resource.RLIMIT_NOFILE, (9, 9)))"
    )

    assert "PermissionError" in run_hostile(source).err
    assert resource.prlimit(bystander.pid, resource.RLIMIT_NOFILE) == before
    own = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    assert run_hostile(own).out == "(64, 64)\n"
    raised = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9))"
    assert "PermissionError" in run_hostile(raised).err or run_hostile(raised).code != 0

    assert run_hostile(source, without=("seccomp", *FAR)).code == 0
    assert resource.prlimit(bystander.pid, resource.RLIMIT_NOFILE) == (9, 9)


WAITS = "import os, sys; print('up', flush=True); import signal\nwhile True: signal.pause()"


def test_no_process_can_look_into_a_run():
    """Memory and descriptors of a run belong to root, so even the same user cannot read them."""
    child = Child(WAITS, without=("identity",))
    child.wait_line("up")
    owner = Path(f"/proc/{child.pid}/mem").stat().st_uid
    os.kill(child.pid, signal.SIGKILL)
    child.finish()
    assert owner == 0

    if os.geteuid() != 0:  # root owns its own files either way
        twin = Child(WAITS, without=("identity", "dumpable"))
        twin.wait_line("up")
        owner = Path(f"/proc/{twin.pid}/mem").stat().st_uid
        os.kill(twin.pid, signal.SIGKILL)
        twin.finish()
        assert owner == os.geteuid()


def test_each_run_of_root_has_a_user_id_of_its_own(as_root):
    """To the kernel two runs are two different users, and neither of them is root."""
    ids = {run_hostile("import os; print(os.getresuid(), os.getgroups())").out for _ in range(2)}

    assert len(ids) == 2
    assert "0" not in {word.strip("(,)\n") for line in ids for word in line.split()}
    assert "(0, 0, 0)" in run_hostile("import os; print(os.getresuid())", without=("identity",)).out


def test_no_capability_is_left(as_root):
    """The sets permitted, effective, inheritable, bounding and ambient are empty."""
    source = "print([l.split()[1] for l in open('/proc/self/status') if l.startswith('Cap')])"
    off = ("mounts", "landlock", "dumpable")

    assert run_hostile(source, without=off).out == f"{['0' * 16] * 5}\n"
    assert run_hostile(source, without=(*off, "identity")).out != f"{['0' * 16] * 5}\n"


def test_a_run_dies_with_the_process_that_started_it(tmp_path):
    """When the engine is killed its runs die as well, even those that ignore every signal."""
    script = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from harness import Child
child = Child("import signal\\nsignal.signal(15, signal.SIG_IGN)\\nprint('up', flush=True)\\nwhile True: signal.pause()",
              without=sys.argv[1:])
child.wait_line("up")
print(child.pid, flush=True)
os._exit(0)
"""

    def pid_of_orphan(*without):
        process = subprocess.run(
            [sys.executable, "-c", script, *without],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        return int(process.stdout)

    def ends(pid):
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            return bool(select.select([descriptor], [], [], 1.0)[0])
        finally:
            os.close(descriptor)

    assert ends(pid_of_orphan())

    survivor = pid_of_orphan("pdeathsig")
    assert not ends(survivor)
    os.kill(survivor, signal.SIGKILL)


THREADS = """
import os, threading
before = threading.active_count()
def attempt(results):
    for action in (lambda: os.fork() or os._exit(0), lambda: open('/etc/passwd').read()):
        try:
            action()
        except OSError as error:
            results.append(type(error).__name__)
        else:
            results.append("done")
results = []
thread = threading.Thread(target=attempt, args=(results,))
thread.start()
thread.join()
print(results)
"""


def test_a_thread_made_afterwards_is_confined_as_well():
    """Every thread inherits the filter and the ruleset."""
    assert run_hostile(THREADS).out == "['PermissionError', 'FileNotFoundError']\n"
    assert run_hostile(THREADS, without=("seccomp", *FAR)).out == "['done', 'done']\n"


def test_a_thread_made_before_stops_the_run():
    """The thread would stay outside of the wall, so the child refuses to confine itself."""
    before = (
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"
    )

    refused = Child("print('ran')", before=before).finish()

    assert refused.refusal[:2] == ("seccomp", "2 threads are running")
    assert refused.out == ""


def test_a_fork_of_a_zygote_is_confined_as_an_interpreter_of_its_own_is():
    """Both start modes end in the same walls."""
    zygote = make_request()

    forked = run_hostile("print('ran')", zygote=zygote)
    started = run_hostile("print('ran')")

    assert forked.out == started.out == "ran\n"
    assert forked.report.filter_hash == started.report.filter_hash
    assert forked.report.probes == started.report.probes
    state = {name: layer.state for name, layer in forked.layers.items()}
    assert state == {name: layer.state for name, layer in started.layers.items()}


LONG_WAY = "from sandbox_child.confine import ready; ready.make_ready = lambda *_: None"
"""Code for the zygote before it is confined: its forks then find out by themselves what works."""


@pytest.mark.skipif(os.geteuid() != 0, reason="what is made ready needs the rights of root")
def test_what_a_zygote_has_made_ready_is_what_a_fork_would_do_itself():
    """The layers and details are the same; the user id always belongs to the fork itself."""
    made_ready, by_itself = (
        run_hostile("import os; print(os.getuid())", zygote=make_request(), before=before)
        for before in ("", LONG_WAY)
    )

    reports = []
    for outcome in (made_ready, by_itself):
        layers = {name: (layer.state, layer.detail) for name, layer in outcome.layers.items()}
        assert layers.pop("identity") == ("on", f"uid {int(outcome.out)}")
        reports.append((layers, outcome.report.probes, outcome.report.landlock_abi))
    assert reports[0] == reports[1]


INSTEAD = """
from sandbox_child.confine import landlock, ready
from sandbox_child.confine.kernel import Call
landlock.ready = lambda task: ([Call("close", 9999)], None)
"""
"""A call that fails, in place of the calls of a required layer."""


@pytest.mark.skipif(os.geteuid() != 0, reason="what is made ready needs the rights of root")
def test_what_does_not_work_in_a_trial_is_left_to_the_fork():
    """The zygote tries the call on a fork first; if that fails, each fork goes the long way."""
    outcome = run_hostile("print('ran')", zygote=make_request(), before=INSTEAD)

    assert outcome.out == "ran\n"
    assert outcome.layers["landlock"].state == "on"
    assert outcome.layers["landlock"].detail != "None"


@pytest.mark.skipif(os.geteuid() != 0, reason="what is made ready needs the rights of root")
def test_a_call_that_fails_after_all_starts_no_job():
    """Even after a passed trial, a layer counts as on only if its calls succeed."""
    before = INSTEAD + "ready.ReadyWall.works = lambda self: True\n"
    outcome = Child("print('ran')", zygote=make_request(), before=before).finish()

    assert outcome.refusal is not None
    assert outcome.refusal[:2] == ("landlock", "close: EBADF")
    assert outcome.out == ""


def test_a_zygote_does_not_serve_what_its_root_lacks(tmp_path):
    """The zygote refuses a path that it cannot see, before a job is read."""
    outcome = Child(
        "print('ran')", zygote=make_request(), request=make_request(read_paths=[str(tmp_path)])
    ).finish()

    assert outcome.refusal[0] == "mounts"
    assert outcome.out == ""


NUMBERS_IN_MEMORY = """
import gc, os
def main(state):
    gc.collect()
    found = set()
    waiting, seen = list(gc.get_objects()), set()
    for name in ("sys", "gc"):
        waiting.append(__import__(name))
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if type(one) is int:
            found.add(one)
        elif len(seen) < 2_000_000:
            waiting.extend(gc.get_referents(one))
    return {"data": [text for text in state["data"] if int(text) in found]}
"""


SLEEPS = "import time\ndef main(state): time.sleep(60)"


def test_a_fork_finds_no_pid_of_another_run_in_its_memory():
    """The zygote keeps no pid of a run that goes on, and no pid of a run that has ended."""
    import psutil

    from engine import Engine, Policy

    policy = Policy(language=False)
    before = psutil.Process().children()
    with Engine(max_runs=3, policy=policy) as engine:
        for _ in range(3):
            engine.execute("def main(state): return state").result(20)
        for _ in range(5):
            waiting = [engine.execute(SLEEPS) for _ in range(2)]
            for run in waiting:
                while not any(event.type == "job-start" for event in run.poll(timeout_s=None)):
                    pass
            [zygote] = [child for child in psutil.Process().children() if child not in before]
            siblings = [child.pid for child in zygote.children()]
            assert len(siblings) == 2
            # The pids are texts: a number in the state would be found in the memory. The search works,
            # because it finds the zygote.
            pids = [*map(str, siblings), str(zygote.pid)]
            result = engine.execute(NUMBERS_IN_MEMORY, {"data": pids}).result(60)
            for run in waiting:
                run.cancel()
            psutil.wait_procs(zygote.children(), 20)
            if result.state["data"] == [str(zygote.pid)]:
                break  # otherwise a low pid may be a number that is there for another reason
        assert result.state["data"] == [str(zygote.pid)], result.error
