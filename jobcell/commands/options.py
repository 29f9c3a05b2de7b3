"""The options that `jobcell run` and `jobcell resume` share, with their help texts."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class StartMode(StrEnum):
    """Where the child comes from."""

    exec = "exec"
    zygote = "zygote"


class LogLevel(StrEnum):
    """The least important log lines to show."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


class Record(StrEnum):
    """What a test records."""

    none = "none"
    once = "once"
    all = "all"


State = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Initial state as JSON or YAML; - is JSON on stdin."),
]
Credentials = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="JSON or YAML object of credential id to configuration."),
]
EnvFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Credentials in lines such as CRM__PASSWORD=..., a .env file."
    ),
]
Keyring = Annotated[
    str | None,
    typer.Option(metavar="SERVICE", help="Credentials in the keyring of the desktop, as JSON."),
]
Repo = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Repo of adaptors (otherwise: JOBCELL_REPO, ./repo)."),
]
Adaptors = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME[@VERSION]", help="Adaptor of a single job; may be repeated."),
]
Autoinstall = Annotated[
    bool,
    typer.Option("--autoinstall", help="Install adaptors that the repo lacks, after a question."),
]
Yes = Annotated[
    bool, typer.Option("--yes", help="Agree to --autoinstall, for use without a terminal.")
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Final state (otherwise: stdout)."),
]
Events = Annotated[
    Path | None,
    typer.Option(metavar="FILE.jsonl", help="Write each event to it, as a line of JSON."),
]
Start = Annotated[
    str | None, typer.Option(metavar="STEP", help="Step to start with: its id or name.")
]
End = Annotated[str | None, typer.Option(metavar="STEP", help="Step to end after.")]
Timeout = Annotated[
    float | None, typer.Option(metavar="S", help="Limit of the whole run, in seconds.")
]
StepTimeout = Annotated[
    float | None, typer.Option(metavar="S", help="Limit of each step, in seconds.")
]
Memory = Annotated[float | None, typer.Option(metavar="MB", help="Limit of the run's memory.")]
Net = Annotated[
    list[str] | None,
    typer.Option(
        "--net",
        metavar="RULE",
        help="Let jobs connect to HOST:PORT or HOST (80 and 443); may be repeated.",
    ),
]
AllowNet = Annotated[
    bool, typer.Option("--allow-net", help="Let jobs use the network of the machine, as --net '*'.")
]
NetAudit = Annotated[
    bool,
    typer.Option("--net-audit", help="Let jobs reach every host, and print the rules they need."),
]
NetProxy = Annotated[
    str | None,
    typer.Option(
        "--net-proxy",
        metavar="URL",
        envvar="JOBCELL_NET_PROXY",
        show_envvar=False,
        help="HTTP proxy for all connections of jobs (also: JOBCELL_NET_PROXY).",
    ),
]
NetByPort = Annotated[
    bool,
    typer.Option(
        "--net-by-port", help="Where the machine cannot enforce hosts, enforce ports alone."
    ),
]
Read = Annotated[
    list[Path] | None,
    typer.Option("--read", metavar="PATH", help="Let jobs read it; may be repeated."),
]
Scratch = Annotated[
    float | None,
    typer.Option(metavar="MB", help="Give jobs an empty private /tmp of this size."),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        metavar="FILE",
        help="Certificate authorities (PEM) that jobs trust, in place of the machine's.",
    ),
]
Collection = Annotated[
    list[str] | None,
    typer.Option(
        "--collection",
        metavar="NAME[:read|:write]",
        help="Let jobs use this collection of the store; may be repeated.",
    ),
]
Store = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The store with the collections (otherwise: JOBCELL_STORE, or a SQLite file).",
    ),
]
Level = Annotated[LogLevel, typer.Option(help="Least important level of logs to show.")]
AdaptorLevel = Annotated[LogLevel, typer.Option(help="The same for libraries that adaptors use.")]
Mode = Annotated[StartMode, typer.Option(help="How the child starts.")]
Sandbox = Annotated[
    bool | None,
    typer.Option("--sandbox/--no-sandbox", help="The kernel wall. Off: development only."),
]
Plain = Annotated[bool, typer.Option("--plain", help="Show lines, not a table, on a terminal too.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print events and the result as lines of JSON on stdout.")
]
Otel = Annotated[
    bool,
    typer.Option(
        "--otel", help="Export traces and figures, as the variables OTEL_* say (extra: otel)."
    ),
]
TraceParent = Annotated[
    str | None,
    typer.Option(
        "--trace",
        metavar="TRACEPARENT",
        help="The W3C trace that the run belongs to (otherwise: TRACEPARENT, TRACESTATE).",
    ),
]
JournalFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Keep each finished step there; with --from or --only: read it."
    ),
]
JournalKey = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Environment variable with the key of the journal: 64 hex digits, or base64.",
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="STEP", help="Take the steps before it from --journal, run the rest."
    ),
]
Only = Annotated[
    str | None,
    typer.Option(
        metavar="STEP", help="Run this step alone, with the input from --journal or --state."
    ),
]

Watch = Annotated[
    bool, typer.Option("--watch", help="Run again when the plan or a file of it changes.")
]

Debug = Annotated[
    bool,
    typer.Option(
        "--debug", help="Run one step in a debugger on this terminal, without the kernel wall."
    ),
]

CacheSteps = Annotated[
    bool,
    typer.Option("--cache-steps", help="Keep results of steps, and take those of earlier runs."),
]
NoCache = Annotated[
    bool,
    typer.Option("--no-cache", help="With --cache-steps: run all steps, and keep the results."),
]


def net_rules(net: Sequence[str] | None, allow_net: bool) -> Sequence[str] | None:
    """Return the rules of ``--net`` and ``--allow-net``; None if neither is given."""
    return (*(net or ()), "*") if allow_net else net
