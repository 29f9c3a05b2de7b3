"""Adaptors with replaced verbs, for tests that must not reach a real system.

A fake is a real package on the disk, which the child links like any other adaptor.  So the job runs
behind the same walls, with the same names in scope.
"""

from __future__ import annotations

import json
import keyword
import pickle
import py_compile
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from engine import AnyEvent, Log
from protocol.adaptor import AdaptorLink

MARK: Final = "jobcell-fake-call "
"""The beginning of a log line that reports a call of a fake verb."""

_RUNTIME: Final = Path(__file__).with_name("fake_runtime.py")
_SPEC: Final = "_jobcell_fake.pickle"
_TAIL: Final = """
from ._jobcell_fake import install as _install

_install(globals())
del _install
"""


class Call(msgspec.Struct, frozen=True):
    """A call of a fake verb: the arguments as they were when the operation ran."""

    adaptor: str
    verb: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __repr__(self) -> str:
        """Show the call as code."""
        shown = [*map(repr, self.args), *(f"{key}={value!r}" for key, value in self.kwargs.items())]
        return f"{self.adaptor}.{self.verb}({', '.join(shown)})"


class Raised(msgspec.Struct, frozen=True):
    """An exception that a fake verb raises; `raises` makes it."""

    name: str
    message: str
    attributes: dict[str, Any] = {}


class Replies(msgspec.Struct, frozen=True):
    """A reply for each call of a fake verb; `replies` makes it."""

    items: tuple[Any, ...]


def raises(name: str, /, message: str = "", **attributes: Any) -> Raised:
    """Return a reply that is an exception.

    Args:
        name: The name of its class. If the real adaptor has a class of that name, it is that class.
        message: Its text.
        **attributes: Its attributes, for example ``status=404`` or ``retryable=True``.

    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(
            f"raises() takes the name of a class, such as 'ResponseError', not {name!r}"
        )
    return Raised(name, message, attributes)


def replies(*items: Any) -> Replies:
    """Return one reply for each call: the first for the first call, and so on.

    Each one is data, an exception, or what `raises` returns. A call after the last reply fails.
    """
    if not items:
        raise ValueError("replies() needs at least one reply")
    return Replies(items)


class FakeAdaptor:
    """An adaptor with replaced verbs.

    Attributes:
        name: The name that steps give as their adaptor.
        path: The directory of its package.
        calls: The calls of its verbs in the last run.

    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        self.calls: list[Call] = []


def write_fake(
    name: str, verbs: Mapping[str, Any], room: Path, real: AdaptorLink | None
) -> FakeAdaptor:
    """Write the package of a fake and return it.

    Args:
        name: The name of the adaptor, without a version.
        verbs: For each verb its reply.
        room: The directory of all fakes of the session.
        real: The installed adaptor; its other names stay as they are. None if there is none.

    Raises:
        ValueError: A verb is not a name.
        TypeError: A reply cannot be given to a child.

    """
    for verb in verbs:
        if not verb.isidentifier() or verb.startswith("_") or keyword.iskeyword(verb):
            raise ValueError(f"fake_adaptor({name!r}): {verb!r} is not the name of a verb")
    module = real.module.partition(".")[0] if real else f"fake_{_identifier(name)}"
    # The path is the same for each test: an engine has a zygote for each set of paths.
    home = room / _identifier(name)
    package = home / module
    shutil.rmtree(home, ignore_errors=True)
    package.mkdir(parents=True)
    text = ""
    if real is not None:
        text = _take_real(Path(real.path), module, home)
    (package / "__init__.py").write_text(text + _TAIL, encoding="utf-8")
    shutil.copy(_RUNTIME, package / "_jobcell_fake.py")
    spec, functions = _encode(name, verbs, is_real=real is not None)
    (package / _SPEC).write_bytes(spec)
    for file in ("__init__.py", "_jobcell_fake.py"):  # a child cannot write compiled files
        py_compile.compile(str(package / file), quiet=1)
    if functions:
        _copy_cloudpickle(home)
    return FakeAdaptor(name, package)


def take_calls(events: Iterable[AnyEvent]) -> list[Call]:
    """Return the calls of fake verbs that a run has reported."""
    found = []
    for event in events:
        if isinstance(event, Log) and event.message.startswith(MARK):
            adaptor, verb, args, kwargs = json.loads(event.message.removeprefix(MARK))
            found.append(Call(adaptor, verb, tuple(args), kwargs))
    return found


def _identifier(name: str) -> str:
    return "".join(char if char.isalnum() and char.isascii() else "_" for char in name)


def _take_real(directory: Path, module: str, home: Path) -> str:
    """Copy the real adaptor into *home*, and link its dependencies; return the text of its package."""
    for item in directory.iterdir():
        if item.name not in {module, f"{module}.py"}:  # compiled files as well
            (home / item.name).symlink_to(item)
    package = directory / module
    if not package.is_dir():
        return (directory / f"{module}.py").read_text(encoding="utf-8")
    shutil.copytree(package, home / module, dirs_exist_ok=True)  # compiled files as well
    return (package / "__init__.py").read_text(encoding="utf-8")


def _encode(name: str, verbs: Mapping[str, Any], *, is_real: bool) -> tuple[bytes, bool]:
    functions = False
    spec: dict[str, list[tuple[str, Any]]] = {}
    last: dict[str, bool] = {}
    for verb, reply in verbs.items():
        items = reply.items if isinstance(reply, Replies) else (reply,)
        spec[verb] = [_form(item) for item in items]
        last[verb] = isinstance(reply, Replies)
        functions = functions or any(kind == "function" for kind, _ in spec[verb])
    content = {"adaptor": name, "real": is_real, "mark": MARK, "verbs": spec, "once": last}
    try:
        return (_pickle_functions(content) if functions else pickle.dumps(content)), functions
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise TypeError(
            f"fake_adaptor({name!r}): a reply cannot be given to the child ({error}); a reply is data, an"
            " exception, raises(...), replies(...), or a function that uses nothing of the test but data"
        ) from None


def _form(reply: Any) -> tuple[str, Any]:
    """Return a reply as the child reads it: its kind, and its content."""
    if isinstance(reply, Raised):
        return "error", (reply.name, reply.message, reply.attributes)
    if isinstance(reply, BaseException):
        attributes = {k: v for k, v in vars(reply).items() if not k.startswith("_")}
        return "error", (type(reply).__name__, str(reply), attributes)
    if isinstance(reply, type) and issubclass(reply, BaseException):
        return "error", (reply.__name__, "", {})
    if callable(reply):
        return "function", reply
    return "data", reply


def _pickle_functions(content: Any) -> bytes:
    cloudpickle = _cloudpickle()
    modules = _modules(content)
    try:
        for module in modules:  # the child cannot import the module of a test
            cloudpickle.register_pickle_by_value(module)
        encoded: bytes = cloudpickle.dumps(content)
        return encoded
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _modules(content: Any) -> list[Any]:
    functions: list[Callable[..., Any]] = [
        item for forms in content["verbs"].values() for kind, item in forms if kind == "function"
    ]
    names = {getattr(function, "__module__", None) for function in functions}
    return [
        sys.modules[name]
        for name in names
        if name in sys.modules and name.partition(".")[0] not in sys.stdlib_module_names
    ]


def _copy_cloudpickle(home: Path) -> None:
    package = Path(_cloudpickle().__file__).parent
    target = home / "cloudpickle"
    if not target.exists():
        shutil.copytree(package, target, ignore=shutil.ignore_patterns("__pycache__"))


def _cloudpickle() -> Any:
    try:
        import cloudpickle  # only a fake with functions needs it
    except ModuleNotFoundError:
        raise TypeError(
            "a function as the reply of a fake needs more packages: pip install 'jobcell[test]'"
        ) from None
    return cloudpickle
