"""`retry`, `timeout`, `on_death` and `permissions` of a step, as a plan has them."""

from __future__ import annotations

import shutil

import pytest
from authority import Authority

from engine.api.errors import PlanError
from engine.api.options import Permissions
from engine.plan.permissions import is_covered
from engine.plan.validation import load_plan
from protocol.net_rules import parse_net_rule, parse_net_rules
from protocol.plan import Retry, StepPermissions

JOB = "def main(state): return state"


def load(step=None, run=None, **keys):
    found = {"id": "a", "expression": JOB, **keys} if step is None else step
    sentences = []
    plan = load_plan({"workflow": {"steps": [found]}}, permissions=run, warn=sentences.append)
    assert load_plan(plan, permissions=run, warn=sentences.append) == plan
    return plan.workflow.steps[0], sentences


def problems(**keys):
    with pytest.raises(PlanError) as caught:
        load(**keys)
    return str(caught.value).splitlines()


def test_a_retry_has_the_defaults_of_the_contract():
    """Only the number of attempts is required."""
    step, _ = load(retry={"attempts": 3})
    assert step.retry == Retry(attempts=3, delay=1000, backoff=2, max_delay=60000, on=None)
    assert (step.timeout, step.on_death, step.permissions) == (None, "end", None)


def test_all_keys_are_read_in_both_spellings():
    """As the older tools write them too."""
    expected = Retry(attempts=2, delay=0, backoff=1.5, max_delay=9, on=("death", "JobError"))
    for spelling in ("max_delay", "maxDelay"):
        given = {
            "attempts": 2,
            "delay": 0,
            "backoff": 1.5,
            spelling: 9,
            "on": ["death", "JobError"],
        }
        assert load(retry=given)[0].retry == expected
    for spelling in ("on_death", "onDeath"):
        assert load(**{spelling: "fail"})[0].on_death == "fail"
    assert load(timeout=2500)[0].timeout == 2500
    step, _ = load(permissions={"net": ["Example.org:443"], "read": []})
    assert step.permissions == StepPermissions(net=("Example.org:443",), read=())


@pytest.mark.parametrize(
    ("retry", "told"),
    [
        ({}, ".attempts: is missing; it is the number of all attempts, such as 3"),
        ({"attempts": None}, ".attempts: is missing; it is the number of all attempts, such as 3"),
        ({"attempts": 0}, ".attempts: must be a whole number of 1 or more, not 0"),
        ({"attempts": -2}, ".attempts: must be a whole number of 1 or more, not -2"),
        ({"attempts": 2.5}, ".attempts: must be a whole number of 1 or more, not 2.5"),
        ({"attempts": "3"}, ".attempts: must be a whole number of 1 or more, not text"),
        ({"attempts": True}, ".attempts: must be a whole number of 1 or more, not true or false"),
        (
            {"attempts": 2, "delay": -1},
            ".delay: must be a number of milliseconds, finite and 0 or more, not -1",
        ),
        (
            {"attempts": 2, "delay": float("nan")},
            ".delay: must be a number of milliseconds, finite and 0 or more, not nan",
        ),
        ({"attempts": 2, "delay": "1s"}, ".delay: must be a number of milliseconds, not text"),
        (
            {"attempts": 2, "backoff": 0.5},
            ".backoff: must be a number, finite and 1 or more, not 0.5",
        ),
        (
            {"attempts": 2, "max_delay": -0.5},
            ".max_delay: must be a number of milliseconds, finite and 0 or more, not -0.5",
        ),
        (
            {"attempts": 2, "maxDelay": 10**400},
            ".maxDelay: must be a number of milliseconds, finite and 0 or more, not such a number",
        ),
        (
            {"attempts": 2, "on": ["JobError", "AdapterError"]},
            ".on[1]: no error has the name 'AdapterError'; did you mean 'AdaptorError'?",
        ),
        (
            {"attempts": 2, "on": ["timeouts"]},
            ".on[0]: no error has the name 'timeouts'; did you mean 'timeout'?",
        ),
        (
            {"attempts": 2, "on": ["zebra"]},
            (
                ".on[0]: no error has the name 'zebra'; there are: 'JobError', 'RuntimeError', 'AdaptorError',"
                " 'StateError', 'timeout', 'death'"
            ),
        ),
        (
            {"attempts": 2, "on": ["TimeoutError"]},
            ".on[0]: 'TimeoutError' is not an error of a job; write 'timeout'",
        ),
        (
            {"attempts": 2, "on": ["OOMError"]},
            ".on[0]: 'OOMError' is not an error of a job; write 'death'",
        ),
        (
            {"attempts": 2, "on": ["CompileError"]},
            ".on[0]: 'CompileError' ends the run (severity crash), so it cannot be retried",
        ),
        (
            {"attempts": 2, "on": ["ValueError"]},
            ".on[0]: 'ValueError' is a class; write the name of its error: 'RuntimeError' or 'AdaptorError'",
        ),
        ({"attempts": 2, "on": [3]}, ".on[0]: must be the name of an error, not a number"),
        (
            {"attempts": 2, "on": "timeout"},
            ".on: must be a list of names of errors, such as ['AdaptorError', 'timeout'], not text: 'timeout'",
        ),
        (
            {"attempts": 2, "tries": 3},
            (
                ".tries: unknown key; known are: 'attempts', 'delay', 'backoff',"
                " 'max_delay', 'on', 'maxDelay'"
            ),
        ),
        (3, ": must be an object, not a number"),
    ],
)
def test_a_wrong_retry_is_told_with_its_path_and_its_value(retry, told):
    """Each by itself."""
    assert problems(retry=retry) == [f"workflow.steps[0].retry{told}"]


def test_all_that_is_wrong_with_a_step_is_told_at_once():
    """Not only the first."""
    found = problems(
        retry={"attempts": 0, "delay": -1, "on": ["x"]},
        timeout=-5,
        on_death="die",
        permissions={"net": ["https://x"], "write": []},
    )
    assert [line.partition(":")[0] for line in found] == [
        f"workflow.steps[0].{name}"
        for name in (
            "retry.attempts",
            "retry.delay",
            "retry.on[0]",
            "timeout",
            "on_death",
            "permissions.write",
            "permissions.net[0]",
        )
    ]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"timeout": 0}, "timeout: must be finite and more than 0 milliseconds, not 0"),
        ({"timeout": "10s"}, "timeout: must be a number of milliseconds, not text"),
        ({"on_death": True}, "on_death: must be 'end' or 'fail', not true or false"),
        ({"onDeath": "fial"}, "onDeath: must be 'end' or 'fail', not 'fial'; did you mean 'fail'?"),
        (
            {"permissions": {"net": "x:443"}},
            (
                "permissions.net: must be a list of network rules, such as ['api.example.org:443'],"
                " not text; write ['x:443']"
            ),
        ),
        (
            {"permissions": {"read": ["data"]}},
            "permissions.read[0]: has 'data', which is not an absolute path; write ",
        ),
        ({"permissions": {"net": ["a:1", 2]}}, "permissions.net[1]: must be text, not a number"),
        (
            {"permissions": {"scratch_mb": 0}},
            (
                "permissions.scratch_mb: must be a number of megabytes above 0, or false for no"
                " scratch directory, not 0"
            ),
        ),
        ({"permissions": {"scratch_mb": "4"}}, "permissions.scratch_mb: must be a number of"),
        ({"permissions": {"scratch_mb": True}}, "permissions.scratch_mb: must be a number of"),
        ({"permissions": ["x"]}, "permissions: must be an object, not a list"),
        ({"permissions": {"ca_file": 1}}, "permissions.ca_file: must be text, not a number"),
    ],
)
def test_other_wrong_keys_are_told_with_their_path_and_their_value(keys, told):
    """As far as the value is no secret."""
    [line] = problems(**keys)
    assert line.startswith(f"workflow.steps[0].{told}")


def test_a_wrong_network_rule_says_what_is_right():
    """In the words of the rules, which are read in one place."""
    [line] = problems(permissions={"net": ["x:443", "https://x"]})
    assert line == (
        "workflow.steps[0].permissions.net[1]: the network rule 'https://x' is a URL; write 'x:443'"
    )


RUN = Permissions(net=("api.example.org:443", "*.data.org:80-90"), read=("/srv/data",))


def test_permissions_within_those_of_the_run_are_accepted():
    """Or the same, or none."""
    for net in (["api.example.org:443"], ["x.data.org:85", "*.data.org:80-81"], [], None):
        step = {"id": "a", "expression": JOB, "permissions": {"net": net, "read": ["/srv/data/x"]}}
        load(step, RUN)


def test_permissions_wider_than_those_of_the_run_are_refused_where_they_are_known():
    """With the path, the value and what the run may reach."""
    step = {
        "id": "a",
        "expression": JOB,
        "permissions": {"net": ["api.example.org:443", "api.example.org:80"], "read": ["/srv"]},
    }
    load(step, None)
    with pytest.raises(PlanError) as caught:
        load(step, RUN)
    assert str(caught.value).splitlines() == [
        (
            "workflow.steps[0].permissions.net[1]: 'api.example.org:80' is not among the permissions of the run"
            " (net: 'api.example.org:443', '*.data.org:80-90'); a step can only narrow them"
        ),
        (
            "workflow.steps[0].permissions.read[0]: '/srv' is not among the permissions of the run"
            " (read: '/srv/data'); a step can only narrow them"
        ),
    ]
    with pytest.raises(PlanError, match=r"net: none\); a step can only narrow them"):
        load(step, Permissions())


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Files with one authority, with another one, and with both."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make certificates")
    directory = tmp_path_factory.mktemp("bundles")
    texts = [Authority(directory, name).certificate.read_text() for name in ("one", "two")]
    found = {"one": texts[0], "two": texts[1], "both": "".join(texts)}
    for name, text in found.items():
        (directory / f"{name}.crt").write_text(text)
        (directory / f"{name}.crt").chmod(0o644)
    return {name: str(directory / f"{name}.crt") for name in found} | {"directory": str(directory)}


def narrowed(bundles, step, run, read):
    """Return the problem of a step with this file, in a run with that file."""
    paths = (bundles["directory"],) if read else ()
    allowed = Permissions(net=("x:443",), read=paths, ca_file=bundles.get(run))
    keys = {"id": "a", "expression": JOB, "permissions": {"ca_file": bundles.get(step, step)}}
    try:
        made, _ = load(keys, allowed)
    except PlanError as error:
        return str(error).removeprefix("workflow.steps[0].permissions.ca_file: ")
    assert made.permissions == StepPermissions(ca_file=bundles.get(step, step))
    return None


def test_a_step_may_trust_a_part_of_the_authorities(bundles):
    """The file of the run itself, or one that the run may read."""
    assert narrowed(bundles, "both", "both", False) is None
    assert narrowed(bundles, "one", "both", True) is None


def test_a_step_cannot_trust_more_authorities(bundles):
    """Nor read a file that the run cannot read: a plan would find out about files of the machine."""
    more = "has 1 certificate that the ca_file of the run does not have; a step can only narrow"
    assert more in narrowed(bundles, "both", "one", True)
    assert more in narrowed(bundles, "two", "one", True)
    for name in ("one", "/etc/shadow", "/none", "none.pem"):
        assert narrowed(bundles, name, "both", False).endswith(
            "is neither the ca_file of the run nor among its permissions to read; a step can only narrow them"
        )
    found = narrowed(bundles, "one", None, True)
    assert found == "the run has no ca_file; a step can only narrow the permissions of the run"


def test_a_file_of_a_step_without_authorities_is_a_problem(bundles):
    """The same message as for a run."""
    found = narrowed(bundles, f"{bundles['directory']}/none.pem", "both", True)
    assert found.endswith("which does not exist; name a file with certificates in PEM form")


def test_the_file_of_a_run_is_looked_at_again(bundles, tmp_path):
    """It may have gone since the permissions were made."""
    file = tmp_path / "ca.pem"
    shutil.copy(bundles["one"], file)
    file.chmod(0o644)
    run = Permissions(ca_file=str(file))
    load({"id": "a", "expression": JOB}, run)
    file.unlink()
    with pytest.raises(PlanError, match=r"^permissions\.ca_file: .* does not exist; name a file"):
        load({"id": "a", "expression": JOB}, run)


@pytest.mark.parametrize(
    ("rule", "allowed", "covered"),
    [
        ("a.org:443", ["*"], True),
        ("*", ["*"], True),
        ("*", ["*:443"], False),
        ("*:443", ["*:443"], True),
        ("*:443", ["*:80"], False),
        ("a.org:443", ["*:443"], True),
        ("a.org", ["*:443"], False),
        ("a.org", ["a.org:80", "a.org:443"], True),
        ("a.org:80-90", ["a.org:80-85", "*:86-100"], True),
        ("a.org:80-90", ["a.org:80-85", "*:87-100"], False),
        ("x.a.org:443", ["*.a.org:443"], True),
        ("y.x.a.org:443", ["*.a.org:443"], False),
        ("a.org:443", ["*.a.org:443"], False),
        ("*.a.org:443", ["*.a.org:443"], True),
        ("*.x.a.org:443", ["*.a.org:443"], False),
        ("A.ORG.:443", ["a.org:443"], True),
        ("10.1.2.3:5432", ["10.0.0.0/8:5432"], True),
        ("10.1.0.0/16:5432", ["10.0.0.0/8:5432"], True),
        ("0.0.0.0/0:5432", ["10.0.0.0/8:5432"], False),
        ("11.0.0.1:5432", ["10.0.0.0/8:5432"], False),
        ("[fd00::5]:1", ["[fd00::/8]:1"], True),
        ("10.0.0.1:1", ["[fd00::/8]:1"], False),
        ("127.0.0.1:80", ["*:80"], False),
        ("127.0.0.1:80", ["0.0.0.0/0:80"], False),
        ("127.0.0.1:80", ["127.0.0.0/8:80"], True),
        ("127.0.0.1:80", ["127.0.0.1:80"], True),
        ("169.254.169.254:80", ["*:80"], False),
        ("0.1.2.3:80", ["*:80"], False),
        ("224.0.0.1:80", ["*:80"], False),
        ("[64:ff9b::7f00:1]:80", ["*:80"], False),
        ("[2002:7f00:1::]:80", ["[::/0]:80"], False),
        ("[fd00:ec2::254]:80", ["*:80"], False),
        ("[fd00:ec2::254]:80", ["[fd00::/8]:80"], False),
        ("[fd00:ec2::254]:80", ["[fd00:ec2::/64]:80"], True),
        ("100.100.100.200:80", ["100.64.0.0/10:80"], False),
        ("localhost:80", ["*:80"], False),
        ("localhost:80", ["localhost:80"], True),
        ("localhost:80", ["*"], True),
        ("[::1]:80", ["*:80"], False),
        ("a.org:443", [], False),
    ],
)
def test_a_rule_is_covered_by_rules_that_allow_all_it_allows(rule, allowed, covered):
    """Closed on doubt: a local address must be named."""
    assert is_covered(parse_net_rule(rule), parse_net_rules(allowed)) is covered


def test_in_a_trigger_the_keys_of_a_job_are_ignored_with_a_warning():
    """The keys of other programs may hold any value; those programs may read them."""
    trigger = {
        "id": "t",
        "retry": {"attempts": 0},
        "timeout": "never",
        "onDeath": "x",
        "permissions": 3,
    }
    step, sentences = load(trigger)
    assert (step.retry, step.timeout, step.on_death, step.permissions) == (None, None, "end", None)
    assert sentences == [
        f"workflow.steps[0].{name}: is ignored: a step without an expression runs nothing"
        for name in ("retry", "timeout", "onDeath", "permissions")
    ]


def test_a_step_narrows_the_scratch_directory():
    """A smaller size, or none; a larger one is refused where the run is known."""
    run = Permissions(scratch_mb=8)
    for size, read in ((8, 8.0), (0.5, 0.5), (False, False), (None, None)):
        step, _ = load({"id": "a", "expression": JOB, "permissions": {"scratch_mb": size}}, run)
        assert step.permissions == StepPermissions(scratch_mb=read)
    wider = {"id": "a", "expression": JOB, "permissions": {"scratch_mb": 9}}
    load(wider, None)
    for permissions, own in ((run, "8"), (Permissions(), "none")):
        with pytest.raises(PlanError) as caught:
            load(wider, permissions)
        [problem] = caught.value.problems
        assert problem.path == "workflow.steps[0].permissions.scratch_mb"
        assert problem.message == (
            f"9 is more than the permissions of the run (scratch_mb: {own});"
            " a step can only narrow them"
        )
