"""Sets of adaptors become warm, stay within their limits, and serve runs that cannot tell."""

from __future__ import annotations

import re
import ssl
import time
from pathlib import Path

import pytest
from bundled_repo import make_bundled_repo
from modes import let_everybody_in
from runs import make_engine
from warm import run_warm
from warm_children import children_of_engines
from warm_pairs import PATIENCE_S, WarmRepo, comparable, pair, run, set_of, wait_until_decided

from engine import Engine, Permissions, Policy, RunOptions

ROOT = Path(__file__).parents[2]

COUNTER = """
import os, random
count = 0
drawn_at_import = random.random()

def use(**wanted):
    def operation(state):
        global count
        count += 1
        return {"count": count, "drawn": random.random(), "at_import": drawn_at_import,
                "pid": os.getpid(), "parent": os.getppid()}
    return operation
"""


@pytest.fixture
def repo(tmp_path: Path) -> WarmRepo:
    made = WarmRepo(tmp_path / "repo")
    made.add("counter", COUNTER)
    return made


def uses(*names: str) -> dict[str, object]:
    """Return a plan with a step for each adaptor."""
    steps = [
        {"id": name, "adaptor": name, "expression": "use()", "next": following}
        for name, following in zip(names, [*names[1:], None], strict=True)
    ]
    return {"workflow": {"steps": [{k: v for k, v in s.items() if v is not None} for s in steps]}}


def state_of(engine: Engine, *names: str, **options: object) -> dict[str, object]:
    result, _ = run(engine, uses(*names), **options)
    assert result.reason == "success", result.error
    return result.state


def warm_up(engine: Engine, *names: str, **options: object) -> None:
    """Use a set until it is warm."""
    for _ in range(2):
        state_of(engine, *names, **options)
    decided = wait_until_decided(engine, *names)
    assert decided.warm, decided


def is_warm(state: dict[str, object]) -> bool:
    """Return whether the run of a final state was forked from a warm zygote: they share a number."""
    return state["at_import"] in _drawn


_drawn: list[object] = []


def test_a_set_is_warm_from_its_second_use_on(repo: WarmRepo):
    """Two cold runs draw different numbers at import, and warm ones have those of their zygote."""
    with make_engine(repo_dir=repo.path) as engine:
        cold = [state_of(engine, "counter") for _ in range(2)]
        assert cold[0]["at_import"] != cold[1]["at_import"]
        decided = wait_until_decided(engine, "counter")
        assert decided.warm
        assert decided.adaptors == ("counter@1.0.0",)
        assert 0 < decided.memory_bytes < 20e6
        warm = [state_of(engine, "counter") for _ in range(3)]

    assert len({state["at_import"] for state in warm}) == 1
    assert [state["count"] for state in warm] == [1, 1, 1], (
        "each run has its own copy of the module"
    )
    assert len({state["drawn"] for state in warm}) == 3, "each run has random numbers of its own"
    assert len({state["pid"] for state in warm}) == 3


def test_preload_makes_sets_warm_without_a_use(repo: WarmRepo):
    """Each entry is a set of its own, and a tuple is a joint set."""
    repo.add("second", COUNTER)
    with make_engine(
        repo_dir=repo.path, preload=["counter", ("second@1.0.0", "counter")]
    ) as engine:
        assert wait_until_decided(engine, "counter").warm
        assert wait_until_decided(engine, "counter", "second").warm
        single = [state_of(engine, "counter")["at_import"] for _ in range(2)]
        joint = [state_of(engine, "counter", "second")["at_import"] for _ in range(2)]
        assert set_of(engine, "second") is None

    assert single[0] == single[1]
    assert joint[0] == joint[1]


@pytest.mark.parametrize(
    ("preload", "error", "words"),
    [
        (["nowhere"], ValueError, "'nowhere'.*no adaptor"),
        (["counter@9"], ValueError, "'counter@9'.*installed: 1.0.0"),
        ("counter", TypeError, r"write preload=\['name@version'\]"),
        ([3], TypeError, "3"),
        ([("counter", None)], TypeError, "None"),
        ([()], TypeError, r"\(\)"),
    ],
)
def test_a_bad_preload_is_refused(repo: WarmRepo, preload: object, error: type, words: str):
    """The error quotes the entry, and no process is left."""
    with pytest.raises(error, match=words):
        make_engine(repo_dir=repo.path, preload=preload)


@pytest.mark.parametrize("warm_mb", [-1, "256", None, float("nan"), float("inf"), True])
def test_a_bad_limit_is_refused(repo: WarmRepo, warm_mb: object):
    """The limit is a number."""
    with pytest.raises(
        ValueError, match=f"warm_mb must be a number of at least 0, not {warm_mb!r}"
    ):
        make_engine(repo_dir=repo.path, warm_mb=warm_mb)


def test_preload_needs_a_zygote(repo: WarmRepo):
    """A new interpreter for each run cannot be warm."""
    with pytest.raises(ValueError, match="preload needs start_mode='zygote'"):
        make_engine("exec", repo_dir=repo.path, preload=["counter"])


@pytest.mark.parametrize(
    ("mode", "settings", "reason"),
    [
        ("exec", {}, "start_mode='exec' starts a new interpreter for each run"),
        ("zygote", {"warm_mb": 0}, "warm_mb is 0"),
        ("zygote", {"policy": Policy(level="none")}, "it needs the kernel wall"),
        ("zygote", {"policy": Policy(without=("seccomp",))}, "it needs the layer 'seccomp'"),
        (
            "zygote",
            {"policy": Policy(without=("descriptors",))},
            "it needs the layer 'descriptors'",
        ),
    ],
)
def test_an_engine_says_why_no_set_is_warm(
    repo: WarmRepo, mode: str, settings: dict[str, object], reason: str
):
    """The runs go on as cold ones."""
    with make_engine(mode, repo_dir=repo.path, **settings) as engine:
        for _ in range(2):
            state_of(engine, "counter")
        decided = wait_until_decided(engine, "counter")
        assert not decided.warm
        assert reason in str(decided.reason)
        assert state_of(engine, "counter")["count"] == 1


def test_a_set_larger_than_the_limit_is_not_warm(repo: WarmRepo):
    """The reason names both sizes."""
    repo.add("large", COUNTER + "\nballast = bytearray(b'x') * 30_000_000\n")
    with make_engine(repo_dir=repo.path, warm_mb=20) as engine:
        for _ in range(2):
            state_of(engine, "large")
        reason = str(wait_until_decided(engine, "large").reason)
        assert re.fullmatch(r"it takes \d\d MB, and warm_mb allows 20", reason)


def test_the_least_recently_used_set_goes_first(repo: WarmRepo):
    """All warm zygotes together stay within warm_mb."""
    for name in "abc":
        repo.add(name, COUNTER + "\nballast = b'x'.join([bytes(10_000_000)] * 3)\n")
    with make_engine(repo_dir=repo.path, warm_mb=90) as engine:
        warm_up(engine, "a")
        warm_up(engine, "b")
        state_of(engine, "a")
        warm_up(engine, "c")
        assert set_of(engine, "a").warm
        assert not set_of(engine, "b").warm
        assert "warm_mb" in str(set_of(engine, "b").reason)
        assert sum(one.memory_bytes for one in engine.warm() if one.warm) <= 90 * 2**20


def test_a_changed_file_makes_a_new_set(repo: WarmRepo):
    """The very next run has the new file, and later ones are warm again."""
    with make_engine(repo_dir=repo.path) as engine:
        warm_up(engine, "counter")
        repo.add("counter", COUNTER.replace("count = 0", "count = 100"))
        assert state_of(engine, "counter")["count"] == 101
        warm_up(engine, "counter")
        warm = [state_of(engine, "counter") for _ in range(2)]
        assert [state["count"] for state in warm] == [101, 101]
        assert warm[0]["at_import"] == warm[1]["at_import"]


def test_a_repaired_adaptor_is_tried_again_at_once(repo: WarmRepo):
    """A set that was refused is not tried again for long, unless its files change."""
    repo.add("broken", "raise RuntimeError('not yet')")
    plan = uses("broken")
    with make_engine(repo_dir=repo.path) as engine:
        for _ in range(3):
            assert run(engine, plan)[0].error.name == "ImportError"
        assert "not yet" in str(wait_until_decided(engine, "broken").reason)
        repo.add("broken", COUNTER)
        warm_up(engine, "broken")


def test_an_atomic_swap_of_the_repo_makes_a_new_set(tmp_path: Path):
    """A zygote that sees the old repo serves no run any more."""
    first, second = WarmRepo(tmp_path / "first"), WarmRepo(tmp_path / "second")
    first.add("counter", COUNTER)
    second.add("counter", COUNTER.replace("count = 0", "count = 7"))
    link = tmp_path / "current"
    link.symlink_to(first.path)
    with make_engine(repo_dir=link) as engine:
        warm_up(engine, "counter")
        new = tmp_path / "new"
        new.symlink_to(second.path)
        new.rename(link)
        assert state_of(engine, "counter")["count"] == 8


def test_seeds_of_an_adaptor_stay(repo: WarmRepo):
    """If an adaptor seeds `random` while it is imported, each run gets the numbers after that."""
    repo.add("seeded", "import random\nrandom.seed(11)\n" + COUNTER)
    with pair(repo) as (cold, warm):
        expected = state_of(cold, "seeded")["drawn"]
        warm_up(warm, "seeded")
        assert [state_of(warm, "seeded")["drawn"] for _ in range(2)] == [expected, expected]


def test_fork_handlers_of_adaptors_are_called(repo: WarmRepo):
    """A library can repair its state in the fork (os.register_at_fork)."""
    repo.add(
        "handlers",
        "import os\nheard = []\n"
        "os.register_at_fork(before=lambda: heard.append('before'),\n"
        "    after_in_child=lambda: heard.append('child'), after_in_parent=lambda: heard.append('no'))\n"
        "def use():\n    return lambda state: {'heard': heard[-2:]}\n",
    )
    with make_engine(repo_dir=repo.path) as engine:
        warm_up(engine, "handlers")
        assert state_of(engine, "handlers") == {"heard": ["before", "child"]}


def test_memory_of_the_import_counts(repo: WarmRepo):
    """A warm run has as much memory left as a cold one: the import counts against its limit."""
    repo.add(
        "ballast",
        "ballast = bytearray(b'x') * 60_000_000\n"
        "def use(size=0):\n    return lambda state: {'n': len(bytearray(b'y') * size)}\n",
    )
    plans = [
        {"workflow": {"steps": [{"id": "s", "adaptor": "ballast", "expression": f"use({size})"}]}}
        for size in (0, 60_000_000)
    ]
    with pair(repo) as (cold, warm):
        for memory_mb in (500, 200):
            warm_up(warm, "ballast", memory_mb=memory_mb)
            for plan in plans:
                expected = run(cold, plan, memory_mb=memory_mb)[0]
                got = run(warm, plan, memory_mb=memory_mb)[0]
                assert (got.reason, got.error and got.error.name) == (
                    expected.reason,
                    expected.error and expected.error.name,
                ), (memory_mb, plan)
            assert set_of(warm, "ballast").warm


def test_time_of_the_processor_is_limited(repo: WarmRepo):
    """The limit of a run holds in a warm fork, and its zygote goes on."""
    repo.add(
        "busy", "def use():\n    def spin(state):\n        while True: pass\n    return spin\n"
    )
    plan = {"workflow": {"steps": [{"id": "s", "adaptor": "busy", "expression": "use()"}]}}
    with make_engine(repo_dir=repo.path, preload=["busy"]) as engine:
        assert wait_until_decided(engine, "busy").warm
        for _ in range(2):
            assert run(engine, plan, cpu_s=0.1)[0].error.name == "CPULimitError"
        assert set_of(engine, "busy").warm


@pytest.mark.parametrize(
    "permissions", [{"read": True}, {"net": ("*",)}, {"read": True, "net": ("*",)}]
)
def test_runs_with_permissions_are_warm_too(
    repo: WarmRepo, tmp_path: Path, permissions: dict[str, object]
):
    """A set has a warm zygote for each combination of permissions, with these walls."""
    note = tmp_path / "notes" / "note.txt"
    note.parent.mkdir()
    note.write_text("seen")
    let_everybody_in(note.parent)
    repo.add(
        "reader",
        "import random\nat_import = random.random()\n"
        f"def use():\n    return lambda state: {{'text': open({str(note)!r}).read(), 'at': at_import}}\n"
        "def peep():\n    import socket\n    return lambda state: {'at': at_import, 'fd': socket.socket().fileno() > 0}\n",
    )
    given = {
        name: (str(note.parent),) if name == "read" else permissions[name] for name in permissions
    }
    options = {"permissions": Permissions(**given)}
    verb = "use()" if "read" in given else "peep()"
    plan = {"workflow": {"steps": [{"id": "s", "adaptor": "reader", "expression": verb}]}}
    with make_engine(repo_dir=repo.path) as engine:
        deadline = time.monotonic() + PATIENCE_S
        while not ((one := set_of(engine, "reader")) and one.warm):
            assert run(engine, plan, **options)[0].reason == "success"
            assert time.monotonic() < deadline, one
        states = [run(engine, plan, **options)[0].state for _ in range(2)]
        assert states[0] == states[1], "forked from the same warm zygote"
        refused = run(engine, plan)[0].error
        assert refused is not None, "a run without the permission is not served by that zygote"


@pytest.mark.parametrize("rule", ["*", "x.example.org:443"])
def test_a_file_of_authorities_is_known_when_adaptors_are_imported(repo: WarmRepo, rule: str):
    """As in a cold run: an adaptor may make its TLS context then."""
    file = ssl.get_default_verify_paths().cafile
    bundle = Path(file or "/etc/ssl/certs/ca-certificates.crt")
    if not bundle.exists():
        pytest.skip("this machine has no bundle of authorities")
    repo.add(
        "trusting",
        "import os\nat_import = os.environ.get('SSL_CERT_FILE')\n"
        "def use():\n    return lambda state: {'at': at_import, 'now': os.environ['SSL_CERT_FILE']}\n",
    )
    options = {"permissions": Permissions(net=(rule,), ca_file=str(bundle))}
    plan = {"workflow": {"steps": [{"id": "s", "adaptor": "trusting", "expression": "use()"}]}}
    with make_engine(repo_dir=repo.path) as engine:
        deadline = time.monotonic() + PATIENCE_S
        while not ((one := set_of(engine, "trusting")) and one.warm):
            assert run(engine, plan, **options)[0].reason == "success"
            assert time.monotonic() < deadline, one
        state = run(engine, plan, **options)[0].state
        assert state == dict.fromkeys(("at", "now"), str(bundle.resolve()))


def test_many_runs_at_once_are_served(repo: WarmRepo):
    """Forks of one warm zygote run side by side, each with its own module."""
    with make_engine(repo_dir=repo.path, max_runs=8, preload=["counter"]) as engine:
        assert wait_until_decided(engine, "counter").warm
        runs = [engine.execute(uses("counter")) for _ in range(40)]
        states = [one.result(PATIENCE_S).state for one in runs]

    assert {state["count"] for state in states} == {1}
    assert len({state["at_import"] for state in states}) == 1
    assert len({state["drawn"] for state in states}) == 40


def test_a_killed_warm_zygote_costs_no_run(repo: WarmRepo):
    """The next run is cold or warm, but it succeeds, and the running one goes on."""
    repo.add(
        "waits",
        "import time\ndef use():\n    def op(state):\n        time.sleep(1)\n        return {}\n    return op\n",
    )
    with make_engine(repo_dir=repo.path, max_runs=4, preload=["waits"]) as engine:
        assert wait_until_decided(engine, "waits").warm
        (clean,) = children_of_engines()
        # Its forks are younger, and one of them may wait already.
        zygote = min(clean.children(), key=lambda one: (one.create_time(), one.pid))
        running = engine.execute(uses("waits"))
        while not any(event.type == "job-start" for event in running.poll(after=0)):
            time.sleep(0.005)
        zygote.kill()
        assert run(engine, uses("waits"))[0].reason == "success"
        assert running.result(PATIENCE_S).reason == "success"


def test_a_job_may_import_other_modules_of_the_repo(repo: WarmRepo):
    """The fork imports an adaptor that no step names, with the same events as a cold run."""
    repo.add(
        "other", "print('other is imported')\ndef use():\n    return lambda s: {**s, 'o': 1}\n"
    )
    plan = {
        "workflow": {
            "steps": [{"id": "s", "adaptor": "counter", "expression": "import other\nother.use()"}]
        }
    }
    with pair(repo) as (cold, warm):
        expected = comparable(*run(cold, plan))
        assert "other is imported" in str(expected["events"])
        for _ in range(2):
            run(warm, plan)
        assert wait_until_decided(warm, "counter").warm
        assert comparable(*run(warm, plan)) == expected


def test_spares_and_warm_zygotes_go_together(repo: WarmRepo):
    """A warm set is served by its zygote, and a run without adaptors by a spare."""
    with make_engine("zygote+spare", repo_dir=repo.path) as engine:
        warm_up(engine, "counter")
        states = [state_of(engine, "counter") for _ in range(2)]
        assert states[0]["at_import"] == states[1]["at_import"]


def test_the_example_of_the_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The example of docs/warm.md, with the bundled adaptors."""
    make_bundled_repo(tmp_path / "repo", "common", "http")
    text = (ROOT / "docs" / "warm.md").read_text()
    (code,) = re.findall(r"<!-- test: preload -->\n```python\n(.*?)```", text, flags=re.DOTALL)
    assert "preload" in code
    monkeypatch.chdir(tmp_path)
    exec(code, {})


def test_an_engine_without_a_run_has_no_sets():
    """Asking starts no process."""
    with make_engine() as engine:
        assert engine.warm() == []
        assert not children_of_engines()
        assert isinstance(engine.options, RunOptions)


def test_the_list_of_a_repo_says_what_can_be_warm(repo: WarmRepo):
    """The command imports each adaptor, and gives the reason of those that cannot be warm."""
    repo.add(
        "threads",
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n",
    )
    repo.add("broken", "1 / 0")
    done = run_warm(None, "repo", "list", "--warm", "--repo", repo.path, timeout_s=PATIENCE_S)
    done.check_returncode()
    broken, counter, threads = done.stdout.splitlines()
    assert re.fullmatch(r"counter@1\.0\.0  import counter  can be warm \(\d+ MB\)", counter)
    assert broken.startswith("broken@1.0.0  import broken  cannot be warm: ")
    assert "ZeroDivisionError: division by zero (broken.py, line 1)" in broken
    assert threads.endswith("cannot be warm: it starts a thread while it is imported") or (
        "cannot be warm: it starts a thread (Thread-1" in threads
    )
