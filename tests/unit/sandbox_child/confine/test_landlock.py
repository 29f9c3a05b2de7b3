"""The rights that a ruleset takes away, for each version of Landlock; checked with landlockpy."""

from __future__ import annotations

import importlib

import pytest

from sandbox_child.confine import landlock


@pytest.fixture(scope="module")
def landlockpy():
    try:
        return importlib.import_module("landlockpy")
    except ImportError:
        pytest.skip("needs landlockpy")


@pytest.mark.parametrize("version", range(3, 12))
def test_every_right_that_a_kernel_knows_is_taken_away(landlockpy, version):
    """All rights over files and ports, and all scopes, agree with landlockpy's table."""
    assert landlock._known(landlock.FS_RIGHTS, version) == landlockpy.fs_for_abi(version)
    assert landlock.handled_net(version, ()) == landlockpy.net_for_abi(version)
    assert landlock._known(landlock.SCOPES, version) == landlockpy.scope_for_abi(version)


@pytest.mark.parametrize(
    ("net", "ports", "tcp", "udp"),
    [
        ((), set(), 3, 12),
        (("host:443",), {443, 53}, 3, 8),
        (("a:1", "b:2"), {1, 2, 53}, 3, 8),
        (("host",), {80, 443, 53}, 3, 8),
        (("*",), None, 1, 0),
        (("a:1", "host"), {1, 80, 443, 53}, 3, 8),
        (("a:1", "*"), None, 1, 0),
        (("host:80,8000-8002",), {80, 8000, 8001, 8002, 53}, 3, 8),
        (("*.example.org:443", "10.0.0.0/8:5432"), {443, 5432, 53}, 3, 8),
        (("[::1]:80",), {80, 53}, 3, 8),
    ],
)
def test_a_permission_gives_back_ports(net, ports, tcp, udp):
    """Ports are given back only if every permission names one; listening is never given back."""
    assert landlock._ports(net) == ports
    assert landlock.handled_net(4, net) == tcp
    assert landlock.handled_net(10, net) == tcp | udp
    assert landlock.handled_net(3, net) == 0


def test_this_kernel_says_what_is_missing_or_nothing():
    """The report of a missing layer agrees with the version of the kernel."""
    assert (landlock.unavailable() is None) is (landlock.abi() >= landlock.MINIMUM_ABI)
