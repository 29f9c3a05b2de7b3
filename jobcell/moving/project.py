"""Finds out which format a file has, and reads the project in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from jobcell.input.errors import BadInputError
from jobcell.moving.documents import Document, Folder, read_document
from jobcell.moving.model import Ids, Item, Project
from jobcell.moving.platform import is_platform, read_platform
from jobcell.moving.portable import Portable
from jobcell.moving.reading import kind, objects, text
from jobcell.moving.spec import Spec

SUFFIXES: Final = (".yaml", ".yml", ".json")
_WORKSPACE: Final = frozenset({"workspace", "workflowRoot", "dirs", "formats"})
_SETTINGS: Final = frozenset({"endpoint", "apiKey", "specPath", "statePath"})
_MAX_FILES: Final = 1_000


def read_project(path: Path) -> Project:
    """Return the project or the workflow in a file.

    Raises:
        BadInputError: The file has none, or something in it is wrong.

    """
    if path.is_dir():
        raise BadInputError(
            [f"{path}: is a directory; give project.yaml, openfn.yaml or workflow.json"]
        )
    if path.suffix not in SUFFIXES:
        raise BadInputError([f"{path}: must end with {', '.join(SUFFIXES)}"])
    source = read_document(path)
    if not isinstance(source, Document):
        raise BadInputError(
            [f"{path}: must be an object with workflows or steps, not {kind(source)}"]
        )
    base = path.parent
    folder = Folder(base)
    project = Project(text(source, "name", "id") or path.stem)
    if source.get("workflows") is not None:
        _workflows(source, folder, base, project)
    elif is_platform(source):
        project.workflows = read_platform(source, folder, base, project.items)
    elif _is_workflow(source):
        _one(source, folder, base, project)
    elif _WORKSPACE & source.keys() or isinstance(source.get("project"), Document):
        _workspace(source, path, folder, project)
    elif _SETTINGS & source.keys():
        message = "has settings of the command openfn, and no project; give the file of the project, such as"
        raise BadInputError([f"{path}: {message} {source.get('specPath') or 'project.yaml'!s}"])
    else:
        keys = ", ".join(repr(key[:40]) for key in list(source)[:8]) or "nothing"
        raise BadInputError([f"{path}: has neither workflows, jobs nor steps, but {keys}"])
    _beside(source, project)
    if not project.workflows:
        raise BadInputError([f"{path}: has no workflow"])
    return project


def _is_workflow(source: Document) -> bool:
    return any(source.get(key) is not None for key in ("steps", "jobs", "workflow"))


def _one(source: Document, folder: Folder, base: Path, project: Project) -> None:
    ids = Ids("workflow")
    workflow = source.get("workflow")
    if workflow is not None:
        if not isinstance(workflow, Document):
            raise BadInputError(
                [f"{source.where('workflow')}: workflow must be an object, not {kind(workflow)}"]
            )
        reader = Portable(folder, base, project.items)
        project.workflows.append(
            reader.workflow(project.name, workflow, ids, source.get("options"))
        )
    else:
        _add(project.name, source, ids, folder, base, project, {})


def _add(
    name: str | None,
    source: Document,
    ids: Ids,
    folder: Folder,
    base: Path,
    project: Project,
    credentials: dict[str, str],
) -> None:
    old = (
        isinstance(source.get("jobs"), list)
        and source.get("edges") is None
        and source.get("triggers") is None
    )
    if source.get("steps") is not None or old:
        reader = Portable(folder, base, project.items)
        project.workflows.append(reader.workflow(name or "workflow", source, ids))
    else:
        spec = Spec(folder, base, credentials)
        project.workflows.append(spec.workflow(name, source, ids, project.items))


def _workflows(source: Document, folder: Folder, base: Path, project: Project) -> None:
    credentials = _credentials(source)
    ids = Ids("workflow")
    for name, part in objects(source, "workflows"):
        _add(name, part, ids, folder, base, project, credentials)


def _credentials(source: Document) -> dict[str, str]:
    """Return the id of each credential, by its key and its uuid."""
    found: dict[str, str] = {}
    for holder in ("credentials", "project_credentials"):
        for key, part in objects(source, holder):
            owner, name = text(part, "owner"), text(part, "name")
            made = f"{owner}|{name}" if owner and name else name or key or text(part, "id") or ""
            for other in (key, text(part, "id", "uuid")):
                if other is not None:
                    found[other] = made
    return found


def _workspace(source: Document, path: Path, folder: Folder, project: Project) -> None:
    """Read the workflows beside an `openfn.yaml`."""
    holder = source.get("workspace") if isinstance(source.get("workspace"), Document) else source
    assert isinstance(holder, Document)
    directories = holder.get("dirs")
    place: Any = holder.get("workflowRoot")
    if isinstance(directories, Document):
        place = directories.get("workflows") or place
    meta = source.get("project")
    if isinstance(meta, Document):
        project.name = text(meta, "name", "id") or project.name
    where = holder.where("dirs")
    root = folder.find(str(place or "workflows"), path.parent, where)
    files = sorted(file for file in root.rglob("*") if file.suffix in SUFFIXES)[: _MAX_FILES + 1]
    if len(files) > _MAX_FILES:
        raise BadInputError([f"{where}: has more than {_MAX_FILES:,} files"])
    ids = Ids("workflow")
    for file in files:
        shown = path.parent / file.relative_to(path.parent.resolve())
        folder.find(str(file.relative_to(path.parent.resolve())), path.parent.resolve(), str(shown))
        content = read_document(shown)
        if not isinstance(content, Document):
            continue
        workflow = content.get("workflow", content)
        if isinstance(workflow, Document) and isinstance(workflow.get("steps"), list):
            reader = Portable(folder, shown.parent, project.items)
            options = content.get("options") if workflow is not content else None
            project.workflows.append(reader.workflow(file.stem, workflow, ids, options))
    if not project.workflows:
        raise BadInputError([f"{path}: no file of a workflow is in {str(place or 'workflows')!r}"])


def _beside(source: Document, project: Project) -> None:
    for key, sentence in (
        (
            "collections",
            "copy the values of the collection {}, and name it with --collection in each run that uses it",
        ),
        ("channels", "the channel {} has no counterpart"),
    ):
        value = source.get(key)
        if isinstance(value, list):
            names = [item.get("name") if isinstance(item, Document) else item for item in value]
        else:
            names = list(value) if isinstance(value, Document) else []
        for name in names:
            project.items.append(
                Item("other", source.where(key), sentence.format(repr(str(name)[:60])))
            )
