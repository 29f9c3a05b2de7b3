"""The relay under root, and under an ordinary user: the same traffic, and walls on both."""

from __future__ import annotations

from relay_world import Job, Relay, echo, served


def test_a_run_reaches_its_host_and_no_other(each_world):
    """By name, by address, and over IPv6; every wall of the relay is on."""
    each_world.names.records["api.example.org"] = ["203.0.113.5"]
    relay = Relay(each_world.space)
    assert {layer.state for layer in relay.layers.values()} == {"on"}, relay.layers
    job = Job(relay, each_world.space.inner(), "api.example.org:443", "[2001:db8::1]:443")
    with served(each_world.space.listener("::", 443), echo):
        for host in ("api.example.org", "2001:db8::1"):
            with job.connect(host, 443) as end:
                end.sendall(b"hello")
                assert end.recv(10) == b"hello"
            assert job.ended().outcome == "open"
        assert job.refused("203.0.113.6", 443).outcome == "refused"
        assert job.refused("127.0.0.1", 443).outcome == "refused"
    job.finish()
    assert relay.close() == 0
