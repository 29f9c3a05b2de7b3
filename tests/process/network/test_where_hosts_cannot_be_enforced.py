"""On a machine without network namespaces, a run with rules is refused, or its ports alone hold."""

from __future__ import annotations

from typing import Any

import pytest
from spaced_manager import ORDINARY, WITHOUT_NETWORKS, run_script, works

SCRIPT = """
def one(mode, policy):
    with echo("127.0.0.2") as other, echo("127.0.0.1", other.port) as server, echo() as third:
        places = [("127.0.0.1", server.port), ("127.0.0.2", server.port), ("127.0.0.1", third.port)]
        made = options(f"127.0.0.1:{{server.port}}")
        with engine_with(mode, made, **policy) as eng:
            run = eng.execute(CONNECT, {{"data": places}})
            result = run.result(60)
        error = result.error
        return {{
            "reason": result.reason,
            "error": error and [error.name, error.message, error.fix],
            "data": result.state and result.state["data"],
            "net": result.confinement.net,
            "layer": [l.detail for l in result.confinement.layers if l.name == "network"],
            "connections": connections(run),
        }}

print(json.dumps({{name: one(*case) for name, case in {cases!r}.items()}}))
"""

MODES = ["exec", "zygote"]
BY_NAME = {mode: (mode, {}) for mode in MODES}
BY_PORT = {f"{mode}, ports": (mode, {"net": "ports"}) for mode in MODES}
"""The cases of a script by their names. The engines share an interpreter, because its start takes longer than theirs."""


@pytest.fixture(scope="module")
def without_networks() -> Any:
    """The outcomes of runs on a machine without network namespaces."""
    if not works(WITHOUT_NETWORKS):
        pytest.skip("this machine does not let a test forbid network namespaces")
    return run_script(SCRIPT.format(cases=BY_NAME | BY_PORT), under=WITHOUT_NETWORKS)


@pytest.fixture(scope="module")
def by_port() -> Any:
    """The outcomes of runs whose policy accepts the ports alone, on this machine."""
    return run_script(SCRIPT.format(cases=BY_PORT))


@pytest.fixture(scope="module")
def ordinary() -> Any:
    """The outcomes of runs of an ordinary user, also in children that were waiting."""
    if not works(ORDINARY):
        pytest.skip("this machine gives ordinary users no namespaces")
    spares = {f"{mode}+spare": (f"{mode}+spare", {}) for mode in MODES}
    return run_script(SCRIPT.format(cases=BY_NAME | spares), under=ORDINARY)


@pytest.mark.parametrize("mode", MODES)
def test_the_run_is_refused_and_the_error_says_what_to_do(without_networks, mode):
    """Nothing less than the rules is enforced in silence."""
    found = without_networks[mode]

    name, message, fix = found["error"]
    assert (found["reason"], name) == ("exception", "ConfinementError")
    assert "'network'" in message
    assert "unshare: ENOSPC" in message
    assert "Policy(net='ports')" in fix
    assert found["data"] is None


@pytest.mark.parametrize("mode", MODES)
def test_a_policy_may_accept_the_ports_alone(without_networks, mode):
    """Another host on the port is reached then, and the report says so."""
    found = without_networks[f"{mode}, ports"]

    assert found["error"] is None
    assert found["data"] == ["ping", "ping", "PermissionError"]
    assert found["net"] == "by port"
    assert found["layer"] == ["by port, because of unshare: ENOSPC"]
    assert found["connections"] == []


@pytest.mark.parametrize("mode", MODES)
def test_the_fallback_is_not_used_where_hosts_can_be_enforced(by_port, mode):
    """`Policy(net="ports")` is for machines that cannot do better."""
    found = by_port[f"{mode}, ports"]

    assert found["error"] is None
    assert found["data"] == ["ping", "ConnectionResetError", "ConnectionRefusedError"]
    assert found["net"] == "by name"


@pytest.mark.parametrize("mode", [*MODES, "exec+spare", "zygote+spare"])
def test_an_ordinary_user_has_the_same_network(ordinary, mode):
    """It comes from a user namespace."""
    found = ordinary[mode]

    assert found["error"] is None
    assert found["data"] == ["ping", "ConnectionResetError", "ConnectionRefusedError"]
    assert found["net"] == "by name"
    assert sorted(outcome for _, _, outcome in found["connections"]) == ["open", "refused"]
