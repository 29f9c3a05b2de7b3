"""On a machine without network namespaces, a run with rules is refused, or its ports alone hold."""

from __future__ import annotations

import pytest
from spaced_manager import ORDINARY, WITHOUT_NETWORKS, run_script, works

SCRIPT = """
with echo("127.0.0.2") as other, echo("127.0.0.1", other.port) as server, echo() as third:
    places = [("127.0.0.1", server.port), ("127.0.0.2", server.port), ("127.0.0.1", third.port)]
    made = options(f"127.0.0.1:{{server.port}}")
    with engine_with({mode!r}, made{policy}) as eng:
        run = eng.execute(CONNECT, {{"data": places}})
        result = run.result(60)
    error = result.error
    print(json.dumps({{
        "reason": result.reason,
        "error": error and [error.name, error.message, error.fix],
        "data": result.state and result.state["data"],
        "net": result.confinement.net,
        "layer": [l.detail for l in result.confinement.layers if l.name == "network"],
        "connections": connections(run),
    }}))
"""

MODES = ["exec", "zygote"]


@pytest.mark.parametrize("mode", MODES)
def test_the_run_is_refused_and_the_error_says_what_to_do(mode):
    """Nothing less than the rules is enforced in silence."""
    if not works(WITHOUT_NETWORKS):
        pytest.skip("this machine does not let a test forbid network namespaces")
    found = run_script(SCRIPT.format(mode=mode, policy=""), under=WITHOUT_NETWORKS)

    name, message, fix = found["error"]
    assert (found["reason"], name) == ("exception", "ConfinementError")
    assert "'network'" in message
    assert "unshare: ENOSPC" in message
    assert "Policy(net='ports')" in fix
    assert found["data"] is None


@pytest.mark.parametrize("mode", MODES)
def test_a_policy_may_accept_the_ports_alone(mode):
    """Another host on the port is reached then, and the report says so."""
    if not works(WITHOUT_NETWORKS):
        pytest.skip("this machine does not let a test forbid network namespaces")
    found = run_script(SCRIPT.format(mode=mode, policy=', net="ports"'), under=WITHOUT_NETWORKS)

    assert found["error"] is None
    assert found["data"] == ["ping", "ping", "PermissionError"]
    assert found["net"] == "by port"
    assert found["layer"] == ["by port, because of unshare: ENOSPC"]
    assert found["connections"] == []


@pytest.mark.parametrize("mode", MODES)
def test_the_fallback_is_not_used_where_hosts_can_be_enforced(mode):
    """`Policy(net="ports")` is for machines that cannot do better."""
    found = run_script(SCRIPT.format(mode=mode, policy=', net="ports"'))

    assert found["error"] is None
    assert found["data"] == ["ping", "ConnectionResetError", "ConnectionRefusedError"]
    assert found["net"] == "by name"


@pytest.mark.parametrize("mode", [*MODES, "exec+spare", "zygote+spare"])
def test_an_ordinary_user_has_the_same_network(mode):
    """It comes from a user namespace."""
    if not works(ORDINARY):
        pytest.skip("this machine gives ordinary users no namespaces")
    found = run_script(SCRIPT.format(mode=mode, policy=""), under=ORDINARY)

    assert found["error"] is None
    assert found["data"] == ["ping", "ConnectionResetError", "ConnectionRefusedError"]
    assert found["net"] == "by name"
    assert sorted(outcome for _, _, outcome in found["connections"]) == ["open", "refused"]
