"""Decisions of the layer `network`, without a process to confine."""

from __future__ import annotations

import pytest

from protocol.confinement import ConfinementRequest
from sandbox_child.confine import network
from sandbox_child.confine.landlock import enforced_rules
from sandbox_child.confine.task import Task


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("", ["127.0.0.1"]),
        ("search example.org\n", ["127.0.0.1"]),
        ("nameserver 10.0.0.1\n", ["10.0.0.1"]),
        ("nameserver\t10.0.0.1 # mine\nnameserver 2001:db8::1", ["10.0.0.1", "2001:db8::1"]),
        ("# nameserver 1.1.1.1\n;nameserver 1.1.1.2\nnameserver 10.0.0.1", ["10.0.0.1"]),
        (" nameserver 10.0.0.1\n", ["127.0.0.1"]),
        ("nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4",
         ["1.1.1.1", "1.1.1.2", "1.1.1.3"]),
    ],
)  # fmt: skip
def test_the_servers_of_names_are_those_of_the_c_library(tmp_path, text, servers):
    """A server without a socket could not answer."""
    path = tmp_path / "resolv.conf"
    path.write_text(text)
    assert network.name_servers(str(path)) == servers


def test_a_missing_file_means_the_server_of_this_machine(tmp_path):
    """That is what the C library does."""
    assert network.name_servers(str(tmp_path / "missing")) == ["127.0.0.1"]
    assert network.resolver_version(str(tmp_path / "missing")) == 0


def test_a_network_of_the_machine_is_not_taken_for_a_private_one():
    """The trial address belongs to nobody, so it is no address of the machine of the tests."""
    assert not network.is_private()


def task(**fields):
    return Task(ConfinementRequest(**fields), parent_pid=1, keep_fds=())


def test_landlock_enforces_ports_only_where_nothing_else_does():
    """In a private network a port without a rule has no socket."""
    by_name = task(net=("x:443",))
    by_port = task(net=("x:443",), net_by_port=True)
    by_port.net = "by port"

    assert enforced_rules(task()) == ()
    assert enforced_rules(by_name) == ("*",)
    assert enforced_rules(by_port) == ("x:443",)
    assert enforced_rules(task(net=("*",))) == ("*",)
    assert enforced_rules(task(net=("x:443",), without=("network",))) == ("x:443",)


@pytest.mark.parametrize(
    ("fields", "private"),
    [
        ({}, False),
        ({"net": ("x:443",)}, True),
        ({"net": ("*:443",)}, True),
        ({"net": ("x:443", "*")}, False),
        ({"net": ("x:443",), "level": "none"}, False),
        ({"net": ("x:443",), "without": ("network",)}, False),
    ],
)
def test_rules_for_hosts_need_a_private_network(fields, private):
    """Only the rule for everything, and walls that are left out, need none."""
    request = ConfinementRequest(**fields)
    assert request.private_net is private
    assert request.mediated_rules == (fields.get("net", ()) if private else ())


def test_only_a_fork_that_cannot_fall_back_has_prepared_calls():
    """Otherwise the layers after it depend on the outcome."""
    assert network.ready(task()) == ([], None)
    calls, detail = network.ready(task(net=("x:443",)))
    assert [call.name for call in calls] == ["unshare", "sendmsg"]
    assert detail == "by name"
    assert network.ready(task(net=("x:443",), net_by_port=True)) is None
