"""`jobcell repo`: install, list, verify, lock."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.adaptors import Repo, RepoError
from jobcell.input.errors import BadInputError
from jobcell.output.wording import printable

app: typer.Typer = typer.Typer(
    help="Install, list and verify adaptors.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RepoOption = Annotated[
    Path, typer.Option("--repo", metavar="DIR", envvar="JOBCELL_REPO", help="The repo.")
]
BuildOption = Annotated[
    bool,
    typer.Option("--allow-build", help="Permit builds from source, which run the package's code."),
]
LinksOption = Annotated[
    list[str] | None,
    typer.Option("--find-links", metavar="DIR", help="A directory with wheels."),
]
HERE = Path("repo")


@app.command()
def init(
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="The repo (otherwise: --repo).")
    ] = None,
    repo: RepoOption = HERE,
) -> None:
    """Make an empty repo."""
    from jobcell.repo.index import RepoWriteError, initialise

    try:
        repo = directory or repo
        made = initialise(repo)
    except (RepoWriteError, RepoError) as error:
        raise BadInputError([str(error)]) from None
    print(f"{repo}: {'made' if made else 'is already a repo'}")


@app.command()
def add(
    spec: Annotated[list[str], typer.Argument(help="A directory, a wheel, or name==version.")],
    repo: RepoOption = HERE,
    name: Annotated[str | None, typer.Option(help="The name that plans use.")] = None,
    module: Annotated[str | None, typer.Option(help="The import name of the adaptor.")] = None,
    allow_build: BuildOption = False,
    find_links: LinksOption = None,
) -> None:
    """Install adaptors, each with its dependencies into a directory of its own."""
    from jobcell.repo.index import RepoWriteError
    from jobcell.repo.install import add as install

    try:
        done = install(
            repo,
            spec,
            name=name,
            module=module,
            allow_build=allow_build,
            find_links=find_links or (),
        )
    except (RepoWriteError, RepoError) as error:
        raise BadInputError([f"{error}; the repo is unchanged"]) from None
    for item in done:
        print(f"{item.name}@{item.version}: {'added' if item.fresh else 'is there already'}")


@app.command("list")
def list_(
    repo: RepoOption = HERE,
    warm: Annotated[
        bool,
        typer.Option("--warm", help="Import each, and tell whether an engine can keep it warm."),
    ] = False,
) -> None:
    """List the installed adaptors."""
    try:
        entries = Repo.read(repo).entries()
    except RepoError as error:
        raise BadInputError([str(error)]) from None
    for entry in entries:
        needs = ", ".join(f"{name} {version}" for name, version in entry.dependencies.items())
        line = f"{entry.spec}  import {entry.import_name}{f'  ({needs})' if needs else ''}"
        if warm:
            line += f"  {_warmth(entry.spec, repo)}"
        print(printable(line))


def _warmth(spec: str, repo: Path) -> str:
    """Return whether an adaptor can be kept warm, in a few words."""
    from engine.warming import try_warm

    try:
        found = try_warm(spec, repo)
    except ValueError as error:
        return f"cannot be warm: {error}"
    if found.warm:
        return f"can be warm ({found.memory_bytes / 1_000_000:.0f} MB)"
    return f"cannot be warm: {found.reason}"


@app.command()
def remove(
    spec: Annotated[list[str], typer.Argument(help="name@version.")], repo: RepoOption = HERE
) -> None:
    """Remove adaptors."""
    from jobcell.repo.index import RepoWriteError
    from jobcell.repo.removal import remove as take_out

    try:
        gone = take_out(repo, spec)
    except (RepoWriteError, RepoError) as error:
        raise BadInputError([f"{error}; the repo is unchanged"]) from None
    for item in gone:
        print(f"{item}: removed")


@app.command()
def verify(
    spec: Annotated[list[str] | None, typer.Argument(help="name@version (otherwise: all).")] = None,
    repo: RepoOption = HERE,
) -> None:
    """Check that the files are those that were installed."""
    from jobcell.repo.removal import verify as check

    try:
        results = check(repo, spec or ())
    except RepoError as error:
        raise BadInputError([str(error)]) from None
    for item, problem in results:
        print(printable(f"{item}: {problem or 'ok'}"))
    if any(problem for _, problem in results):
        raise typer.Exit(1)


@app.command()
def lock(
    repo: RepoOption = HERE,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="The file to write (otherwise: stdout)."
        ),
    ] = None,
) -> None:
    """Write a lock file: the exact versions and hashes of all that is installed."""
    from jobcell.repo.index import RepoWriteError
    from jobcell.repo.lockfile import lock as make_lock

    try:
        text = make_lock(repo)
    except (RepoWriteError, RepoError) as error:
        raise BadInputError([str(error)]) from None
    if output is None:
        print(text, end="")
    else:
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise BadInputError([f"{output}: cannot be written: {error.strerror}"]) from None


@app.command()
def sync(
    lockfile: Annotated[Path, typer.Argument(help="A file that jobcell repo lock has made.")],
    repo: RepoOption = HERE,
    allow_build: BuildOption = False,
    find_links: LinksOption = None,
) -> None:
    """Make the repo contain exactly the adaptors of a lock file."""
    from jobcell.repo.lockfile import sync as make_same

    try:
        text = lockfile.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BadInputError([f"{lockfile}: is not a lock file: it is not UTF-8"]) from None
    except OSError as error:
        raise BadInputError([f"{lockfile}: cannot be read: {error.strerror}"]) from None
    try:
        done = make_same(repo, text, allow_build=allow_build, find_links=find_links or ())
    except (OSError, ValueError) as error:
        raise BadInputError([f"{error}; the repo is unchanged"]) from None
    for item in done:
        print(f"{item.name}@{item.version}: {'added' if item.fresh else 'is there already'}")
