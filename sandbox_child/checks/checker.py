"""Compiles one text after another, links its imports, and sends the findings about it."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from protocol import messages as m
from protocol.checks import CheckedOperation, CheckedText, Finding
from sandbox_child.checks.operations import shape, thrown_away
from sandbox_child.checks.scopes import Names, Unknown
from sandbox_child.checks.stowaways import kept_functions
from sandbox_child.checks.verbs import Verbs
from sandbox_child.language import (
    LanguageError,
    compile_condition,
    compile_globals,
    compile_job,
    condition_scope,
    make_importer,
)
from sandbox_child.language.facades import Facades
from sandbox_child.language.guards import Guards, JobImportError, make_builtins
from sandbox_child.language.guards.names import REFUSED_BUILTINS
from sandbox_child.language.text import (
    STATE,
    SourceText,
    condition_name_fix,
    forms,
    name_fix,
    parsing,
)
from sandbox_child.language.text.condition_text import parse_condition
from sandbox_child.language.text.missing import MissingKeys
from sandbox_child.linker import Linker

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from types import ModuleType

    from sandbox_child.pipes.channel import Channel

    _Hint = Callable[[str, frozenset[str]], str | None]

_RECURSION: Final = 20_000
"""Recursion limit for walking a tree. The tree was compiled, so its depth is limited; Python
functions do not use the C stack."""

_MAX_PLACES: Final = 5
_MAX_FINDINGS: Final = 100
"""Most findings about one text, because more are not read at once."""

_DEFINED: Final = re.compile(r"\b(?:def|class|import|as|for)\s+(\w+)|(\w+)\s*[:=]")
"""The rough form of a definition of a name."""

_ALWAYS_THERE: Final = frozenset({"__name__", "__debug__", "print", "__import__"})


def check_texts(channel: Channel, check: m.Check) -> int:
    """Answer each text of *check* in order, then wait for the end of this process."""
    sys.setrecursionlimit(max(_RECURSION, sys.getrecursionlimit()))
    checker = Checker(channel, check)
    for text in check.texts:
        channel.send(checker.check(text))
    while True:
        channel.receive_any()


class Checker:
    """Checks the texts of a plan, each by itself."""

    def __init__(self, channel: Channel, check: m.Check) -> None:
        self._channel = channel
        self._check = check
        self._broken = set(check.broken)
        self._linked: set[str] = set()
        links = [link for link in check.adaptors if self._label(link) not in self._broken]
        self._labels = {link.module: self._label(link) for link in reversed(links)}
        self._linker = Linker(links, whitelist=check.whitelist, log=lambda *_: None)
        self._builtins = frozenset(make_builtins(Guards({}))) | _ALWAYS_THERE | {*REFUSED_BUILTINS}
        self._globals = _names_of(check.workflow_globals)

    @staticmethod
    def _label(link: Any) -> str:
        return f"{link.name}@{link.version}"

    def check(self, text: CheckedText) -> m.Checked:
        """Return all findings about a text."""
        try:
            if text.kind == "condition":
                return m.Checked(findings=tuple(self._condition(text)))
            findings, in_scope, links = self._adaptors(text)
            if text.kind == "globals":
                findings += self._module(text, compile_globals_form(text), in_scope, links)
                return m.Checked(findings=_ordered(findings))
            return self._job(text, findings, in_scope, links)
        except (RecursionError, MemoryError):
            message = "it is too large, or nests too deep, to be checked"
            return m.Checked(findings=(Finding("CompileError", message),))

    # --- kinds of texts ---

    def _condition(self, text: CheckedText) -> list[Finding]:
        try:
            compile_condition(text.source)
            tree, source = parse_condition(text.source)
        except LanguageError as error:
            return _violations(error)
        known = {*condition_scope(True, MissingKeys()), STATE, "upstream_step_id", *self._builtins}
        hint = _hints(known, condition_name_fix)
        return [
            _unknown_name(unknown, source, hint, note=False)
            for unknown in Names(tree).unknown(known)
        ]

    def _job(
        self,
        text: CheckedText,
        findings: list[Finding],
        in_scope: Mapping[str, object],
        links: Any,
    ) -> m.Checked:
        form = None
        operations: tuple[CheckedOperation, ...] = ()
        try:
            job = compile_job(text.source, step_id=text.step_id, adaptor_names=frozenset(in_scope))
        except LanguageError as error:
            findings += _violations(error)
        else:
            form = job.form
            operations = tuple(
                CheckedOperation(s.number, s.name, s.position.line, s.position.column)
                for s in job.operations
            )
        findings += self._module(text, None, in_scope, links)
        return m.Checked(findings=_ordered(findings), form=form, operations=operations)

    def _module(
        self,
        text: CheckedText,
        refused: list[Finding] | None,
        in_scope: Mapping[str, object],
        links: Any,
    ) -> list[Finding]:
        findings = list(refused or ())
        written = text.source.removeprefix(parsing.MARK)
        source = SourceText(written)
        try:
            tree = parsing.parse(written, source, filename="<check>", mode="exec", step_id=None)
        except LanguageError:
            return findings  # it was reported already
        assert isinstance(tree, ast.Module)
        is_job = text.kind == "job"
        form = forms.form_of(tree) if is_job else None
        if form == "script":
            forms.make_arguments_lazy(tree, frozenset(in_scope))
        verbs = Verbs(tree, in_scope, self._importer(links))
        names = Names(tree)
        known = {*self._builtins, *in_scope}
        later: frozenset[str] = frozenset()
        scope = "unknown" if self._broken.intersection(text.adaptors) else text.scope
        if is_job and self._globals is None:
            scope = "unknown"
        elif is_job:
            known |= self._globals or frozenset()
        else:
            known, later = known - (in_scope.keys() - self._in_every_step()), self._of_jobs()
            later |= in_scope.keys()
        called = _called_names(tree) if scope == "verbs missing" else None
        hint = _hints(known, name_fix)
        for unknown in names.unknown(known):
            name = unknown.node.id
            if not unknown.at_once and unknown.later is None and name in later:
                continue  # a job can define it before it calls the function
            unsure = scope == "unknown" or (called is not None and name in called)
            findings.append(_unknown_name(unknown, source, hint, note=unsure))
        redefined = in_scope.keys() | (self._globals or frozenset())
        wrongs = [*verbs.wrong, *(shape(tree, form, redefined) if is_job and form else [])]
        findings += (_finding(wrong, source) for wrong in wrongs)
        elsewhere = (self._check.workflow_globals or "") if is_job else ""
        lost = thrown_away(tree, form, elsewhere, verbs)
        findings += (_finding(wrong, source, note=unsure) for wrong, unsure in lost)
        findings += (_finding(wrong, source, note=True) for wrong in kept_functions(tree))
        return findings

    def _in_every_step(self) -> frozenset[str]:
        """Return the names that the adaptors of every step have."""
        sets = [
            frozenset(self._linker.step([a for a in specs if a not in self._broken]).in_scope)
            for specs in {text.adaptors for text in self._check.texts if text.kind == "job"}
        ]
        return frozenset.intersection(*sets) if sets else frozenset()

    def _of_jobs(self) -> frozenset[str]:
        """Return names that the jobs may define, without parsing them, which could crash."""
        texts = (text.source for text in self._check.texts if text.kind == "job")
        return frozenset(name for text in texts for pair in _DEFINED.findall(text) for name in pair)

    # --- what a text links ---

    def _adaptors(self, text: CheckedText) -> tuple[list[Finding], Mapping[str, object], Any]:
        findings: list[Finding] = []
        usable = []
        for label in text.adaptors:
            if label in self._broken:
                continue
            problem = self._try(label)
            if problem is None:
                usable.append(label)
            else:
                findings.append(Finding("ImportError", problem, adaptor=label))
        links = self._linker.step(usable)
        return findings, links.in_scope, links

    def _try(self, label: str) -> str | None:
        """Import an adaptor; return why it cannot be imported, or None."""
        self._announce(label)
        try:
            self._linker.step([label])
        except JobImportError as error:
            reason = str(error)
        except MemoryError:
            reason = f"adaptor {label} cannot be imported: it needs more memory than the run has"
        else:
            return None
        self._broken.add(label)
        return reason

    def _announce(self, label: str) -> None:
        if label not in self._linked:
            self._linked.add(label)
            self._channel.send(m.Linking(adaptor=label))

    def _importer(self, links: Any) -> Any:
        broken_modules = {
            link.module for link in self._check.adaptors if self._label(link) in self._broken
        }

        def resolve(name: str) -> ModuleType | None:
            label = self._labels.get(name) or self._labels.get(name.partition(".")[0])
            if label is not None:
                self._announce(label)
            found: ModuleType | None = links.resolve_import(name)
            return found

        linked = make_importer(resolve, links.importable, Facades(Guards({}), {}, lambda *_: None))

        def importer(name: str, *rest: Any) -> Any:
            top = name.partition(".")[0]
            unknown = not self._check.repo_known and top not in sys.stdlib_module_names
            if unknown or name in broken_modules or top in broken_modules:
                return None  # the module is not known
            return linked(name, *rest)

        return importer


def compile_globals_form(text: CheckedText) -> list[Finding]:
    """Return the findings of the language wall about globals."""
    try:
        compile_globals(text.source)
    except LanguageError as error:
        return _violations(error)
    return []


def _names_of(source: str | None) -> frozenset[str] | None:
    """Return the names that the globals of a workflow define; None if they are not Python."""
    if source is None:
        return frozenset()
    try:
        tree = parsing.parse(
            source, SourceText(source), filename="<check>", mode="exec", step_id=None
        )
    except LanguageError:
        return None
    assert isinstance(tree, ast.Module)
    return Names(tree).defined


def _called_names(tree: ast.Module) -> frozenset[str]:
    """Return the names that may be verbs, because they are called."""
    return frozenset(
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    )


def _hints(known: Collection[str], find: Callable[..., str | None]) -> _Hint:
    """Return a function that finds the hint for a name, once for all its uses: to compare names takes 0.2 ms."""
    return functools.cache(lambda name, visible: find(name, [*visible, *known]))


def _unknown_name(unknown: Unknown, source: SourceText, hint: _Hint, *, note: bool) -> Finding:
    """Return the finding about an unknown name. With *note*, an adaptor may still define it."""
    name, position = unknown.node.id, source.of(unknown.node)
    note = note and unknown.later is None
    message = f"the name {name!r} is not defined"
    fix: str | None
    if unknown.later is not None:
        message = f"{name!r} is used before it is defined on line {unknown.later}"
        fix = "define it before"
    elif note:
        fix = "if it is a verb, name its adaptor"
    else:
        fix = hint(name, unknown.visible)
    return Finding(
        "NameError",
        message,
        position.line,
        position.column,
        position.end_line,
        position.end_column,
        fix,
        note=note,
    )


def _finding(wrong: Any, source: SourceText, *, note: bool = False) -> Finding:
    position = source.of(wrong.node)
    return Finding(
        wrong.kind,
        wrong.message,
        position.line,
        position.column,
        position.end_line,
        position.end_column,
        wrong.fix,
        note=note,
    )


def _violations(error: LanguageError) -> list[Finding]:
    report = error.report
    if isinstance(report.details, list):
        return [Finding(report.name, **found) for found in report.details]
    position = report.position
    return [
        Finding(
            report.subtype or report.name,
            report.message,
            position.line if position else None,
            position.column if position else None,
            position.end_line if position else None,
            position.end_column if position else None,
            report.fix,
        )
    ]


def _ordered(findings: list[Finding]) -> tuple[Finding, ...]:
    """Return findings in the order of the text, and the same message only a few times."""
    places: Counter[str] = Counter()
    listed: list[Finding] = []
    for found in sorted(dict.fromkeys(findings), key=lambda f: (f.line or 0, f.column or 0)):
        places[found.message] += 1
        if places[found.message] <= _MAX_PLACES and len(listed) < _MAX_FINDINGS:
            listed.append(found)
    more = places.total() - len(listed)
    if more and len(listed) == _MAX_FINDINGS:
        listed.append(Finding("CheckError", f"and {more} more problems in this text"))
    return tuple(listed)
