"""A plan of ten jobs that dies where a test wants it to, and the server that counts its side effects.

The jobs run operations of an adaptor, which is in the process of the child and so can do anything within
the wall of the kernel.  It asks the server once for its order: where to die, at which step, and how.
"""

from __future__ import annotations

import compileall
import contextlib
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer

SECRET = "correct-horse-battery-staple"

PARTS = r"""
import _socket, os, sys, time
import jobcell_context

connection = _socket.socket()
connection.settimeout(20)
connection.connect(("127.0.0.1", PORT))

def tell(path):
    connection.sendall(f"{path}\n".encode())
    answer = b""
    while not answer.endswith(b"\n"):
        part = connection.recv(4096)
        if not part:
            raise EOFError("the server has closed the connection")
        answer += part
    return answer[:-1].decode()

def segfault():
    import ctypes
    ctypes.string_at(0)

def leave():
    os._exit(7)

def use_memory_in_c():
    import ctypes
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = (ctypes.c_size_t,)
    libc.memset.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
    while True:
        libc.memset(libc.malloc(1 << 20), 1, 1 << 20)

def loop():
    while True:
        pass

def be_busy():
    tell(f"idle/{os.getpid()}")
    loop()

def be_stopped():
    tell(f"signal/{os.getpid()}/SIGSTOP")
    loop()

def be_killed():
    tell(f"signal/{os.getpid()}/SIGKILL")
    time.sleep(60)

place, victim, how = (tell(f"order/{jobcell_context.run_id}/parts").split(",") + ["", "", ""])[:3]

def die():
    tell(f"dying/{jobcell_context.run_id}")
    globals()[how]()

def work():
    def run(state):
        tell(f"effect/{jobcell_context.idempotency_key}")
        step_id = jobcell_context.step_id
        print("in", step_id)
        state["data"][step_id] = 1
        if step_id == "a":
            state["data"]["key"] = state["configuration"]["password"]
        if step_id == victim and place == "operation":
            die()
        if step_id == victim and place == "between operations":
            sys.setprofile(between)
        return state
    return run

def between(frame, event, _):
    if "sandbox_child" in frame.f_code.co_filename:
        sys.setprofile(None)
        die()

def more():
    return lambda state: state

def fail():
    def run(state):
        raise ValueError("row 7")
    return run

def patch():
    frame = sys._getframe()
    while "conditions" not in frame.f_locals:  # the walk through the plan, in code of the engine
        frame = frame.f_back
    conditions, channel = type(frame.f_locals["conditions"]), type(frame.f_locals["self"]._channel)
    hold, send, receive, decide = channel.hold, channel.send, channel.receive_any, conditions.decide
    ended = []

    def look(message):
        kind = type(message).__name__
        here = jobcell_context.step_id == victim
        if kind == "InitComplete" and here and place == "init":
            die()
        if kind == "InitStart" and victim in ended and place == "between steps":
            die()
        if kind == "WorkflowComplete" and place == "end":
            die()
        return kind in ("JobComplete", "JobError") and here

    def watched(method):
        def call(self, message):
            ends = look(message)
            method(self, message)
            if ends:
                ended.append(victim)
        return call

    def watched_receive(self):
        if ended and place == "record":
            die()
        return receive(self)

    def watched_decide(self, step_id, *more):
        if step_id == victim and place in ("condition", "condition after a trigger"):
            die()
        return decide(self, step_id, *more)

    channel.hold, channel.send = watched(hold), watched(send)
    channel.receive_any, conditions.decide = watched_receive, watched_decide

if place:
    patch()
"""

LATE = (
    PARTS.partition("place, victim")[0]
    + """
how = tell(f"order/{jobcell_context.run_id}/late")
if how:
    tell(f"dying/{jobcell_context.run_id}")
    globals()[how]()
"""
)
"""An adaptor that only the victim uses, and that dies while it is imported."""

DEATHS = {
    "a segfault": ("segfault", "ExitError"),
    "os._exit": ("leave", "ExitError"),
    "out of memory in C": ("use_memory_in_c", "OOMError"),
    "the processor limit": ("loop", "CPULimitError"),
    "a busy loop": ("be_busy", "TimeoutError"),
    "a stop from outside": ("be_stopped", "TimeoutError"),
    "kill -9 from outside": ("be_killed", "ExitError"),
}

JOBS = "abcdefghij"
EDGES = {
    "a": {"b": True, "c": "not state.errors"},
    "b": {"d": "state.data.b == 1"},
    "c": {"d": True, "e": "state.data.missing == None"},
    "d": {"g": True},
    "e": {"f": "on_job_failure"},
    "f": {"g": "state.errors.e"},
    "g": {"t": "state.data.a == 1", "i": True},
    "t": {"h": "state.data.a == 1", "j": "state.data.missing"},
    "h": {"j": "state.data.h == 1"},
    "i": {},
    "j": {},
}
SHORT_EDGES = {
    "a": {"c": "not state.errors"},
    "c": {"e": "state.data.missing == None"},
    "e": {"f": "on_job_failure"},
    "f": {"g": "state.errors.e"},
    "g": {},
}
"""The failing branch alone, for a test in which each run dies in it."""

TRIGGER = "t"
JOINS = "dg"


def deadly_plan(
    run_id: str,
    late: str | None = None,
    edges: Mapping[str, Mapping[str, object]] = EDGES,
    **more: object,
) -> dict[str, object]:
    """Return the plan: a diamond, a failing branch, two joins, a trigger, and a secret in the state.

    Args:
        run_id: The id of its run, by which the server knows its order.
        late: The step that imports the adaptor ``late``.
        edges: The steps, and the edges from each.
        more: More keys of every job.

    """
    steps: list[dict[str, object]] = []
    for step_id, following in edges.items():
        step: dict[str, object] = {"id": step_id, "next": following}
        if step_id != TRIGGER:
            step["expression"] = "work()\nfail()" if step_id == "e" else "work()\nmore()"
            step["adaptors"] = ["parts", "late"] if step_id == late else ["parts"]
            step |= more
        if step_id in JOINS and edges is EDGES:
            step["join"] = "all"
        steps.append(step)
    steps[0]["configuration"] = {"password": SECRET}
    return {"id": run_id, "workflow": {"steps": steps}}


class Server(ThreadingTCPServer):
    """Counts effects by idempotency key, gives each order once, sends signals.

    A child has one connection, and each line of it is a request: a connection for each would take half of a run's time.
    """

    request_queue_size = 100

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.effects: Counter[str] = Counter()
        self.orders: dict[tuple[str, str], str] = {}
        """The orders by the id of the run and the name of the adaptor."""
        self.dying: dict[str, threading.Event] = {}
        """Set once a run has carried out its order."""

    @property
    def port(self) -> int:
        """The port on loopback."""
        return int(self.server_address[1])

    def write_repo(self, repo: Path) -> Path:
        """Write the adaptors into a directory."""
        entries = []
        for name, source in (("parts", PARTS), ("late", LATE)):
            (repo / name).mkdir(parents=True)
            (repo / name / f"{name}.py").write_text(source.replace("PORT", str(self.port)))
            entries.append({"name": name, "version": "1.0.0", "path": name, "module": name})
        (repo / "repo.json").write_text(json.dumps({"adaptors": entries}))
        compileall.compile_dir(repo, quiet=1)  # otherwise each child would compile them
        return repo

    def take(self, path: str) -> str:
        """Return the answer to a request."""
        kind, _, rest = path.partition("/")
        if kind == "effect":
            self.effects[rest] += 1
        elif kind == "order":
            run_id, _, module = rest.partition("/")
            return self.orders.pop((run_id, module), "")
        elif kind == "dying":
            self.dying[rest].set()
        elif kind == "idle":
            # The loops take time of one processor, and only if nobody else wants it.
            os.sched_setscheduler(int(rest), os.SCHED_IDLE, os.sched_param(0))
            os.sched_setaffinity(int(rest), [min(os.sched_getaffinity(0))])
        else:
            pid, _, name = rest.partition("/")
            os.kill(int(pid), signal.Signals[name])
        return ""


class _Handler(StreamRequestHandler):
    """Answers each line of a child until the child is gone, also by SIGKILL."""

    server: Server

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            for line in self.rfile:
                self.wfile.write(self.server.take(line[:-1].decode()).encode() + b"\n")
