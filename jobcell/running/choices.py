"""The options of `jobcell run` and `jobcell resume`, as they were given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jobcell.reuse.journals import StoredOptions


class Given(NamedTuple):
    """The options that `jobcell run` and `jobcell resume` share, as they were given."""

    state: Path | None
    output: Path | None
    events: Path | None
    options: StoredOptions
    log_level: Literal["debug", "info", "warning", "error"]
    adaptor_log_level: Literal["debug", "info", "warning", "error"]
    start_mode: Literal["exec", "zygote"]
    plain: bool
    as_json: bool
    key_name: str | None
    net_audit: bool
    net_proxy: str | None
    net_by_port: bool
    is_cached: bool = False
    """Whether replayed steps come from the cache, about which a line was said."""
    otel: bool = False
    trace: str | None = None


class PlanChoice(NamedTuple):
    """The plan of `jobcell run`, and the part of it that is to be run."""

    target: Path
    adaptors: Sequence[str]
    start: str | None
    end: str | None
    journal: Path | None
    from_step: str | None
    only_step: str | None
    autoinstall: bool = False
    agreed: bool = False
    """Whether the user agrees to every installation."""
    cache_steps: bool = False
    fresh: bool = False
    """Whether no result of the cache is taken."""
    debug: bool = False
