"""`jobcell stubs`: stub files from which an editor knows what a job may use.

The command writes into one directory:

    mypy.ini        the settings with which mypy checks a job
    typeshed/       the standard library and the built-ins, as a job has them
    <module>/       the verbs of each adaptor

An adaptor's source is parsed and never run.
"""

from __future__ import annotations

import ast
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from engine.adaptors import Repo, RepoError
from jobcell.input.inputs import BadInputError, find_repo
from jobcell.stubs.library import NoTypeshedError, hide_imports, write_library
from jobcell.stubs.source import OPERATION_MODULE, imported_names, to_stub
from protocol.adaptor import AdaptorLink
from sandbox_child.language.offer import allowed_names

MARK = "# Written by `jobcell stubs`; the whole directory is replaced when it is run again.\n"

SETTINGS = (
    MARK
    + """[mypy]
python_version = {version}
custom_typeshed_dir = $MYPY_CONFIG_FILE_DIR/typeshed
mypy_path = $MYPY_CONFIG_FILE_DIR
no_site_packages = True
check_untyped_defs = True
# Jobs are short scripts: report what is refused, not what might be None.
strict_optional = False
disable_error_code = var-annotated
cache_dir = $MYPY_CONFIG_FILE_DIR/.mypy_cache
"""
)

ADAPTOR_SETTINGS = """
[mypy-{module}.*]
ignore_errors = True
ignore_missing_imports = True
"""

STATE = "state: Any\n"
"""Stub line for the name `state`, which is in scope in a whole job. In an operation's arguments it
is lazy."""

OPERATION_STUB = """\
from collections.abc import Callable
from typing import Any

class Operation:
    def __call__(self, state: Any, /) -> Any: ...
    def then(self, function: Callable[[Any], Any], /) -> Operation: ...
    def catch(self, function: Callable[..., Any], /) -> Operation: ...
"""
"""The stub of the operation that a verb returns.  The engine gives it `then` and `catch`."""


def run(adaptors: Sequence[str], output: Path, repo: Path | None) -> int:
    """Write the stubs and say how to use them.

    Args:
        adaptors: `name` or `name@version`, as a step would say it.
        output: A directory that does not exist, is empty, or was written by this command.
        repo: The directory of installed adaptors.

    Returns:
        The exit code: 0.

    Raises:
        BadInputError: The repo lacks an adaptor, an adaptor cannot be parsed, *output* holds other
            files or cannot be written. Or the stubs of the standard library are missing, which come
            with typeshed-client and with mypy.

    """
    links = _find(adaptors, repo)
    _check_output(output)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as scratch:
            made = Path(scratch) / "stubs"
            made.mkdir()
            _write(made, links)
            if output.exists():
                shutil.rmtree(output)
            made.rename(output)
    except OSError as error:
        raise BadInputError([f"{output}: cannot be written: {error.strerror}"]) from None
    modules = ", ".join(f"{link.module} ({link.name}@{link.version})" for link in links)
    print(f"{output}: {modules or 'no adaptors'}")
    print(f"mypy --config-file {output / 'mypy.ini'} JOB.py")
    return 0


def _find(adaptors: Sequence[str], repo: Path | None) -> list[AdaptorLink]:
    repo = find_repo(repo)
    if repo is None and adaptors:
        raise BadInputError([f"--adaptor {adaptors[0]} needs --repo, the directory that has it"])
    try:
        known = Repo.read(repo)
        links = [known.resolve(spec) for spec in adaptors]
    except RepoError as error:
        raise BadInputError([str(error)]) from None
    by_module: dict[str, AdaptorLink] = {}
    for link in links:
        other = by_module.setdefault(link.module, link)
        if other != link:
            pair = f"{other.name}@{other.version} and {link.name}@{link.version}"
            raise BadInputError(
                [f"{pair} are both imported as {link.module!r}: a job can use only one of them"]
            )
    return list(by_module.values())


def _check_output(output: Path) -> None:
    settings = output / "mypy.ini"
    ours = settings.is_file() and settings.read_text().startswith(MARK)
    if output.exists() and not ours and (not output.is_dir() or any(output.iterdir())):
        raise BadInputError([f"{output} exists and was not written by this command"])


def _write(target: Path, links: Sequence[AdaptorLink]) -> None:
    prelude, settings = STATE, SETTINGS.format(version="{}.{}".format(*sys.version_info))
    needed: list[str] = []
    try:
        stub, imported = hide_imports(OPERATION_STUB)
        (target / f"{OPERATION_MODULE}.pyi").write_text(stub)
        needed += imported
        for link in links:
            names, imported = _write_adaptor(target, link)
            needed += imported
            # mypy forgets what `builtins` imports, hence assignments.
            prelude += f"import {link.module} as _{link.module}\n"
            prelude += "".join(_in_scope(target, link.module, name) for name in names)
            settings += ADAPTOR_SETTINGS.format(module=link.module)
        builtins, modules = allowed_names()
        write_library(
            target / "typeshed", builtins=builtins, modules=modules, prelude=prelude, needed=needed
        )
    except NoTypeshedError as error:
        raise BadInputError([str(error)]) from None
    (target / "mypy.ini").write_text(settings)


def _in_scope(target: Path, module: str, name: str) -> str:
    """Return the lines of the prelude that put a public name of an adaptor into scope."""
    places = (target / module / f"{name}.pyi", target / module / name / "__init__.pyi")
    place = next((place for place in places if place.exists()), None)
    if place is None:
        return f"{name} = _{module}.{name}\n"
    names = _listed_names(place)
    if names is None:
        return f"{name}: Any\n"
    # mypy also forgets a module that is assigned, hence a class with the names of the module.
    inner = f"_{module}_{name}"
    lines = [f"import {module}.{name} as {inner}", f"class _Of{inner}:", "    pass"]
    for found in names:
        is_function = not found[:1].isupper()
        value = f"staticmethod({inner}.{found})" if is_function else f"{inner}.{found}"
        lines.append(f"    {found} = {value}")
    return "\n".join([*lines, f"{name}: _Of{inner}\n"])


def _listed_names(place: Path, *, follow: bool = True) -> list[str] | None:
    """Return the names in `__all__` of a stub, or of the module beside it whose list it takes."""
    for statement in ast.parse(place.read_text(encoding="utf-8")).body:
        match statement:
            case ast.Assign(
                targets=[ast.Name(id="__all__")],
                value=ast.Attribute(value=ast.Name(id=other), attr="__all__"),
            ):
                beside = place.with_name(f"{other}.pyi")
                return _listed_names(beside, follow=False) if follow and beside.exists() else None
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List() as value):
                return [str(item.value) for item in value.elts if isinstance(item, ast.Constant)]
    return None


def _write_adaptor(target: Path, link: AdaptorLink) -> tuple[list[str], list[str]]:
    """Write the stubs of one adaptor; return its public names and the modules that it needs."""
    root = Path(link.path)
    package = root / link.module
    files = sorted(package.rglob("*.py")) if package.is_dir() else [root / f"{link.module}.py"]
    names: list[str] = []
    needed: list[str] = []
    sources, taken = {}, set[tuple[str, str]]()
    for file in files:
        inner = file.relative_to(root)
        try:
            sources[inner] = file.read_text(encoding="utf-8")
            is_package = inner.stem == "__init__"
            taken |= imported_names(sources[inner], module=_dotted(inner), is_package=is_package)
        except (OSError, SyntaxError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise BadInputError([f"{link.name}@{link.version}: {inner}: {reason}"]) from None
    for inner, source in sources.items():
        passed_on = {name for module, name in taken if module == _dotted(inner)}
        if inner.as_posix() in (f"{link.module}.py", f"{link.module}/__init__.py"):
            names = public_names(source)
            passed_on.update(names)
        stub, imported = hide_imports(
            to_stub(source, filename=str(inner), passed_on=frozenset(passed_on))
        )
        place = target / inner.with_suffix(".pyi")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(stub)
        needed += imported
    return names, needed


def _dotted(inner: Path) -> str:
    """Return the name of the module in a file."""
    parts = inner.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def public_names(source: str) -> list[str]:
    """Return the names that a module offers: its `__all__`, else those without an underscore."""
    found: list[str] = []
    for statement in ast.parse(source).body:
        match statement:
            case ast.Assign(
                targets=[ast.Name(id="__all__")], value=(ast.List() | ast.Tuple()) as value
            ) if all(isinstance(item, ast.Constant) for item in value.elts):
                return [str(name) for name in ast.literal_eval(value)]
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.append(name)
            case ast.ClassDef(name=name):
                found.append(name)
            case ast.Assign(targets=targets):
                found += [target.id for target in targets if isinstance(target, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.append(name)
            case ast.ImportFrom(level=level, names=aliases) if level:
                found += [alias.asname or alias.name for alias in aliases if alias.name != "*"]
    return list(dict.fromkeys(name for name in found if not name.startswith("_")))
