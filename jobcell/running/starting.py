"""`jobcell run` and `jobcell resume`: from the options of the command line to a run."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

import engine
from jobcell.input.credentials import open_credentials
from jobcell.input.errors import BadInputError, ReaderGoneError
from jobcell.input.following import read_trace
from jobcell.input.inputs import (
    check_adaptors,
    check_written_files,
    find_repo,
    named_repo,
    read_data_file,
    read_permissions,
    read_policy,
    with_limits,
    with_permissions,
)
from jobcell.input.plan_file import load_plan_file
from jobcell.output.exit_codes import FAIL, SUCCESS
from jobcell.output.steps import attempts_of, names_of
from jobcell.output.wording import FLAGS, printable
from jobcell.reuse.journals import (
    RunDescription,
    StoredOptions,
    begin_journal,
    check_journal,
    check_private,
    described_plan,
    open_journal,
    read_description,
    read_key,
)
from jobcell.reuse.repeating import Repeat, Repetition, choose_repeat, prepare_repeat
from jobcell.running.cached_runs import WithoutReplays, check_cache_options, open_cache
from jobcell.running.choices import Given, PlanChoice
from jobcell.running.parts import alone, repeat_of
from jobcell.running.runner import RunRequest, is_reached, run_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobcell.output.views import View
    from jobcell.running.debugging import Debug
    from protocol.plan import Plan


def start_run(
    choice: PlanChoice,
    given: Given,
    *,
    on_start: Callable[[engine.Run], object] | None = None,
    on_signal: Callable[[int], object] | None = None,
) -> int:
    """Carry out `jobcell run`; return the exit code.

    Args:
        choice: The plan.
        given: The options.
        on_start: Is called with the run that has begun.
        on_signal: Is called with a signal that arrived during the run.

    Raises:
        BadInputError: Something that the user gave is wrong; nothing was started.

    """
    _check_output(given)
    debug: Debug | None = None
    if choice.debug:
        from jobcell.running.debugging import Debug  # most runs have no debugger

        debug = Debug(choice, given)
        choice = debug.choice
    repeat = _check_choice(choice, given)
    plan, repeat = _load_plan(choice, given, repeat)
    if debug is not None:
        plan = debug.one_step(plan, None if repeat is None else repeat.step_id, _say)
    _check_files(given, choice.target, choice.journal)
    if choice.autoinstall or choice.agreed:
        _autoinstall(plan, choice, given.options.repo)
    state = read_data_file(given.state) if given.state is not None else None
    request = _request(plan, state, given, given.options)
    with ExitStack() as stack:
        journal: engine.Journal | None = None
        if choice.journal is not None:
            key = read_key(given.key_name)
            if repeat is None:
                description = RunDescription.of(
                    plan,
                    state,
                    plan_file=choice.target,
                    state_file=given.state,
                    options=given.options.absolute(),
                    encrypted=key is not None,
                )
                journal = stack.enter_context(begin_journal(choice.journal, key, description))
            else:
                own_state = given.state is not None
                found = prepare_repeat(
                    repeat, choice.journal, key, plan, state, own_state=own_state
                )
                _check_trial(repeat, found, request)
                plan, state, journal = found.plan, found.state, found.journal
        elif choice.cache_steps:
            journal = stack.enter_context(open_cache(request, _say, fresh=choice.fresh))
            given = given._replace(is_cached=True)
        request = request._replace(plan=plan, state=state, journal=journal, on_start=on_start)
        request = request._replace(on_signal=on_signal)
        if debug is not None:
            request = request._replace(options=debug.without_limits(request.options), debug=debug)
            stack.enter_context(debug.on_terminal(_print_warning))
        code = _run(request, given)
    if choice.journal is not None and repeat is None and code not in {SUCCESS, FAIL}:
        _say(f"go on after the last finished step: jobcell resume {choice.journal}")
    return code


def _load_plan(
    choice: PlanChoice, given: Given, repeat: Repeat | None
) -> tuple[Plan, Repeat | None]:
    """Return the plan, and the wish to repeat a part of it with the id of its step."""
    plan = load_plan_file(
        choice.target,
        start=choice.start,
        end=choice.end,
        adaptors=choice.adaptors,
        permissions=_permissions(given.options, given),
        warn=_print_warning,
        say=_say,
    )
    note = None
    if repeat is not None:
        repeat, note = choose_repeat(repeat, plan)
    elif choice.only_step is not None:
        plan, note = alone(plan, choice.only_step)
    if note is not None:
        _say(note)
    return plan, repeat


def check_options(choice: PlanChoice, given: Given) -> None:
    """Raise BadInputError if options are wrong that no change of a file can mend."""
    _check_output(given)
    _check_choice(choice, given)
    _run_options(given, msgspec.structs.replace(given.options, ca_file=None))
    _policy(given.options, given)


def _check_choice(choice: PlanChoice, given: Given) -> Repeat | None:
    check_cache_options(
        is_cached=choice.cache_steps, fresh=choice.fresh, has_journal=choice.journal is not None
    )
    return repeat_of(choice, given)


def _autoinstall(plan: Plan, choice: PlanChoice, repo: str | None) -> None:
    if not choice.autoinstall:
        raise BadInputError(["--yes: agrees to --autoinstall, which is not given"])
    from jobcell.repo import install_missing  # late: most runs install nothing

    wanted = [(step.id, spec) for step in plan.workflow.steps for spec in step.adaptors]
    install_missing(wanted, named_repo(repo), agreed=choice.agreed)


def _check_trial(repeat: Repeat, found: Repetition, request: RunRequest) -> None:
    """Check that the step of ``--from`` or ``--only`` is reached; report the steps that run as well.

    Raises:
        BadInputError: The conditions do not lead to the step.

    """
    if found.trial is not None:
        plan, journal = found.trial
        trial = request._replace(plan=plan, state=found.state, journal=journal)
        if not is_reached(trial, repeat.step_id):
            message = (
                f"{repeat.option}: the conditions of the plan do not lead to step {repeat.step_id!r}"
                " after the recorded steps; nothing was run"
            )
            raise BadInputError([message])
    if found.waiting:
        names = ", ".join(map(repr, found.waiting))
        _print_warning(f"{repeat.option}: steps without a record may run as well: {names}")


def resume_run(file: Path, target: Path | None, given: Given) -> int:
    """Carry out `jobcell resume`; return the exit code.

    Raises:
        BadInputError: The journal, or something else that the user gave, is wrong; nothing was started.

    """
    _check_output(given)
    key = read_key(given.key_name)
    _check_files(given, target, file)
    open_journal(file, key, read_only=True).close()  # an empty file does not become a journal
    with open_journal(file, key) as journal:
        about = read_description(journal, file)
        options = given.options
        if about is not None:
            needed = about.options.without(given.options)
            check_private(file, needed)
            options = given.options.joined_with(needed)
            if needed != StoredOptions():
                _say(f"options of the journal: {needed.words()}")
        plan, state = _plan_and_state(file, target, given, about, journal)
        own_id = check_journal(journal, plan, state)
        request = _request(plan, state, given, options)
        return _run(request._replace(journal=journal, without_id=not own_id), given)


def _plan_and_state(
    file: Path,
    target: Path | None,
    given: Given,
    about: RunDescription | None,
    journal: engine.FileJournal,
) -> tuple[Plan, Any]:
    """Return the plan and the state of a resumed run; those that the user gives win."""
    if about is None and target is None:
        if next(iter(journal.records()), None) is None:
            raise BadInputError([f"{file}: nothing is recorded in it"])
        message = f"{file}: does not hold the plan; give it: jobcell resume {file} PLAN"
        raise BadInputError([message])
    given_state = read_data_file(given.state) if given.state is not None else None
    if target is None:
        assert about is not None
        if given.state is not None:
            left_out = tuple(place for place in about.left_out if place != "state")
            about = msgspec.structs.replace(about, state=given_state, left_out=left_out)
        return described_plan(about, file)
    if about is None:
        return load_plan_file(target, warn=_print_warning), given_state
    options = about.plan.get("options", {})
    plan = load_plan_file(
        target, start=options.get("start"), end=options.get("end"), warn=_print_warning
    )
    plan = msgspec.structs.replace(plan, id=str(about.plan.get("id")))
    if given.state is not None:
        return plan, given_state
    # Only the state is wanted, so the credentials of the plan need not be found.
    left_out = tuple(place for place in about.left_out if place == "state")
    return plan, described_plan(msgspec.structs.replace(about, left_out=left_out), file)[1]


def _request(plan: Plan, state: Any, given: Given, options: StoredOptions) -> RunRequest:
    repo_dir = find_repo(None if options.repo is None else Path(options.repo))
    check_adaptors(plan, repo_dir)
    return RunRequest(
        plan=plan,
        state=state,
        options=_run_options(given, options),
        credentials=open_credentials(
            options.credentials, options.env_file, options.keyring, warn=_print_warning
        ),
        repo_dir=repo_dir,
        start_mode=given.start_mode,
        policy=_policy(options, given),
        output=given.output,
        events=given.events,
        print_state=not given.as_json,
        store=options.store,
    )


def _run(request: RunRequest, given: Given) -> int:
    view = partial(_view, request.plan, given, request.debug)
    request = request._replace(otel=given.otel, trace=read_trace(given.trace))
    try:
        if not request.options.permissions.collections:
            return run_plan(request, view)
        from jobcell.stored.opening import with_collections  # it takes a third of a second

        return with_collections(
            request.store, lambda own: run_plan(request._replace(collections=own), view)
        )
    except BrokenPipeError:
        raise ReaderGoneError from None


def _check_output(given: Given) -> None:
    if given.output is None and sys.stdout.closed:
        raise BadInputError(["standard output is closed; give a file with --output"])


def _check_files(given: Given, target: Path | None, journal: Path | None) -> None:
    credentials, env_file = given.options.credentials, given.options.env_file
    read = {
        "the plan or job": target,
        "the file of --state": given.state,
        "the file of --credentials": None if credentials is None else Path(credentials),
        "the file of --env-file": None if env_file is None else Path(env_file),
        "the journal": journal,
    }
    check_written_files(given.output, given.events, read)


def _permissions(options: StoredOptions, given: Given) -> engine.Permissions:
    rules = _net_rules(options, given)
    return read_permissions(
        rules, options.read, options.scratch, options.ca_file, options.collections
    )


def _net_rules(options: StoredOptions, given: Given) -> tuple[str, ...]:
    """Return the network rules of a run, or those of an audit.

    Raises:
        BadInputError: A rule is not valid, or an audit is not possible.

    """
    if not given.net_audit:
        return options.net
    if options.sandbox is False:
        raise BadInputError(["--net-audit: without the sandbox no connection is seen"])
    from jobcell.running.net_audit import audit_rules

    try:
        return audit_rules(options.net)
    except ValueError as error:
        raise BadInputError([f"--net: {error}"]) from None


def _policy(options: StoredOptions, given: Given) -> engine.Policy:
    level: Literal["none", "default"] = "none" if options.sandbox is False else "default"
    return read_policy(level, net_proxy=given.net_proxy, net_by_port=given.net_by_port)


def _run_options(given: Given, stored: StoredOptions) -> engine.RunOptions:
    """Return the options of a run.

    Raises:
        BadInputError: A rule or a limit is not a valid one.

    """
    options = engine.RunOptions(
        log_level=given.log_level,
        adaptor_log_level=given.adaptor_log_level,
    )
    limits = {
        "timeout_s": stored.timeout,
        "step_timeout_s": stored.step_timeout,
        "memory_mb": stored.memory,
    }
    options = with_limits(options, limits, FLAGS)
    rules = _net_rules(stored, given)
    return with_permissions(
        options, rules, stored.read, stored.scratch, stored.ca_file, stored.collections
    )


def _view(plan: Plan, given: Given, debug: Debug | None) -> View:
    """Return what shows the events of a run."""
    if debug is not None:
        return debug.view(names_of(plan))
    view = _plain_view(plan, given)
    if given.is_cached and not given.as_json:
        view = WithoutReplays(view)
    if not given.net_audit:
        return view
    from jobcell.running.net_audit import AuditView, addresses_of

    look_up = addresses_of if given.net_proxy is None else None
    return AuditView(view, as_json=given.as_json, look_up=look_up)


def _plain_view(plan: Plan, given: Given) -> View:
    if given.as_json:
        from jobcell.output.views import JsonView

        return JsonView(sys.stdout.buffer)
    names, attempts = names_of(plan), attempts_of(plan)
    if sys.stderr.isatty() and not given.plain:
        from jobcell.output.live import LiveView

        return LiveView(names=names, attempts=attempts)
    from jobcell.output.views import LineView

    return LineView(sys.stderr, names, attempts)


def _print_warning(line: str) -> None:
    _say(f"warning: {printable(line)}")


def _say(line: str) -> None:
    print(printable(line, limit=10_000), file=sys.stderr)
