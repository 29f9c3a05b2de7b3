"""Small decisions of single layers, without a process to confine."""

from __future__ import annotations

import _thread
import os

import pytest
from modes import let_everybody_in

from protocol.confinement import LAYERS, REQUIRED, ConfinementRequest, lies_below
from sandbox_child.confine import identity, landlock, mounts, network, wall
from sandbox_child.confine.kernel import Call
from sandbox_child.confine.task import Task, errno_name, explain


def test_the_layers_are_those_of_the_protocol_in_that_order():
    """The child puts on the layers that the engine knows by name."""
    assert tuple(layer.NAME for layer in wall.LAYERS) == LAYERS
    assert set(REQUIRED) <= set(LAYERS)
    assert LAYERS[-1] == "seccomp"


def test_every_layer_looks_alike():
    """A layer has two functions, and two texts for the doctor."""
    for layer in wall.LAYERS:
        assert callable(layer.unavailable)
        assert callable(layer.apply)
        assert layer.STOPS[0].islower()
        assert layer.REMEDY[0].islower()
        assert not layer.STOPS.endswith(".")


def test_what_a_fork_puts_on_itself_can_be_made_ready():
    """These are all layers except those that the fork has inherited."""
    forked = {layer.NAME for layer in wall.LAYERS if hasattr(layer, "ready")}
    assert forked == set(LAYERS) - wall.SHARED


@pytest.mark.parametrize(
    ("paths", "kept"),
    [
        (("/a", "/a/b"), ["/a"]),
        (("/a/b", "/a", "/a-b", "/a/c/d"), ["/a", "/a-b"]),
        (("/ab", "/a"), ["/a", "/ab"]),
        (("/", "/a"), ["/"]),
        (("/lib/x/liba.so.1", "/lib/x/libb.so.2"), ["/lib/x"]),
        (("/srv/liba.so.1",), ["/srv/liba.so.1"]),
    ],
)
def test_what_lies_below_another_path_needs_no_mount_of_its_own(paths, kept):
    """The libraries of the machine come with their directory."""
    assert mounts.reduced(paths) == kept


def test_below_means_below():
    """A path beside another one, with the same beginning, is not below it."""
    assert lies_below("/repo/a", ("/repo",))
    assert lies_below("/repo", ("/repo",))
    assert lies_below("/x", ("/",))
    assert not lies_below("/repository", ("/repo",))
    assert not lies_below("/", ("/repo",))


def test_what_others_may_read_is_seen_in_the_modes(tmp_path):
    """The modes are those of the path and of each directory above it."""
    let_everybody_in(tmp_path)
    file = tmp_path / "file"
    file.write_text("")
    file.chmod(0o644)
    assert identity._readable_by_others((str(file), str(tmp_path), "/"))

    file.chmod(0o640)
    assert not identity._readable_by_others((str(file),))

    file.chmod(0o644)
    tmp_path.chmod(0o700)
    assert not identity._readable_by_others((str(file),))
    assert identity._readable_by_others(("/missing/altogether",))


def test_an_error_is_told_without_a_path():
    """Readers of reports need not know the paths of the host."""
    error = OSError(13, "mount: Permission denied", "/secret/place")

    assert explain(error) == "mount: EACCES"
    assert errno_name(95) == "EOPNOTSUPP"
    assert errno_name(9999) == "9999"


@pytest.fixture
def recorded(monkeypatch, tmp_path):
    """Have system calls recorded by name and made by nobody; put back what a layer does without one."""
    names = []
    monkeypatch.setattr(Call, "make", lambda call: names.append(call.name) or 0)
    monkeypatch.chdir(tmp_path)  # puts the directory back
    umask, stack_bytes = os.umask(0o022), _thread.stack_size()
    yield names
    os.umask(umask)
    _thread.stack_size(stack_bytes)


@pytest.mark.parametrize("layer", wall.FORKED, ids=lambda layer: layer.NAME)
def test_both_ways_to_a_wall_make_the_same_calls(layer, recorded, monkeypatch):
    """A fork makes calls that its zygote has prepared; a new interpreter makes them at once."""
    request = ConfinementRequest(read_paths=("/",))
    if layer is identity and os.geteuid() != 0:
        pytest.skip("an ordinary user has no calls to prepare")
    monkeypatch.setattr(os, "getsid", lambda _: 0)  # as in a child of the engine
    monkeypatch.setattr(identity, "_readable", {request.read_paths: True})
    monkeypatch.setattr(identity, "_bounding_set", [""])
    prepared = landlock._Prepared(request.read_paths, (), (), 99)
    monkeypatch.setattr(landlock, "_prepared", [prepared])
    monkeypatch.setattr(landlock, "abi", lambda: 4)
    task = Task(request, parent_pid=os.getppid(), keep_fds=(0, 1, 2))

    calls, _ = layer.ready(task)
    layer.apply(task)

    assert recorded == [call.name for call in calls]
    assert recorded or layer is network  # without a permission it has nothing to do
