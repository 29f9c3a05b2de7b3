"""A policy says which walls a run gets, and turns the options of a run into a request."""

from __future__ import annotations

import pytest

from engine.api.options import Permissions, RunOptions
from engine.confinement import interpreter
from engine.confinement.policy import Policy, identity
from protocol.confinement import LAYERS, REQUIRED, missing_in_zygote


def test_the_default_policy_requires_what_is_promised():
    """The default policy requires every layer that the documents promise."""
    request = Policy().request(options=RunOptions(), read_paths=[])

    assert request.level == "default"
    assert request.required == REQUIRED
    assert set(REQUIRED) < set(LAYERS)
    assert request.without == ()
    assert request.net == ()
    assert request.memory_bytes == RunOptions().memory_bytes


def test_options_reach_the_request():
    """The limits, the permissions and the repo of the run reach the request."""
    options = RunOptions(
        memory_mb=64, cpu_s=2.5, permissions=Permissions(net=("host:443",), read=("/srv/data",))
    )

    request = Policy(language=False).request(options=options, read_paths=["/repo/a", "/repo/a"])

    assert request.memory_bytes == options.memory_bytes
    assert request.cpu_s == 2.5
    assert request.net == ("host:443",)
    assert request.language is False
    files = interpreter.network_files(private=True)
    assert set(request.read_paths) >= {"/repo/a", "/srv/data", *files}
    assert "/etc/hosts" not in request.read_paths
    assert len(set(request.read_paths)) == len(request.read_paths)


def test_a_layer_left_out_is_not_required():
    """The option `without` is for tests that show what a layer stops."""
    request = Policy(without=("landlock",)).request(options=RunOptions(), read_paths=[])

    assert request.without == ("landlock",)
    assert "landlock" not in request.required
    assert "seccomp" in request.required


def test_level_none_requires_nothing():
    """The level `none` is for a machine that does not have the layers."""
    assert Policy(level="none").request(options=RunOptions(), read_paths=[]).required == ()


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"level": "strict"}, "level must be one of .*not 'strict'"),
        ({"without": ("landlok",)}, "has 'landlok', which is not a layer; layers: .*landlock"),
    ],
)
def test_a_wrong_policy_is_refused_with_what_is_allowed(fields, text):
    """The engine refuses a wrong policy at once, and not when the first run starts."""
    with pytest.raises(ValueError, match=text):
        Policy(**fields)


def test_types_are_checked():
    """A string is a sequence as well, but a caller never means its letters."""
    with pytest.raises(TypeError):
        Policy(without="seccomp")
    with pytest.raises(TypeError):
        Policy(language="no")


def request(*, read=(), net=(), **fields):
    options = RunOptions(permissions=Permissions(net=net))
    return Policy(**fields).request(options=options, read_paths=list(read))


@pytest.mark.parametrize(
    ("zygote", "run", "serves"),
    [
        pytest.param({"read": ["/repo"]}, {"read": ["/repo/a_1"]}, True, id="below"),
        pytest.param({"read": ["/repo"]}, {}, True, id="less"),
        pytest.param({"read": ["/repo"]}, {"read": ["/repository"]}, False, id="sibling"),
        pytest.param({}, {"read": ["/elsewhere"]}, False, id="elsewhere"),
        pytest.param({}, {"net": ("*",)}, False, id="network"),
        pytest.param({"level": "none"}, {}, False, id="level"),
        pytest.param({"level": "none"}, {"level": "none", "read": ["/x"]}, True, id="none"),
        pytest.param({}, {"without": ("mounts",)}, False, id="without"),
    ],
)
def test_a_zygote_serves_what_its_own_confinement_still_has(zygote, run, serves):
    """A fork cannot get back a right that the namespaces of its zygote do not have."""
    missing = missing_in_zygote(request(**zygote), request(**run))
    assert (missing is None) is serves


def test_identity_changes_when_a_directory_is_swapped(tmp_path):
    """If an atomic rename replaces a repo, the same name means another directory."""
    repo = tmp_path / "repo"
    repo.mkdir()
    before = identity([str(repo)])
    assert identity([str(repo)]) == before

    (tmp_path / "new").mkdir()
    repo.rename(tmp_path / "old")
    (tmp_path / "new").rename(repo)

    assert identity([str(repo)]) != before
    assert identity([str(tmp_path / "missing")]) == (None,)


def test_a_scratch_directory_requires_the_layer_that_makes_it():
    """The size reaches the request; where no layer is required, the child refuses to start."""
    options = RunOptions(permissions=Permissions(scratch_mb=2.5))

    request = Policy().request(options=options, read_paths=[])

    assert request.scratch_bytes == 2_500_000
    assert request.required == (*REQUIRED, "mounts")
    assert missing_in_zygote(Policy().request(options=RunOptions(), read_paths=[]), request) is None
    assert Policy(level="none").request(options=options, read_paths=[]).required == ()
