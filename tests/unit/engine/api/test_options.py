"""Options for one run: a wrong value is refused at once, with the values that are allowed."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import engine.api
from engine import ModuleRef, Permissions, RunOptions


def test_the_defaults_are_those_of_the_contract():
    """A caller that sets no options gets the defaults of the contract."""
    options = RunOptions()
    assert (options.timeout_s, options.step_timeout_s, options.cpu_s) == (600.0, None, None)
    assert (options.memory_mb, options.state_mb) == (500, None)
    assert (options.payload_mb, options.log_payload_mb) == (10.0, 1.0)
    assert (options.log_level, options.modules, options.whitelist) == ("debug", {}, None)
    assert options.adaptor_log_level == "warning"
    assert options.permissions == Permissions(net=(), read=())
    assert options.remove_from_state == ("configuration",)
    assert (options.event_state, options.start, options.end) == (True, None, None)
    assert "username" in options.public_credential_keys


def test_sizes_are_decimal_megabytes():
    """A state may have a quarter of the memory if the caller sets no limit for it."""
    assert RunOptions(memory_mb=100).memory_bytes == 100_000_000
    assert RunOptions(memory_mb=100).state_bytes == 25_000_000
    assert RunOptions(memory_mb=100, state_mb=1.5).state_bytes == 1_500_000


LIMITS = [
    "timeout_s", "step_timeout_s", "idle_timeout_s", "resolve_timeout_s", "cpu_s", "memory_mb",
    "state_mb", "payload_mb", "log_payload_mb", "max_log_bytes", "max_step_runs", "max_events",
]  # fmt: skip


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "5", True, [], 1j], ids=repr)
def test_a_limit_is_a_finite_number_above_zero(name, value):
    """The message names the option and its allowed values."""
    with pytest.raises(ValueError, match=f"^{name} must be a finite number above 0"):
        RunOptions(**{name: value})


@pytest.mark.parametrize("name", engine.api.LIMITS)
@pytest.mark.parametrize("value", [10**12 + 1, 1e300, 10**5_000], ids=["above", "float", "huge"])
def test_a_limit_is_one_that_the_wire_can_carry(name, value):
    """The message names the largest value, and is short."""
    assert getattr(RunOptions(**{name: 10**12}), name) == 10**12
    with pytest.raises(ValueError, match=f"^{name} must be at most 1,000,000,000,000") as caught:
        RunOptions(**{name: value})
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", LIMITS)
def test_no_limit_is_none_where_there_may_be_none(name):
    """The value None lifts some limits, and is refused for the others."""
    if name in (
        "timeout_s",
        "step_timeout_s",
        "idle_timeout_s",
        "cpu_s",
        "state_mb",
        "max_step_runs",
    ):
        assert getattr(RunOptions(**{name: None}), name) is None
    else:
        with pytest.raises(ValueError, match=f"{name} must be a finite number above 0, not None"):
            RunOptions(**{name: None})


@pytest.mark.parametrize(
    "value",
    [-0.1, math.inf, math.nan, None, "1", 10**5_000],
    ids=lambda one: f"{one}"[:9] if one != 10**5_000 else "huge",
)
def test_the_grace_period_may_be_zero_but_not_less(value):
    """A grace period of zero kills the child at once."""
    assert RunOptions(cancel_grace_s=0).cancel_grace_s == 0
    with pytest.raises(ValueError, match="cancel_grace_s must be seconds >= 0"):
        RunOptions(cancel_grace_s=value)


@pytest.mark.parametrize("name", ["whitelist", "remove_from_state", "public_credential_keys"])
def test_a_list_of_names_is_no_string(name):
    """A string in place of a list would be read as a list of letters; a list becomes a tuple."""
    assert getattr(RunOptions(**{name: ["a", "b"]}), name) == ("a", "b")
    with pytest.raises(TypeError, match=f"{name} must be a sequence of str, not 'abc'"):
        RunOptions(**{name: "abc"})
    with pytest.raises(TypeError, match=f"{name} must be a sequence of str"):
        RunOptions(**{name: ["a", 1]})


@pytest.mark.parametrize(
    ("name", "value"), [("log_level", "warn"), ("adaptor_log_level", "none"), ("sanitize", "all")]
)
def test_a_word_is_one_of_a_few(name, value):
    """The message lists the allowed words."""
    with pytest.raises(ValueError, match=f"{name} must be one of .* not '{value}'"):
        RunOptions(**{name: value})


@pytest.mark.parametrize(("name", "value"), [("net", "x:443"), ("read", "/x")])
def test_permissions_are_sequences(name, value):
    """The text in `Permissions(net="x:443")` would be read letter by letter."""
    assert getattr(Permissions(**{name: [value]}), name) == (value,)
    for wrong in (value, value.encode(), {value: 1}, [1], None):
        with pytest.raises(
            TypeError, match=rf"Permissions\.{name} must be a sequence of str, not "
        ):
            Permissions(**{name: wrong})
    with pytest.raises(TypeError, match=rf"write {name}=\['{value}'\]"):
        Permissions(**{name: value})


def test_a_permission_that_is_not_a_rule_is_refused_where_it_is_written():
    """The message quotes the wrong rule; a correct rule can be read back in its parsed form."""
    with pytest.raises(ValueError, match="'https://x' is a URL; write 'x:443'"):
        Permissions(net=["a:443", "https://x"])
    with pytest.raises(ValueError, match="at most 1,024 ports"):
        Permissions(net=["a:1-1024", "b:1025"])
    assert list(map(str, Permissions(net=["A.org:443", "*"]).net_rules)) == ["a.org:443", "*"]


@pytest.mark.parametrize("path", ["", "data", "./data", "../x", "~/data", "/a\0b"])
def test_a_readable_path_is_absolute(path):
    """The meaning of a relative path depends on the directory of the engine; an empty path would
    mean all of that directory.
    """
    with pytest.raises(ValueError, match=r"Permissions\.read has ") as caught:
        Permissions(read=[path])
    assert repr(path) in str(caught.value)


@pytest.mark.parametrize("size", [0, -1, True, float("nan"), float("inf"), "64", [1], 1e13])
def test_a_scratch_directory_has_a_size_above_0(size):
    """The message quotes the value."""
    with pytest.raises(ValueError, match=r"Permissions\.scratch_mb must be .* above 0") as caught:
        Permissions(scratch_mb=size)
    assert repr(size) in str(caught.value)


def test_a_scratch_directory_is_at_most_as_large_as_the_memory():
    """The message has both values; the largest size is accepted."""
    assert Permissions().scratch_bytes == 0
    assert Permissions(scratch_mb=0.5).scratch_bytes == 500_000
    assert Permissions(scratch_mb=1e-9).scratch_bytes == 1  # 0 would mean without one
    RunOptions(memory_mb=100, permissions=Permissions(scratch_mb=100))
    with pytest.raises(ValueError, match=r"scratch_mb is 100\.5.*memory_mb \(100\)"):
        RunOptions(memory_mb=100, permissions=Permissions(scratch_mb=100.5))


@pytest.mark.parametrize("path", ["/", "/tmp", "/tmp/", "//tmp", "/srv/../tmp"])
def test_a_scratch_directory_does_not_hide_a_readable_path(path):
    """A path below /tmp is attached to it again, but not all of /tmp."""
    Permissions(read=[path])
    Permissions(read=["/tmp/data", "/tmpx"], scratch_mb=1)
    with pytest.raises(ValueError, match="which the scratch directory /tmp would hide") as caught:
        Permissions(read=[path], scratch_mb=1)
    assert repr(path) in str(caught.value)


def test_other_types_are_named():
    """Each option of a wrong type gives an error that names the right type."""
    with pytest.raises(TypeError, match=r"modules\['a'\] must be a ModuleRef, not '/x'"):
        RunOptions(modules={"a": "/x"})
    with pytest.raises(TypeError, match="permissions must be Permissions"):
        RunOptions(permissions={"net": ()})
    assert RunOptions(modules={"a": ModuleRef(path="/x")}).modules["a"].version == "0"


def test_options_are_keyword_only_and_frozen():
    """Options are frozen because several runs share them."""
    with pytest.raises(TypeError):
        RunOptions(5)
    with pytest.raises(AttributeError):
        RunOptions().timeout_s = 1


def test_a_module_ref_needs_a_path_or_a_version():
    """The version of a `ModuleRef` with a path is only a name."""
    assert ModuleRef(version="1.0.0").path is None
    assert (ModuleRef(path="/x").version, ModuleRef(path=Path("/x")).path) == ("0", "/x")
    with pytest.raises(ValueError, match="needs a path, or the version"):
        ModuleRef()
    for wrong in ({"path": ""}, {"version": " "}):
        with pytest.raises(ValueError, match="must not be empty"):
            ModuleRef(**wrong)
    for wrong in ({"path": 1}, {"version": 1.0}):
        with pytest.raises(TypeError, match="must be a str"):
            ModuleRef(**wrong)


@pytest.mark.parametrize(
    "pattern", ["(", "*", "[a", "a{99999999999999999999}", "(" * 5000 + ")" * 5000]
)
def test_a_whitelist_that_is_no_regular_expression_is_quoted(pattern):
    """The wrong expression is quoted before a run starts."""
    with pytest.raises(ValueError, match="is not a regular expression: ") as caught:
        RunOptions(whitelist=["common", pattern])
    assert repr(pattern)[:20] in str(caught.value)


def test_bytes_that_nobody_counts_have_no_limit():
    """With the rule for everything the connections of a run do not go through the relay."""
    with pytest.raises(ValueError, match="net_mb is 2, but the network rule"):
        RunOptions(net_mb=2, permissions=Permissions(net=["*"]))
    assert RunOptions(net_mb=2, permissions=Permissions(net=["*:443"])).net_bytes == 2_000_000
    for wrong in ({"net_mb": 0}, {"max_connections": 0}):
        with pytest.raises(ValueError, match="above 0"):
            RunOptions(**wrong)
    with pytest.raises(TypeError, match="max_connections must be an int"):
        RunOptions(max_connections=2.5)
